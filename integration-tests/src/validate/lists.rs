//! Lists only grow, in one order for all who look (the checker's judge of appends). For the workload
//! `list-append`.

use std::collections::BTreeMap;

use trandb_checker::{
    Evidence,
    history::{Outcome, Value},
    serializability::{Consistency, ListOp, Options, RegisterOp, Transaction, check_list_append},
};

use super::{found, said, serializable};
use crate::world::Run;

pub(super) fn check(run: &Run) -> Vec<Evidence> {
    if run.scenario.workload != "list-append" || !run.history.has_transactions() {
        return Vec::new();
    }
    let transactions = match serializable::transactions(run) {
        Ok(transactions) => transactions,
        Err(evidence) => return vec![evidence],
    };
    let mut appends = BTreeMap::new();
    for transaction in &transactions {
        let appended = appended(transaction);
        let mut known = appended.iter().filter_map(|append| appends.get(append));
        // A plain append that the network doubled happens once at most, and by whichever it happened
        // is the one that counts.
        if transaction.outcome == Outcome::Ok || known.next().is_none() {
            appends.extend(appended.into_iter().map(|append| (append, transaction.id)));
        }
    }
    let counts = |transaction: &&Transaction<RegisterOp>| {
        let appended = appended(transaction);
        let mut by = appended.iter().map(|append| appends.get(append));
        by.all(|by| by == Some(&transaction.id))
    };
    // What the auditor deletes at the end is no append.
    let counted = transactions.iter().filter(counts);
    let lists: Vec<_> = counted.filter_map(on_lists).collect();
    match check_list_append(&lists, &Options::new(Consistency::StrictSerializable)) {
        Ok(verdict) => said(verdict),
        Err(unusable) => vec![found("unusable-history", unusable.reason, &[])],
    }
}

/// Keys, and what is put at the end of each.
fn appended(transaction: &Transaction<RegisterOp>) -> Vec<(Value, Option<Value>)> {
    let writes = transaction.ops.iter().filter_map(|op| match op {
        RegisterOp::Write { key, value, .. } => Some((key.clone(), list(value).pop())),
        RegisterOp::Read { .. } => None,
    });
    writes.collect()
}

/// Every value is a list, and every write appends its last element; none if it deletes.
fn on_lists(transaction: &Transaction<RegisterOp>) -> Option<Transaction<ListOp>> {
    let ops = transaction.ops.iter().map(|op| match op {
        RegisterOp::Read { key, value, .. } => Some(ListOp::Read {
            key: key.clone(),
            list: value.as_ref().map(list),
        }),
        RegisterOp::Write { key, value, .. } => Some(ListOp::Append {
            key: key.clone(),
            element: list(value).pop()?,
        }),
    });
    Some(Transaction {
        ops: ops.collect::<Option<_>>()?,
        id: transaction.id,
        process: transaction.process,
        interval: transaction.interval,
        outcome: transaction.outcome,
    })
}

fn list(value: &Value) -> Vec<Value> {
    let elements = value.as_text().into_iter().flat_map(|text| text.split(','));
    elements.map(Value::from).collect()
}
