//! What may go wrong, and what that says about what was asked.

use crate::transport::Address;

/// Why a proposal has no reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Another node leads, or none that this one knows of.
    #[error("not the leader")]
    NotLeader {
        /// Who is believed to lead.
        leader: Option<Address>,
    },
    /// The log is full of entries that no majority has, or that are not yet applied.
    #[error("the log is full")]
    Overloaded,
    /// The command is larger than any node would take.
    #[error("a command of {bytes} bytes is too large")]
    TooLarge {
        /// About.
        bytes: usize,
    },
    /// It entered this node's log, and leadership went to another before a majority was seen to
    /// have it.
    #[error("leadership was lost: the command may have been carried out, or may be yet")]
    LeadershipLost,
    /// It may have entered the log; nothing else was heard before the deadline.
    #[error("no majority in time: the command may have been carried out, or may be yet")]
    TimedOut,
    /// This replica has ended.
    #[error("the replica has stopped: the command may have been carried out, or may be yet")]
    Stopped,
}

impl ProposeError {
    /// Whether the command certainly entered no log, and never will: another node may be asked.
    /// Otherwise it may have been carried out, or may be yet (I7).
    pub fn not_committed(&self) -> bool {
        match self {
            Self::NotLeader { .. } | Self::Overloaded | Self::TooLarge { .. } => true,
            Self::LeadershipLost | Self::TimedOut | Self::Stopped => false,
        }
    }
}

/// Why this replica may not answer a read now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Another node leads, or none that this one knows of.
    #[error("not the leader")]
    NotLeader {
        /// Who is believed to lead.
        leader: Option<Address>,
    },
    /// No majority says that this node still leads.
    #[error("no majority confirms that this node leads")]
    NoMajority,
    /// The deadline is over.
    #[error("no majority in time")]
    TimedOut,
    /// Too many reads wait already.
    #[error("too many reads wait")]
    Overloaded,
    /// This replica has ended.
    #[error("the replica has stopped")]
    Stopped,
}

/// Why a membership did not change, as far as is known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// Another node leads, or none that this one knows of. Nothing changed.
    #[error("not the leader")]
    NotLeader {
        /// Who is believed to lead.
        leader: Option<Address>,
    },
    /// The membership is not the one that the change was made for. Nothing changed.
    #[error("the membership has changed meanwhile")]
    Outdated,
    /// Another change is under way. Nothing changed.
    #[error("another change is under way")]
    InProgress,
    /// The change makes no sense. Nothing changed.
    #[error("refused: {0}")]
    Refused(String),
    /// The change may have happened, half of it too, or may happen yet.
    #[error("the outcome of the change is unknown: {0}")]
    Unknown(&'static str),
}
