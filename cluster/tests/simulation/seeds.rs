//! Runs of many seeds. `TRANDB_SEEDS` says how many, `TRANDB_SEED` which one alone, with its plan.

use trandb_cluster::simulation::each_seed;

use super::{plan::Plan, run::run, world::Counts};

/// How many when nobody says.
const SEEDS: u64 = 20;

/// The command that repeats a run.
pub(crate) fn command(seed: u64) -> String {
    format!("just cluster-sim-seed {seed}")
}

#[test]
fn whatever_happens_the_invariants_hold() {
    let mut total = Counts::default();
    let count = each_seed(SEEDS, command, |seed, alone| {
        let plan = Plan::of(seed);
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
