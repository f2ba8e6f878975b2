//! Shards in one process: each behind a lock, a command is a function call.
//!
//! Reads of a shard run at the same time, writes one after another. A lock is held for the call
//! alone, never over an await.
//!
//! Tests: `tests/interleavings` runs it under many schedules (`just interleavings`).

use std::{num::NonZeroU16, sync::Arc};

use trandb_common::{Key, TransactionId, limits::OUTCOME_BYTES_MAX, wire::ListedKey};
use trandb_engine::{AttemptId, Command, Known, LogTime, Read, Reply, Shard, ShardId};

use crate::{
    memory::Memory,
    shards::{LeftBehind, Listing, ShardError, Shards},
    sync::{Instant, Notify, RwLock, RwLockReadGuard, RwLockWriteGuard, timeout_at},
};

/// All shards of a database, in this process's memory.
#[derive(Debug)]
pub struct Local {
    slots: Box<[Slot]>,
    count: NonZeroU16,
    memory: Arc<Memory>,
}

/// Outcomes of transactions take at most one part in so many of the memory limit.
const OUTCOME_SHARE: u64 = 8;

/// A shard in a cache line of its own, so that two cores at two shards do not meet.
#[derive(Debug)]
#[repr(align(128))]
struct Slot {
    shard: RwLock<Shard>,
    released: Notify,
}

impl Local {
    /// Empty shards. `epoch` must never have been used before (see [`new_epoch`]).
    pub fn new(count: NonZeroU16, epoch: u64, memory: Arc<Memory>) -> Self {
        let outcome_bytes = outcome_bytes(memory.limit(), count);
        let slot = |_| Slot {
            shard: RwLock::new(Shard::with_outcome_budget(epoch, outcome_bytes)),
            released: Notify::new(),
        };
        Self {
            slots: (0..count.get()).map(slot).collect(),
            count,
            memory,
        }
    }

    fn slot(&self, shard: ShardId) -> &Slot {
        &self.slots[usize::from(shard.0)]
    }

    /// The timed wait costs a timer: it comes only after a free lock has been tried for.
    async fn shared(
        &self,
        shard: ShardId,
        deadline: Instant,
    ) -> Result<RwLockReadGuard<'_, Shard>, ShardError> {
        let lock = &self.slot(shard).shard;
        match lock.try_read() {
            Ok(guard) => Ok(guard),
            Err(_) => timeout_at(deadline, lock.read())
                .await
                .map_err(|_| ShardError::LockTimeout),
        }
    }

    async fn exclusive(
        &self,
        shard: ShardId,
        deadline: Instant,
    ) -> Result<RwLockWriteGuard<'_, Shard>, ShardError> {
        let lock = &self.slot(shard).shard;
        match lock.try_write() {
            Ok(guard) => Ok(guard),
            Err(_) => timeout_at(deadline, lock.write())
                .await
                .map_err(|_| ShardError::LockTimeout),
        }
    }

    /// Runs `command` at the shard by `apply`, if there is memory for it.
    fn apply(
        &self,
        shard: &mut Shard,
        command: &Command,
        apply: fn(&mut Shard, &Command) -> Reply,
    ) -> Result<Reply, ShardError> {
        // What the command really adds takes look-ups: only where it may matter.
        let fits = self.memory.has_room(Shard::growth_max(command)) || {
            let growth = shard.growth(command);
            growth == 0 || self.memory.has_room(growth)
        };
        if !fits {
            let (limit, used) = (self.memory.limit(), self.memory.used());
            return Err(ShardError::MemoryFull { limit, used });
        }
        let before = shard.bytes();
        let reply = apply(shard, command);
        self.memory.settle(before, shard.bytes());
        Ok(reply)
    }

    /// Wakes who waits for keys, when an attempt has let go of its own.
    fn wake_after(&self, shard: ShardId, reply: &Result<Reply, ShardError>) {
        if matches!(reply, Ok(Reply::Finalized)) {
            self.slot(shard).released.notify_waiters();
        }
    }

    /// Keeps the whole shard to the caller until the guard is dropped: for tests of waiting.
    pub async fn occupy(&self, shard: ShardId) -> impl Drop + '_ {
        self.slot(shard).shard.write().await
    }

    /// Keeps writers from the whole shard until the guard is dropped, as a reader does: for tests
    /// of reading at the same time.
    pub async fn share(&self, shard: ShardId) -> impl Drop + '_ {
        self.slot(shard).shard.read().await
    }

    /// Locks keys of `shard` for an undecided attempt; see [`Shard::lock`].
    pub async fn lock(
        &self,
        shard: ShardId,
        attempt: AttemptId,
        shared: &[Key],
        exclusive: &[Key],
    ) -> Result<(), AttemptId> {
        self.slot(shard)
            .shard
            .write()
            .await
            .lock(attempt, shared, exclusive)
    }

    /// Releases the keys that `attempt` holds at `shard`, and wakes who waits for them.
    pub async fn unlock(&self, shard: ShardId, attempt: AttemptId) {
        self.slot(shard).shard.write().await.unlock(attempt);
        self.slot(shard).released.notify_waiters();
    }
}

impl Shards for Local {
    fn count(&self) -> NonZeroU16 {
        self.count
    }

    async fn read(&self, shard: ShardId, key: &Key, deadline: Instant) -> Result<Read, ShardError> {
        Ok(self.shared(shard, deadline).await?.read(key))
    }

    async fn execute(
        &self,
        shard: ShardId,
        command: &Command,
        deadline: Instant,
    ) -> Result<Reply, ShardError> {
        // Whoever waits for the shard may have given up when the command is carried out.
        let mut exclusive = self.exclusive(shard, deadline).await?;
        let reply = self.apply(&mut exclusive, command, Shard::apply);
        drop(exclusive);
        self.wake_after(shard, &reply);
        reply
    }

    fn try_read(&self, shard: ShardId, key: &Key) -> Option<Read> {
        let shard = self.slot(shard).shard.try_read().ok()?;
        Some(shard.read(key))
    }

    fn try_execute(&self, shard: ShardId, command: &Command) -> Option<Result<Reply, ShardError>> {
        let mut exclusive = self.slot(shard).shard.try_write().ok()?;
        let reply = self.apply(&mut exclusive, command, Shard::apply_once);
        drop(exclusive);
        self.wake_after(shard, &reply);
        Some(reply)
    }

    async fn list(
        &self,
        shard: ShardId,
        listing: &Listing,
        deadline: Instant,
    ) -> Result<Vec<ListedKey>, ShardError> {
        let shard = self.shared(shard, deadline).await?;
        Ok(shard.list(
            &listing.prefix,
            listing.after.as_ref(),
            listing.before.as_ref(),
            listing.limit,
        ))
    }

    async fn known(
        &self,
        shard: ShardId,
        transaction: TransactionId,
        deadline: Instant,
    ) -> Result<Option<Known>, ShardError> {
        Ok(self.shared(shard, deadline).await?.known(transaction))
    }

    async fn left_behind(
        &self,
        shard: ShardId,
        since: LogTime,
        limit: usize,
        deadline: Instant,
    ) -> Result<LeftBehind, ShardError> {
        let shard = self.shared(shard, deadline).await?;
        Ok(LeftBehind {
            in_doubt: shard.in_doubt(since, limit),
            unfinalized: shard.unfinalized(since, limit),
            clock: shard.clock(),
        })
    }

    fn released(&self, shard: ShardId) -> impl Future<Output = ()> + Send {
        // Sees every `notify_waiters` from its creation on, polled or not.
        self.slot(shard).released.notified()
    }
}

/// What the outcomes of transactions may take in each of `count` shards, in bytes.
pub fn outcome_bytes(memory_limit: u64, count: NonZeroU16) -> u64 {
    (memory_limit / OUTCOME_SHARE / u64::from(count.get())).min(OUTCOME_BYTES_MAX)
}

/// An epoch for shards whose memory is this process's: the time in milliseconds, and chance in the
/// low 22 bits, so that not even a clock set back makes one of them return.
pub fn new_epoch() -> u64 {
    const RANDOM_BITS: u32 = 22;
    let random = getrandom::u64().unwrap_or_else(|_| u64::from(std::process::id()));
    // 42 bits of milliseconds last to 2109.
    (wall_clock() << RANDOM_BITS) | (random >> (u64::BITS - RANDOM_BITS))
}

/// The time in milliseconds since 1970.
pub fn wall_clock() -> u64 {
    #[expect(
        clippy::disallowed_methods,
        reason = "the runtime tells the engine the time"
    )]
    let now = std::time::SystemTime::now();
    let since = now.duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}
