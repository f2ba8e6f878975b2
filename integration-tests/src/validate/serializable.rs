//! All operations together are strictly serializable: the checker's word, by values and versions.
//! Each plain operation is a transaction of one key.

use std::{collections::HashSet, time::Duration};

use trandb_checker::{
    Evidence, Verdict, decode,
    history::Operations,
    serializability::{Consistency, Options, RegisterOp, Transaction, check_registers},
};

use super::{found, said};
use crate::{recorder::Asked, world::Run};

/// How long the search for an order of deletes may take, which have no versions: far longer than it
/// ever took.
const TIME_MAX: Duration = Duration::from_secs(20);

pub(super) fn check(run: &Run) -> Vec<Evidence> {
    if !run.history.has_transactions() || is_ambiguous(run) {
        return Vec::new();
    }
    match judge(run) {
        Ok(verdict) => said(verdict),
        Err(evidence) => vec![evidence],
    }
}

/// Whether one value may have been written twice, and nobody knows under which versions: a request
/// that came twice, and twice without an answer. The judge tells writes by value or version and has
/// nothing to say then; those of single keys and of what is read do.
fn is_ambiguous(run: &Run) -> bool {
    let mut unknown = HashSet::new();
    run.history.operations.iter().any(|operation| {
        let is_unknown = operation.answered.outcome() == "unknown";
        match &operation.asked {
            Asked::Put { key, value, .. } if is_unknown => !unknown.insert((key, value)),
            _ => false,
        }
    })
}

/// Whether a run without transactions is found strictly serializable all the same.
pub(super) fn is_certain(run: &Run) -> bool {
    matches!(judge(run), Ok(Verdict::Ok))
}

fn judge(run: &Run) -> Result<Verdict, Evidence> {
    let options = Options {
        time_limit: Some(TIME_MAX),
        ..Options::new(Consistency::StrictSerializable)
    };
    check_registers(&transactions(run)?, &options)
        .map_err(|unusable| found("unusable-history", unusable.reason, &[]))
}

/// The operations of a run as the checker sees them.
pub(super) fn transactions(run: &Run) -> Result<Vec<Transaction<RegisterOp>>, Evidence> {
    let events = run.history.as_transactions().into_iter().map(Ok);
    decode::transactions(&decode::RwRegister, Operations::new(events))
        .map_err(|bad| found("unusable-history", bad.reason, &[]))
}

#[cfg(test)]
mod tests {
    use super::{is_ambiguous, is_certain, judge};
    use crate::{
        recorder::Asked, scenario::Scenario, seed::Seed, traffic, validate::validate,
        world::run_simulated,
    };

    /// A put that came twice and was not answered either time; both runs are from an hour of proving.
    #[test]
    fn what_cannot_be_told_apart_is_left_to_the_other_judges() {
        for (workload, seed) in [("long-fork", "r5dj0fyd"), ("blind-writes", "11taqas3")] {
            let seed: Seed = seed.parse().expect("a seed");
            let run = run_simulated(&Scenario::of(traffic::named(workload), seed));
            assert!(is_ambiguous(&run), "{workload}");
            assert!(judge(&run).is_err(), "{workload}: it cannot be judged");
            assert!(validate(&run).is_ok(), "{workload}");
        }
    }

    /// It is asked where the search for an order of one key does not end.
    #[test]
    fn runs_without_transactions_are_certain_unless_they_are_wrong() {
        let workload = traffic::named("hot-key");
        let mut noticed = 0;
        for seed in (1..=5).map(Seed) {
            let mut run = run_simulated(&Scenario::of(workload, seed));
            assert!(validate(&run).is_ok());
            assert!(is_certain(&run), "seed {seed}");
            let operations = &mut run.history.operations;
            operations.retain(|operation| !matches!(operation.asked, Asked::Put { .. }));
            // Values are read that nobody wrote, unless no read came through.
            noticed += usize::from(!is_certain(&run));
        }
        assert!(noticed >= 3, "{noticed}");
    }
}
