//! Fresh seeds of the workloads: from the commit's hash unless told otherwise.

use trandb_integration_tests::{
    campaign::search_once,
    counts::Counts,
    scenario::Scenario,
    seed::{Seed, Seeds},
    traffic::{self, Workload},
    world::nodes::{Plan, adapted, run_on_nodes},
};

/// Runs of each workload where nothing else is said.
const SEEDS: u64 = 5;

/// In fewer runs of a workload chance may leave something out.
const SEEDS_TO_SEE_ALL: u64 = 50;

macro_rules! workloads {
    ($($test:ident: $name:literal,)*) => {
        $(#[test]
        fn $test() {
            workload(concat!("seeds::", stringify!($test)), $name);
        })*

        /// Those that are run here.
        pub(crate) const WORKLOADS: &[&str] = &[$($name),*];
    };
}

workloads! {
    bank: "bank",
    list_append: "list-append",
    write_skew: "write-skew",
    long_fork: "long-fork",
    blind_writes: "blind-writes",
    counted_together: "counted-together",
    mixed: "mixed",
    registers: "registers",
}

/// A run of this workload, and what goes wrong in it.
pub(crate) fn drawn(workload: &Workload, seed: Seed) -> (Scenario, Plan) {
    let plan = Plan::of(seed);
    (adapted(Scenario::of(workload, seed), &plan), plan)
}

fn workload(test: &str, name: &str) {
    let workload = traffic::named(name);
    let counts = search_once(
        test,
        &Seeds::from_env(SEEDS),
        |seed| drawn(workload, seed).0,
        |scenario| run_on_nodes(scenario, &Plan::of(scenario.seed)),
    );
    let counts = counts.unwrap_or_else(|found| panic!("{found}"));
    if counts.runs >= SEEDS_TO_SEE_ALL {
        everything_occurred(&counts);
    }
}

/// A harness that does not do what it says finds nothing.
fn everything_occurred(counts: &Counts) {
    for name in [
        "election",
        "process ended",
        "process stopped",
        "snapshot sent",
        "Partition",
        "OneWay",
        "Hold",
        "Isolate",
        "IsolateLeader",
        "DeafenLeader",
        "Latency",
        "Loss",
    ] {
        assert!(counts.faults.contains_key(name), "no {name}:\n{counts}");
    }
}
