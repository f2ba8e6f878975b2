//! Who is who in a cluster.

use std::fmt;

use serde::{Deserialize, Serialize};
use trandb_engine::ShardId;

/// One start of one process, for as long as it runs; never used again.
///
/// A process that starts anew has lost its memory, and with it whatever it promised to others: it
/// is somebody else, under a number of its own.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct NodeId(pub u64);

impl NodeId {
    /// Who has not joined a cluster yet, or is not known by number yet.
    pub const NOBODY: Self = Self(0);
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A Raft group: [`SYSTEM`](Self::SYSTEM), or 1 + `s` for the group of shard `s`.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct GroupId(pub u16);

impl GroupId {
    /// The group that knows the nodes and who should hold which shard.
    pub const SYSTEM: Self = Self(0);

    /// No group at all: what nodes say to each other before they know each other's numbers.
    pub const BOOTSTRAP: Self = Self(u16::MAX);

    /// No group at all: what nodes ask each other in the name of their clients. Which group it
    /// concerns stands in the body, so that the group's own messages need no envelope.
    pub const FORWARD: Self = Self(u16::MAX - 1);

    /// The group of a shard.
    pub fn of_shard(shard: ShardId) -> Self {
        Self(shard.0.saturating_add(1))
    }

    /// The shard whose group it is.
    pub fn shard(self) -> Option<ShardId> {
        let is_shard = self < Self::FORWARD;
        self.0.checked_sub(1).filter(|_| is_shard).map(ShardId)
    }
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Of a group: grows with every recovery that was forced because a majority was lost. What belongs
/// to an older epoch is refused for ever.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which cluster: a random number, made when it is founded.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct ClusterId(pub u128);

impl ClusterId {
    /// Of who has neither founded nor joined one yet.
    pub const NONE: Self = Self(0);
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}
