//! What a node knows of itself and the cluster: its own view, which may be old.

use std::collections::BTreeSet;

use trandb_engine::ShardId;

use crate::{
    group::{Group as _, RaftGroup, Role, StateMachine, Status},
    identity::{Epoch, GroupId, NodeId},
    peer::Member,
    system::{Description, State, System},
};

use super::{EPOCH, Groups};

/// A node and its cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeStatus {
    /// Who it is.
    pub me: Member,
    /// Of the map below; grows with each change.
    pub map_version: u64,
    /// The slots with their occupants, by name.
    pub slots: Vec<SlotStatus>,
    /// Its replicas: the system group, then the shards.
    pub groups: Vec<GroupStatus>,
    /// Somebody else has come to its slot: it is a member no longer than until it is replaced, and
    /// should end.
    pub superseded: bool,
    /// It is a voter in all of its groups, each has a leader, and none is being changed.
    pub ready: bool,
}

/// Who is in a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotStatus {
    /// Its number.
    pub node: NodeId,
    /// Where it is.
    pub description: Description,
    /// Whether it runs, as far as it has said so.
    pub state: State,
    /// It has not answered this node for some seconds.
    pub silent: bool,
}

/// A replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupStatus {
    /// Of which group.
    pub group: GroupId,
    /// Which shard it replicates; none for the system group.
    pub shard: Option<ShardId>,
    /// The group's epoch.
    pub epoch: Epoch,
    /// What the replica does.
    pub role: Role,
    /// The latest term that it has heard of.
    pub term: u64,
    /// Who leads, as it believes.
    pub leader: Option<NodeId>,
    /// Who votes, one set, or two while a change is under way.
    pub voters: Vec<BTreeSet<NodeId>>,
    /// How many entries of its log it has not applied.
    pub lag: u64,
    /// At the leader: who lacks how many entries; none for all.
    pub lagging: Vec<(NodeId, Option<u64>)>,
    /// It is a voter, there is a leader that a majority follows, as far as is known here, and no
    /// change is under way.
    pub ready: bool,
}

pub(super) fn of(
    groups: &Groups,
    me: Member,
    superseded: bool,
    silent: &BTreeSet<NodeId>,
) -> NodeStatus {
    let mut all = vec![one(GroupId::SYSTEM, &groups.system)];
    let shards = (0..).map(ShardId).zip(&groups.shards);
    all.extend(shards.map(|(shard, group)| one(GroupId::of_shard(shard), group)));
    let (map_version, slots, knows) = groups.system.read_with(|map| {
        (
            map.version(),
            slots(map, silent),
            map.last() >= me.node && map.occupant(me.node).is_none(),
        )
    });
    let superseded = superseded || knows;
    NodeStatus {
        me,
        map_version,
        slots,
        superseded,
        ready: !superseded && all.iter().all(|group| group.ready),
        groups: all,
    }
}

fn slots(map: &System, silent: &BTreeSet<NodeId>) -> Vec<SlotStatus> {
    let slots = map.slots().values().map(|occupant| SlotStatus {
        node: occupant.node,
        description: occupant.description.clone(),
        state: occupant.state,
        silent: silent.contains(&occupant.node),
    });
    slots.collect()
}

fn one<S: StateMachine>(group: GroupId, replica: &RaftGroup<S>) -> GroupStatus {
    let status = replica.status();
    let applied = status.applied.map(|at| at.index);
    let behind = |has: Option<u64>| {
        let last = status.last.map_or(0, |last| last + 1);
        last.saturating_sub(has.map_or(0, |has| has + 1))
    };
    GroupStatus {
        group,
        shard: group.shard(),
        epoch: EPOCH,
        role: status.role,
        term: status.term,
        leader: status.leader,
        lag: behind(applied),
        lagging: status
            .replicated
            .iter()
            .map(|(node, has)| (*node, has.map(|has| behind(Some(has)))))
            .collect(),
        ready: is_ready(&status),
        voters: status.membership.voters,
    }
}

/// A uniform membership in which it votes is in force, and a leader is there.
fn is_ready(status: &Status) -> bool {
    let membership = &status.membership;
    let in_force = membership.position.is_some_and(|position| {
        status
            .applied
            .is_some_and(|applied| applied.index >= position.index)
    });
    status.leader.is_some()
        && (status.role != Role::Leader || status.followed)
        && membership.is_voter(status.node)
        && !membership.is_joint()
        && in_force
}
