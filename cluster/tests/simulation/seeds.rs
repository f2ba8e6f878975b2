//! Runs of many seeds. `TRANDB_SEEDS` says how many, `TRANDB_SEED` which one alone, with its plan.

use super::{plan::Plan, run::run, world::Counts};

/// How many when nobody says.
const SEEDS: u64 = 20;

pub(crate) fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().expect("a number"))
}

/// The command that repeats a run.
pub(crate) fn command(seed: u64) -> String {
    format!("seed {seed}; to repeat it: just cluster-sim-seed {seed}")
}

#[test]
fn whatever_happens_the_invariants_hold() {
    let (first, count) = match number("TRANDB_SEED") {
        Some(seed) => (seed, 1),
        None => (1_000, number("TRANDB_SEEDS").unwrap_or(SEEDS)),
    };
    let mut total = Counts::default();
    for seed in first..first + count {
        println!("{}", command(seed));
        let plan = Plan::of(seed);
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
