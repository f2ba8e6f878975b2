//! The server's transactions on clusters in a simulated network: `just cluster-sim 20`.
//!
//! What clients saw is judged by the same rules as every other history; what the nodes themselves
//! must hold is looked at after every tick. It is built as the tests of groups and nodes are
//! (`cluster/tests/simulation`), in a target folder of its own. See `docs/testing.md`.

#[cfg(not(simulation))]
#[test]
#[ignore = "needs a build for the simulator: just cluster-sim 20"]
fn transactions_in_a_simulated_network() {}

#[cfg(all(simulation, not(tokio_unstable)))]
compile_error!("without --cfg tokio_unstable a seed does not repeat its run: just cluster-sim 20");

#[cfg(simulation)]
mod determinism;
#[cfg(simulation)]
mod scenarios;
#[cfg(simulation)]
mod seeds;
