//! The shards of TranDB as pure state machines: commands in, replies out.
//!
//! A [`Shard`] owns a part of the key space. It holds values with their [versions], evaluates
//! [`Condition`]s and keeps the [`LockTable`] that undecided transactions lock keys in. [`route`]
//! says which shard a key belongs to.
//!
//! What is not here: IO, tasks, clocks, randomness, waiting. Whoever drives a shard decides where
//! its commands come from (a function call in one process, the entries of a replicated log in a
//! cluster) and what to do when a key is locked. The same commands in the same order give the same
//! replies and the same state, byte for byte.
//!
//! # Invariants
//!
//! - A version names one value of one key for ever: the counter grows with every write, deletes
//!   included, and the epoch is new whenever memory may have been lost.
//! - No plain write touches a key that any attempt has locked, and no read passes an exclusive
//!   lock.
//! - A command whose reply is not [`Reply::Written`] or [`Reply::Deleted`] changed nothing.
//! - Nothing that leaves a shard depends on the order of a hash table.
//!
//! Tests: beside each module; `tests/shard_against_model.rs` compares whole command sequences
//! with a plain map.
//!
//! [versions]: trandb_common::Version

mod condition;
mod key_map;
mod locks;
mod order;
mod route;
mod shard;

pub use condition::{Condition, Tags};
pub use locks::{AttemptId, LockTable};
pub use route::{ShardId, route};
pub use shard::{Command, Found, Read, Reply, Shard};
