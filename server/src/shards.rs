//! The seam: how everything above the shards speaks to them.
//!
//! The vocabulary is the engine's: read this key at that shard, run this command at that shard.
//! An implementation decides *where* commands are ordered, never *what* they do: `local` is a lock
//! and a function call, `replicated` a Raft group for each shard.

use std::{future::Future, num::NonZeroU16};

use trandb_common::{
    Key, TransactionId,
    wire::{ListedKey, cluster::ClusterStatus},
};
use trandb_engine::{Command, InDoubt, Known, LogTime, Read, Reply, ShardId, Unfinalized};

use crate::sync::Instant;

/// Why a shard did not answer. Only after [`Unknown`](Self::Unknown) may the command have changed
/// anything.
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
    /// Nobody who could answer for the shard could be reached before the deadline.
    #[error("the shard is not available")]
    Unavailable,
    /// The command was handed over, and what became of it was not heard: it may have been carried
    /// out, or may be yet. Reads never end so.
    #[error("it is not known whether the shard carried the command out")]
    Unknown,
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

/// What coordinators have left behind at a shard.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeftBehind {
    /// Attempts that it has prepared and that are not decided.
    pub in_doubt: Vec<InDoubt>,
    /// Transactions that it has committed and that some participants may not have carried out.
    pub unfinalized: Vec<Unfinalized>,
    /// The shard's log time.
    pub clock: LogTime,
}

/// Why something was not done to the cluster. Nothing changed, but for [`Unknown`](Self::Unknown).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClusterError {
    /// The server runs alone.
    #[error("this server runs alone: it belongs to no cluster")]
    NotClustered,
    /// No member has this name.
    #[error("no member of the cluster has this name; see /cluster")]
    UnknownMember,
    /// There is no such shard.
    #[error("there is no such shard; see /cluster")]
    UnknownShard,
    /// Nobody would be left.
    #[error("it is the only member")]
    LastMember,
    /// Who should lead cannot.
    #[error(
        "this member cannot lead the group now: it has no vote there, lacks entries, or does not \
         answer"
    )]
    CannotLead,
    /// It may have been done, or may be yet.
    #[error("no leader answered in time: it may have been done, or may be yet; see /cluster")]
    Unknown,
}

/// The numbers of `count` shards.
pub(crate) fn all(count: NonZeroU16) -> impl Iterator<Item = ShardId> {
    (0..count.get()).map(ShardId)
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

    /// What `shard` knows of a transaction.
    fn known(
        &self,
        shard: ShardId,
        transaction: TransactionId,
        deadline: Instant,
    ) -> impl Future<Output = Result<Option<Known>, ShardError>> + Send;

    /// What was left behind at `shard` at log time `since` or before; at most `limit` of each kind.
    fn left_behind(
        &self,
        shard: ShardId,
        since: LogTime,
        limit: usize,
        deadline: Instant,
    ) -> impl Future<Output = Result<LeftBehind, ShardError>> + Send;

    /// Ready when an attempt may have released keys of `shard` since the call. Waiters are woken
    /// together; each tries again.
    fn released(&self, shard: ShardId) -> impl Future<Output = ()> + Send;

    /// Whether this process should look after what is left behind at `shard`: of several, one is
    /// enough.
    fn tends(&self, _shard: ShardId) -> bool {
        true
    }

    /// Takes the member `name` out of the cluster. It is decided then, and carried out after that.
    fn remove_member(
        &self,
        _name: &str,
        _deadline: Instant,
    ) -> impl Future<Output = Result<(), ClusterError>> + Send {
        std::future::ready(Err(ClusterError::NotClustered))
    }

    /// Lets the member `name` lead `shard`, or the group that keeps the members.
    fn transfer(
        &self,
        _shard: Option<ShardId>,
        _name: &str,
        _deadline: Instant,
    ) -> impl Future<Output = Result<(), ClusterError>> + Send {
        std::future::ready(Err(ClusterError::NotClustered))
    }

    /// The cluster that the shards are spread over, as far as there is one.
    fn cluster(&self) -> ClusterStatus {
        ClusterStatus {
            clustered: false,
            ready: true,
            ..ClusterStatus::default()
        }
    }
}
