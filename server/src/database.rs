//! The database: keys, without regard to where they are.
//!
//! Finds the shard of a key, and waits for keys that an undecided transaction holds: written once,
//! whatever [`Shards`] stand below. What several keys have to do with each other is in
//! [`transactions`](crate::transactions).

use std::sync::Arc;

use trandb_common::{Key, Value, Version, limits::LOCK_WAIT_MAX, wire::ListPage};
use trandb_engine::{Command, Condition, Found, Read, Reply, ShardId, route};

use crate::{
    shards::{Listing, ShardError, Shards},
    sync::{Instant, timeout_at},
    transactions::{Acknowledged, Source},
};

/// Why a request has no answer. Only after [`Unknown`](Self::Unknown) may anything have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// The key or its shard was locked for [`LOCK_WAIT_MAX`].
    LockTimeout,
    /// The write needs more memory than is left. In bytes.
    MemoryFull {
        /// In bytes.
        limit: u64,
        /// In bytes.
        used: u64,
    },
    /// The condition does not hold; the key's version now.
    PreconditionFailed(Option<Version>),
    /// Nobody who could answer for the key's shard could be reached.
    ShardUnavailable,
    /// The write may have happened, or may happen yet.
    Unknown,
}

impl From<ShardError> for Error {
    fn from(error: ShardError) -> Self {
        match error {
            ShardError::LockTimeout => Self::LockTimeout,
            ShardError::MemoryFull { limit, used } => Self::MemoryFull { limit, used },
            ShardError::Unavailable => Self::ShardUnavailable,
            ShardError::Unknown => Self::Unknown,
        }
    }
}

/// Keys and values over some shards.
#[derive(Debug)]
pub struct Database<S> {
    shards: Arc<S>,
    source: Arc<Source>,
    acknowledged: Acknowledged,
}

impl<S: Shards> Database<S> {
    /// A database over `shards`, whose transactions take ids and time from `source`.
    pub fn new(shards: S, source: Source) -> Self {
        Self {
            shards: Arc::new(shards),
            source: Arc::new(source),
            acknowledged: Acknowledged::default(),
        }
    }

    /// The shards below.
    pub fn shards(&self) -> &S {
        &self.shards
    }

    pub(crate) fn shards_shared(&self) -> &Arc<S> {
        &self.shards
    }

    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    pub(crate) fn source_shared(&self) -> &Arc<Source> {
        &self.source
    }

    pub(crate) fn acknowledged(&self) -> &Acknowledged {
        &self.acknowledged
    }

    /// Where `key` is.
    pub fn shard_of(&self, key: &Key) -> ShardId {
        route(key, self.shards.count())
    }

    /// The key's value and version.
    pub async fn get(&self, key: &Key) -> Result<Option<Found>, Error> {
        match self.get_now(key) {
            Some(found) => Ok(found),
            // In a box, since it is large and rare.
            None => Box::pin(self.wait_and_get(key)).await,
        }
    }

    /// The same, if nothing has to be waited for; the outer none says nothing.
    #[expect(
        clippy::option_option,
        reason = "whether it is known, and whether there is a value"
    )]
    pub fn get_now(&self, key: &Key) -> Option<Option<Found>> {
        match self.shards.try_read(self.shard_of(key), key)? {
            Read::Done(found) => Some(found),
            Read::Locked(_) => None,
        }
    }

    async fn wait_and_get(&self, key: &Key) -> Result<Option<Found>, Error> {
        let shard = self.shard_of(key);
        let deadline = Instant::now() + LOCK_WAIT_MAX;
        loop {
            // Made before the try, so that a release in between is not missed.
            let released = self.shards.released(shard);
            match self.shards.read(shard, key, deadline).await? {
                Read::Done(found) => return Ok(found),
                Read::Locked(_) => wait(released, deadline).await?,
            }
        }
    }

    /// Gives the key a value, if the condition holds.
    pub async fn put(
        &self,
        key: Key,
        value: Value,
        condition: Condition,
    ) -> Result<Version, Error> {
        let shard = self.shard_of(&key);
        let command = Command::Put {
            key,
            value,
            condition,
        };
        match self.write(shard, command).await? {
            Reply::Written(version) => Ok(version),
            other => unreachable!("a put is answered by {other:?}"),
        }
    }

    /// Takes the key's value away, if the condition holds.
    pub async fn delete(&self, key: Key, condition: Condition) -> Result<(), Error> {
        let shard = self.shard_of(&key);
        self.write(shard, Command::Delete { key, condition })
            .await
            .map(|_| ())
    }

    async fn write(&self, shard: ShardId, command: Command) -> Result<Reply, Error> {
        if let Some(reply) = self.shards.try_execute(shard, &command)
            && let Some(done) = done(reply?)
        {
            return done;
        }
        Box::pin(self.wait_and_write(shard, command)).await
    }

    async fn wait_and_write(&self, shard: ShardId, command: Command) -> Result<Reply, Error> {
        let deadline = Instant::now() + LOCK_WAIT_MAX;
        loop {
            let released = self.shards.released(shard);
            match done(self.shards.execute(shard, &command, deadline).await?) {
                Some(done) => return done,
                None => wait(released, deadline).await?,
            }
        }
    }

    /// A page of keys of all shards, in byte order.
    ///
    /// Not transactional: the shards are listed one after another. Any of them may hold the whole
    /// page, so each is asked for that many, but only for keys before the last of the page so far:
    /// with n shards about log n pages are listed in all.
    pub async fn list(&self, mut listing: Listing) -> Result<ListPage, Error> {
        let deadline = Instant::now() + LOCK_WAIT_MAX;
        let mut keys = Vec::new();
        for shard in 0..self.shards.count().get() {
            keys.extend(self.shards.list(ShardId(shard), &listing, deadline).await?);
            keys.sort_unstable_by(|a, b| a.key.cmp(&b.key));
            keys.truncate(listing.limit);
            if keys.len() == listing.limit {
                listing.before = keys.last().map(|last| last.key.clone());
            }
        }
        let full = keys.len() == listing.limit;
        let next = keys.last().filter(|_| full).map(|last| last.key.clone());
        Ok(ListPage { keys, next })
    }
}

/// What became of a command; none while its key is locked.
fn done(reply: Reply) -> Option<Result<Reply, Error>> {
    match reply {
        Reply::Locked(_) => None,
        Reply::ConditionFailed(current) => Some(Err(Error::PreconditionFailed(current))),
        Reply::Written(_) | Reply::Deleted => Some(Ok(reply)),
        other => unreachable!("a plain write is answered by {other:?}"),
    }
}

async fn wait(released: impl Future<Output = ()>, deadline: Instant) -> Result<(), Error> {
    timeout_at(deadline, released)
        .await
        .map_err(|_| Error::LockTimeout)
}
