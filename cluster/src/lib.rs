//! The shards of TranDB over several nodes.
//!
//! ```text
//! node        a process: joins or founds a cluster, and serves any key of it
//! founding    how nodes that are nobody yet become one cluster (pure)
//! system      who the nodes are, and who should hold which shard (pure)
//! group       replicated state machines: one Raft group a shard
//! transport   the seam: one call to one node, within a deadline
//!   peer      the transport over TCP
//! ```
//!
//! What is not here: what a command does (the engine), and HTTP for clients (the server).

pub mod founding;
pub mod group;
pub mod identity;
pub mod node;
pub mod peer;
#[cfg(simulation)]
pub mod simulation;
pub mod system;
pub mod task;
pub mod transport;
