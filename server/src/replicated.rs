//! Shards over several nodes: each is ordered by its Raft group, wherever that is led.
//!
//! A translation and no more: the cluster's words into those of the seam. Until this node has found
//! its cluster no shard is available.
//!
//! Tests: `integration-tests/tests/cluster`.

use std::{
    num::NonZeroU16,
    sync::{Arc, OnceLock},
    time::Duration,
};

use trandb_cluster::{
    group::Role,
    identity::NodeId,
    node::{self, Failure, GroupStatus, Node, NodeStatus, Refused, Router},
    peer::network::{Network, Tcp},
    system::State,
};
use trandb_common::{
    Key, TransactionId,
    wire::{
        ListedKey,
        cluster::{self, ClusterStatus, MemberState, MemberStatus, ReplicaRole},
    },
};
use trandb_engine::{Command, Known, LogTime, Read, Reply, ShardId};

use crate::{
    shards::{ClusterError, LeftBehind, Listing, ShardError, Shards},
    sync::Instant,
};

/// The shards of a cluster, as one of its nodes reaches them.
pub struct Replicated<N: Network = Tcp> {
    node: Node<N>,
    count: NonZeroU16,
    router: Arc<OnceLock<Router<N>>>,
}

/// The cluster that was found has another number of shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the cluster has {theirs} shards, and this node was told {ours}: start it with --shards {theirs}"
)]
pub struct OtherShards {
    ours: NonZeroU16,
    theirs: NonZeroU16,
}

impl<N: Network> Replicated<N> {
    /// The shards of the cluster that `node` finds, which must be `count`.
    pub fn new(node: Node<N>, count: NonZeroU16) -> Self {
        Self {
            node,
            count,
            router: Arc::default(),
        }
    }

    /// Waits until the node is a member, and opens the way to the shards. False: it was stopped
    /// before.
    ///
    /// # Errors
    ///
    /// Keys would be looked for at other shards than those where the cluster has them.
    pub fn open(&self) -> impl Future<Output = Result<bool, OtherShards>> + Send + use<N> {
        let (node, ours) = (self.node.clone(), self.count);
        let router = Arc::clone(&self.router);
        async move {
            let Some(found) = node.joined().await else {
                return Ok(false);
            };
            let theirs = found.count();
            if theirs != ours {
                return Err(OtherShards { ours, theirs });
            }
            Ok(router.set(found).is_ok())
        }
    }

    fn router(&self) -> Result<&Router<N>, ShardError> {
        self.router.get().ok_or(ShardError::Unavailable)
    }
}

impl From<Failure> for ShardError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unavailable | Failure::Overloaded | Failure::TooLarge { .. } => {
                Self::Unavailable
            }
            Failure::MemoryFull { limit, used } => Self::MemoryFull { limit, used },
            Failure::Unknown => Self::Unknown,
        }
    }
}

impl From<Refused> for ClusterError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::UnknownMember => Self::UnknownMember,
            Refused::LastMember => Self::LastMember,
            Refused::UnknownShard => Self::UnknownShard,
            Refused::CannotLead => Self::CannotLead,
            Refused::Unknown => Self::Unknown,
        }
    }
}

/// A command is given longer than its locks would be waited for: its leader may have to be elected.
const EXECUTE_MIN: Duration = Duration::from_secs(2);

impl<N: Network> Shards for Replicated<N> {
    fn count(&self) -> NonZeroU16 {
        self.count
    }

    async fn read(&self, shard: ShardId, key: &Key, deadline: Instant) -> Result<Read, ShardError> {
        Ok(self.router()?.read(shard, key, patient(deadline)).await?)
    }

    async fn execute(
        &self,
        shard: ShardId,
        command: &Command,
        deadline: Instant,
    ) -> Result<Reply, ShardError> {
        let reply = self.router()?.execute(shard, command, patient(deadline));
        Ok(reply.await?)
    }

    async fn list(
        &self,
        shard: ShardId,
        listing: &Listing,
        deadline: Instant,
    ) -> Result<Vec<ListedKey>, ShardError> {
        let listing = node::Listing {
            prefix: listing.prefix.clone(),
            after: listing.after.clone(),
            before: listing.before.clone(),
            limit: listing.limit,
        };
        let router = self.router()?;
        Ok(router.list(shard, &listing, patient(deadline)).await?)
    }

    async fn known(
        &self,
        shard: ShardId,
        transaction: TransactionId,
        deadline: Instant,
    ) -> Result<Option<Known>, ShardError> {
        let known = self.router()?.known(shard, transaction, patient(deadline));
        Ok(known.await?)
    }

    async fn left_behind(
        &self,
        shard: ShardId,
        since: LogTime,
        limit: usize,
        deadline: Instant,
    ) -> Result<LeftBehind, ShardError> {
        let left = self.router()?.left_behind(shard, since, limit, deadline);
        let node::LeftBehind {
            in_doubt,
            unfinalized,
            clock,
        } = left.await?;
        Ok(LeftBehind {
            in_doubt,
            unfinalized,
            clock,
        })
    }

    fn released(&self, shard: ShardId) -> impl Future<Output = ()> + Send {
        let released = self.router.get().map(|router| router.released(shard));
        async move {
            match released {
                Some(released) => released.await,
                None => std::future::pending().await,
            }
        }
    }

    fn tends(&self, shard: ShardId) -> bool {
        self.router.get().is_some_and(|router| router.leads(shard))
    }

    async fn remove_member(&self, name: &str, deadline: Instant) -> Result<(), ClusterError> {
        self.router().map_err(|_| ClusterError::Unknown)?;
        Ok(self.node.remove(name, patient(deadline)).await?)
    }

    async fn transfer(
        &self,
        shard: Option<ShardId>,
        name: &str,
        deadline: Instant,
    ) -> Result<(), ClusterError> {
        self.router().map_err(|_| ClusterError::Unknown)?;
        Ok(self.node.transfer(shard, name, patient(deadline)).await?)
    }

    fn cluster(&self) -> ClusterStatus {
        match self.node.status() {
            Some(status) => told(&status, self.router.get().is_some()),
            None => ClusterStatus {
                clustered: true,
                ..ClusterStatus::default()
            },
        }
    }
}

/// What may take an election takes the time of one.
fn patient(deadline: Instant) -> Instant {
    deadline.max(Instant::now() + EXECUTE_MIN)
}

fn told(status: &NodeStatus, is_open: bool) -> ClusterStatus {
    let leads = |node| {
        let groups = status.groups.iter();
        groups.filter(|group| group.leader == Some(node)).count()
    };
    let holds = |node: NodeId| {
        let shards = status.groups.iter().filter(|group| group.shard.is_some());
        shards
            .filter(|group| group.voters.iter().any(|voters| voters.contains(&node)))
            .count()
    };
    let members = status.slots.iter().map(|slot| MemberStatus {
        name: slot.description.slot.clone(),
        node: slot.node.0,
        address: slot.description.client_at.clone(),
        peer_address: slot.description.at.clone(),
        zone: slot.description.zone.clone(),
        holds: holds(slot.node),
        state: match slot.state {
            State::Left => MemberState::Left,
            State::Up if slot.silent => MemberState::Silent,
            State::Up => MemberState::Up,
        },
        leads: leads(slot.node),
    });
    ClusterStatus {
        clustered: true,
        ready: status.ready && is_open,
        cluster: Some(status.me.cluster.to_string()),
        node: Some(status.me.node.0),
        map_version: status.map_version,
        members: members.collect(),
        groups: status.groups.iter().map(replica).collect(),
    }
}

fn replica(group: &GroupStatus) -> cluster::GroupStatus {
    let mut voters: Vec<_> = group.voters.iter().flatten().map(|node| node.0).collect();
    voters.sort_unstable();
    voters.dedup();
    let lagging = group.lagging.iter();
    cluster::GroupStatus {
        shard: group.shard.map(|shard| shard.0),
        epoch: group.epoch.0,
        role: match group.role {
            None => ReplicaRole::None,
            Some(Role::Learner) => ReplicaRole::Learner,
            Some(Role::Follower) => ReplicaRole::Follower,
            Some(Role::Candidate) => ReplicaRole::Candidate,
            Some(Role::Leader) => ReplicaRole::Leader,
            Some(Role::Stopped) => ReplicaRole::Stopped,
        },
        term: group.term,
        leader: group.leader.map(|node| node.0),
        voters,
        changing: group.voters.len() > 1,
        lag: group.lag,
        lagging: lagging.map(|(node, lag)| (node.0, *lag)).collect(),
        ready: group.ready,
    }
}
