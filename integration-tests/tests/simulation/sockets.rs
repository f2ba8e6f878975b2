//! The same scenarios over sockets, on several threads: nothing repeats, the history is judged.

use trandb_integration_tests::{
    campaign::search_once,
    scenario::Scenario,
    seed::Seeds,
    world::{real::hurried, run_real},
};

/// Runs where nothing else is said.
const SEEDS: u64 = 20;

#[test]
fn histories_over_sockets_are_legal() {
    let counts = search_once(
        "sockets::histories_over_sockets_are_legal",
        &Seeds::from_env(SEEDS),
        |seed| hurried(Scenario::draw(seed)),
        run_real,
    );
    let counts = counts.unwrap_or_else(|found| panic!("{found}"));
    assert!(counts.operations() > 0, "{counts}");
}
