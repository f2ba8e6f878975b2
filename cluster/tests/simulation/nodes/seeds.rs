//! Runs of many seeds. `TRANDB_SEEDS` says how many, `TRANDB_SEED` which one alone, with its plan.

use trandb_cluster::simulation::{Fault, Kind, draw, each_seed};

use super::{
    host::NodeCounts,
    run::{NodesPlan, run},
};

/// How many when nobody says.
const SEEDS: u64 = 10;

/// The command that repeats a run.
pub(crate) fn command(seed: u64) -> String {
    format!("TRANDB_SEED={seed} just cluster-sim 1 nodes_hold")
}

impl NodesPlan {
    /// What the seed says: a load, and some kinds of faults (a tenth has none).
    pub(crate) fn of(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (hosts, founders) = *rng
            .choice(&[(3, 3), (3, 3), (4, 3), (5, 3), (5, 5), (3, 1)])
            .expect("some");
        let mut plan = Self {
            hosts,
            founders,
            newcomers_ms: rng.u64(500..4_000),
            replicas: *rng.choice(&[3, 3, 5]).expect("some"),
            shards: rng.u16(1..4),
            clients: rng.u64(1..3),
            keys: rng.u64(1..8),
            pause_ms: rng.u64(10..60),
            value_bytes: rng.usize(1..400),
            log_much_bytes: *rng.choice(&[5_000, 20_000, 10_000_000]).expect("some"),
            peace_ms: rng.u64(6_000..12_000),
            crashes_founders: rng.bool(),
            ..Self::calm(seed)
        };
        if rng.u8(..10) > 0 {
            // From the very beginning: founding is disturbed too.
            let begin_ms = rng.u64(20..1_000);
            let kinds: Vec<Kind> = [Fault::KINDS, &[Fault::LOSS]].concat();
            plan.faults = draw(&mut rng, plan.hosts, (begin_ms, plan.peace_ms), &kinds);
        }
        if plan.hosts > 3 && rng.bool() {
            let removal = |rng: &mut fastrand::Rng| {
                let back_ms = rng.bool().then(|| rng.u64(100..3_000));
                (
                    rng.u64(2_000..plan.peace_ms),
                    rng.usize(1..=plan.hosts),
                    back_ms,
                )
            };
            plan.removals = vec![removal(&mut rng)];
        }
        plan
    }
}

#[test]
fn whatever_happens_nodes_hold() {
    let mut total = NodeCounts::default();
    let count = each_seed(SEEDS, command, |seed, alone| {
        let plan = NodesPlan::of(seed);
        if alone {
            println!("{plan:#?}");
        }
        let outcome = run(&plan);
        println!("  {:?}", outcome.counts);
        total.add(&outcome.counts);
        match outcome.violation {
            Some(violation) => Err(format!("{plan:#?}\n{violation}")),
            None => Ok(()),
        }
    });
    println!("together: {total:?}");
    // A harness in which nothing happens finds nothing.
    if count >= SEEDS {
        for (what, count) in total.each() {
            assert!(count > 0, "nothing was ever {what}");
        }
    }
}
