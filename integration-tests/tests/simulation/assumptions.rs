//! What the judges rest on is looked at first: a history that was tampered with is no evidence.

use trandb_integration_tests::{
    recorder::{Answered, Asked, By, Operation},
    scenario::Scenario,
    seed::Seed,
    traffic,
    validate::validate,
    world::{Run, run_simulated},
};

/// What a run is found to be after its operations were changed.
fn anomaly_of(tamper: impl FnOnce(&mut Vec<Operation>)) -> Option<String> {
    let workload = traffic::named("registers");
    let mut run: Run = run_simulated(&Scenario::of(workload, Seed(3)));
    tamper(&mut run.history.operations);
    let failure = validate(&run).err()?;
    Some(failure.anomaly().to_owned())
}

fn is_put(operation: &&mut Operation) -> bool {
    matches!(operation.asked, Asked::Put { .. }) && operation.by != By::Network
}

#[test]
fn an_untouched_run_is_legal() {
    assert_eq!(anomaly_of(|_| {}), None);
}

#[test]
fn values_are_unique() {
    let anomaly = anomaly_of(|operations| {
        let mut puts = operations.iter_mut().filter(is_put);
        let first = puts.next().expect("a put").asked.clone();
        puts.next().expect("another").asked = first;
    });
    assert_eq!(anomaly.as_deref(), Some("values-not-unique"));
}

#[test]
fn a_process_has_one_operation_at_a_time() {
    let anomaly = anomaly_of(|operations| {
        let process = operations[0].process;
        for operation in operations {
            operation.process = process;
        }
    });
    assert_eq!(anomaly.as_deref(), Some("unsound-interval"));
}

#[test]
fn nothing_returns_before_it_is_called() {
    let anomaly = anomaly_of(|operations| operations[0].returned = Some(0));
    assert_eq!(anomaly.as_deref(), Some("unsound-interval"));
}

#[test]
fn every_step_is_called() {
    let anomaly = anomaly_of(|operations| {
        let place = operations
            .iter()
            .position(|o| matches!(o.asked, Asked::Put { .. }));
        operations.remove(place.expect("a put"));
    });
    assert_eq!(anomaly.as_deref(), Some("nothing-tested"));
}

/// The rule by itself: what a store must do wrong for it, other judges see as well.
#[test]
fn readers_that_disagree_on_the_order_of_writes_are_a_long_fork() {
    let workload = traffic::named("long-fork");
    let calm = (1..)
        .map(|seed| Scenario::of(workload, Seed(seed)))
        .filter(Scenario::is_calm);
    let is_read = |o: &&Operation| {
        matches!(
            (&o.asked, &o.answered),
            (Asked::GetMany { .. }, Answered::Values(_))
        )
    };
    let mut run = calm
        .map(|scenario| run_simulated(&scenario))
        .find(|run| run.history.operations.iter().filter(is_read).count() >= 2)
        .expect("two reads");
    assert!(validate(&run).is_ok());
    let found = |number: u32| {
        Some((
            format!("value {number}"),
            "e1-1".parse().expect("a version"),
        ))
    };
    let reads = run.history.operations.iter_mut();
    let mut reads =
        reads.filter_map(
            |operation| match (&mut operation.asked, &mut operation.answered) {
                (Asked::GetMany { keys }, Answered::Values(values)) => Some((keys, values)),
                _ => None,
            },
        );
    let (group, one) = reads.next().expect("a read");
    let (same, other) = reads.next().expect("another");
    same.clone_from(group);
    *one = vec![found(0), None, None];
    *other = vec![None, found(1), None];
    let failure = validate(&run).expect_err("a fork");
    let anomalies: Vec<_> = failure
        .evidence
        .iter()
        .map(|e| e.anomaly.as_str())
        .collect();
    assert!(anomalies.contains(&"long-fork"), "{anomalies:?}");
}
