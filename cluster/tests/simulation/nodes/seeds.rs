//! Runs of many seeds. `TRANDB_SEEDS` says how many, `TRANDB_SEED` which one alone, with its plan.

use super::{
    super::{plan::Fault, seeds::number},
    host::NodeCounts,
    run::{NodesPlan, run},
};

/// How many when nobody says.
const SEEDS: u64 = 10;

/// The command that repeats a run.
pub(crate) fn command(seed: u64) -> String {
    format!("seed {seed}; to repeat it: TRANDB_SEED={seed} just cluster-sim 1 nodes_hold")
}

impl NodesPlan {
    /// What the seed says: a load, and some kinds of faults (a tenth has none).
    pub(crate) fn of(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut plan = Self {
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
            plan.faults = faults(&mut rng, plan.hosts, plan.peace_ms);
        }
        plan
    }
}

/// From the very beginning: founding is disturbed too.
fn faults(rng: &mut fastrand::Rng, hosts: usize, end_ms: u64) -> Vec<(u64, Fault)> {
    let kinds: Vec<u8> = (0..8).filter(|_| rng.u8(..3) == 0).collect();
    let kinds = if kinds.is_empty() {
        vec![rng.u8(..8)]
    } else {
        kinds
    };
    let mut faults = Vec::new();
    let mut now = rng.u64(20..1_000);
    while now < end_ms {
        let a = rng.usize(1..=hosts);
        let b = 1 + (a - 1 + rng.usize(1..hosts)) % hosts;
        let back_ms = rng.u64(50..1_500);
        let fault = match rng.choice(&kinds).expect("some") {
            0 => Fault::Crash { host: a, back_ms },
            1 => Fault::CrashLeader { back_ms },
            2 => Fault::Partition { a, b },
            3 => Fault::OneWay { from: a, to: b },
            4 => Fault::Hold { a, b },
            5 => Fault::Isolate { host: a },
            6 => Fault::IsolateLeader,
            _ => Fault::Latency {
                max_ms: rng.u64(2..60),
            },
        };
        faults.push((now, fault));
        now += rng.u64(50..1_500);
        // Often enough that something goes on between.
        if rng.u8(..3) > 0 {
            faults.push((now, Fault::Heal));
            now += rng.u64(50..1_000);
        }
    }
    faults
}

#[test]
fn whatever_happens_nodes_hold() {
    let (first, count) = match number("TRANDB_SEED") {
        Some(seed) => (seed, 1),
        None => (1_000, number("TRANDB_SEEDS").unwrap_or(SEEDS)),
    };
    let mut total = NodeCounts::default();
    for seed in first..first + count {
        println!("{}", command(seed));
        let plan = NodesPlan::of(seed);
        if count == 1 {
            println!("{plan:#?}");
        }
        let outcome = run(&plan);
        println!("  {:?}", outcome.counts);
        if let Some(violation) = outcome.violation {
            panic!("{plan:#?}\n{violation}\n\n{}", command(seed));
        }
        total.add(&outcome.counts);
    }
    println!("together: {total:?}");
    // A harness in which nothing happens finds nothing.
    if count >= SEEDS {
        for (what, count) in total.each() {
            assert!(count > 0, "nothing was ever {what}");
        }
    }
}
