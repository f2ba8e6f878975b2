//! Situations that seeds seldom meet.

use std::time::Duration;

use trandb_cluster::simulation::Fault;

use super::run::{NodesPlan, Outcome, run};

/// How many seeds each has.
const SEEDS: std::ops::Range<u64> = 1..3;

fn holds(plan: &NodesPlan) -> Outcome {
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
fn nodes_found_a_cluster_by_themselves_and_every_one_serves_every_key() {
    for seed in SEEDS {
        let outcome = holds(&NodesPlan::calm(seed));
        let counts = &outcome.counts;
        assert_eq!(counts.members, 3, "{counts:?}");
        assert!(counts.written > 100 && counts.read > 80, "{counts:?}");
        assert!(counts.listed > 10, "{counts:?}");
        assert_eq!((counts.refused, counts.unknown), (0, 0), "{counts:?}");
        assert_eq!(outcome.last_written.len(), 3, "at every node");
    }
}

#[test]
fn one_node_alone_founds_a_cluster() {
    for seed in SEEDS {
        let plan = NodesPlan {
            hosts: 1,
            founders: 1,
            ..NodesPlan::calm(seed)
        };
        let counts = holds(&plan).counts;
        assert!(counts.written > 30, "{counts:?}");
        assert_eq!((counts.members, counts.refused), (1, 0), "{counts:?}");
    }
}

#[test]
fn five_nodes_found_a_cluster() {
    let plan = NodesPlan {
        hosts: 5,
        founders: 5,
        replicas: 5,
        ..NodesPlan::calm(1)
    };
    assert_eq!(holds(&plan).counts.members, 5);
}

/// More nodes than voters: every node serves every key, whoever holds it.
#[test]
fn of_five_founders_three_hold_each_shard() {
    for seed in SEEDS {
        let plan = NodesPlan {
            hosts: 5,
            founders: 5,
            shards: 5,
            ..NodesPlan::calm(seed)
        };
        let outcome = holds(&plan);
        assert_eq!(outcome.counts.members, 5);
        assert_eq!(outcome.last_written.len(), 5, "at every node");
    }
}

/// From one node to five: shards get their replicas, and then each node its share.
#[test]
fn a_cluster_grows() {
    for seed in SEEDS {
        let plan = NodesPlan {
            hosts: 5,
            founders: 1,
            newcomers_ms: 1_500,
            shards: 5,
            peace_ms: 9_000,
            ..NodesPlan::calm(seed)
        };
        let outcome = holds(&plan);
        let counts = &outcome.counts;
        assert_eq!((counts.members, counts.unknown), (5, 0), "{counts:?}");
        for (host, last) in &outcome.last_written {
            let late = Duration::from_millis(8_500);
            assert!(*last > late, "host {host} writes until the end: {last:?}");
        }
    }
}

/// Others hold what it held; where it was another node can begin, which is a new member.
#[test]
fn a_member_that_is_removed_ends_and_may_come_again() {
    for seed in SEEDS {
        for host in 1..=4 {
            let plan = NodesPlan {
                hosts: 4,
                founders: 4,
                shards: 4,
                removals: vec![(3_000, host, (seed == 2).then_some(2_000))],
                peace_ms: 9_000,
                ..NodesPlan::calm(seed)
            };
            let outcome = holds(&plan);
            let counts = &outcome.counts;
            assert_eq!((counts.removed, counts.unknown), (1, 0), "{counts:?}");
            let others = outcome.last_written.iter().filter(|(at, _)| **at != host);
            for (other, last) in others {
                let late = Duration::from_millis(8_500);
                assert!(*last > late, "host {other} goes on: {last:?}");
            }
        }
    }
}

/// Who has given a shard up has forgotten what it acknowledged, and a voter that has missed the change
/// still counts on its vote: it must not get it.
#[test]
fn who_has_given_a_shard_up_votes_for_nobody_who_lacks_what_it_forgot() {
    for seed in 1..9 {
        let cut = |a, b| (2_000, Fault::Partition { a, b });
        let plan = NodesPlan {
            hosts: 4,
            founders: 3,
            newcomers_ms: 2_200,
            // The third node gives up one shard for the fourth; the second reaches it alone.
            faults: vec![cut(1, 2), cut(2, 4), (7_000, Fault::Heal)],
            keys: 8,
            peace_ms: 9_000,
            ..NodesPlan::calm(seed)
        };
        holds(&plan);
    }
}

/// At two nodes both votes are needed, also to take one of them away.
#[test]
fn a_cluster_shrinks_to_one_node() {
    for seed in 1..6 {
        let plan = NodesPlan {
            removals: vec![(3_000, 1, None), (6_000, 2, None)],
            // Slow enough for it to be known that a node is removed before others hold what it held.
            faults: vec![(5_500, Fault::Latency { max_ms: 150 })],
            shards: 6,
            peace_ms: 12_000,
            ..NodesPlan::calm(seed)
        };
        let outcome = holds(&plan);
        let counts = &outcome.counts;
        assert_eq!(counts.removed, 2, "{counts:?}");
        let late = Duration::from_secs(11);
        assert!(outcome.last_written[&3] > late, "{outcome:?}");
    }
}

#[test]
fn the_same_seed_is_the_same_run_of_nodes() {
    for seed in [1_001, 1_002] {
        let plan = NodesPlan::of(seed);
        assert_eq!(run(&plan), run(&plan), "seed {seed}");
    }
}

/// One after the other, so that at the end none is left that was there at the beginning.
#[test]
fn every_node_comes_back_as_another_while_clients_go_on() {
    for seed in SEEDS {
        let crash = |host: usize| {
            let fault = Fault::Crash { host, back_ms: 100 };
            (host as u64 * 4_000, fault)
        };
        let plan = NodesPlan {
            faults: (1..=3).map(crash).collect(),
            peace_ms: 17_000,
            ..NodesPlan::calm(seed)
        };
        let outcome = holds(&plan);
        let counts = &outcome.counts;
        assert_eq!((counts.crashes, counts.members), (3, 6), "{counts:?}");
        for (host, last) in &outcome.last_written {
            let late = Duration::from_millis(16_500);
            assert!(*last > late, "host {host} writes until the end: {last:?}");
        }
    }
}

/// The log that the newcomer needs is dropped already.
#[test]
fn a_node_that_comes_back_late_gets_snapshots() {
    for seed in SEEDS {
        let fault = Fault::Crash {
            host: 2,
            back_ms: 3_000,
        };
        let plan = NodesPlan {
            faults: vec![(3_000, fault)],
            log_much_bytes: 4_000,
            pause_ms: 10,
            peace_ms: 9_000,
            ..NodesPlan::calm(seed)
        };
        let counts = holds(&plan).counts;
        assert_eq!((counts.crashes, counts.members), (1, 4), "{counts:?}");
        assert!(counts.snapshots > 0, "{counts:?}");
    }
}

/// It has clients, which see nothing old and change nothing; afterwards it goes on.
#[test]
fn a_node_that_is_cut_off_refuses() {
    for seed in SEEDS {
        let plan = NodesPlan {
            faults: vec![
                (3_000, Fault::IsolateLeader),
                (8_000, Fault::Heal),
                (10_000, Fault::Isolate { host: 1 }),
                (13_000, Fault::Heal),
            ],
            peace_ms: 15_000,
            ..NodesPlan::calm(seed)
        };
        let outcome = holds(&plan);
        let counts = &outcome.counts;
        assert!(counts.refused > 0, "{counts:?}");
        assert_eq!(counts.members, 3, "{counts:?}");
        for (host, last) in &outcome.last_written {
            let late = Duration::from_millis(14_500);
            assert!(*last > late, "host {host} writes again: {last:?}");
        }
    }
}

/// Two processes have one name, by mistake: who comes later has the place, and the other one neither
/// gets in its way nor tells anything old.
#[test]
fn of_two_nodes_with_one_name_the_later_one_has_the_place() {
    for seed in SEEDS {
        let plan = NodesPlan {
            twin: Some((3_000, 1)),
            peace_ms: 8_000,
            ..NodesPlan::calm(seed)
        };
        let outcome = holds(&plan);
        assert_eq!(outcome.counts.members, 4, "{:?}", outcome.counts);
        for host in [2, 3, 4] {
            let last = outcome.last_written[&host];
            let late = Duration::from_millis(7_500);
            assert!(last > late, "host {host} writes until the end: {last:?}");
        }
    }
}

/// Both are there before there is a cluster.
#[test]
fn two_founders_with_one_name_found_one_cluster() {
    for seed in 1..6 {
        let plan = NodesPlan {
            twin: Some((seed * 10, 1)),
            peace_ms: 6_000,
            ..NodesPlan::calm(seed)
        };
        holds(&plan);
    }
}

/// It has missed that somebody else is in its place: when it hears from the others again it votes
/// nowhere. Its clients may be served, by those who lead, and are told nothing old.
#[test]
fn an_old_member_that_comes_back_has_no_vote() {
    for seed in SEEDS {
        let plan = NodesPlan {
            faults: vec![(2_500, Fault::Isolate { host: 1 }), (7_000, Fault::Heal)],
            twin: Some((3_500, 1)),
            pause_ms: 10,
            log_much_bytes: 4_000,
            peace_ms: 12_000,
            ..NodesPlan::calm(seed)
        };
        let outcome = holds(&plan);
        assert_eq!(outcome.counts.members, 4, "{:?}", outcome.counts);
        let last = outcome.last_written[&4];
        let late = Duration::from_millis(11_500);
        assert!(last > late, "the new one writes until the end: {last:?}");
    }
}

#[test]
fn a_node_that_stops_as_planned_hands_over() {
    for host in 1..=3 {
        let plan = NodesPlan {
            stops: Some((3_000, host)),
            peace_ms: 7_000,
            ..NodesPlan::calm(host as u64)
        };
        let outcome = holds(&plan);
        let counts = &outcome.counts;
        assert_eq!(counts.members, 4, "{counts:?}");
        let others = outcome.last_written.iter().filter(|(at, _)| **at != host);
        for (other, last) in others {
            let late = Duration::from_millis(6_500);
            assert!(*last > late, "host {other} goes on: {last:?}");
        }
    }
}

/// Processes end again and again while they try to found.
#[test]
fn founders_that_end_meanwhile_still_found_one_cluster() {
    for seed in 1..9 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let crash = |n: u64| {
            let fault = Fault::Crash {
                host: rng.usize(1..=3),
                back_ms: rng.u64(1..200),
            };
            (20 + n * 150 + rng.u64(..150), fault)
        };
        let plan = NodesPlan {
            faults: (0..6).map(crash).collect(),
            crashes_founders: true,
            peace_ms: 4_000,
            ..NodesPlan::calm(seed)
        };
        holds(&plan);
    }
}
