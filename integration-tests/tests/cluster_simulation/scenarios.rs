//! Situations that seeds seldom meet: transactions that are struck at their worst moments.

use trandb_cluster::simulation::Fault;
use trandb_integration_tests::{
    campaign::search_once,
    counts::Counts,
    scenario::Scenario,
    seed::{Seed, Seeds},
    traffic,
    world::nodes::{Ambush, Blow, Moment, Plan, adapted, run_on_nodes},
};

/// Runs of each where nothing else is said.
const SEEDS: u64 = 2;

fn holds(test: &str, workload: &str, plan: impl Fn(Seed) -> Plan) -> Counts {
    let workload = traffic::named(workload);
    let counts = search_once(
        test,
        &Seeds::from_env(SEEDS),
        |seed| adapted(Scenario::of(workload, seed), &plan(seed)),
        |scenario| run_on_nodes(scenario, &plan(scenario.seed)),
    );
    counts.unwrap_or_else(|found| panic!("{found}"))
}

/// The same again and again, with time between for what is left behind to be found.
fn again_and_again(moment: Moment, blow: Blow) -> Plan {
    let every = |n: u64| Ambush {
        armed_ms: 300 + n * 5_500,
        moment,
        blow,
        back_ms: 200,
    };
    let heal = |n: u64| (300 + n * 5_500 + 4_800, Fault::Heal);
    Plan {
        ambushes: (0..3).map(every).collect(),
        faults: (0..3).map(heal).collect(),
        lasts_ms: 17_000,
        ..Plan::calm(3)
    }
}

fn happened(counts: &Counts, what: &str) {
    assert!(counts.faults.contains_key(what), "no {what}:\n{counts}");
}

/// Whoever was told that it happened finds it everywhere, though who decided it is gone.
#[test]
fn what_was_decided_outlives_its_coordinator() {
    let counts = holds(
        "scenarios::what_was_decided_outlives_its_coordinator",
        "blind-writes",
        |_| again_and_again(Moment::Decided, Blow::Both),
    );
    happened(&counts, "Decided Both");
}

/// It is cut off with all votes in its hand, others abort what it began, and then it goes on.
#[test]
fn a_coordinator_that_was_away_commits_nothing_that_is_aborted() {
    let counts = holds(
        "scenarios::a_coordinator_that_was_away_commits_nothing_that_is_aborted",
        "bank",
        |_| again_and_again(Moment::Prepared, Blow::HoldCoordinator),
    );
    happened(&counts, "Prepared HoldCoordinator");
}

/// Nobody but a resolver can let go of these locks.
#[test]
fn what_a_dead_coordinator_has_locked_is_freed() {
    let counts = holds(
        "scenarios::what_a_dead_coordinator_has_locked_is_freed",
        "bank",
        |_| again_and_again(Moment::Prepared, Blow::CrashCoordinator),
    );
    happened(&counts, "Prepared CrashCoordinator");
}

/// Every node is replaced while transactions are undecided, and the logs are so short that those who
/// come are sent snapshots.
#[test]
fn all_nodes_are_replaced_while_transactions_are_in_doubt() {
    let counts = holds(
        "scenarios::all_nodes_are_replaced_while_transactions_are_in_doubt",
        "bank",
        |_| Plan {
            faults: (0..3)
                .map(|n| {
                    let host = n as usize + 1;
                    (
                        1_500 + n * 5_000,
                        Fault::Crash {
                            host,
                            back_ms: 1_500,
                        },
                    )
                })
                .collect(),
            ambushes: (0..6)
                .map(|n| Ambush {
                    armed_ms: 1_400 + n * 2_500,
                    moment: Moment::Prepared,
                    blow: Blow::IsolateCoordinator,
                    back_ms: 200,
                })
                .collect(),
            log_much_bytes: 3_000,
            lasts_ms: 17_000,
            ..Plan::calm(3)
        },
    );
    happened(&counts, "process ended");
}

/// Clients that are with a leader that is cut off read nothing old.
#[test]
fn a_leader_that_is_cut_off_tells_nothing_old() {
    let counts = holds(
        "scenarios::a_leader_that_is_cut_off_tells_nothing_old",
        "registers",
        |_| Plan {
            faults: (0..4)
                .flat_map(|n| {
                    [
                        (500 + n * 3_000, Fault::IsolateLeader),
                        (2_800 + n * 3_000, Fault::Heal),
                    ]
                })
                .collect(),
            lasts_ms: 12_500,
            ..Plan::calm(3)
        },
    );
    happened(&counts, "IsolateLeader");
}

/// The clocks of the nodes say what they like: what they decide is when something is asked, never
/// what becomes of it.
#[test]
fn clocks_may_be_hours_apart() {
    const HOUR_MS: u64 = 3_600_000;
    let counts = holds("scenarios::clocks_may_be_hours_apart", "mixed", |seed| {
        let mut rng = seed.rng("clocks");
        let mut clocks_ms = vec![0, 2 * HOUR_MS, 5 * HOUR_MS];
        rng.shuffle(&mut clocks_ms);
        Plan {
            clocks_ms,
            ..again_and_again(Moment::Prepared, Blow::CrashCoordinator)
        }
    });
    happened(&counts, "Prepared CrashCoordinator");
}
