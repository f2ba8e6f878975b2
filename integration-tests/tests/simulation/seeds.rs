//! Fresh seeds of each workload: from the commit's hash unless told otherwise.

use trandb_integration_tests::{
    campaign::search,
    counts::Counts,
    faults::{OTHER_KINDS, TRANSACTION_KINDS, network},
    scenario::Scenario,
    seed::Seeds,
    traffic::{self, Schedule, Workload},
    world::run_simulated,
};

use crate::determinism;

/// Runs of each workload where nothing else is said.
const SEEDS: u64 = 200;

/// In fewer runs chance may leave something out.
const SEEDS_TO_SEE_ALL: u64 = 200;

macro_rules! workloads {
    ($($test:ident: $name:literal,)*) => {
        $(#[test]
        fn $test() {
            workload(concat!("seeds::", stringify!($test)), $name);
        })*

        const NAMES: &[&str] = &[$($name),*];
    };
}

workloads! {
    registers: "registers",
    compare_and_set: "compare-and-set",
    put_delete_list: "put-delete-list",
    counters: "counters",
    creates: "creates",
    large_values: "large-values",
    hot_key: "hot-key",
    many_keys: "many-keys",
    zipfian: "zipfian",
    list_append: "list-append",
    bank: "bank",
    write_skew: "write-skew",
    long_fork: "long-fork",
    blind_writes: "blind-writes",
    counted_together: "counted-together",
    mixed: "mixed",
}

#[test]
fn every_workload_has_its_test() {
    let known: Vec<&str> = traffic::ALL.iter().map(|workload| workload.name).collect();
    assert_eq!(known, NAMES);
}

fn workload(test: &str, name: &str) {
    determinism::required();
    let workload = traffic::named(name);
    let seeds = Seeds::from_env(SEEDS);
    let draw = |seed| Scenario::of(workload, seed);
    let counts = search(test, &seeds, draw, run_simulated);
    let counts = counts.unwrap_or_else(|found| panic!("{found}"));
    if counts.runs >= SEEDS_TO_SEE_ALL {
        everything_occurred(workload, &counts);
    }
}

/// A harness that does not do what it says finds nothing.
fn everything_occurred(workload: &Workload, counts: &Counts) {
    let mut expected: Vec<String> = workload
        .functions
        .iter()
        .flat_map(|function| [format!("{function} ok"), format!("{function} failed")])
        .collect();
    let writes = workload
        .functions
        .iter()
        .filter(|function| ["put", "transaction"].contains(function));
    expected.extend(writes.map(|function| format!("{function} unknown")));
    if workload.functions.contains(&"transaction") {
        expected.push("transaction aborted".to_owned());
    }
    for name in expected {
        assert!(
            counts.operations.contains_key(&name),
            "no {name}:\n{counts}"
        );
    }
    let sample = Schedule::draw(workload, &mut fastrand::Rng::with_seed(1));
    let fitting = network::KINDS
        .iter()
        .filter(|kind| sample.steps().any(|step| (kind.fits)(&step.call)));
    let of_transactions = TRANSACTION_KINDS.iter().filter(|_| workload.transactional);
    let others = OTHER_KINDS.iter().chain(of_transactions).copied();
    for name in fitting.map(|kind| kind.name).chain(others) {
        assert!(counts.faults.contains_key(name), "no {name}:\n{counts}");
    }
    assert!(counts.calm_runs > 0, "no run without faults:\n{counts}");
}

/// Whatever [`Scenario::draw`] draws: what `just sim` runs.
#[test]
fn any() {
    determinism::required();
    let counts = search(
        "seeds::any",
        &Seeds::from_env(SEEDS),
        Scenario::draw,
        run_simulated,
    );
    counts.unwrap_or_else(|found| panic!("{found}"));
}
