//! What the machines of a transaction are told, and what they ask for: the words of
//! [`Coordinator`](crate::Coordinator) and [`Resolver`](crate::Resolver).
//!
//! Tests: with the machines.

use trandb_common::Version;

use crate::{AttemptId, Body, Command, Digest, FailedCheck, Found, Reply, ShardId, TransactionId};

/// What a client wants.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Transaction {
    /// The client's id, or a fresh one if it gave none.
    pub id: TransactionId,
    /// Whether the client gave the id, and so may ask for the outcome by it.
    pub promised: bool,
    /// What is to happen.
    pub body: Body,
}

impl Transaction {
    /// What names its body to the home.
    pub(crate) fn digest(&self) -> Digest {
        if self.promised {
            self.body.digest()
        } else {
            Digest::OF_NO_BODY
        }
    }
}

/// A command that was sent: whose attempt, which step, where. What comes back for it carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Call {
    /// The attempt that it is about.
    pub attempt: AttemptId,
    /// Which command.
    pub step: Step,
    /// Where it was sent.
    pub shard: ShardId,
}

/// The kind of a command of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// [`Command::Prepare`]
    Prepare,
    /// [`Command::Commit`]
    Commit,
    /// [`Command::Resolve`]
    Resolve,
    /// [`Command::Finalize`]
    Finalize,
    /// [`Command::Forget`]
    Forget,
}

/// What has happened.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Input {
    /// The command was applied, with this reply.
    Replied {
        /// Which.
        call: Call,
        /// What it did.
        reply: Reply,
    },
    /// No reply will come.
    Failed {
        /// Which command.
        call: Call,
        /// What is known of it.
        fault: Fault,
    },
    /// The pause after [`Effect::Again`] is over.
    Again {
        /// Never used before.
        attempt: AttemptId,
    },
    /// The client's time is over. Comes once at most.
    TimeOut,
}

/// Why there is no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// Refused before it entered the shard's log, for this reason: it was not applied and never
    /// will be.
    NotEntered(NotCommitted),
    /// It may have been applied, or may still be.
    Unknown,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Run the command at the call's shard, and hand in [`Input::Replied`] or [`Input::Failed`].
    ///
    /// May be sent at once, in any order among the effects of one step. What must be true before
    /// it is sent is true when it comes out: a `Prepare` needs nothing, a `Commit` a yes from every
    /// other participant, a `Finalize` the home's decision, a `Forget` the participants' `Finalized`.
    ///
    /// May be applied several times, as far as the protocol is concerned. But whoever sends a
    /// `Commit` again without having seen a reply must report
    /// [`Refusal::Expired`](crate::Refusal::Expired) as
    /// [`Fault::Unknown`]: the first one may have been applied and forgotten.
    Send {
        /// Which.
        call: Call,
        /// What to run.
        command: Command,
    },
    /// Tell the client. Comes exactly once, unless the coordinator vanishes.
    Answer(Answer),
    /// Wait a moment, with jitter, and hand in [`Input::Again`]; or [`Input::TimeOut`] if the
    /// client's time is over before.
    Again {
        /// Where and whom to wait for, if for anybody.
        holder: Option<(ShardId, AttemptId)>,
    },
    /// Nothing more will come: the machine can be dropped.
    Done,
}

/// What the client is told.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Answer {
    /// It happened.
    Committed {
        /// The versions of its writes, in the order of the body; none for a delete.
        versions: Vec<Option<Version>>,
        /// What its reads found, in the order of the body. None when it was decided before, or
        /// its answer was lost: values that were read are not kept.
        reads: Option<Vec<Option<Found>>>,
    },
    /// It did not happen and will not: checks failed, or it was aborted by its id.
    Conflict {
        /// The checks that do not hold, of every shard that could look. Empty when the transaction
        /// was decided before.
        failed: Vec<FailedCheck>,
    },
    /// It did not happen and will not: its reads find more than
    /// [`TRANSACTION_BYTES_MAX`](trandb_common::limits::TRANSACTION_BYTES_MAX).
    TooMuchRead {
        /// The values that were counted, in bytes.
        bytes: u64,
    },
    /// The id belongs to another body; this one did not happen.
    IdReused,
    /// It did not happen; it may be sent again under the same id.
    NotCommitted(NotCommitted),
    /// It may have happened, or may still happen: to be asked by its id.
    Unknown,
}

/// Why a transaction did not happen although nothing speaks against it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NotCommitted {
    /// Other attempts held its keys until its time was over.
    LockTimeout,
    /// A shard did not answer, or not in time.
    ShardUnavailable,
    /// A shard has no room to remember it.
    Overloaded,
    /// A shard's memory is full.
    MemoryFull,
}

impl Fault {
    /// What the client is told if nothing else is known.
    pub(crate) fn reason(self) -> NotCommitted {
        match self {
            Self::NotEntered(reason) => reason,
            Self::Unknown => NotCommitted::ShardUnavailable,
        }
    }
}
