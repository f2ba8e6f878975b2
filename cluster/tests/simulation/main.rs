//! Groups of replicas in a simulated network: `just cluster-sim 20`.
//!
//! Everything follows from one seed: the network's delays and faults ([turmoil]), when elections
//! begin, what clients do. For that it is built with `--cfg tokio_unstable` (tokio's own random
//! choices come from the seed) and `--cfg simulation` (so do openraft's), in a target folder of
//! its own; nothing that users run is built so.
//!
//! ```text
//! plan         what happens when, from a seed
//! node         a process: a replica, its server, its clients, its part of replacing the dead
//! transport    calls over turmoil's TCP
//! world        what all processes and the run know of each other
//! run          plays a plan: faults, then peace, then all must agree
//! invariants   what must hold after every tick, one file each
//!
//! determinism  the same seed twice is the same run; the first of all tests
//! seeds        many seeds
//! scenarios    situations that seeds seldom meet
//! broken       the invariants notice what they are for
//!
//! nodes        whole nodes, which found their cluster themselves
//! ```

#[cfg(not(simulation))]
#[test]
#[ignore = "needs a build for the simulator: just cluster-sim 20"]
fn groups_in_a_simulated_network() {}

#[cfg(all(simulation, not(tokio_unstable)))]
compile_error!("without --cfg tokio_unstable a seed does not repeat its run: just cluster-sim 20");

#[cfg(simulation)]
mod broken;
#[cfg(simulation)]
mod determinism;
#[cfg(simulation)]
mod invariants;
#[cfg(simulation)]
mod node;
#[cfg(simulation)]
mod nodes;
#[cfg(simulation)]
mod plan;
#[cfg(simulation)]
mod run;
#[cfg(simulation)]
mod scenarios;
#[cfg(simulation)]
mod seeds;
#[cfg(simulation)]
mod transport;
#[cfg(simulation)]
mod world;
