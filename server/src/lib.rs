//! The TranDB server: keys and transactions over HTTP.
//!
//! The way of a request: [`connection`] reads it from a socket, [`http`] extracts what is asked,
//! [`Database`] finds the key's shard, [`Shards`] runs the command there, and the answer goes back
//! the same way. No handler touches a lock, and no lock is held while bytes are still coming from
//! a client or going to one.
//!
//! ```text
//! connection  sockets, time-outs, the connection limit, draining
//!    http     extract, one call, convert
//!  database   which shard; waiting for keys that a transaction holds
//!  transactions   several keys at once: drives the engine's two-phase commit
//!   shards    the seam: where commands are ordered and applied
//!    local        one process: a lock and a function call
//!    replicated   a cluster: a Raft group for each shard
//! ```
//!
//! [`App`] is the whole service without sockets: tests and simulations call it directly.
//!
//! What is not here: what a command does (the engine), what crosses the wire (common).
//!
//! Tests: units beside each module; the contract of every answer in `tests/` and, over real
//! sockets and containers, in the crate `integration-tests`.

pub mod config;
pub mod connection;
pub mod database;
pub mod http;
pub mod in_flight;
pub mod local;
pub mod logging;
pub mod memory;
#[cfg(not(shuttle))]
pub mod replicated;
pub mod shards;
pub mod sync;
pub mod transactions;

pub use self::{
    config::Config,
    database::Database,
    http::{App, Body},
    local::Local,
    shards::Shards,
};
