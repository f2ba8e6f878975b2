//! What was created stays (the checker's judge of sets): every acknowledged create is in the last
//! listing. For the workload `creates`, which deletes nothing.

use trandb_checker::{
    Evidence,
    history::{Interval, OperationId, Value},
    workload::set_full::{self, Add, Read},
};

use super::{found, said};
use crate::{
    recorder::{Answered, Asked, By, Operation},
    world::Run,
};

pub(super) fn check(run: &Run) -> Vec<Evidence> {
    if run.scenario.workload != "creates" {
        return Vec::new();
    }
    let mut history = set_full::History::default();
    for operation in &run.history.operations {
        // What the auditor deletes at the end is not there any more.
        let interval = interval(operation);
        let id = OperationId(operation.id);
        match (&operation.asked, &operation.answered) {
            (
                Asked::Put { key, .. },
                Answered::Written(_) | Answered::Unknown(_) | Answered::Happened,
            ) => {
                history.adds.push(Add {
                    id,
                    element: Value::from(key.as_str()),
                    interval,
                });
            }
            (Asked::List { after: None, .. }, Answered::Page(page)) if page.next.is_none() => {
                let keys = page.keys.iter().map(|row| Value::from(row.key.as_str()));
                history.reads.push(Read {
                    id,
                    key: None,
                    elements: keys.collect(),
                    interval,
                });
            }
            (Asked::Delete { .. }, _) if operation.by != By::Auditor => {
                let sentence = format!("#{} deletes, and creates stay", operation.id);
                return vec![found("unusable-history", sentence, &[operation])];
            }
            _ => {}
        }
    }
    said(set_full::check(&history))
}

fn interval(operation: &Operation) -> Interval {
    let open = operation.answered.is_open() || operation.answered == Answered::Happened;
    Interval {
        call: operation.called,
        ret: operation
            .returned
            .filter(|_| !open)
            .unwrap_or(Interval::NEVER),
    }
}
