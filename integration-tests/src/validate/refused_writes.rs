//! What was refused is never seen: the value of a write that certainly did not happen is in no
//! answer.

use std::collections::BTreeMap;

use trandb_checker::Evidence;

use super::found as found_evidence;
use crate::{recorder::Answered, world::Run};

pub(super) fn check(run: &Run) -> Vec<Evidence> {
    let mut refused = BTreeMap::new();
    // The same request may arrive twice, and be refused once.
    let mut accepted = Vec::new();
    for operation in &run.history.operations {
        for (key, value) in operation.asked.writes() {
            let Some(value) = value.filter(|value| !value.is_empty()) else {
                continue;
            };
            match operation.answered {
                Answered::Failed(_) | Answered::Refused(_) | Answered::Aborted(_) => {
                    refused.insert((key, value), operation);
                }
                _ => accepted.push((key, value)),
            }
        }
    }
    for write in accepted {
        refused.remove(&write);
    }
    let seen = run.history.operations.iter().filter_map(|operation| {
        let mut found = operation.found().into_iter();
        let write = found.find_map(|found| refused.get(&(found.key, found.value?)))?;
        let sentence = format!(
            "#{} found what #{} wanted to write, which did not happen",
            operation.id, write.id
        );
        Some(found_evidence(
            "refused-write-seen",
            sentence,
            &[write, operation],
        ))
    });
    seen.collect()
}
