//! Whatever was transferred, all accounts at one moment hold the same total (the checker's judge of
//! banks). For the workload `bank`.

use trandb_checker::{
    Evidence,
    history::{OperationId, Value},
    workload::bank::{self, Options, Read},
};

use super::said;
use crate::{
    recorder::Operation,
    traffic::content::{self, BALANCE_AT_FIRST},
    world::Run,
};

pub(super) fn check(run: &Run) -> Vec<Evidence> {
    if run.scenario.workload != "bank" {
        return Vec::new();
    }
    let accounts = run.history.keys.len();
    let reads = run.history.operations.iter();
    let reads: Vec<_> = reads
        .filter_map(audit)
        .filter(|read| read.balances.len() == accounts)
        .collect();
    if reads.is_empty() {
        return Vec::new();
    }
    let options = Options {
        total: i64::try_from(accounts)
            .ok()
            .map(|accounts| accounts * BALANCE_AT_FIRST),
        allow_negative_balances: true,
    };
    said(bank::check(&reads, options))
}

/// What an operation has found at one moment; none if some of it is not known.
fn audit(operation: &Operation) -> Option<Read> {
    let balances = operation.found().into_iter().map(|found| {
        let balance = match (found.is_there, found.value) {
            (false, _) => Value::Int(BALANCE_AT_FIRST),
            (true, value) => content::number(value?).map_or(Value::Nil, Value::Int),
        };
        Some((Value::from(found.key), balance))
    });
    Some(Read {
        id: OperationId(operation.id),
        balances: balances.collect::<Option<_>>()?,
    })
}
