//! What a shard is told and what it answers: plain data, so that a log can carry it.
//!
//! Tests: where the commands are carried out (`shard`).

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use trandb_common::{Key, Value, Version};

use crate::{
    AttemptId, Check, Condition, Digest, FailedCheck, LogTime, Operations, ShardId, TransactionId,
};

/// What changes a shard.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Command {
    /// Gives the key a value, if the condition holds.
    Put {
        /// Which key.
        key: Key,
        /// Its new value.
        value: Value,
        /// Checked in the same step.
        condition: Condition,
    },
    /// Takes the key's value away, if the condition holds. That it has none already is no error.
    Delete {
        /// Which key.
        key: Key,
        /// Checked in the same step.
        condition: Condition,
    },
    /// At every participant but the home: lock, check, read, and keep the writes.
    Prepare(Box<Prepare>),
    /// At the home: the commit point.
    Commit(Box<Commit>),
    /// At the home: the decision, which is abort if there was none.
    Resolve(Resolve),
    /// At a participant: carry the home's decision out.
    Finalize(Finalize),
    /// At the home: drop what nobody will ask for.
    Forget(Forget),
}

impl Command {
    /// The key of a write without a transaction; none for the commands of transactions.
    pub fn key(&self) -> Option<&Key> {
        match self {
            Self::Put { key, .. } | Self::Delete { key, .. } => Some(key),
            _ => None,
        }
    }
}

/// Takes shared locks for checks and reads and exclusive ones for writes, all or none.
///
/// Answers: [`Yes`](Reply::Yes), [`No`](Reply::No), [`Busy`](Reply::Busy) or
/// [`Refused`](Reply::Refused).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Prepare {
    /// Whose attempt it is.
    pub transaction: TransactionId,
    /// Which attempt.
    pub attempt: AttemptId,
    /// Who decides: asked when the attempt stays undecided.
    pub home: ShardId,
    /// Refused when the shard's log time is later.
    pub expires: LogTime,
    /// The proposer's time.
    pub now: LogTime,
    /// This shard's part.
    pub part: Arc<Operations>,
}

/// Commits a transaction whose other participants have all voted yes.
///
/// Answers: [`Decided`](Reply::Decided), [`Busy`](Reply::Busy) or [`Refused`](Reply::Refused).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Commit {
    /// Which transaction.
    pub transaction: TransactionId,
    /// Whether a client may ask for the outcome by the transaction's id, so that it is kept for
    /// [`OUTCOME_KEPT`](trandb_common::limits::OUTCOME_KEPT).
    pub promised: bool,
    /// What names the transaction's body.
    pub digest: Digest,
    /// Which attempt.
    pub attempt: AttemptId,
    /// This shard.
    pub home: ShardId,
    /// Refused when the shard's log time is later.
    pub expires: LogTime,
    /// The proposer's time.
    pub now: LogTime,
    /// The home's own part.
    pub part: Arc<Operations>,
    /// Who else takes part, with the versions that they have voted.
    pub participants: Vec<PartVersions>,
    /// The values that they have read, in bytes.
    pub read_bytes: u64,
}

/// Asks for a decision, and makes it abort if there is none.
///
/// Answers: [`Decided`](Reply::Decided) or [`Refused`](Reply::Refused).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Resolve {
    /// Which transaction.
    pub transaction: TransactionId,
    /// What names the body of the sender's transaction, where the sender knows it: "committed" is
    /// said to that body alone.
    pub digest: Option<Digest>,
    /// What of it.
    pub subject: Subject,
    /// The proposer's time.
    pub now: LogTime,
}

/// What is to be decided.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Subject {
    /// One attempt; the transaction may still commit by another.
    Attempt {
        /// Which.
        attempt: AttemptId,
        /// As its `Prepare` and `Commit` say.
        expires: LogTime,
    },
    /// The whole transaction, for good.
    Transaction {
        /// As its `Commit` would say.
        promised: bool,
        /// No attempt that the sender knows of expires later.
        expires: LogTime,
        /// Those of the home's part, so that the answer can name the ones that fail.
        checks: Vec<Check>,
    },
}

/// Carries out what the home has decided: applies or drops the writes, releases the locks.
///
/// Sent only when the home has answered with that decision (I2). Answers:
/// [`Finalized`](Reply::Finalized) or [`Refused`](Reply::Refused).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Finalize {
    /// Which attempt.
    pub attempt: AttemptId,
    /// What the home has decided about it.
    pub decision: Decision,
    /// As its `Prepare` says.
    pub expires: LogTime,
    /// The proposer's time.
    pub now: LogTime,
}

/// Drops outcomes, as soon as their clients have acknowledged them and all participants have
/// finalized. Answered by [`Noted`](Reply::Noted). An empty one tells the time.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Forget {
    /// Participants that have answered a `Finalize` with `Finalized`.
    pub finalized: Vec<FinalizedPart>,
    /// Transactions whose clients have the outcome.
    pub acknowledged: Vec<TransactionId>,
    /// The proposer's time.
    pub now: LogTime,
}

/// A participant that has carried a commit out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FinalizedPart {
    /// Of which transaction.
    pub transaction: TransactionId,
    /// By which attempt it committed.
    pub attempt: AttemptId,
    /// Which participant.
    pub shard: ShardId,
}

/// What becomes of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Decision {
    /// Its writes are applied.
    Commit,
    /// Its writes are dropped.
    Abort,
}

/// The versions of a part's writes: the first write's, and consecutive counters for those that
/// follow, deletes included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PartVersions {
    /// Whose part.
    pub shard: ShardId,
    /// The version of its first write; means nothing for a part without writes.
    pub first: Version,
}

impl PartVersions {
    /// The version of the write at `index` in the part's list.
    pub fn of(&self, index: usize) -> Version {
        Version {
            epoch: self.first.epoch,
            counter: self.first.counter + index as u64,
        }
    }
}

/// A value and its version.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Found {
    /// The bytes, shared with the shard.
    pub value: Value,
    /// The name of this value.
    pub version: Version,
}

/// What a read saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[must_use]
pub enum Read {
    /// The key's value, none if it has none.
    Done(Option<Found>),
    /// An undecided transaction may be about to change the key: its outcome decides what a read
    /// may see. Try again when it has let go.
    Locked(AttemptId),
}

/// What a command did.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[must_use]
pub enum Reply {
    /// The key has the value, under this version.
    Written(Version),
    /// The key has no value.
    Deleted,
    /// The condition does not hold; nothing changed. The key's version now, none without a value.
    ConditionFailed(Option<Version>),
    /// An undecided transaction holds the key; nothing changed. Try again when it has let go.
    Locked(AttemptId),
    /// The vote for committing: everything is locked, every check holds and stays true.
    Yes {
        /// What the part's reads found, in their order.
        reads: Vec<Option<Found>>,
        /// The version that its first write will have; see [`PartVersions`].
        first: Version,
    },
    /// The vote against: all checks of the part that do not hold. Nothing is locked.
    No {
        /// At least one.
        failed: Vec<FailedCheck>,
    },
    /// Another attempt holds a key; nothing changed, nothing is locked.
    Busy {
        /// Who holds it.
        holder: AttemptId,
    },
    /// The home's decision, which is recorded.
    Decided(Box<Decided>),
    /// The attempt is finalized here and holds no lock.
    Finalized,
    /// A `Forget` was carried out.
    Noted,
    /// The command was not carried out; nothing changed but the time, except as the reason says.
    Refused(Refusal),
}

/// What the home has decided.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Decided {
    /// The transaction is committed.
    Committed {
        /// By this attempt; every other one is aborted (I1).
        attempt: AttemptId,
        /// The versions of its writes: the home's part, then the others as `Commit` named them.
        versions: Vec<PartVersions>,
        /// What the home's reads found, in their order. Only in the answer to the very command
        /// that committed it: values that were read are not kept.
        reads: Option<Vec<Option<Found>>>,
    },
    /// The attempt is aborted; the transaction may commit by another.
    AttemptAborted,
    /// The transaction is aborted for good.
    Aborted {
        /// The checks of the home's part that do not hold, as far as no other attempt is about to
        /// change their keys. Empty when it was decided before.
        failed: Vec<FailedCheck>,
    },
}

impl Decided {
    /// What it means for `attempt`.
    pub fn for_attempt(&self, attempt: AttemptId) -> Decision {
        match self {
            Self::Committed {
                attempt: winner, ..
            } if *winner == attempt => Decision::Commit,
            _ => Decision::Abort,
        }
    }
}

/// Why a command of a transaction was not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Refusal {
    /// The shard's log time is past the attempt's. At the home: the attempt cannot commit any
    /// more; if it ever did, that is forgotten, and then every participant has finalized it.
    Expired {
        /// The shard's log time.
        clock: LogTime,
    },
    /// A `Prepare` of an attempt that is finalized here already.
    AlreadyFinalized,
    /// The id belongs to a transaction with another body. The attempt is aborted.
    IdReused,
    /// No room to remember the attempt or the outcome. Try again later.
    Overloaded,
    /// The reads find more than [`TRANSACTION_BYTES_MAX`](trandb_common::limits::TRANSACTION_BYTES_MAX).
    TooMuchRead {
        /// The values that the part's reads find, in bytes; at the home those of the others too.
        bytes: u64,
    },
}

/// What a shard knows of a transaction by its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Known {
    /// Committed.
    Committed,
    /// Aborted for good.
    Aborted,
    /// Aborted by its id alone. That counts where every shard says so: one that does not may be its
    /// home, and may have forgotten that it is committed.
    AbortedById,
    /// Some attempt is prepared here, or was aborted here, and another may commit.
    InProgress,
}

/// An attempt that a participant has prepared and that stays undecided: what a
/// [`Resolver`](crate::Resolver) starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct InDoubt {
    /// Whose attempt it is.
    pub transaction: TransactionId,
    /// Which attempt.
    pub attempt: AttemptId,
    /// Who decides.
    pub home: ShardId,
    /// As its `Prepare` says.
    pub expires: LogTime,
}

/// A committed transaction that some participants are not known to have finalized: what a
/// [`Resolver`](crate::Resolver) starts from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Unfinalized {
    /// Which transaction.
    pub transaction: TransactionId,
    /// By which attempt it committed.
    pub attempt: AttemptId,
    /// As its `Commit` says.
    pub expires: LogTime,
    /// The participants.
    pub shards: Vec<ShardId>,
}

/// The values together, in bytes.
pub(crate) fn read_bytes(reads: &[Option<Found>]) -> u64 {
    let found = reads.iter().flatten();
    found.map(|found| found.value.len() as u64).sum()
}

/// What to say when `check` does not hold for `actual`; none if it holds.
pub(crate) fn failure(check: &Check, actual: Option<Version>) -> Option<FailedCheck> {
    (check.version != actual).then(|| FailedCheck {
        key: check.key.clone(),
        expected: check.version,
        actual,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_write_has_a_key_and_a_command_of_a_transaction_none() {
        let key = Key::new("k").expect("legal");
        let put = Command::Put {
            key: key.clone(),
            value: Value::default(),
            condition: Condition::default(),
        };
        let delete = Command::Delete {
            key: key.clone(),
            condition: Condition::default(),
        };
        let forget = Command::Forget(Forget {
            finalized: Vec::new(),
            acknowledged: Vec::new(),
            now: LogTime::default(),
        });
        let keys = [put.key(), delete.key(), forget.key()];
        assert_eq!(keys, [Some(&key), Some(&key), None]);
    }
}
