//! What openraft is told about our types.

use std::{cmp::Ordering, fmt, marker::PhantomData, sync::Arc};

use openraft::{
    RaftTypeConfig,
    impls::{
        BoxedErrorSource, Entry, EntryPayload, InlineBatch, OneshotResponder, Vote, leader_id_std,
    },
    vote::RaftLeaderId,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    group::{Position, StateMachine},
    identity::NodeId,
};

/// The runtime of a group's tasks. In the simulator its random numbers come from a seed.
#[cfg(not(simulation))]
pub(super) type Runtime = openraft_rt_tokio::TokioRuntime;
#[cfg(simulation)]
pub(super) type Runtime =
    openraft_rt::deterministic_rng::DeterministicRng<openraft_rt_tokio::TokioRuntime>;

/// Chooses the types of openraft for the state machine `S`. One leader a term, as Raft says.
pub(super) struct Types<S>(PhantomData<fn() -> S>);

impl<S: StateMachine> RaftTypeConfig for Types<S> {
    type D = Proposal<S::Command>;
    /// None for entries without a command.
    type R = Option<S::Reply>;
    type NodeId = NodeId;
    /// Where it listens.
    type Node = String;
    type Term = u64;
    type LeaderId = leader_id_std::LeaderId<u64, NodeId>;
    type Vote = Vote<Self::LeaderId>;
    type Payload = EntryPayload<Self::D, NodeId, String>;
    type Entry = Entry<LeaderTerm, Self::Payload>;
    type AsyncRuntime = Runtime;
    type Responder<T>
        = OneshotResponder<Self, T>
    where
        T: Send + 'static;
    type Batch<T>
        = InlineBatch<T>
    where
        T: Send + 'static;
    type ErrorSource = BoxedErrorSource;
}

/// What a leader is known by in the log.
type LeaderTerm = <leader_id_std::LeaderId<u64, NodeId> as RaftLeaderId>::Committed;

pub(super) type EntryOf<S> = <Types<S> as RaftTypeConfig>::Entry;
pub(super) type LogId = openraft::LogId<LeaderTerm>;
pub(super) type VoteOf = Vote<leader_id_std::LeaderId<u64, NodeId>>;
pub(super) type StoredMembership = openraft::StoredMembership<LeaderTerm, NodeId, String>;
pub(super) type SnapshotMeta = openraft::SnapshotMeta<LeaderTerm, NodeId, String>;

/// A state, or only the place in the log where it could be had.
pub(super) type Snapshot<S> = openraft::Snapshot<LeaderTerm, NodeId, String, Option<S>>;

pub(super) fn position(id: &LogId) -> Position {
    Position {
        term: id.committed_leader_id().term,
        index: id.index(),
    }
}

pub(super) fn log_id(position: Position) -> LogId {
    LogId::new(LeaderTerm::new(position.term), position.index)
}

/// A command in the log. Entries are cloned for every follower and for applying; the command is
/// shared.
#[derive(Debug)]
pub(super) struct Proposal<C>(pub(super) Arc<C>);

impl<C> Clone for Proposal<C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<C: fmt::Debug> fmt::Display for Proposal<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<C: Serialize> Serialize for Proposal<C> {
    fn serialize<Z: Serializer>(&self, serializer: Z) -> Result<Z::Ok, Z::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, C: Deserialize<'de>> Deserialize<'de> for Proposal<C> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        C::deserialize(deserializer).map(|command| Self(Arc::new(command)))
    }
}

// openraft asks for all of these of a type that has no values; derived, they would ask the same
// of `S`.

impl<S> fmt::Debug for Types<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Types")
    }
}

impl<S> Clone for Types<S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for Types<S> {}

impl<S> Default for Types<S> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<S> PartialEq for Types<S> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl<S> Eq for Types<S> {}

impl<S> PartialOrd for Types<S> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<S> Ord for Types<S> {
    fn cmp(&self, _: &Self) -> Ordering {
        Ordering::Equal
    }
}
