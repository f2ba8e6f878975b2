//! Transactions: drives the engine's coordinators and resolvers over the shards.
//!
//! The machines decide what is to be done; here it is done: commands are run at their shards, time
//! is measured, ids are made, pauses are waited for. Written once over [`Shards`], so that nothing
//! here knows where commands are ordered.
//!
//! - `drive` carries one machine to its end;
//! - [`Source`] is where ids and the time of proposers come from;
//! - `sweep` looks for what was left behind, and moves log time so that outcomes expire.
//!
//! A transaction is carried as far as it goes without waiting, mostly to its end. One over several
//! shards that has to wait goes on in a task of its own: whoever asked for it may go away at any
//! moment, and nothing stays locked. One within a single shard is one command, which happens whole or
//! not at all, and needs no task.
//!
//! Tests: `tests/transactions`; under load, faults and chance in the integration tests.

mod acknowledged;
mod drive;
mod source;
mod sweep;

use std::{collections::BTreeMap, time::Duration};

use tokio::sync::oneshot;
use trandb_cluster::task;
use trandb_common::{
    Key, TransactionId, Version,
    limits::{ATTEMPT_GRACE, LOCK_WAIT_MAX, TRANSACTION_TIMEOUT_MAX},
};
use trandb_engine::{
    Answer, Body, Command, Decided, FailedCheck, Forget, Found, Known, NotCommitted, Refusal,
    Reply, Resolve, ShardId, Subject, Transaction,
};

use self::drive::{Begun, Told};
pub use self::{acknowledged::Acknowledged, source::Source};
use crate::{
    Database, Shards,
    shards::{ShardError, all},
    sync::Instant,
};

/// A transaction as a client asks for it.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The client's id; with none the server makes one, and does not keep the outcome.
    pub id: Option<TransactionId>,
    /// What is to happen.
    pub body: Body,
    /// How long it may be tried.
    pub timeout: Duration,
}

/// A transaction that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The client's id, or the server's.
    pub id: TransactionId,
    /// The versions of its writes, in the order of the body; none for a delete.
    pub versions: Vec<Option<Version>>,
    /// What its reads found, in the order of the body; none when it had happened before.
    pub reads: Option<Vec<Option<Found>>>,
}

/// Why a transaction has no good answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// It did not happen: these checks failed, or, if there is none, it was decided before.
    Conflict(Vec<FailedCheck>),
    /// It did not happen: its reads would return more than
    /// [`TRANSACTION_BYTES_MAX`](trandb_common::limits::TRANSACTION_BYTES_MAX).
    TooMuchRead {
        /// In bytes, as far as they were counted.
        bytes: u64,
    },
    /// It did not happen: its id belongs to another transaction.
    IdReused,
    /// It did not happen: its keys were locked until its time was over.
    LockTimeout,
    /// It did not happen: a shard did not answer.
    ShardUnavailable,
    /// It did not happen: there is no room to remember it.
    Overloaded,
    /// It did not happen: it needs more memory than is left.
    MemoryFull {
        /// In bytes.
        limit: u64,
        /// In bytes.
        used: u64,
    },
    /// It may have happened.
    Unknown {
        /// To ask for it by.
        id: TransactionId,
        /// Whether the client gave the id, and so may send the transaction again under it.
        promised: bool,
    },
}

impl Error {
    /// What the error of a shard that was asked about the transaction `id` means.
    fn of_shard(id: TransactionId, error: ShardError) -> Self {
        match error {
            ShardError::LockTimeout => Self::LockTimeout,
            ShardError::MemoryFull { limit, used } => Self::MemoryFull { limit, used },
            ShardError::Unavailable => Self::ShardUnavailable,
            ShardError::Unknown => Self::Unknown { id, promised: true },
        }
    }
}

/// What became of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It happened.
    Committed,
    /// It did not happen, nor will it.
    NotCommitted,
    /// It is not decided.
    InProgress,
}

impl<S: Shards> Database<S> {
    /// Carries out a transaction: all of it, at one moment, or nothing.
    pub async fn transact(&self, asked: Asked) -> Result<Committed, Error> {
        let transaction = Transaction {
            id: asked.id.unwrap_or_else(|| self.source().transaction()),
            promised: asked.id.is_some(),
            body: asked.body,
        };
        let (id, promised) = (transaction.id, transaction.promised);
        let (shards, source) = (self.shards_shared(), self.source_shared());
        let waiting = match drive::begin(shards, source, transaction, asked.timeout) {
            Begun::Done(told) => return result(id, promised, told),
            Begun::Waiting(waiting) => waiting,
        };
        let (tell, told) = oneshot::channel();
        if waiting.is_within_one_shard() {
            Box::pin(waiting.finish(tell)).await;
        } else {
            task::spawn(waiting.finish(tell));
        }
        match told.await {
            Ok(told) => result(id, promised, told),
            // Its task is gone: the process is about to end.
            Err(_) => Err(Error::Unknown { id, promised }),
        }
    }

    /// What became of the transaction `id`; none: nobody knows of it, or not any more.
    ///
    /// Asks all shards: the id does not say where its outcome is kept.
    pub async fn transaction_status(&self, id: TransactionId) -> Result<Option<Status>, Error> {
        let deadline = Instant::now() + LOCK_WAIT_MAX;
        let mut status = None;
        let mut aborted_everywhere = true;
        for shard in all(self.shards().count()) {
            let known = self.shards().known(shard, id, deadline).await;
            let known = known.map_err(|error| Error::of_shard(id, error))?;
            aborted_everywhere &= known == Some(Known::AbortedById);
            match known {
                // Only its home can know that it is committed, and others may know less.
                Some(Known::Committed) => return Ok(Some(Status::Committed)),
                Some(Known::InProgress) => status = Some(Status::InProgress),
                Some(Known::Aborted) => status = status.or(Some(Status::NotCommitted)),
                Some(Known::AbortedById) | None => {}
            }
        }
        Ok(status.or(aborted_everywhere.then_some(Status::NotCommitted)))
    }

    /// Decides the transaction `id`, if it is not decided: it is aborted then, and stays so even
    /// if its request is still on the way. Whether it was committed before.
    ///
    /// Asks all shards, since any of them may be its home. Where this fails half-way, what was
    /// not asked may still commit it: it is safe to ask again.
    pub async fn abort_transaction(&self, id: TransactionId) -> Result<Status, Error> {
        let deadline = Instant::now() + LOCK_WAIT_MAX;
        let now = self.source().now();
        let resolve = Command::Resolve(Resolve {
            transaction: id,
            digest: None,
            subject: Subject::Transaction {
                promised: true,
                expires: now.after(TRANSACTION_TIMEOUT_MAX + ATTEMPT_GRACE),
                checks: Vec::new(),
            },
            now,
        });
        let mut status = Status::NotCommitted;
        for shard in all(self.shards().count()) {
            let reply = self.shards().execute(shard, &resolve, deadline).await;
            match reply.map_err(|error| Error::of_shard(id, error))? {
                Reply::Decided(decided) => {
                    if matches!(*decided, Decided::Committed { .. }) {
                        status = Status::Committed;
                    }
                }
                Reply::Refused(Refusal::Overloaded) => return Err(Error::Overloaded),
                _ => return Err(Error::ShardUnavailable),
            }
        }
        Ok(status)
    }

    /// Takes note that the clients of these transactions need not be told their outcomes again.
    /// With each stands the key that it wrote first (else checked first, else read first).
    ///
    /// A shard that cannot be told at once is told by the next [`sweep`](Self::sweep).
    pub fn acknowledge(&self, transactions: Vec<(TransactionId, Key)>) {
        let mut homes: BTreeMap<ShardId, Vec<TransactionId>> = BTreeMap::new();
        for (id, key) in transactions {
            homes.entry(self.shard_of(&key)).or_default().push(id);
        }
        for (home, acknowledged) in homes {
            let forget = Command::Forget(Forget {
                finalized: Vec::new(),
                acknowledged: acknowledged.clone(),
                now: self.source().now(),
            });
            if self.shards().try_execute(home, &forget).is_none() {
                self.acknowledged().keep(home, &acknowledged);
            }
        }
    }
}

/// What the client is told. The last error of a shard has the figures.
fn result(id: TransactionId, promised: bool, (answer, trouble): Told) -> Result<Committed, Error> {
    Err(match answer {
        Answer::Committed { versions, reads } => {
            return Ok(Committed {
                id,
                versions,
                reads,
            });
        }
        Answer::Conflict { failed } => Error::Conflict(failed),
        Answer::TooMuchRead { bytes } => Error::TooMuchRead { bytes },
        Answer::IdReused => Error::IdReused,
        Answer::NotCommitted(NotCommitted::LockTimeout) => Error::LockTimeout,
        Answer::NotCommitted(NotCommitted::Overloaded) => Error::Overloaded,
        Answer::NotCommitted(NotCommitted::ShardUnavailable) => Error::ShardUnavailable,
        Answer::NotCommitted(NotCommitted::MemoryFull) => {
            trouble.map_or(Error::ShardUnavailable, |error| Error::of_shard(id, error))
        }
        Answer::Unknown => Error::Unknown { id, promised },
    })
}
