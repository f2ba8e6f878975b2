//! What a node knows of itself and the cluster: its own view, which may be old.

use std::{collections::BTreeSet, sync::atomic::Ordering};

use trandb_engine::ShardId;

use crate::{
    group::{Group as _, RaftGroup, Role, StateMachine, Status},
    identity::{Epoch, GroupId, NodeId},
    peer::{Member, network::Network},
    system::{Description, State, System},
};

use super::{EPOCH, Groups, Inner, held::Held};

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
    /// Somebody else has come to its slot, or the slot was removed: it should end.
    pub superseded: bool,
    /// Each of its groups has a leader and none is being changed. Before it is ready for the first
    /// time it is a voter wherever it should be; later it serves while it gets more to hold.
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

/// A group, and this node's replica of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupStatus {
    /// Of which group.
    pub group: GroupId,
    /// Which shard it replicates; none for the system group.
    pub shard: Option<ShardId>,
    /// The group's epoch.
    pub epoch: Epoch,
    /// What the replica does; none: the group is for others to hold, and this node has nothing of it.
    pub role: Option<Role>,
    /// The latest term that it has heard of.
    pub term: u64,
    /// Who leads, as it believes; where it has no replica, who answered last, or who should.
    pub leader: Option<NodeId>,
    /// Who votes, one set, or two while a change is under way.
    pub voters: Vec<BTreeSet<NodeId>>,
    /// How many entries of its log it has not applied.
    pub lag: u64,
    /// At the leader: who lacks how many entries; none for all.
    pub lagging: Vec<(NodeId, Option<u64>)>,
    /// It is a voter, or should be none, there is a leader that a majority follows, as far as is known
    /// here, and no change is under way.
    pub ready: bool,
}

pub(super) fn of<N: Network>(inner: &Inner<N>, groups: &Groups) -> NodeStatus {
    let me = inner.identity.get();
    let silent = inner.silence.nodes();
    let (map_version, slots, is_gone) = groups.map(|map| {
        (
            map.version(),
            slots(map, &silent),
            map.last() >= me.node && map.occupant(me.node).is_none(),
        )
    });
    let mut all = vec![of_system(groups)];
    let shards = (0..).map(ShardId).zip(&groups.shards);
    all.extend(shards.map(|(shard, held)| of_shard(groups, shard, held)));
    let superseded = is_gone || inner.is_unwanted();
    let is_settled = all.iter().all(|group| group.ready);
    if is_settled && !superseded {
        inner.has_settled.store(true, Ordering::Relaxed);
    }
    let has_settled = inner.has_settled.load(Ordering::Relaxed);
    let has_no_vote_yet = |group: &GroupStatus| {
        let votes = group.voters.iter().any(|voters| voters.contains(&me.node));
        has_settled && !votes
    };
    let is_fit = all
        .iter()
        .all(|group| group.ready || has_no_vote_yet(group));
    NodeStatus {
        me,
        map_version,
        slots,
        superseded,
        ready: !superseded && is_fit,
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

fn of_system(groups: &Groups) -> GroupStatus {
    let should_vote = |map: &System| map.system().voters.contains(&groups.node);
    let should_vote = groups.map(should_vote);
    of_replica(GroupId::SYSTEM, &groups.system, should_vote)
}

fn of_shard(groups: &Groups, shard: ShardId, held: &Held) -> GroupStatus {
    let replica = held.group();
    if groups.should_hold(shard) || replica.has_anything() {
        return of_replica(GroupId::of_shard(shard), &replica, true);
    }
    let placement = groups.map(|map| map.placement(shard).cloned());
    let answers = held.answers().map(|answers| answers.node);
    GroupStatus {
        group: GroupId::of_shard(shard),
        shard: Some(shard),
        epoch: EPOCH,
        role: None,
        term: 0,
        leader: answers.or_else(|| Some(placement.as_ref()?.leader)),
        voters: placement.into_iter().map(|one| one.voters).collect(),
        lag: 0,
        lagging: Vec::new(),
        ready: true,
    }
}

fn of_replica<S: StateMachine>(
    group: GroupId,
    replica: &RaftGroup<S>,
    should_vote: bool,
) -> GroupStatus {
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
        role: Some(status.role),
        term: status.term,
        leader: status.leader,
        lag: behind(applied),
        lagging: status
            .replicated
            .iter()
            .map(|(node, has)| (*node, has.map(|has| behind(Some(has)))))
            .collect(),
        ready: is_ready(&status, should_vote),
        voters: status.membership.voters,
    }
}

/// A uniform membership to which it belongs is in force, in which it votes if it should, and a leader
/// is there.
fn is_ready(status: &Status, should_vote: bool) -> bool {
    let membership = &status.membership;
    let in_force = membership.position.is_some_and(|position| {
        status
            .applied
            .is_some_and(|applied| applied.index >= position.index)
    });
    let belongs = if should_vote {
        membership.is_voter(status.node)
    } else {
        membership.members.contains_key(&status.node)
    };
    status.leader.is_some()
        && (status.role != Role::Leader || status.followed)
        && belongs
        && !membership.is_joint()
        && in_force
}
