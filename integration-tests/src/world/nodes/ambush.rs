//! Strikes a process at a certain moment of a transaction: a coordinator that has sent everything
//! and decided nothing, or one that has the decision and has told nobody.
//!
//! It stands between a database and its shards. Whoever comes to the moment waits there until the
//! blow has fallen; if it is still alive then, it goes on.

use std::num::NonZeroU16;

use tokio::{sync::oneshot, time::Instant};
use trandb_common::{
    Key, TransactionId,
    wire::{ListedKey, cluster::ClusterStatus},
};
use trandb_engine::{Command, Known, LogTime, Read, Reply, ShardId};
use trandb_server::{
    Shards,
    shards::{LeftBehind, Listing, ShardError},
};

use super::host::Shared;

/// When a process is struck.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// A participant has voted, and the home knows of nothing yet.
    Prepared,
    /// The home has decided a transaction of several shards, and nobody else knows.
    Decided,
    /// The home is about to be told to abort.
    Aborting,
}

/// What happens then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blow {
    /// The coordinator's process ends.
    CrashCoordinator,
    /// Nothing passes between the coordinator and the others.
    IsolateCoordinator,
    /// What the coordinator and the others send each other waits, until links are healed.
    HoldCoordinator,
    /// The process that leads the shard ends.
    CrashLeader,
    /// Nothing passes between the process that leads the shard and the others.
    IsolateLeader,
    /// The coordinator ends, and the process that leads the shard is cut off.
    Both,
}

/// A moment that is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ambush {
    /// From when on, in milliseconds after the clients began.
    pub armed_ms: u64,
    /// What is waited for.
    pub moment: Moment,
    /// What happens then.
    pub blow: Blow,
    /// When a process that ends begins again, in milliseconds.
    pub back_ms: u64,
}

/// Somebody has come to the moment of an ambush, and waits.
#[derive(Debug)]
pub(super) struct Caught {
    pub(super) ambush: Ambush,
    /// The coordinator's.
    pub(super) host: usize,
    /// That has answered, or is to be asked.
    pub(super) shard: ShardId,
    pub(super) go_on: oneshot::Sender<()>,
}

/// The shards as one process reaches them.
pub(super) struct Ambushed<S> {
    pub(super) inner: S,
    pub(super) host: usize,
    pub(super) world: Shared,
}

impl<S> Ambushed<S> {
    async fn pass(&self, moment: Moment, shard: ShardId) {
        let waiting = self.world.lock().caught(moment, self.host, shard);
        if let Some(waiting) = waiting {
            // Nobody says so if the run is over.
            let _ = waiting.await;
        }
    }
}

impl<S: Shards> Shards for Ambushed<S> {
    fn count(&self) -> NonZeroU16 {
        self.inner.count()
    }

    async fn read(&self, shard: ShardId, key: &Key, deadline: Instant) -> Result<Read, ShardError> {
        self.inner.read(shard, key, deadline).await
    }

    async fn execute(
        &self,
        shard: ShardId,
        command: &Command,
        deadline: Instant,
    ) -> Result<Reply, ShardError> {
        if matches!(command, Command::Resolve(_)) {
            self.pass(Moment::Aborting, shard).await;
        }
        let reply = self.inner.execute(shard, command, deadline).await;
        match command {
            Command::Prepare(_) => self.pass(Moment::Prepared, shard).await,
            Command::Commit(commit) if !commit.participants.is_empty() => {
                self.pass(Moment::Decided, shard).await;
            }
            _ => {}
        }
        reply
    }

    fn try_read(&self, shard: ShardId, key: &Key) -> Option<Read> {
        self.inner.try_read(shard, key)
    }

    fn try_execute(&self, shard: ShardId, command: &Command) -> Option<Result<Reply, ShardError>> {
        self.inner.try_execute(shard, command)
    }

    async fn list(
        &self,
        shard: ShardId,
        listing: &Listing,
        deadline: Instant,
    ) -> Result<Vec<ListedKey>, ShardError> {
        self.inner.list(shard, listing, deadline).await
    }

    async fn known(
        &self,
        shard: ShardId,
        transaction: TransactionId,
        deadline: Instant,
    ) -> Result<Option<Known>, ShardError> {
        self.inner.known(shard, transaction, deadline).await
    }

    async fn left_behind(
        &self,
        shard: ShardId,
        since: LogTime,
        limit: usize,
        deadline: Instant,
    ) -> Result<LeftBehind, ShardError> {
        self.inner.left_behind(shard, since, limit, deadline).await
    }

    fn released(&self, shard: ShardId) -> impl Future<Output = ()> + Send {
        self.inner.released(shard)
    }

    fn tends(&self, shard: ShardId) -> bool {
        self.inner.tends(shard)
    }

    fn cluster(&self) -> ClusterStatus {
        self.inner.cluster()
    }
}
