//! How nodes that are nobody yet become the nodes of one cluster.
//!
//! A node knows the addresses of the others from its configuration (*seeds*) and how many it takes
//! to found a cluster. It asks all of them again and again who they are, and then one of these:
//!
//! ```text
//! somebody is a member of a cluster    ──> register there (join)
//! all are here, all are free, and
//!   mine is the first name             ──> propose a founding to the others; each pledges itself
//!     all have pledged                 ──> the cluster is founded
//! I have pledged myself to a founding
//!   somebody is a member of it         ──> so am I
//!   its founder has ended before that  ──> give it up, begin anew
//! ```
//!
//! [`Candidate`] is the machine: pure, one for each process. Who drives it sends what it says and
//! tells what was answered (the module `node`).
//!
//! # One life, one nonce
//!
//! A *life* is known by its [`Nonce`], a random number. A process that starts is a new life; so is
//! a candidate that gives a founding up, since it forgets its pledge and must not be held to it.
//! At a place (a slot, by its name) there is one life at a time: who finds another nonce there than
//! before knows that the earlier life has ended for good.
//!
//! A life is *free* at first. Then it is *pledged* to one founding and never to another, or
//! *member* of one cluster for ever. A founding names its founders by slot and nonce.
//!
//! # Why there is never more than one cluster
//!
//! 1. A cluster is founded only by the first founder of its founding, and only when every life that
//!    the founding names has pledged itself to it, while it was free. Who pledges is no member of
//!    any cluster, and until it gives the pledge up it becomes no member of another.
//! 2. Say that two clusters are founded, F before G, by the same N places. When the founder of G
//!    has all pledges, each of the N places is held, or was held since, by a life that pledged
//!    itself to G. No life pledges itself to both. So every life that F names has ended by then,
//!    and so has every one that joined F later, since it was at one of the places and no member
//!    pledges itself. F has no member left, and with the last of them went its memory: G is not a
//!    second cluster but the next one. (It is not when F has grown beyond the N places: then those
//!    who start there must not be told to found any more, which `docs/cluster.md` asks of people.)
//! 3. That holds whatever is lost, delayed or sent twice: a pledge that is asked of a nonce that
//!    has ended is refused, and a pledge that is answered twice is the same pledge.
//!
//! # Why nothing that was acknowledged is given up
//!
//! A life that is pledged to F has no replicas yet: it has acknowledged nothing. It becomes a
//! member only when a member of F tells it so, in answer to a question of its own. It gives F up
//! only when the founder has ended, and after that, in one round of questions, it finds no member of
//! F, and every founder with a name before its own has ended too or is not pledged to F. Such a
//! question says that F is *doomed*; who has a name behind that of who
//! asks throws away the answers that it is waiting for, so that none of them, from before, makes it
//! a member afterwards. So from then on nobody becomes a member of F any more. If the founder had
//! founded F before it ended, it was alone in it, and no majority has ever had anything (a founding
//! by one node alone needs nobody's pledge and asks nobody).
//!
//! # When it does not go on by itself
//!
//! - A place is silent: nobody founds, since a cluster may be there.
//! - Two places have one name, or not all know each other: nobody founds; who drives it says so.
//! - A founder has founded, and a majority of the others ends before they know: the cluster has
//!   lost its majority before it began. Its founder has to be started again.
//!
//! Tests: below, in a network that loses, delays and repeats, with lives that end.

use std::num::{NonZeroU8, NonZeroU16};

use serde::{Deserialize, Serialize};

use crate::{
    identity::{ClusterId, NodeId},
    system::Description,
};

mod candidate;
#[cfg(test)]
mod tests;

pub use candidate::{Candidate, Next};

/// Which life: a random number, never 0.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Nonce(pub u128);

/// What is the same for the whole life of a cluster, and for all of its replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Charter {
    /// How many shards there are.
    pub shards: NonZeroU16,
    /// How many voters each shard has, where there are as many nodes.
    pub replicas: NonZeroU8,
    /// Of the versions of values: must never have been used before.
    pub version_epoch: u64,
    /// Memory for the outcomes of transactions in one shard, in bytes.
    pub outcome_bytes: u64,
}

/// A life that founds a cluster with others.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Founder {
    /// Which life.
    pub nonce: Nonce,
    /// Where it is.
    pub description: Description,
}

/// How a cluster begins.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Founding {
    /// The cluster: the nonce of the first founder.
    pub cluster: ClusterId,
    /// What is the same for the whole life of the cluster.
    pub charter: Charter,
    /// By the names of their slots. The first is the one who founds.
    pub founders: Vec<Founder>,
}

impl Founding {
    /// Of founders in any order.
    fn new(charter: Charter, mut founders: Vec<Founder>) -> Option<Self> {
        founders.sort_by(|a, b| a.description.slot.cmp(&b.description.slot));
        let cluster = ClusterId(founders.first()?.nonce.0);
        Some(Self {
            cluster,
            charter,
            founders,
        })
    }

    /// The founders with their numbers: from 1, in the order of their slots' names.
    pub fn numbered(&self) -> impl Iterator<Item = (NodeId, &Founder)> {
        (1..).map(NodeId).zip(&self.founders)
    }

    /// The number of the founder with this nonce.
    pub fn number(&self, nonce: Nonce) -> Option<NodeId> {
        let mut all = self.numbered();
        all.find_map(|(node, founder)| (founder.nonce == nonce).then_some(node))
    }

    /// Who founds.
    fn first(&self) -> Option<&Founder> {
        self.founders.first()
    }

    fn is_founded_by(&self, founder: &Founder) -> bool {
        self.first() == Some(founder)
    }

    fn of_slot(&self, slot: &str) -> Option<&Founder> {
        let mut all = self.founders.iter();
        all.find(|founder| founder.description.slot == slot)
    }
}

/// What a node asks another before they know each other's numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Question {
    /// Who are you?
    Who {
        /// Who asks.
        nonce: Nonce,
        /// The place of who asks.
        slot: String,
        /// A founding whose founder has ended, as who asks knows.
        doomed: Option<ClusterId>,
    },
    /// Pledge yourself to this founding.
    Pledge {
        /// Which life is meant.
        to: Nonce,
        /// The founding.
        founding: Founding,
    },
    /// Make me a node of your cluster.
    Register(crate::system::Register),
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// To `Who`, of one who is no member.
    Nobody(Nobody),
    /// To `Who`, of a member.
    Member {
        /// Which life.
        nonce: Nonce,
        /// Its place.
        slot: String,
        /// Of which cluster.
        cluster: ClusterId,
        /// Who is in the slot of who asks, as far as is known.
        occupant: Option<NodeId>,
        /// That was removed, and nobody has come since, as far as is known.
        removed: bool,
    },
    /// To `Pledge`: I have, or am a member of it already.
    Pledged,
    /// To `Pledge`: I have not, and will not.
    Declined,
    /// To `Register`: you are this node of the cluster that began so.
    Welcome {
        /// Which node.
        node: NodeId,
        /// Of which cluster.
        founding: Founding,
    },
    /// To `Register`: somebody else is in your slot.
    Outdated(NodeId),
    /// To `Register`: there are as many nodes as can be.
    Full,
    /// To `Register`: what you say of yourself is beyond its bounds.
    Refused,
    /// To `Register`: you are not reached where you say that you are.
    Unreachable,
    /// To `Register`: ask the leader, who is there.
    Elsewhere(String),
    /// To `Register`: it is not known whether you are. Ask again.
    TryAgain,
}

/// Who is no member yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nobody {
    /// Who it is.
    pub founder: Founder,
    /// How many it takes to found, as it is configured.
    pub expect: usize,
    /// The founding that it has pledged itself to.
    pub pledged: Option<ClusterId>,
}
