//! The system group: who the nodes are, and who should hold which shard.
//!
//! A pure state machine, replicated as group [`GroupId::SYSTEM`](crate::identity::GroupId::SYSTEM)
//! by all nodes, so that each has the [map](System) of a moment ago at hand.
//!
//! A node belongs to a *slot*, which is a configured name: the place. Slots are those of the
//! founders, for the life of the cluster. Who starts anew in a slot gets a number of its own and
//! supersedes whoever was there before.
//!
//! | command | slot unknown | nonce is the occupant's | occupant is another than expected | otherwise |
//! |---|---|---|---|---|
//! | `Register` | `UnknownSlot` | `Registered`, nothing changes | `Outdated` | a new number; the predecessor is dead |
//! | `Left` | | | nothing changes | the occupant has left |
//!
//! # Invariants
//!
//! - A number is given to one start of one process, and never again.
//! - A start that registers twice has one number, as long as nobody supersedes it.
//! - What a start asked, and was delayed until somebody else was in its slot, changes nothing: the
//!   command names whom it supersedes.
//! - Every shard's desired voters are the occupants of slots, one per slot.
//! - The version grows with each change.
//! - The state is bounded: by the number of slots, and [`PREDECESSORS_MAX`] for each.
//!
//! What is not here: who votes in fact. That is each group's own membership; a reconciler at its
//! leader makes it what is desired.
//!
//! Tests: below.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU16,
};

use serde::{Deserialize, Serialize};
use trandb_engine::ShardId;

use crate::{
    founding::{Founding, Nonce},
    group::StateMachine,
    identity::{Epoch, NodeId},
};

#[cfg(test)]
mod tests;

/// How many predecessors of an occupant are remembered: those that may still be members of groups.
pub const PREDECESSORS_MAX: usize = 64;

/// Longest text of a node's description: a name, an address or a zone, in bytes.
pub const TEXT_BYTES_MAX: usize = 256;

/// The epoch of every group, since none was ever recovered by force.
const FIRST_EPOCH: Epoch = Epoch(1);

/// How a node describes itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Description {
    /// The configured name of its place.
    pub slot: String,
    /// Where its peers reach it, `host:port`.
    pub at: String,
    /// Where clients reach it, as they are told.
    pub client_at: String,
    /// What it shares its fate with; empty if nobody says.
    pub zone: String,
}

impl Description {
    /// Whether all of it is within its bounds.
    pub fn is_legal(&self) -> bool {
        let all = [&self.slot, &self.at, &self.client_at, &self.zone];
        !self.slot.is_empty() && all.iter().all(|text| text.len() <= TEXT_BYTES_MAX)
    }
}

/// What changes the map.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Command {
    /// A process has started and asks for a number.
    Register(Register),
    /// A node is about to end, as planned.
    Left {
        /// Which.
        node: NodeId,
    },
}

/// A process has started and asks for a number.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Register {
    /// Which start.
    pub nonce: Nonce,
    /// The occupant of its slot, as it has heard.
    pub supersedes: NodeId,
    /// Where it is.
    pub description: Description,
}

/// What a command did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Reply {
    /// The process is this node.
    Registered(NodeId),
    /// Nothing changed: this is the occupant of the slot.
    Outdated(NodeId),
    /// Nothing changed: the cluster was founded without such a slot.
    UnknownSlot,
    /// Nothing changed: the description is beyond its bounds.
    Illegal,
    /// It is done, or somebody else is in the slot already.
    Noted,
}

/// Whether a slot's occupant runs, as far as it has said so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum State {
    /// It has registered.
    Up,
    /// It has ended as planned.
    Left,
}

/// Who is in a slot.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Occupant {
    /// Its number.
    pub node: NodeId,
    /// Which start it is.
    pub nonce: Nonce,
    /// Where it is.
    pub description: Description,
    /// Whether it runs.
    pub state: State,
    /// Who was here before, all of them dead. The latest [`PREDECESSORS_MAX`].
    pub predecessors: BTreeSet<NodeId>,
}

/// Who should hold a shard.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Placement {
    /// Of its group.
    pub epoch: Epoch,
    /// Who should vote.
    pub voters: BTreeSet<NodeId>,
}

/// The map.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct System {
    founding: Founding,
    version: u64,
    /// The highest number that was given.
    last: NodeId,
    slots: BTreeMap<String, Occupant>,
    placements: Vec<Placement>,
}

impl System {
    /// The map of a cluster that was founded just now: the founders have the numbers from 1, in
    /// the order of their slots' names.
    pub fn new(founding: &Founding) -> Self {
        let occupant = |(node, founder): (NodeId, &crate::founding::Founder)| {
            let description = founder.description.clone();
            let occupant = Occupant {
                node,
                nonce: founder.nonce,
                description: description.clone(),
                state: State::Up,
                predecessors: BTreeSet::new(),
            };
            (description.slot, occupant)
        };
        let slots: BTreeMap<String, Occupant> = founding.numbered().map(occupant).collect();
        let placement = Placement {
            epoch: FIRST_EPOCH,
            voters: slots.values().map(|occupant| occupant.node).collect(),
        };
        Self {
            version: 1,
            last: NodeId(slots.len() as u64),
            slots,
            placements: vec![placement; usize::from(founding.charter.shards.get())],
            founding: founding.clone(),
        }
    }

    /// How the cluster began.
    pub fn founding(&self) -> &Founding {
        &self.founding
    }

    /// How many shards there are, for the life of the cluster.
    pub fn shards(&self) -> NonZeroU16 {
        self.founding.charter.shards
    }

    /// Grows with each change.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The highest number that was given.
    pub fn last(&self) -> NodeId {
        self.last
    }

    /// The slots with their occupants, by name.
    pub fn slots(&self) -> &BTreeMap<String, Occupant> {
        &self.slots
    }

    /// Who should hold `shard`; none if there is no such shard.
    pub fn placement(&self, shard: ShardId) -> Option<&Placement> {
        self.placements.get(usize::from(shard.0))
    }

    /// Who should vote in the system group: all.
    pub fn voters(&self) -> BTreeSet<NodeId> {
        self.slots.values().map(|occupant| occupant.node).collect()
    }

    /// The slot's occupant, by its number.
    pub fn occupant(&self, node: NodeId) -> Option<&Occupant> {
        self.slots.values().find(|occupant| occupant.node == node)
    }

    fn register(&mut self, register: &Register) -> Reply {
        if !register.description.is_legal() {
            return Reply::Illegal;
        }
        let Some(occupant) = self.slots.get_mut(&register.description.slot) else {
            return Reply::UnknownSlot;
        };
        if occupant.nonce == register.nonce {
            return Reply::Registered(occupant.node);
        }
        if occupant.node != register.supersedes {
            return Reply::Outdated(occupant.node);
        }
        let dead = occupant.node;
        self.last = NodeId(self.last.0 + 1);
        occupant.node = self.last;
        occupant.nonce = register.nonce;
        occupant.description = register.description.clone();
        occupant.state = State::Up;
        occupant.predecessors.insert(dead);
        if occupant.predecessors.len() > PREDECESSORS_MAX {
            occupant.predecessors.pop_first();
        }
        for placement in &mut self.placements {
            if placement.voters.remove(&dead) {
                placement.voters.insert(self.last);
            }
        }
        self.version += 1;
        Reply::Registered(self.last)
    }

    fn left(&mut self, node: NodeId) -> Reply {
        let occupant = self.slots.values_mut().find(|one| one.node == node);
        if let Some(occupant) = occupant.filter(|occupant| occupant.state != State::Left) {
            occupant.state = State::Left;
            self.version += 1;
        }
        Reply::Noted
    }
}

impl StateMachine for System {
    type Command = Command;
    type Reply = Reply;
    type InvalidSnapshot = postcard::Error;

    fn apply(&mut self, command: &Command) -> Reply {
        match command {
            Command::Register(register) => self.register(register),
            Command::Left { node } => self.left(*node),
        }
    }

    fn command_bytes(command: &Command) -> usize {
        /// What a command takes beside its texts.
        const COMMAND_BYTES: usize = 256;
        match command {
            Command::Register(Register { description, .. }) => {
                let Description {
                    slot,
                    at,
                    client_at,
                    zone,
                } = description;
                COMMAND_BYTES + slot.len() + at.len() + client_at.len() + zone.len()
            }
            Command::Left { .. } => COMMAND_BYTES,
        }
    }

    fn snapshot(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("memory takes everything")
    }

    fn restore(bytes: &[u8]) -> Result<Self, postcard::Error> {
        postcard::from_bytes(bytes)
    }
}
