//! The scenarios of the simulation on three processes, one of which fails.

use trandb_integration_tests::{
    campaign::search_once,
    cluster::Cluster,
    scenario::Scenario,
    seed::Seeds,
    world::{
        real_nodes::{Stand, adapted},
        run_on_nodes,
    },
};

/// Runs where nothing else is said.
const SEEDS: u64 = 5;

#[test]
fn histories_of_a_cluster_with_failing_nodes_are_legal() {
    let stand = Stand::start(Cluster::start(3));
    let counts = search_once(
        "cluster histories::histories_of_a_cluster_with_failing_nodes_are_legal",
        &Seeds::from_env(SEEDS),
        |seed| adapted(Scenario::draw(seed)),
        |scenario| run_on_nodes(&stand, scenario),
    );
    let counts = counts.unwrap_or_else(|found| panic!("{found}"));
    println!("{counts}");
    assert!(counts.operations() > 0, "{counts}");
}
