//! A transaction is decided once: whoever is told of it, by whatever answer and at whatever time, is
//! told the same. What was acknowledged is committed, what was said not to have happened is not, and
//! its versions stay what they are.

use std::collections::BTreeMap;

use trandb_checker::Evidence;
use trandb_client::{TransactionId, TransactionStatus};

use super::found;
use crate::{
    recorder::{Answered, Operation, Word},
    world::Run,
};

pub(super) fn check(run: &Run) -> Vec<Evidence> {
    let mut evidence = words(run);
    evidence.extend(statuses(run));
    evidence
}

/// No two answers contradict each other.
fn words(run: &Run) -> Vec<Evidence> {
    let mut decided: BTreeMap<TransactionId, bool> = BTreeMap::new();
    let mut versions = BTreeMap::new();
    let mut evidence = Vec::new();
    for told in &run.history.told {
        let id = told.id;
        let of_it = operations(run, id);
        let committed = matches!(told.word, Word::Committed(_));
        if *decided.entry(id).or_insert(committed) != committed {
            let sentence =
                format!("transaction {id} was said to be committed, and not to be committed");
            evidence.push(found("decided-twice", sentence, &of_it));
        }
        if let Word::Committed(Some(given)) = &told.word
            && versions.entry(id).or_insert(given) != &given
        {
            let sentence = format!("transaction {id} was answered with several versions");
            evidence.push(found("answered-otherwise", sentence, &of_it));
        }
    }
    evidence
}

/// What is known at the end is what clients were told.
fn statuses(run: &Run) -> Vec<Evidence> {
    use TransactionStatus::{Committed, NotCommitted};
    let statuses = run.history.statuses();
    let mut evidence = Vec::new();
    for operation in &run.history.operations {
        let Some((id, status)) = operation
            .transaction
            .and_then(|id| Some((id, *statuses.get(&id)?)))
        else {
            continue;
        };
        // What its client needs to know no more may be forgotten.
        let forgotten = status.is_none() && run.history.acknowledged.contains(&id);
        let right = match &operation.answered {
            Answered::Written(_) | Answered::Deleted | Answered::Committed { .. } => {
                status == Some(Committed) || forgotten
            }
            Answered::Aborted(_) => status == Some(NotCommitted),
            Answered::Failed(_) => status != Some(Committed),
            _ => true,
        };
        if !right {
            let status = status.map_or("not known".to_owned(), |status| format!("{status:?}"));
            let sentence = format!(
                "transaction {id} of #{} is {status} at the end",
                operation.id
            );
            evidence.push(found("outcome-changed", sentence, &[operation]));
        }
    }
    evidence
}

fn operations(run: &Run, id: TransactionId) -> Vec<&Operation> {
    let operations = run.history.operations.iter();
    operations
        .filter(|operation| operation.transaction == Some(id))
        .collect()
}
