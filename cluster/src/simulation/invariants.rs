//! What must hold of nodes after every tick, and when nothing is in their way any more.

use std::collections::{BTreeMap, BTreeSet};

use trandb_engine::{Shard, ShardId};

use crate::{
    group::{Position, Role, Status},
    identity::{ClusterId, GroupId, NodeId},
    node::{GroupStatus, Node, NodeStatus},
    peer::network::Network,
    system::System,
};

/// Replicas that have applied the same index are equal, and so were their logs up to there: the
/// state after each index, by the first replica that was seen there.
#[derive(Debug, Default)]
pub struct Digests(BTreeMap<u64, (Position, u64, NodeId)>);

impl Digests {
    /// Looks at a replica that has applied up to `at`.
    ///
    /// # Errors
    ///
    /// Another one was different there.
    pub fn look(&mut self, node: NodeId, at: Position, digest: u64) -> Result<(), String> {
        let seen = (at, digest, node);
        let first = *self.0.entry(at.index).or_insert(seen);
        if (first.0, first.1) == (at, digest) {
            return Ok(());
        }
        Err(format!(
            "replicas differ at index {}: {} had term {} and digest {:016x}, {node} has term {} \
             and digest {digest:016x}",
            at.index, first.2, first.0.term, first.1, at.term
        ))
    }

    /// The digest after an index; 0 if nobody was seen there.
    pub fn of(&self, index: u64) -> u64 {
        self.0.get(&index).map_or(0, |(_, digest, _)| *digest)
    }
}

/// At most one leader a term.
#[derive(Debug, Default)]
pub struct Leaders(BTreeMap<(GroupId, u64), NodeId>);

impl Leaders {
    /// Looks at who leads `group` in `term`: whether it is seen for the first time.
    ///
    /// # Errors
    ///
    /// Another one leads in this term too.
    pub fn look(&mut self, group: GroupId, term: u64, leader: NodeId) -> Result<bool, String> {
        match self.0.insert((group, term), leader) {
            Some(other) if other != leader => Err(format!(
                "two leaders of group {group} in term {term}: {other} and {leader}"
            )),
            other => Ok(other.is_none()),
        }
    }
}

/// What a tick has brought.
#[derive(Debug, Default)]
pub struct News {
    /// Lives that have become members, in words.
    pub members: Vec<String>,
    /// Leaders that were not there before.
    pub elections: usize,
    /// Replicas that were sent a snapshot.
    pub snapshots: usize,
}

/// What must hold of all nodes together, and what is remembered for that from tick to tick.
#[derive(Debug, Default)]
pub struct Invariants {
    clusters: BTreeSet<ClusterId>,
    /// Which life has which number.
    numbers: BTreeMap<NodeId, u64>,
    leaders: Leaders,
    digests: BTreeMap<ShardId, Digests>,
    looked_at: BTreeMap<(NodeId, ShardId), (Option<Position>, Option<u64>)>,
}

impl Invariants {
    /// Looks at the nodes that live, each with its host and with which life it is; `look` is shown
    /// each replica that has applied something new.
    ///
    /// # Errors
    ///
    /// Something that must hold does not.
    pub fn after_tick<'a, N: Network>(
        &mut self,
        nodes: impl Iterator<Item = (usize, u64, &'a Node<N>)>,
        mut look: impl FnMut(NodeId, &Shard) -> Result<(), String>,
    ) -> Result<News, String> {
        let mut news = News::default();
        for (host, life, node) in nodes {
            let Some(status) = node.status() else {
                continue;
            };
            self.clusters.insert(status.me.cluster);
            if self.clusters.len() > 1 {
                return Err(format!("more than one cluster: {:?}", self.clusters));
            }
            let me = status.me.node;
            let known = self.numbers.len();
            if *self.numbers.entry(me).or_insert(life) != life {
                return Err(format!("two lives are node {me}"));
            }
            if self.numbers.len() > known {
                let member = format!("host {host}, life {life}, is node {me}");
                news.members.push(member);
            }
            for group in &status.groups {
                if group.role == Some(Role::Leader) {
                    let is_new = self.leaders.look(group.group, group.term, me)?;
                    news.elections += usize::from(is_new);
                }
                if let Some(shard) = group.shard {
                    let looked = node.replica(shard, |status, state| {
                        self.look_at_replica((me, shard), status, state, &mut look)
                    });
                    news.snapshots += usize::from(looked.unwrap_or(Ok(false))?);
                }
            }
        }
        Ok(news)
    }

    /// Whether it was sent a snapshot.
    fn look_at_replica(
        &mut self,
        (me, shard): (NodeId, ShardId),
        status: &Status,
        state: &Shard,
        look: &mut impl FnMut(NodeId, &Shard) -> Result<(), String>,
    ) -> Result<bool, String> {
        let now = (status.applied, status.last);
        let before = self.looked_at.insert((me, shard), now);
        let (had_applied, had) = before.unwrap_or_default();
        // Only a snapshot takes a replica over more than its log has.
        let purged = status.purged.map(|purged| purged.index);
        let by_snapshot = purged.is_some_and(|purged| had.is_none_or(|had| purged > had));
        if let Some(applied) = status.applied.filter(|_| status.applied != had_applied) {
            let digests = self.digests.entry(shard).or_default();
            digests.look(me, applied, state.digest())?;
            look(me, state)?;
        }
        Ok(by_snapshot)
    }
}

fn statuses<'a, N: Network>(
    nodes: impl Iterator<Item = (usize, &'a Node<N>)>,
) -> impl Iterator<Item = (usize, &'a Node<N>, NodeStatus)> {
    nodes.filter_map(|(host, node)| Some((host, node, node.status()?)))
}

/// The host that leads `shard`, in the latest term in which anybody does.
pub fn leader_host<'a, N: Network>(
    nodes: impl Iterator<Item = (usize, &'a Node<N>)>,
    shard: ShardId,
) -> Option<usize> {
    let leads = statuses(nodes).filter_map(|(host, _, status)| {
        let of_it = |group: &&GroupStatus| group.shard == Some(shard);
        let group = status.groups.iter().find(of_it)?;
        (group.role == Some(Role::Leader)).then_some((group.term, host))
    });
    leads.max().map(|(_, host)| host)
}

/// What is still apart in who votes where; none: all `hosts` are ready, and who should vote does.
pub fn apart_but_for_equality<'a, N: Network>(
    nodes: impl Iterator<Item = (usize, &'a Node<N>)> + Clone,
    hosts: usize,
) -> Option<String> {
    let maps = nodes.clone().filter_map(|(_, node)| node.map());
    let all: Vec<(usize, NodeStatus)> = statuses(nodes)
        .map(|(host, _, status)| (host, status))
        .collect();
    if all.len() != hosts {
        return Some(format!("{} of {hosts} nodes are members", all.len()));
    }
    let map = maps.max_by_key(System::version)?;
    let alive: BTreeSet<NodeId> = all.iter().map(|(_, status)| status.me.node).collect();
    if map.members() != alive {
        return Some(format!(
            "not all members live: {:?}, {alive:?}",
            map.slots()
        ));
    }
    for (host, status) in &all {
        let is_as_desired = |group: &GroupStatus| {
            let placement = match group.shard {
                Some(shard) => map.placement(shard),
                None => Some(map.system()),
            };
            placement.is_some_and(|placement| group.voters == [placement.voters.clone()])
        };
        if !status.ready || !status.groups.iter().all(is_as_desired) {
            return Some(format!("host {host} is not ready: {status:?}"));
        }
    }
    None
}

/// What is still apart; none: all `hosts` are ready, and all that hold a shard are equal.
pub fn apart<'a, N: Network>(
    nodes: impl Iterator<Item = (usize, &'a Node<N>)> + Clone,
    hosts: usize,
) -> Option<String> {
    if let Some(apart) = apart_but_for_equality(nodes.clone(), hosts) {
        return Some(apart);
    }
    let mut version = None;
    let mut first: BTreeMap<ShardId, Option<u64>> = BTreeMap::new();
    for (host, node, status) in statuses(nodes) {
        if *version.get_or_insert(status.map_version) != status.map_version {
            return Some(format!("host {host} has another map"));
        }
        if let Some(lagging) = status.groups.iter().find(|group| group.lag > 0) {
            return Some(format!("host {host} lags: {lagging:?}"));
        }
        let held = status.groups.iter().filter(|group| group.role.is_some());
        for shard in held.filter_map(|group| group.shard) {
            let digest = node.replica(shard, |_, shard| shard.digest());
            if *first.entry(shard).or_insert(digest) != digest {
                return Some(format!("host {host} has applied something else to {shard}"));
            }
        }
    }
    None
}
