//! Counters count: each number that was read is at least what was acknowledged before, and at most
//! what was called for until then (the checker's judge of counters). For the workloads `counters` and
//! `counted-together`.

use trandb_checker::{
    Evidence,
    history::{Interval, OperationId},
    workload::counter::{self, Action},
};

use super::said;
use crate::{
    recorder::{Answered, Operation},
    traffic::content,
    world::Run,
};

pub(super) fn check(run: &Run) -> Vec<Evidence> {
    if !["counters", "counted-together"].contains(&run.scenario.workload.as_str()) {
        return Vec::new();
    }
    let mut evidence = Vec::new();
    for key in &run.history.keys {
        let operations: Vec<_> = run
            .history
            .operations
            .iter()
            .flat_map(|operation| counted(operation, key))
            .collect();
        evidence.extend(said(counter::check(&operations)));
    }
    evidence
}

/// What an operation did to this counter.
fn counted(operation: &Operation, key: &str) -> Vec<counter::Operation> {
    let open = operation.answered.is_open() || operation.answered == Answered::Happened;
    let ret = operation.returned.filter(|_| !open);
    let action = |action| counter::Operation {
        id: OperationId(operation.id),
        interval: Interval {
            call: operation.called,
            ret: ret.unwrap_or(Interval::NEVER),
        },
        action,
    };
    let read = operation.found().into_iter().filter(|found| {
        // Of what it was held to nothing but the version is told.
        found.key == key && (found.value.is_some() || !found.is_there)
    });
    let read = read.map(|found| {
        let number = found.value.and_then(content::number);
        action(Action::Read(number.unwrap_or(0)))
    });
    let mut writes = operation.asked.writes().into_iter();
    let adds = writes.any(|(written, value)| written == key && value.is_some());
    let add = (adds && (open || operation.has_written())).then(|| action(Action::Add(1)));
    read.chain(add).collect()
}
