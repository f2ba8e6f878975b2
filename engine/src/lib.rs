//! The shards of TranDB as pure state machines, and the transactions between them.
//!
//! A [`Shard`] owns a part of the key space: commands in, replies out. It holds values with their
//! [versions], evaluates [`Condition`]s, and keeps what undecided transactions have locked and
//! prepared, and what has been decided. [`route`] says which shard a key belongs to.
//!
//! A [`Coordinator`] carries one transaction ([`Body`]) through two-phase commit between shards; a
//! [`Resolver`] finishes what a coordinator has left behind. Both take what happened and give what
//! is to be done ([`Effect`]).
//!
//! What is not here: IO, tasks, clocks, randomness, waiting. Whoever drives the machines decides
//! where a shard's commands come from (a function call in one process, the entries of a replicated
//! log in a cluster), and brings time and ids. The same commands in the same order give the same
//! replies and the same state, byte for byte.
//!
//! # Invariants
//!
//! The code cites them by number.
//!
//! - **I1** Only the home decides, and once: the first `Commit` or `Resolve` that is applied. A
//!   committed transaction names the one attempt that won; every other one is dropped. `Resolve`
//!   of an attempt aborts that attempt alone, of a transaction all of it, for good.
//! - **I2** No participant finalizes anything but a decision of the home.
//! - **I3** Between a yes vote and its finalize nobody else writes a locked key, and no read passes
//!   an exclusive lock.
//! - **I4** When the home applies a `Commit`, every other participant holds all its locks and its
//!   checks are true: that is the transaction's place in the strict serial order.
//! - **I5** A finalized attempt is remembered longer than any `Prepare` of it may live.
//! - **I6** Anybody may resolve. Clocks decide only when it is asked.
//! - **I7** A write that is answered as committed is in every later read, one that is answered as
//!   not committed in none. Unknown is one of the two, and the home says which.
//! - **I8** Nothing that leaves a shard depends on the order of a hash table: replicas that have
//!   applied the same commands are equal.
//! - **I9** When faults stop, every attempt is finalized and no lock is left.
//! - **I10** A version names one value of one key for ever: the counter grows with every write,
//!   deletes included, and the epoch is new whenever memory may have been lost.
//! - A plain write whose reply is not [`Reply::Written`] or [`Reply::Deleted`] changed nothing.
//!
//! Tests: beside each module; `tests/shard_against_model.rs` compares whole command sequences
//! with a plain map, `tests/transactions` holds what concerns several machines.
//!
//! [versions]: trandb_common::Version

mod attempts;
mod command;
mod condition;
mod coordinator;
mod key_map;
mod locks;
mod machine;
mod order;
mod outcomes;
mod resolver;
mod route;
mod shard;
mod transaction;

pub use command::{
    Command, Commit, Decided, Decision, Finalize, FinalizedPart, Forget, Found, InDoubt, Known,
    PartVersions, Prepare, Read, Refusal, Reply, Resolve, Subject, Unfinalized,
};
pub use condition::{Condition, Tags};
pub use coordinator::Coordinator;
pub use locks::{AttemptId, LockTable};
pub use machine::{Answer, Call, Effect, Fault, Input, NotCommitted, Step, Transaction};
pub use resolver::Resolver;
pub use route::{ShardId, route};
pub use shard::{InvalidSnapshot, Shard};
pub use trandb_common::{
    InvalidTransaction, TransactionId,
    transaction::{Check, Operations, Write},
    wire::transaction::FailedCheck,
};
pub use transaction::{Body, Digest, LogTime};
