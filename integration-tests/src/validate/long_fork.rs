//! All who read a group of keys agree on the order in which they came to be (the checker's judge of
//! long forks). For the workload `long-fork`.

use trandb_checker::{
    Evidence,
    history::{OperationId, Value},
    workload::long_fork::{self, Read},
};

use super::said;
use crate::{recorder::Operation, world::Run};

pub(super) fn check(run: &Run) -> Vec<Evidence> {
    if run.scenario.workload != "long-fork" {
        return Vec::new();
    }
    let reads = run.history.operations.iter();
    let reads: Vec<_> = reads
        .map(read)
        .filter(|read| read.found.len() > 1)
        .collect();
    said(long_fork::check(&reads))
}

fn read(operation: &Operation) -> Read {
    let found = operation.found().into_iter().map(|found| {
        let value = found.value.map_or(Value::Nil, Value::from);
        (Value::from(found.key), value)
    });
    let mut found: Vec<_> = found.collect();
    found.sort_unstable();
    Read {
        id: OperationId(operation.id),
        found,
    }
}
