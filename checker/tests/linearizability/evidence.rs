//! What is told of an illegal history is small and illegal by itself.

use proptest::prelude::*;
use trandb_checker::{
    Evidence, Verdict,
    history::{Interval, OperationId, Value},
    linearizability::{
        Model, Operation, Options, check, is_linearizable_by_trying_all, models::Registers,
    },
};

use crate::{
    cases::{failed_cas, history, read, write},
    generate,
};

const MODEL: Registers = Registers {
    initial: Value::Int(0),
};

fn evidence<M: Model>(model: &M, history: &[Operation<M::Op>]) -> Option<Evidence> {
    match check(model, history, &Options::default()) {
        Verdict::Illegal(mut evidence) => Some(evidence.remove(0)),
        Verdict::Ok => None,
        Verdict::Unknown(reason) => panic!("{reason}"),
    }
}

fn ids(evidence: &Evidence) -> Vec<usize> {
    evidence.operations.iter().map(|shown| shown.id.0).collect()
}

#[test]
fn a_stale_read_is_told_with_the_two_writes_that_it_contradicts() {
    // Twice the same value, so that the search is needed.
    let history = history([
        (0, 1, write(7)),
        (2, 3, read(7)),
        (4, 5, write(7)),
        (6, 7, write(1)),
        (8, 9, read(1)),
        (10, 11, write(2)),
        (12, 13, read(2)),
        (14, 15, read(1)),
        (16, 17, read(1)),
    ]);
    let evidence = evidence(&MODEL, &history).expect("illegal");
    assert_eq!(ids(&evidence), [3, 5, 7], "{evidence}");
    assert_eq!(evidence.anomaly, "not-linearizable");
    assert_eq!(
        evidence.sentence,
        "#7 (read: 1) cannot be placed: it contradicts 2 operations before or beside it, \
         whenever the 5 other operations took effect, if at all.",
    );
    let offending: Vec<_> = evidence
        .operations
        .iter()
        .map(|shown| shown.offending)
        .collect();
    assert_eq!(offending, [false, false, true]);
    let edges: Vec<_> = evidence
        .edges
        .iter()
        .map(|edge| (edge.from.0, edge.to.0))
        .collect();
    assert_eq!(
        edges,
        [(3, 5), (5, 7)],
        "what follows from others is left out"
    );
}

/// The first read is not to blame: it returns after the write of its value was called.
#[test]
fn a_contradiction_needs_nothing_that_returns_after_it() {
    let history = history([
        (0, 8, read(2)),
        (1, 3, write(1)),
        (4, 5, failed_cas(1)),
        (7, 9, write(2)),
    ]);
    let evidence = evidence(&MODEL, &history).expect("illegal");
    assert_eq!(ids(&evidence), [1, 2], "{evidence}");
}

#[test]
fn without_a_search_the_evidence_is_as_small() {
    let history = history([
        (0, 1, write(7)),
        (2, 3, read(7)),
        (6, 7, write(1)),
        (8, 9, read(1)),
        (10, 11, write(2)),
        (12, 13, read(2)),
        (14, 15, read(1)),
    ]);
    let evidence = evidence(&MODEL, &history).expect("illegal");
    assert!(ids(&evidence).starts_with(&[2, 4]), "{evidence}");
    assert!(evidence.operations.len() <= 4, "{evidence}");
    assert!(
        evidence
            .operations
            .last()
            .is_some_and(|shown| shown.offending),
        "{evidence}"
    );
}

/// To relax each of so many by itself would take for ever.
#[test]
fn of_a_long_history_the_latest_operations_are_told() {
    // Few values, so that the search is needed.
    let last = 20_000;
    let operations = (0..last).map(|number| {
        let value = i64::try_from(number / 2 % 5).expect("small");
        let op = if number % 2 == 0 {
            write(value)
        } else {
            read(value)
        };
        (2 * number, 2 * number + 1, op)
    });
    let operations = operations.chain([(2 * last, 2 * last + 1, read(9))]);
    let evidence = evidence(&MODEL, &history(operations)).expect("illegal");
    assert!(evidence.operations.len() <= 100, "{}", evidence.sentence);
    assert!(
        evidence
            .operations
            .last()
            .is_some_and(|shown| shown.offending)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn the_core_is_illegal_whatever_the_others_did(
        history in generate::history(generate::register_op()),
    ) {
        let Some(evidence) = evidence(&MODEL, &history) else {
            return Ok(());
        };
        let core = ids(&evidence);
        let relaxed: Vec<_> = history
            .iter()
            .cloned()
            .map(|mut operation| {
                if !core.contains(&operation.id.0) {
                    operation.unknown = true;
                    operation.interval.ret = Interval::NEVER;
                }
                operation
            })
            .collect();
        prop_assert!(!is_linearizable_by_trying_all(&MODEL, &relaxed), "{}", evidence);
        prop_assert_eq!(evidence.operations.iter().filter(|shown| shown.offending).count(), 1);
        for edge in &evidence.edges {
            let of = |id: OperationId| history[id.0].interval;
            prop_assert!(of(edge.from).ret < of(edge.to).call, "{}", evidence);
        }
    }
}
