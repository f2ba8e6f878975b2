//! What a replica knows about its group.

use std::collections::{BTreeMap, BTreeSet};

use crate::{identity::NodeId, transport::Address};

use super::LAG_MAX;

/// What a replica does in its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Receives entries, and has no vote.
    Learner,
    /// Has a vote.
    Follower,
    /// Asks for votes.
    Candidate,
    /// Orders the commands.
    Leader,
    /// Has ended.
    Stopped,
}

/// A place in the log. Two logs with an entry of one term at one index are equal up to there.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct Position {
    /// In which its leader led.
    pub term: u64,
    /// From 0.
    pub index: u64,
}

/// Who belongs to a group.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Membership {
    /// The entry that says so; none before the group is founded.
    pub position: Option<Position>,
    /// A majority of each set is needed: one set, or two while a change is under way.
    pub voters: Vec<BTreeSet<NodeId>>,
    /// All members, learners included, and where they listen.
    pub members: BTreeMap<NodeId, String>,
}

impl Membership {
    /// Whether a change is under way.
    pub fn is_joint(&self) -> bool {
        self.voters.len() > 1
    }

    /// Whether `node` has a vote.
    pub fn is_voter(&self, node: NodeId) -> bool {
        self.voters.iter().any(|voters| voters.contains(&node))
    }

    /// Where `node` is, if it is a member.
    pub fn address(&self, node: NodeId) -> Option<Address> {
        let at = self.members.get(&node)?.clone();
        Some(Address { node, at })
    }
}

/// What a replica knows about its group at this moment: its own view, which may be old.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Status {
    /// Whose view.
    pub node: NodeId,
    /// The latest term that it has heard of.
    pub term: u64,
    /// What it does.
    pub role: Role,
    /// Who leads, as it believes.
    pub leader: Option<NodeId>,
    /// At the leader: whether a majority has followed it within the last second or so.
    pub followed: bool,
    /// The last entry of its log, by index.
    pub last: Option<u64>,
    /// The last entry that it has applied.
    pub applied: Option<Position>,
    /// The last entry that it has dropped from its log.
    pub purged: Option<Position>,
    /// The latest membership in its log.
    pub membership: Membership,
    /// Whether a majority is known to have the entry of that membership.
    pub membership_committed: bool,
    /// At the leader: up to which index others are known to have the log.
    pub replicated: BTreeMap<NodeId, Option<u64>>,
    /// The entries of its log, in bytes.
    pub log_bytes: usize,
}

impl Status {
    /// At the leader: whether `node` has a vote and lacks little.
    pub fn could_lead(&self, node: NodeId) -> bool {
        let has = self.replicated.get(&node).copied().flatten();
        let lag = has
            .zip(self.last)
            .map(|(has, last)| last.saturating_sub(has));
        self.membership.is_voter(node) && lag.is_some_and(|lag| lag <= LAG_MAX)
    }

    /// At the leader: who of the other voters, among those that `may`, lacks least.
    pub fn next_leader(&self, may: impl Fn(NodeId) -> bool) -> Option<NodeId> {
        let voters = self.membership.voters.iter().flatten().copied();
        let others = voters.filter(|voter| *voter != self.node && may(*voter));
        others.max_by_key(|voter| self.replicated.get(voter).copied().flatten())
    }
}
