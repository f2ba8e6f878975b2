//! Situations that seeds seldom meet.

use trandb_cluster::simulation::Fault;

use super::{
    plan::Plan,
    run::{Outcome, run},
};

/// How many seeds each has.
const SEEDS: std::ops::Range<u64> = 1..4;

fn holds(plan: &Plan) -> Outcome {
    let outcome = run(plan);
    if let Some(violation) = &outcome.violation {
        panic!(
            "{plan:#?}\n{violation}\n\nin a scenario, which its own test repeats; its seed is {}",
            plan.seed
        );
    }
    outcome
}

#[test]
fn without_faults_everything_is_answered() {
    for seed in SEEDS {
        let plan = Plan::calm(seed, 3);
        let counts = holds(&plan).counts;
        assert_eq!((counts.elections, counts.unknown), (1, 0), "{counts:?}");
        assert!(counts.written > 100 && counts.read > 50, "{counts:?}");
    }
}

#[test]
fn every_process_is_replaced_one_after_the_other() {
    for seed in SEEDS {
        let crash = |host: usize| (host as u64 * 2_500, Fault::Crash { host, back_ms: 100 });
        let plan = Plan {
            faults: (1..=3).map(crash).collect(),
            peace_ms: 10_000,
            ..Plan::calm(seed, 3)
        };
        let counts = holds(&plan).counts;
        assert_eq!(counts.replaced, 3, "{counts:?}");
    }
}

/// The log that the newcomer needs is dropped already.
#[test]
fn a_newcomer_gets_a_snapshot() {
    for seed in SEEDS {
        let plan = Plan {
            faults: vec![(
                3_000,
                Fault::Crash {
                    host: 2,
                    back_ms: 100,
                },
            )],
            log_much_bytes: 5_000,
            peace_ms: 6_000,
            ..Plan::calm(seed, 3)
        };
        let counts = holds(&plan).counts;
        assert_eq!(counts.replaced, 1, "{counts:?}");
        assert!(counts.snapshots > 0, "{counts:?}");
    }
}

/// Nobody waits for a newcomer that is dead too.
#[test]
fn a_newcomer_that_ends_before_it_has_the_vote_is_replaced_too() {
    for seed in SEEDS {
        let crash = |at| {
            (
                at,
                Fault::Crash {
                    host: 3,
                    back_ms: 100,
                },
            )
        };
        let plan = Plan {
            faults: vec![crash(1_500), crash(1_610), crash(1_750), crash(1_900)],
            ..Plan::calm(seed, 5)
        };
        let counts = holds(&plan).counts;
        assert!(counts.crashes > 2, "{counts:?}");
    }
}

/// The leader is gone between the joint and the uniform configuration: its successor finishes.
fn left_behind(in_joint: Fault) -> usize {
    let mut left_behind = 0;
    for seed in SEEDS {
        let crash = Fault::Crash {
            host: 3,
            back_ms: 100,
        };
        let plan = Plan {
            faults: vec![(1_500, crash), (6_000, Fault::Heal)],
            in_joint: Some(in_joint),
            peace_ms: 8_000,
            ..Plan::calm(seed, 5)
        };
        left_behind += holds(&plan).counts.joint;
    }
    left_behind
}

#[test]
fn a_change_that_a_dead_leader_left_behind_is_finished() {
    assert!(left_behind(Fault::CrashLeader { back_ms: 300 }) > 0);
}

#[test]
fn a_change_that_a_leader_left_behind_when_it_was_cut_off_is_finished() {
    assert!(left_behind(Fault::IsolateLeader) > 0);
}

/// Whoever leads is cut off again and again; its clients stay with it.
#[test]
fn a_leader_that_is_cut_off_tells_nothing_stale() {
    for seed in SEEDS {
        let cut = |n: u64| {
            [
                (1_000 + n * 2_000, Fault::IsolateLeader),
                (2_500 + n * 2_000, Fault::Heal),
            ]
        };
        let plan = Plan {
            faults: (0..4).flat_map(cut).collect(),
            writes_percent: 30,
            peace_ms: 9_500,
            ..Plan::calm(seed, 3)
        };
        let counts = holds(&plan).counts;
        assert!(counts.elections > 3, "{counts:?}");
    }
}

/// The answers to a leader's question are on their way for so long that meanwhile another leads and
/// writes. Whoever asked before may be answered, and nobody who came later.
#[test]
fn a_reader_that_comes_during_a_round_waits_for_the_next_one() {
    let mut read = 0;
    for seed in SEEDS {
        let held = |n: u64| {
            let begins = 1_000 + n * 2_500;
            [
                (begins, Fault::HoldLeader),
                (begins + 850, Fault::Heal),
                (begins + 900, Fault::Heal),
            ]
        };
        let plan = Plan {
            clients: 12,
            keys: 2,
            pause_ms: 250,
            writes_percent: 40,
            value_bytes: 10,
            faults: (0..6).flat_map(held).collect(),
            peace_ms: 16_000,
            ..Plan::calm(seed, 3)
        };
        read += holds(&plan).counts.read;
    }
    assert!(read > 500, "{read}");
}

/// The hostile schedule: a replica that lags comes back at the very moment when another begins
/// anew, without its memory, and the third is cut off.
fn hostile(seed: u64, names_whom_it_means: bool) -> Plan {
    let lagging = 0;
    let forgetful = 1;
    Plan {
        faults: vec![
            (1_000, Fault::IsolateFollower { nth: lagging }),
            (
                2_500,
                Fault::CrashFollower {
                    nth: forgetful,
                    back_ms: 10,
                },
            ),
            (2_500, Fault::HealFollowers),
            (2_500, Fault::IsolateLeader),
            (6_000, Fault::Heal),
        ],
        peace_ms: 8_000,
        names_whom_it_means,
        ..Plan::calm(seed, 3)
    }
}

#[test]
fn a_process_does_not_answer_for_its_predecessor() {
    for seed in SEEDS {
        holds(&hostile(seed, true));
    }
}

/// Without the check the harness must see acknowledged writes lost.
#[test]
fn without_naming_whom_it_means_writes_are_lost() {
    for seed in SEEDS {
        let violation = run(&hostile(seed, false)).violation;
        assert!(violation.is_some(), "seed {seed}");
        let violation = violation.unwrap_or_default();
        let last = violation.lines().last().unwrap_or_default();
        println!("seed {seed}, as it should be: {last}");
    }
}
