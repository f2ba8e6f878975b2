//! Evidence in words.

use super::cycles::Cycle;
use super::graph::{Arc, Kind};
use crate::evidence::{Edge, Evidence, Shown};
use crate::history::{OperationId, Value};

/// Elements of a list that are shown at most: its last.
const SHOWN_ELEMENTS: usize = 8;

/// What a workload knows to say.
pub(super) trait Explain {
    /// A transaction's place in the order of calls.
    fn id(&self, transaction: u32) -> OperationId;
    /// What it did, in a few words.
    fn text(&self, transaction: u32) -> String;
    /// Why one must come before the other, with key and values.
    fn reason(&self, step: &Arc) -> String;
}

/// Evidence about some transactions, the offending one first, without edges.
pub(super) fn finding(
    explain: &impl Explain,
    anomaly: &str,
    sentence: String,
    transactions: &[u32],
) -> Evidence {
    let mut operations: Vec<Shown> = Vec::new();
    for (place, &transaction) in transactions.iter().enumerate() {
        let id = explain.id(transaction);
        if operations.iter().all(|shown| shown.id != id) {
            operations.push(Shown {
                id,
                text: explain.text(transaction),
                offending: place == 0,
            });
        }
    }
    Evidence {
        anomaly: anomaly.to_owned(),
        sentence,
        operations,
        edges: Vec::new(),
    }
}

/// Evidence that is a cycle.
pub(super) fn cycle(explain: &impl Explain, cycle: &Cycle) -> Evidence {
    let ids: Vec<OperationId> = cycle
        .steps
        .iter()
        .map(|step| explain.id(step.from))
        .collect();
    let chain: Vec<String> = ids
        .iter()
        .chain(&ids[..1])
        .map(OperationId::to_string)
        .collect();
    let sentence = format!(
        "{}: no order of {} has all of it, {}",
        chain.join(" before "),
        enumerate(&ids),
        meaning(&cycle.name),
    );
    let edges = cycle.steps.iter().map(|step| edge(explain, step)).collect();
    let operations = cycle
        .steps
        .iter()
        .map(|step| Shown {
            id: explain.id(step.from),
            text: explain.text(step.from),
            offending: true,
        })
        .collect();
    Evidence {
        anomaly: cycle.name.clone(),
        sentence,
        operations,
        edges,
    }
}

fn edge(explain: &impl Explain, step: &Arc) -> Edge {
    let mut reason = explain.reason(step);
    if step.label.is_inferred() {
        reason.push_str(" (the other order closes a cycle)");
    }
    Edge {
        from: explain.id(step.from),
        to: explain.id(step.to),
        kind: step.label.kind().name(),
        reason,
    }
}

fn meaning(name: &str) -> &'static str {
    let demand = name.rsplit_once('-').map_or("", |(_, demand)| demand);
    match (name.split('-').next().unwrap_or(name), demand) {
        ("G0", "process") => "as one process asked for the writes in another order",
        ("G0", "realtime") => "as the writes came one after the other in another order",
        ("G0", _) => "by the order of the writes alone",
        ("G1c", "process") => "by what was read and the order of a process",
        ("G1c", "realtime") => "by what was read and when",
        ("G1c", _) => "as information flowed in a circle",
        (_, "process") => "as something overwritten was read, with the order of a process",
        (_, "realtime") => "as something overwritten was read after it was overwritten",
        _ => "as something overwritten was read",
    }
}

/// `#1, #2 and #3`.
pub(super) fn enumerate(ids: &[OperationId]) -> String {
    match ids {
        [] => String::new(),
        [one] => one.to_string(),
        [others @ .., last] => {
            let others: Vec<String> = others.iter().map(OperationId::to_string).collect();
            format!("{} and {last}", others.join(", "))
        }
    }
}

/// `[1 2 3]`, of a long list its end: `[… 7 8 9]`.
pub(super) fn list<'a>(values: impl ExactSizeIterator<Item = &'a Value>) -> String {
    let skipped = values.len().saturating_sub(SHOWN_ELEMENTS);
    let shown: Vec<String> = values.skip(skipped).map(Value::to_string).collect();
    let start = if skipped > 0 { "… " } else { "" };
    format!("[{start}{}]", shown.join(" "))
}

/// The reason of an edge that nothing was read or written for.
pub(super) fn order(kind: Kind, from: OperationId, to: OperationId) -> String {
    match kind {
        Kind::Process => format!("the same process ran {from} before {to}"),
        _ => format!("{from} returned before {to} was called"),
    }
}
