//! Whether a run was what TranDB promises. Each rule is one file here and one line in `RULES`.
//!
//! First the assumptions that the judges rest on, then the checker, then TranDB's own rules.
//!
//! Tests: `tests/simulation/broken.rs` breaks a store on purpose, rule by rule.

mod assumptions;
mod bank;
mod counters;
mod creates;
mod decided_once;
mod linearizable;
mod listings;
mod lists;
mod long_fork;
mod lost_writes;
mod one_value_a_version;
mod quiet;
mod refused_writes;
mod serializable;
mod versions_grow;

use trandb_checker::{Evidence, Verdict, evidence::Shown, history::OperationId};

use crate::{
    recorder::Operation,
    report::Failure,
    world::{End, Run},
};

/// Looks at a run: what is wrong with it.
type Rule = fn(&Run) -> Vec<Evidence>;

/// All rules, in the order in which they are looked at.
const RULES: &[Rule] = &[
    assumptions::check,
    linearizable::check,
    serializable::check,
    decided_once::check,
    lists::check,
    bank::check,
    long_fork::check,
    counters::check,
    creates::check,
    one_value_a_version::check,
    versions_grow::check,
    lost_writes::check,
    refused_writes::check,
    listings::check,
    quiet::check,
];

/// Judges a run by all rules.
///
/// # Errors
///
/// Everything that is wrong with it.
pub fn validate(run: &Run) -> Result<(), Box<Failure>> {
    let evidence = match &run.end {
        End::Panicked(message) => vec![found("panic", message.clone(), &[])],
        End::Violated(violation) => vec![found("violation", violation.clone(), &[])],
        End::Stalled => {
            let sentence = "clients did not come to an end in two hours of their time";
            vec![found("stalled", sentence.to_owned(), &[])]
        }
        End::Quiet(_) => RULES.iter().flat_map(|rule| rule(run)).collect(),
    };
    if evidence.is_empty() {
        Ok(())
    } else {
        Err(Box::new(Failure::new(run, evidence)))
    }
}

/// What a judge of the checker's has said.
fn said(verdict: Verdict) -> Vec<Evidence> {
    match verdict {
        Verdict::Ok => Vec::new(),
        Verdict::Illegal(evidence) => evidence,
        Verdict::Unknown(reason) => vec![found("undecided", reason, &[])],
    }
}

/// Evidence of these operations; the last one should not be.
fn found(anomaly: &str, sentence: String, operations: &[&Operation]) -> Evidence {
    let last = operations.len().saturating_sub(1);
    let shown = operations
        .iter()
        .enumerate()
        .map(|(place, operation)| Shown {
            id: OperationId(operation.id),
            text: operation.to_string(),
            offending: place == last,
        });
    Evidence {
        anomaly: anomaly.to_owned(),
        sentence,
        operations: shown.collect(),
        edges: Vec::new(),
    }
}
