//! The scenarios of the simulation on three processes, one of which fails.

use trandb_integration_tests::{
    campaign::search_once,
    scenario::Scenario,
    seed::Seeds,
    world::{
        processes::{Stand, adapted},
        run_on_processes,
    },
};

/// Runs where nothing else is said.
const SEEDS: u64 = 5;

#[test]
fn histories_of_a_cluster_with_failing_nodes_are_legal() {
    let stand = Stand::start(3);
    let counts = search_once(
        "histories::histories_of_a_cluster_with_failing_nodes_are_legal",
        &Seeds::from_env(SEEDS),
        |seed| adapted(Scenario::draw(seed)),
        |scenario| run_on_processes(&stand, scenario),
    );
    let counts = counts.unwrap_or_else(|found| panic!("{found}"));
    println!("{counts}");
    assert!(counts.operations() > 0, "{counts}");
}
