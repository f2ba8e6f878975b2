//! `counter`: a read finds at least what was added before it, and at most what may have been
//! (Jepsen's counter test, and amounts may be negative here).
//!
//! A bound, not a model: two reads that both fit may still contradict each other.

use super::verdict;
use crate::{
    decode::unknown_function,
    evidence::{Evidence, Shown, Verdict},
    history::{BadHistory, Completed, Interval, OperationId, Outcome},
};

/// What is done to a counter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Which operation.
    pub id: OperationId,
    /// When it ran.
    pub interval: Interval,
    /// What it did.
    pub action: Action,
}

/// What is done to a counter, which is 0 at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Adds; if it never returned, perhaps.
    Add(i64),
    /// Found.
    Read(i64),
}

/// What was or may have been done to the counter, in the order of the calls.
pub fn decode(
    completed: impl Iterator<Item = Result<Completed, BadHistory>>,
) -> Result<Vec<Operation>, BadHistory> {
    let mut operations = Vec::new();
    for completed in completed {
        let completed = completed?;
        let call = &completed.call;
        let Some(interval) = completed.interval else {
            let reason = "this model is judged by times, and the format has none";
            return Err(BadHistory::at(call.line, reason));
        };
        let ret = completed
            .ret
            .as_ref()
            .filter(|_| completed.outcome == Outcome::Ok);
        let (event, action): (_, fn(i64) -> Action) = match call.f.as_str() {
            "add" if completed.outcome == Outcome::Failed => continue,
            "add" => (call, Action::Add),
            "read" => match ret {
                None => continue,
                Some(ret) => (ret, Action::Read),
            },
            _ => return Err(unknown_function(call, "add and read")),
        };
        let Some(number) = event.value.as_int() else {
            let reason = format!("`{}` is not a whole number", event.value);
            return Err(BadHistory::at(event.line, reason));
        };
        operations.push(Operation {
            id: completed.id,
            interval,
            action: action(number),
        });
    }
    operations.sort_unstable_by_key(|operation| operation.id);
    Ok(operations)
}

/// Sums of what was added: of the positive amounts, and of the negative ones.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    up: i128,
    down: i128,
}

impl Sums {
    fn add(&mut self, amount: i64) {
        let amount = i128::from(amount);
        self.up += amount.max(0);
        self.down += amount.min(0);
    }
}

/// Judges every read of a history.
pub fn check(operations: &[Operation]) -> Verdict {
    // By tick; what never returns comes last, behind every read.
    let mut events = Vec::with_capacity(2 * operations.len());
    for (index, operation) in operations.iter().enumerate() {
        events.push((operation.interval.call, index, true));
        events.push((operation.interval.ret, index, false));
    }
    events.sort_unstable();

    let mut called = Sums::default();
    let mut returned = Sums::default();
    let mut at_call = vec![Sums::default(); operations.len()];
    let mut evidence = Vec::new();
    for (_, index, is_call) in events {
        let operation = &operations[index];
        match operation.action {
            Action::Add(amount) if is_call => called.add(amount),
            Action::Add(amount) => returned.add(amount),
            Action::Read(_) if is_call => at_call[index] = returned,
            Action::Read(found) => {
                let certain = at_call[index];
                let least = certain.up + called.down;
                let most = called.up + certain.down;
                if i128::from(found) < least || i128::from(found) > most {
                    evidence.push(out_of_range(operation.id, found, least, most));
                }
            }
        }
    }
    verdict(evidence)
}

fn out_of_range(id: OperationId, found: i64, least: i128, most: i128) -> Evidence {
    Evidence {
        anomaly: "counter-out-of-range".to_owned(),
        sentence: format!(
            "{id} found {found}, but by what was added before and during it there were {least} to \
             {most}"
        ),
        operations: vec![Shown {
            id,
            text: format!("read {found}"),
            offending: true,
        }],
        edges: Vec::new(),
    }
}
