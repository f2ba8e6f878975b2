//! The system group: who the nodes are, and who should hold which shard.
//!
//! A pure state machine, replicated as group [`GroupId::SYSTEM`](crate::identity::GroupId::SYSTEM)
//! by all nodes, so that each has the [map](System) of a moment ago at hand.
//!
//! A node belongs to a *slot*, which is a configured name: the place. The founders bring the first
//! slots, and whoever registers under a new name another one, until it is removed. Who starts anew in
//! a slot gets a number of its own and supersedes whoever was there before.
//!
//! | command | slot unknown | nonce is the occupant's | occupant is another than expected | otherwise |
//! |---|---|---|---|---|
//! | `Register` | a new slot, or `Full` | `Registered`, nothing changes | `Outdated` | a new number; the predecessor is dead |
//! | `Left` | | | nothing changes | the occupant has left |
//! | `Remove` | | | nothing changes | `Removed`: the slot is gone; `LastMember` if it is the only one |
//!
//! With every change the groups are placed anew, as `placement` says: as few moves as lead to groups
//! that have all their voters, in as many zones as can be, about equally many at each node.
//!
//! # Invariants
//!
//! - A number is given to one start of one process, and never again.
//! - A start that registers twice has one number, as long as nobody supersedes it.
//! - What a start asked, and was delayed until somebody else was in its slot or its slot was removed,
//!   changes nothing: the command names whom it supersedes.
//! - Every group's desired voters are occupants of slots, as many as its charter says or as there are.
//! - The version grows with each change.
//! - The state is bounded: by [`SLOTS_MAX`], [`PREDECESSORS_MAX`] for each, and [`REMOVED_MAX`].
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
    transport::Address,
};

mod placement;
#[cfg(test)]
mod tests;

use placement::Place;

/// Most slots of a cluster.
pub const SLOTS_MAX: usize = 64;

/// How many slots that were removed are remembered, so that what is late cannot bring them back.
pub const REMOVED_MAX: usize = 64;

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
    /// A node is to be a member no longer, and what it holds is to be held by others.
    Remove {
        /// Which: with another number the slot has another occupant by now.
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
    /// Nothing changed: this is the occupant of the slot, or the last one if it was removed.
    Outdated(NodeId),
    /// Nothing changed: there are [`SLOTS_MAX`] slots.
    Full,
    /// Nothing changed: nobody would be left.
    LastMember,
    /// Nothing changed: the description is beyond its bounds.
    Illegal,
    /// The slot is gone.
    Removed,
    /// It is done, or somebody else is in the slot already, or it is gone.
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

/// Who should hold a group.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Placement {
    /// Of the group.
    pub epoch: Epoch,
    /// Who should vote.
    pub voters: BTreeSet<NodeId>,
    /// Which of them should lead, if it can.
    pub leader: NodeId,
}

/// Who is in a slot, as somebody who comes to it has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tenant {
    /// The occupant; the last one, if the slot was removed.
    pub node: NodeId,
    /// It was removed.
    pub removed: bool,
}

/// The map.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct System {
    founding: Founding,
    version: u64,
    /// The highest number that was given.
    last: NodeId,
    slots: BTreeMap<String, Occupant>,
    /// The last occupants of slots that were removed. The latest [`REMOVED_MAX`].
    removed: BTreeMap<String, NodeId>,
    /// Of the system group itself.
    members: Placement,
    shards: Vec<Placement>,
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
            leader: NodeId::NOBODY,
        };
        let mut map = Self {
            version: 1,
            last: NodeId(slots.len() as u64),
            slots,
            removed: BTreeMap::new(),
            members: placement.clone(),
            shards: vec![placement; usize::from(founding.charter.shards.get())],
            founding: founding.clone(),
        };
        map.place_groups();
        map
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
        self.shards.get(usize::from(shard.0))
    }

    /// Who should hold the system group. All others are its learners.
    pub fn system(&self) -> &Placement {
        &self.members
    }

    /// Where the voters of `shard` should be, the one who should lead first.
    pub fn voters_of(&self, shard: ShardId) -> Vec<Address> {
        let Some(placement) = self.placement(shard) else {
            return Vec::new();
        };
        let occupants = self.slots.values();
        let voters = occupants.filter(|occupant| placement.voters.contains(&occupant.node));
        let mut voters: Vec<Address> = voters
            .map(|occupant| Address {
                node: occupant.node,
                at: occupant.description.at.clone(),
            })
            .collect();
        voters.sort_by_key(|voter| voter.node != placement.leader);
        voters
    }

    /// All members.
    pub fn members(&self) -> BTreeSet<NodeId> {
        self.slots.values().map(|occupant| occupant.node).collect()
    }

    /// Who is in a slot; none: nobody is, and nobody was removed from it that is remembered.
    pub fn tenant(&self, slot: &str) -> Option<Tenant> {
        if let Some(occupant) = self.slots.get(slot) {
            let node = occupant.node;
            return Some(Tenant {
                node,
                removed: false,
            });
        }
        let node = *self.removed.get(slot)?;
        Some(Tenant {
            node,
            removed: true,
        })
    }

    /// The slot's occupant, by its number.
    pub fn occupant(&self, node: NodeId) -> Option<&Occupant> {
        self.slots.values().find(|occupant| occupant.node == node)
    }

    fn register(&mut self, register: &Register) -> Reply {
        let Register {
            nonce,
            supersedes,
            description,
        } = register;
        if !description.is_legal() {
            return Reply::Illegal;
        }
        let slot = &description.slot;
        match self.slots.get(slot) {
            Some(occupant) if occupant.nonce == *nonce => return Reply::Registered(occupant.node),
            None if self.slots.len() >= SLOTS_MAX => return Reply::Full,
            _ => {}
        }
        let before = self
            .tenant(slot)
            .map_or(NodeId::NOBODY, |tenant| tenant.node);
        if before != *supersedes {
            return Reply::Outdated(before);
        }
        self.last = NodeId(self.last.0 + 1);
        let mut occupant = Occupant {
            node: self.last,
            nonce: *nonce,
            description: description.clone(),
            state: State::Up,
            predecessors: BTreeSet::new(),
        };
        if let Some(dead) = self.slots.remove(slot) {
            occupant.predecessors = dead.predecessors;
            occupant.predecessors.insert(dead.node);
            if occupant.predecessors.len() > PREDECESSORS_MAX {
                occupant.predecessors.pop_first();
            }
            // Where its predecessor was, and nobody moves.
            for placement in std::iter::once(&mut self.members).chain(&mut self.shards) {
                if placement.voters.remove(&dead.node) {
                    placement.voters.insert(self.last);
                }
            }
        }
        self.removed.remove(slot);
        self.slots.insert(slot.clone(), occupant);
        self.place_groups();
        self.version += 1;
        Reply::Registered(self.last)
    }

    fn left(&mut self, node: NodeId) -> Reply {
        let occupant = self.slots.values_mut().find(|one| one.node == node);
        if let Some(occupant) = occupant.filter(|occupant| occupant.state != State::Left) {
            occupant.state = State::Left;
            self.place_groups();
            self.version += 1;
        }
        Reply::Noted
    }

    fn remove(&mut self, node: NodeId) -> Reply {
        let mut slots = self.slots.iter();
        let slot = slots.find(|(_, one)| one.node == node);
        let Some(slot) = slot.map(|(slot, _)| slot.clone()) else {
            return Reply::Noted;
        };
        if self.slots.len() == 1 {
            return Reply::LastMember;
        }
        self.slots.remove(&slot);
        self.removed.insert(slot, node);
        if self.removed.len() > REMOVED_MAX {
            let earliest = self.removed.iter().min_by_key(|(_, node)| **node);
            if let Some(earliest) = earliest.map(|(slot, _)| slot.clone()) {
                self.removed.remove(&earliest);
            }
        }
        self.place_groups();
        self.version += 1;
        Reply::Removed
    }

    fn place_groups(&mut self) {
        let places: Vec<Place<'_>> = self
            .slots
            .values()
            .map(|occupant| Place {
                node: occupant.node,
                zone: &occupant.description.zone,
                is_up: occupant.state == State::Up,
            })
            .collect();
        let system_voters = if places.len() < 5 { 3 } else { 5 };
        placement::spread(&mut [&mut self.members.voters], &places, system_voters);
        let replicas = usize::from(self.founding.charter.replicas.get());
        let mut shards: Vec<_> = self.shards.iter_mut().map(|one| &mut one.voters).collect();
        placement::spread(&mut shards, &places, replicas);
        let all = std::iter::once(&self.members).chain(&self.shards);
        let leaders = placement::leaders(all.map(|one| &one.voters), &places);
        let all = std::iter::once(&mut self.members).chain(&mut self.shards);
        for (placement, leader) in all.zip(leaders) {
            placement.leader = leader;
        }
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
            Command::Remove { node } => self.remove(*node),
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
            Command::Left { .. } | Command::Remove { .. } => COMMAND_BYTES,
        }
    }

    fn snapshot(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("memory takes everything")
    }

    fn restore(bytes: &[u8]) -> Result<Self, postcard::Error> {
        postcard::from_bytes(bytes)
    }
}
