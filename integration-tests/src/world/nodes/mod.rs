//! A cluster in a simulated network: whole nodes with the server's own transactions above them, and
//! the clients of a scenario, which call into any node. Everything follows from the scenario's seed.
//!
//! ```text
//! client library      the real one, as in every other world
//!   faults::network   requests and answers late, lost, doubled, given up
//! host                a process: App, Database, Replicated and Node, as the binary has them
//!   ambush            the moments of a transaction at which a process is struck
//! turmoil             the network between the processes
//! plan                what goes wrong with processes and links, and what their clocks say
//! run                 plays it: faults, then peace, then all must agree and nothing be locked
//! ```
//!
//! Built with `--cfg simulation` alone: `just cluster-sim`.
//!
//! What is not here: sockets for clients. What a client asks is handed to the process by a queue,
//! which is broken when the process ends.

mod ambush;
mod host;
mod plan;
mod run;

pub use self::{
    ambush::{Ambush, Blow, Moment},
    plan::{Plan, adapted},
    run::run_on_nodes,
};
