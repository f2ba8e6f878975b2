//! The checker and the brute-force search say the same of all small histories.

use std::fmt::Debug;

use proptest::prelude::*;
use trandb_checker::Verdict;
use trandb_checker::history::Outcome;
use trandb_checker::serializability::{
    Consistency, Options, RegisterOp, Transaction, Unusable, check_list_append, check_registers,
};

use crate::oracle::{lists_are_legal, registers_are_legal};
use crate::small::{self, Versions};

const CONSISTENCIES: [Consistency; 3] = [
    Consistency::Serializable,
    Consistency::StrongSessionSerializable,
    Consistency::StrictSerializable,
];

/// Fails unless a verdict is that of the oracle; histories that say too little are passed over.
fn agree<M: Debug>(
    history: &[Transaction<M>],
    verdict: Result<Verdict, Unusable>,
    is_legal: bool,
    consistency: Consistency,
    may_be_undecided: bool,
) -> Result<(), TestCaseError> {
    let Ok(verdict) = verdict else {
        return Err(TestCaseError::reject("too little is said"));
    };
    match &verdict {
        Verdict::Ok => prop_assert!(is_legal, "{consistency:?}: not legal: {history:?}"),
        Verdict::Unknown(reason) => {
            prop_assert!(may_be_undecided, "{reason}: {history:?}");
        }
        Verdict::Illegal(evidence) => {
            prop_assert!(
                !is_legal,
                "{consistency:?}: legal: {evidence:?}\n{history:?}"
            );
            for one in evidence {
                prop_assert!(!one.sentence.is_empty() && !one.operations.is_empty());
                for (edge, next) in one.edges.iter().zip(one.edges.iter().cycle().skip(1)) {
                    prop_assert_eq!(edge.to, next.from, "no cycle: {:#?}", one);
                }
            }
        }
    }
    Ok(())
}

fn registers_agree(seed: u64, versions: Versions) -> Result<(), TestCaseError> {
    let history = small::registers(seed, versions);
    for consistency in CONSISTENCIES {
        let verdict = check_registers(&history, &Options::new(consistency));
        let is_legal = registers_are_legal(&history, consistency);
        // Documented: something is known of what an open transaction did.
        let is_odd = history
            .iter()
            .any(|one| one.outcome == Outcome::Unknown && one.ops.iter().any(says_something));
        let may_be_undecided =
            versions == Versions::Some && (is_odd || removals_are_alike(&history));
        agree(&history, verdict, is_legal, consistency, may_be_undecided)?;
    }
    Ok(())
}

fn says_something(op: &RegisterOp) -> bool {
    match op {
        RegisterOp::Write { version, .. } => version.is_some(),
        RegisterOp::Read { value, .. } => value.is_some(),
    }
}

/// Documented: absence was read with a version, and several removals may have it.
fn removals_are_alike(history: &[Transaction<RegisterOp>]) -> bool {
    let ops = || history.iter().flat_map(|one| &one.ops);
    let removals = ops().filter(
        |op| matches!(op, RegisterOp::Write { value, version: None, .. } if value.is_nil()),
    );
    let read = ops().any(|op| {
        matches!(op, RegisterOp::Read { value: Some(value), version: Some(_), .. } if value.is_nil())
    });
    read && removals.count() > 1
}

/// How many histories each property looks at; more by the usual variable.
fn cases() -> u32 {
    let asked = std::env::var("PROPTEST_CASES").ok();
    asked.and_then(|cases| cases.parse().ok()).unwrap_or(10_000)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(),
        max_global_rejects: 1_000_000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn on_lists(seed: u64) {
        let history = small::lists(seed);
        for consistency in CONSISTENCIES {
            let verdict = check_list_append(&history, &Options::new(consistency));
            let is_legal = lists_are_legal(&history, consistency);
            agree(&history, verdict, is_legal, consistency, false)?;
        }
    }

    #[test]
    fn on_registers_with_versions(seed: u64) {
        registers_agree(seed, Versions::All)?;
    }

    #[test]
    fn on_registers_with_some_versions(seed: u64) {
        registers_agree(seed, Versions::Some)?;
    }

    #[test]
    fn on_registers_without_versions(seed: u64) {
        registers_agree(seed, Versions::None)?;
    }
}
