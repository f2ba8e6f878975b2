//! What the judges rest on: a history that breaks it would be judged wrongly, so it is a failure
//! of the harness.
//!
//! - Values are unique: no two calls write the same to a key, but a request that was doubled and the empty
//!   value, which versions alone tell apart.
//! - Every step was called, by its client, and every planned trouble that cannot be missed was met.
//! - Intervals are sound: one operation of a process at a time, each called before it returned.

use std::collections::{BTreeMap, BTreeSet};

use trandb_checker::Evidence;

use super::found;
use crate::{
    faults::network::Trouble,
    recorder::By,
    traffic::{Call, Style},
    world::Run,
};

pub(super) fn check(run: &Run) -> Vec<Evidence> {
    let mut evidence = unique_values(run);
    evidence.extend(sound_intervals(run));
    evidence.extend(everything_happened(run));
    evidence
}

fn unique_values(run: &Run) -> Vec<Evidence> {
    let mut writers = BTreeMap::new();
    let mut evidence = Vec::new();
    for operation in &run.history.operations {
        for (key, value) in operation.asked.writes() {
            if operation.by != By::Network
                && let Some(value) = value.filter(|value| !value.is_empty())
                && let Some(earlier) = writers.insert((key, value), operation)
            {
                let sentence = format!("#{} and #{} write the same", earlier.id, operation.id);
                evidence.push(found("values-not-unique", sentence, &[earlier, operation]));
            }
        }
    }
    evidence
}

fn sound_intervals(run: &Run) -> Vec<Evidence> {
    let mut free_from = BTreeMap::new();
    let mut evidence = Vec::new();
    for operation in &run.history.operations {
        let free = free_from.get(&operation.process).copied().unwrap_or(0);
        let returned = operation.returned.unwrap_or(u64::MAX);
        if operation.called <= free || returned <= operation.called {
            let sentence = format!(
                "#{} of process {} is called at {} and returns at {returned}, but its process is \
                 free from {free} on",
                operation.id, operation.process, operation.called
            );
            evidence.push(found("unsound-interval", sentence, &[operation]));
        }
        free_from.insert(operation.process, returned);
    }
    evidence
}

fn looks_first(call: &Call) -> bool {
    matches!(call, Call::Transaction(transaction) if transaction.style == Style::Interactive)
}

fn everything_happened(run: &Run) -> Vec<Evidence> {
    let mut evidence = Vec::new();
    let mut missing = |what: String| evidence.push(found("nothing-tested", what, &[]));
    let mut planned: BTreeMap<&str, u64> = BTreeMap::new();
    for step in run.scenario.schedule.steps() {
        *planned.entry(step.call.function()).or_default() += 1;
        match &step.passage.trouble {
            // A call may be over before it is given up, or be given up before it is sent.
            None | Some(Trouble::Cancel { .. }) => {}
            // It may come to nothing before it is to be committed.
            Some(_) if looks_first(&step.call) => {}
            Some(trouble) => *planned.entry(trouble.name()).or_default() += 1,
        }
    }
    for (name, planned) in planned {
        let operations = run.history.operations.iter();
        let calls = operations
            .filter(|operation| matches!(operation.by, By::Client(_)))
            .filter(|operation| operation.asked.function() == name)
            .count() as u64;
        let happened = run.counts.faults.get(name).copied().unwrap_or(calls);
        // A listing is a call for each page.
        if happened < planned {
            missing(format!(
                "{name} was planned {planned} times and happened {happened} times"
            ));
        }
    }
    let clients: BTreeSet<By> = run.history.operations.iter().map(|o| o.by).collect();
    for (number, plan) in run.scenario.schedule.clients.iter().enumerate() {
        if !plan.steps.is_empty() && !clients.contains(&By::Client(number)) {
            missing(format!("client {number} called nothing"));
        }
    }
    evidence
}
