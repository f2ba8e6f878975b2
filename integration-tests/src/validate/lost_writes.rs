//! No acknowledged write is lost: a key that was written has a value in every later answer, unless
//! a delete may have taken it away since.

use trandb_checker::Evidence;

use super::found;
use crate::{
    recorder::{Answered, Operation},
    world::Run,
};

pub(super) fn check(run: &Run) -> Vec<Evidence> {
    let mut evidence = Vec::new();
    for key in &run.history.keys {
        let touches = |operation: &&Operation| {
            writes(operation, key).is_some() || found_absent(operation, key)
        };
        let of_key: Vec<&Operation> = run.history.operations.iter().filter(touches).collect();
        let lost = of_key
            .iter()
            .find_map(|read| Some((*read, lost_before(read, key, &of_key)?)));
        if let Some((read, write)) = lost {
            let sentence = format!(
                "#{} found no value of {key}, although #{} had written one and no delete was \
                 called in between",
                read.id, write.id
            );
            evidence.push(found("lost-write", sentence, &[write, read]));
        }
    }
    evidence
}

/// Whether it writes the key, and whether it gives it a value.
fn writes(operation: &Operation, key: &str) -> Option<bool> {
    let mut writes = operation.asked.writes().into_iter();
    let (_, value) = writes.find(|(written, _)| *written == key)?;
    Some(value.is_some())
}

fn found_absent(operation: &Operation, key: &str) -> bool {
    let mut found = operation.found().into_iter();
    found.any(|found| found.key == key && !found.is_there)
}

/// The write whose value is missing in this answer.
fn lost_before<'a>(read: &Operation, key: &str, of_key: &[&'a Operation]) -> Option<&'a Operation> {
    let precedes = |a: &Operation, b: &Operation| a.returned.is_some_and(|end| end < b.called);
    // Of what was learned afterwards the moment is not known.
    if !found_absent(read, key) || read.answered == Answered::Happened {
        return None;
    }
    let before = of_key.iter().filter(|operation| precedes(operation, read));
    let write = before
        .filter(|operation| operation.has_written() && operation.answered != Answered::Happened)
        .filter(|operation| writes(operation, key) == Some(true))
        .max_by_key(|operation| operation.called)?;
    let may_delete = |operation: &&&Operation| {
        let deletes = writes(operation, key) == Some(false);
        let happened = !matches!(
            operation.answered,
            Answered::Failed(_) | Answered::Refused(_) | Answered::Aborted(_)
        );
        let open = operation.answered.is_open() || operation.answered == Answered::Happened;
        deletes && happened && (open || !precedes(operation, write)) && !precedes(read, operation)
    };
    of_key.iter().find(may_delete).is_none().then_some(*write)
}
