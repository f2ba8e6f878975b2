//! The seam between what nodes say to each other and how it gets there.
//!
//! A call is one request to one node and its answer, within a deadline. Calls are independent of
//! each other: none waits for another's answer, and any of them may overtake any other. A call is
//! never sent twice.
//!
//! What is not here: what bodies mean, and sending again (both are the groups' business).

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::identity::{ClusterId, Epoch, GroupId, NodeId};

/// A node, and where it listens for its peers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Address {
    /// Who is meant: whoever else answers there is not spoken to. [`NodeId::NOBODY`] stands for
    /// whoever answers, which only bootstrap calls may ask for.
    pub node: NodeId,
    /// `host:port`. A name is resolved whenever a connection is made.
    pub at: String,
}

/// What is asked of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Whom in the node it concerns.
    pub group: GroupId,
    /// The group's epoch as the caller knows it.
    pub epoch: Epoch,
    /// In the group's own words; at most
    /// [`PEER_BODY_BYTES_MAX`](trandb_common::limits::PEER_BODY_BYTES_MAX) bytes, as the answer.
    pub body: Bytes,
}

/// Sends requests to other nodes.
pub trait Transport: Send + Sync + 'static {
    /// The answer of the node `to`, if it comes before `deadline`.
    ///
    /// Dropping the future gives the call up; it may have arrived all the same.
    fn call(
        &self,
        to: &Address,
        request: Request,
        deadline: Instant,
    ) -> impl Future<Output = Result<Bytes, TransportError>> + Send;
}

/// What a node does with what peers send.
pub trait Handler: Send + Sync + 'static {
    /// The answer to `request` of the node `from`, which is [`NodeId::NOBODY`] only if the group
    /// is [`GroupId::BOOTSTRAP`].
    ///
    /// The future is dropped when the caller's time is over or its connection ends: what must not
    /// be left half done runs in a task of its own. It goes on when the caller alone gives up.
    ///
    /// # Errors
    ///
    /// A refusal promises that nothing was done.
    fn handle(
        &self,
        from: NodeId,
        request: Request,
    ) -> impl Future<Output = Result<Bytes, Refusal>> + Send;
}

/// Why a node did not do what a peer asked. Nothing was done, nor will be.
///
/// The order is that of the wire: the first stays the first in every version of the protocol, so
/// that any two versions can tell each other that they differ; others are added at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// It speaks another version of the protocol.
    #[error("another version of the protocol is spoken here: {here}")]
    WrongVersion {
        /// The version of who refuses.
        here: u16,
    },
    /// It belongs to another cluster: an address in somebody's configuration is wrong.
    #[error("this is a node of another cluster: {here}")]
    WrongCluster {
        /// The cluster of who refuses.
        here: ClusterId,
    },
    /// It is another node than the one that was meant: that one has ended, for good.
    #[error("this is another node: {here}")]
    WrongNode {
        /// Who refuses; nobody while it has no number.
        here: NodeId,
    },
    /// The caller says that it is the node which it calls.
    #[error("the caller claims to be this very node")]
    SameNode,
    /// A caller without a number, or one that does not say whom it means, may only bootstrap.
    #[error("only bootstrap calls may come from nobody or go to nobody in particular")]
    BootstrapOnly,
    /// The node is no member of this group, or not any more.
    #[error("no member of this group")]
    UnknownGroup,
    /// The group is in another epoch.
    #[error("the group is in another epoch: {here}")]
    WrongEpoch {
        /// The epoch as who refuses knows it.
        here: Epoch,
    },
    /// The body is not what the group expects.
    #[error("the request cannot be read")]
    Unreadable,
    /// The node has too much to do for this peer already.
    #[error("too many requests at once")]
    Busy,
    /// The node is ending.
    #[error("the node is shutting down")]
    ShuttingDown,
}

impl Refusal {
    /// Whether a person has to put something right. All else is met whenever nodes come and go.
    pub fn is_misconfiguration(&self) -> bool {
        matches!(
            self,
            Self::WrongVersion { .. } | Self::WrongCluster { .. } | Self::SameNode
        )
    }
}

/// Why a call has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// No connection to the node could be made. For the reason to be read by people.
    #[error("unreachable: {0}")]
    Unreachable(String),
    /// Somebody answered, but does not do it.
    #[error("refused: {0}")]
    Refused(#[from] Refusal),
    /// The deadline is over.
    #[error("no answer in time")]
    TimedOut {
        /// Whether any of it had been sent before.
        sent: bool,
    },
    /// The connection ended when the request had been sent. For the reason to be read by people.
    #[error("the connection ended before the answer: {0}")]
    Disconnected(String),
    /// The node took the request, and has no answer to it: it panicked, or its answer was too large.
    #[error("the node failed to answer")]
    Failed,
    /// The body is larger than any node would take.
    #[error("a body of {bytes} bytes is too large")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// Too much is waiting to be sent to this node, or for its answers.
    #[error("too many calls to this node at once")]
    Overloaded,
    /// This side is shutting down.
    #[error("shutting down")]
    ShuttingDown,
}

impl TransportError {
    /// Whether the node may have done what was asked, or may do it yet. If not, another node may
    /// be asked to do it.
    pub fn may_have_arrived(&self) -> bool {
        match self {
            Self::TimedOut { sent } => *sent,
            Self::Disconnected(_) | Self::Failed => true,
            Self::Unreachable(_)
            | Self::Refused(_)
            | Self::TooLarge { .. }
            | Self::Overloaded
            | Self::ShuttingDown => false,
        }
    }
}
