//! The seam: how everything above the shards speaks to them.
//!
//! The vocabulary is the engine's: read this key at that shard, run this command at that shard.
//! An implementation decides *where* commands are ordered, never *what* they do. [`Local`] is a
//! lock and a function call.
//!
//! [`Local`]: crate::Local

use std::{future::Future, num::NonZeroU16};

use tokio::time::Instant;
use trandb_common::{Key, wire::ListedKey};
use trandb_engine::{Command, Read, Reply, ShardId};

/// Why a shard did not answer. In every case the command certainly changed nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ShardError {
    /// The shard's own lock could not be had before the deadline.
    #[error("the shard was busy for too long")]
    LockTimeout,
    /// The command needs more memory than is left.
    #[error("the memory limit of {limit} bytes is reached: {used} bytes are used")]
    MemoryFull {
        /// In bytes.
        limit: u64,
        /// In bytes.
        used: u64,
    },
}

/// What to list: keys that start with `prefix` and come after `after` and before `before`, at most
/// `limit`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// Any text, also one that is not itself a key.
    pub prefix: String,
    /// Exclusive.
    pub after: Option<Key>,
    /// Exclusive. No request names it: it is how much of a shard matters to a page.
    pub before: Option<Key>,
    /// At most [`LIST_LIMIT_MAX`](trandb_common::limits::LIST_LIMIT_MAX).
    pub limit: usize,
}

/// All shards of a database.
///
/// Dropping a returned future before it is ready means that the caller no longer wants to know;
/// the command is then applied whole or not at all.
pub trait Shards: Send + Sync + 'static {
    /// How many there are; fixed for the life of the database.
    fn count(&self) -> NonZeroU16;

    /// Reads `key` at `shard`.
    fn read(
        &self,
        shard: ShardId,
        key: &Key,
        deadline: Instant,
    ) -> impl Future<Output = Result<Read, ShardError>> + Send;

    /// Runs `command` at `shard`.
    fn execute(
        &self,
        shard: ShardId,
        command: &Command,
        deadline: Instant,
    ) -> impl Future<Output = Result<Reply, ShardError>> + Send;

    /// [`read`](Self::read), if it need not wait; none says nothing.
    ///
    /// Waiting costs a clock and a timer even when it is over at once, and hardly ever happens.
    fn try_read(&self, _shard: ShardId, _key: &Key) -> Option<Read> {
        None
    }

    /// [`execute`](Self::execute), if it need not wait; none says that `command` was not run.
    fn try_execute(
        &self,
        _shard: ShardId,
        _command: &Command,
    ) -> Option<Result<Reply, ShardError>> {
        None
    }

    /// Lists keys of `shard` in byte order.
    fn list(
        &self,
        shard: ShardId,
        listing: &Listing,
        deadline: Instant,
    ) -> impl Future<Output = Result<Vec<ListedKey>, ShardError>> + Send;

    /// Ready when an attempt may have released keys of `shard` since the call. Waiters are woken
    /// together; each tries again.
    fn released(&self, shard: ShardId) -> impl Future<Output = ()> + Send;
}
