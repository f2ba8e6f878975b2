//! Every interleaving of small cases, over the real machines: deliveries in any order, commands
//! applied twice or never, replies lost or late, coordinators that vanish, resolvers at any time.
//!
//! In every state the judge must have nothing to say, and from every state resolvers alone must
//! leave nothing (I9). The numbers of states stand in `docs/testing.md`.

use stateright::{Checker as _, HasDiscoveries, Model, Property};
use trandb_engine::Answer;

use super::{
    cases::config,
    judge::Rule,
    system::{Action, Config, Limits, System},
};

struct Case(Config);

impl Model for Case {
    type State = System;
    type Action = Action;

    fn init_states(&self) -> Vec<System> {
        vec![System::new(&self.0)]
    }

    fn actions(&self, state: &System, actions: &mut Vec<Action>) {
        // What is wrong once stays wrong.
        if state.judge.broken().is_empty() {
            actions.extend(state.distinct_actions());
        }
    }

    fn next_state(&self, last: &System, action: Action) -> Option<System> {
        let mut next = last.clone();
        next.act(&self.0, &action);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("I1: one decision", |_, s: &System| {
                holds(s, Rule::OneDecision)
            }),
            Property::always("I2: only decisions are finalized", |_, s| {
                holds(s, Rule::OnlyDecisionsAreFinalized)
            }),
            Property::always("I3: locks hold", |_, s| holds(s, Rule::LocksHold)),
            Property::always("I4: a place in the serial order", |_, s| {
                holds(s, Rule::PlaceInOrder)
            }),
            Property::always("I5: finalized is remembered", |_, s| {
                holds(s, Rule::FinalizedIsRemembered)
            }),
            Property::always("I7: answers are true", |_, s| {
                holds(s, Rule::AnswersAreTrue)
            }),
            Property::always("I9: resolvers leave nothing", |case: &Self, s: &System| {
                !s.judge.broken().is_empty() || s.close(&case.0).judge.broken().is_empty()
            }),
            Property::always("I10: a version names one value", |_, s| {
                holds(s, Rule::VersionsNameValues)
            }),
            Property::sometimes("everybody commits", |case: &Self, s: &System| {
                (0..case.0.clients.len()).all(|client| committed(s, client))
            }),
        ]
    }
}

fn holds(state: &System, rule: Rule) -> bool {
    !state.judge.broken().contains_key(&rule)
}

fn committed(state: &System, client: usize) -> bool {
    matches!(state.answer(client), Some(Answer::Committed { .. }))
}

/// Explores all of it, or stops at the first thing that is wrong.
fn explore(name: &str, mut config: Config, limits: Limits, everybody_may_commit: bool) {
    config.limits = limits;
    let checker = Case(config)
        .checker()
        .threads(2)
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    println!(
        "{name}: {} states, {} unique, depth {}",
        checker.state_count(),
        checker.unique_state_count(),
        checker.max_depth()
    );
    for (property, path) in checker.discoveries() {
        if property == "everybody commits" {
            continue;
        }
        let last = path.last_state();
        let broken = last.judge.broken().clone();
        let actions = path.into_actions();
        panic!("{name}: {property} is broken: {broken:#?}\nafter {actions:#?}");
    }
    let all = checker.discovery("everybody commits").is_some();
    assert_eq!(all, everybody_may_commit, "{name}: whether all can commit");
}

/// Messages in any order, crashes, lost and late replies, resolvers.
const CRASH: Limits = Limits {
    duplicates: 0,
    faults: 0,
    crashes: 1,
    time_outs: 0,
    retries: 1,
    resolvers: 2,
    ticks: 0,
};

#[test]
fn two_transfers_and_a_crash() {
    let transfers = ["x@0?1 x@0=a y@1=a", "y@1 x@0=b"];
    let case = config(2, "x@0=0 y@1=0", &transfers, "");
    explore("two transfers and a crash", case, CRASH, true);
}

#[test]
fn opposite_homes_and_a_crash() {
    let bodies = ["x@0=a y@1=a", "y@1=b x@0=b"];
    let case = config(2, "", &bodies, "");
    explore("opposite homes and a crash", case, CRASH, true);
}

#[test]
fn duplicates_of_everything() {
    let limits = Limits {
        duplicates: 2,
        resolvers: 1,
        ticks: 1,
        time_outs: 1,
        ..Limits::default()
    };
    let case = config(2, "", &["x@0=a y@1=a"], "y@1=p");
    explore("duplicates of everything", case, limits, true);
}

#[test]
fn one_id_sent_twice() {
    let limits = Limits {
        retries: 0,
        ..CRASH
    };
    let case = config(2, "", &["#7 x@0=a y@1=a", "#7 x@0=a y@1=a"], "");
    explore("one id sent twice", case, limits, true);
}

#[test]
fn faults_of_the_log() {
    let limits = Limits {
        faults: 2,
        time_outs: 1,
        resolvers: 2,
        ..Limits::default()
    };
    let case = config(2, "y@1=0", &["x@0=a y@1?1 y@1=a"], "y@1=p");
    explore("faults of the log", case, limits, true);
}

#[test]
fn three_shards_and_a_crash() {
    let limits = Limits {
        crashes: 1,
        resolvers: 3,
        duplicates: 1,
        ..Limits::default()
    };
    let case = config(3, "", &["x@0=a y@1=a z@2=a"], "");
    explore("three shards and a crash", case, limits, true);
}

#[test]
fn a_reader_of_three_shards() {
    let limits = Limits {
        retries: 1,
        ..Limits::default()
    };
    let case = config(3, "", &["x@0=a y@1=a z@2=a", "x@0 y@1 z@2"], "");
    explore("a reader of three shards", case, limits, true);
}

const RING: [&str; 3] = ["x@0=a y@1=a", "y@1=b z@2=b", "z@2=c x@0=c"];

#[test]
fn three_transactions_in_a_ring() {
    let case = config(3, "", &RING, "");
    explore(
        "three transactions in a ring",
        case,
        Limits::default(),
        true,
    );
}

#[test]
fn three_transactions_of_two_shards() {
    let bodies = ["x@0 y@1=a", "y@1 x@0=b", "x@0=c"];
    let case = config(2, "", &bodies, "");
    explore(
        "three transactions of two shards",
        case,
        Limits::default(),
        true,
    );
}

#[test]
#[ignore = "minutes: just prove-transactions"]
fn three_transactions_in_a_ring_and_a_crash() {
    let limits = Limits {
        crashes: 1,
        resolvers: 2,
        ..Limits::default()
    };
    let case = config(3, "", &RING, "");
    explore(
        "three transactions in a ring and a crash",
        case,
        limits,
        true,
    );
}

#[test]
#[ignore = "minutes: just prove-transactions"]
fn two_transfers_and_everything() {
    let limits = Limits {
        duplicates: 1,
        faults: 1,
        crashes: 1,
        time_outs: 1,
        retries: 1,
        resolvers: 2,
        ticks: 0,
    };
    let case = config(2, "", &["x@0=a y@1=a", "y@1 x@0=b"], "");
    explore("two transfers and everything", case, limits, true);
}
