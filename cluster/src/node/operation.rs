//! What may be asked of a shard, and what may go wrong.

use serde::{Deserialize, Serialize};
use trandb_common::{Key, TransactionId, wire::ListedKey};
use trandb_engine::{Command, InDoubt, Known, LogTime, Read, Reply, Shard, Unfinalized};

use crate::group::{ProposeError, ReadError};

/// Why a shard did not answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Failure {
    /// No leader that a majority follows was found before the deadline. Nothing changed.
    #[error("no majority of the shard's replicas answers")]
    Unavailable,
    /// Too much is under way already. Nothing changed.
    #[error("too much is under way at the shard")]
    Overloaded,
    /// The command or its answer is larger than any node would take. Nothing changed.
    #[error("{bytes} bytes are too much")]
    TooLarge {
        /// About.
        bytes: u64,
    },
    /// The command needs more memory than the leader has left. Nothing changed.
    #[error("the memory limit of {limit} bytes is reached: {used} bytes are used")]
    MemoryFull {
        /// In bytes.
        limit: u64,
        /// In bytes.
        used: u64,
    },
    /// The command was sent or proposed, and its reply was not heard. Only of what
    /// [`Router::execute`](super::Router::execute) was asked.
    #[error("the command may have been carried out, or may be yet")]
    Unknown,
}

impl Failure {
    /// Whether the command certainly changed nothing, and never will. Otherwise it may have been
    /// carried out, or may be yet (I7).
    pub fn changed_nothing(&self) -> bool {
        match self {
            Self::Unavailable
            | Self::Overloaded
            | Self::TooLarge { .. }
            | Self::MemoryFull { .. } => true,
            Self::Unknown => false,
        }
    }
}

/// What to list: keys that start with `prefix` and come after `after` and before `before`, at most
/// `limit`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// Any text, also one that is not itself a key.
    pub prefix: String,
    /// Exclusive.
    pub after: Option<Key>,
    /// Exclusive.
    pub before: Option<Key>,
    /// At most [`LIST_LIMIT_MAX`](trandb_common::limits::LIST_LIMIT_MAX).
    pub limit: usize,
}

/// What coordinators have left behind at a shard.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftBehind {
    /// Attempts that it has prepared and that are not decided.
    pub in_doubt: Vec<InDoubt>,
    /// Transactions that it has committed and that some participants may not have carried out.
    pub unfinalized: Vec<Unfinalized>,
    /// The shard's log time.
    pub clock: LogTime,
}

/// What is asked of a shard.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Operation {
    Execute(Command),
    Read(Key),
    List(Listing),
    Known(TransactionId),
    LeftBehind { since: LogTime, limit: usize },
}

/// What a shard answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Outcome {
    Executed(Reply),
    Read(Read),
    Listed(Vec<ListedKey>),
    Known(Option<Known>),
    LeftBehind(LeftBehind),
}

impl Operation {
    /// The answer to what changes nothing; none for a command.
    pub(super) fn look(&self, shard: &Shard) -> Option<Outcome> {
        Some(match self {
            Self::Execute(_) => return None,
            Self::Read(key) => Outcome::Read(shard.read(key)),
            Self::List(listing) => Outcome::Listed(shard.list(
                &listing.prefix,
                listing.after.as_ref(),
                listing.before.as_ref(),
                listing.limit.min(trandb_common::limits::LIST_LIMIT_MAX),
            )),
            Self::Known(transaction) => Outcome::Known(shard.known(*transaction)),
            Self::LeftBehind { since, limit } => Outcome::LeftBehind(LeftBehind {
                in_doubt: shard.in_doubt(*since, *limit),
                unfinalized: shard.unfinalized(*since, *limit),
                clock: shard.clock(),
            }),
        })
    }

    pub(super) fn is_command(&self) -> bool {
        matches!(self, Self::Execute(_))
    }
}

/// Why a node has no answer of its replica. In all cases but [`Failure::Unknown`] nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Miss {
    /// It does not lead, or no majority says so. Who may.
    Elsewhere(Option<crate::transport::Address>),
    Failed(Failure),
}

impl From<ProposeError> for Miss {
    fn from(error: ProposeError) -> Self {
        debug_assert!(
            error.not_committed()
                == matches!(
                    error,
                    ProposeError::NotLeader { .. }
                        | ProposeError::Overloaded
                        | ProposeError::TooLarge { .. }
                )
        );
        match error {
            ProposeError::NotLeader { leader } => Self::Elsewhere(leader),
            ProposeError::Overloaded => Self::Failed(Failure::Overloaded),
            ProposeError::TooLarge { bytes } => Self::Failed(Failure::TooLarge {
                bytes: bytes as u64,
            }),
            ProposeError::LeadershipLost | ProposeError::TimedOut | ProposeError::Stopped => {
                Self::Failed(Failure::Unknown)
            }
        }
    }
}

impl From<ReadError> for Miss {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::NotLeader { leader } => Self::Elsewhere(leader),
            ReadError::NoMajority | ReadError::TimedOut => Self::Elsewhere(None),
            ReadError::Overloaded => Self::Failed(Failure::Overloaded),
            ReadError::Stopped => Self::Failed(Failure::Unavailable),
        }
    }
}
