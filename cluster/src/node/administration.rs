//! What people ask of a cluster, at any of its nodes.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};
use trandb_engine::ShardId;

use crate::{
    group::{Group as _, ProposeError, RaftGroup, ReadError, Role, StateMachine},
    identity::{GroupId, NodeId},
    peer::network::Network,
    system::{Command, Reply, System},
    transport::{Address, Request, Transport as _},
};

use super::{
    EPOCH, Groups, Inner, LOOK, Node,
    forward::{Forwarded, decode, encode, propose},
};

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refused {
    /// There is no member of this name.
    #[error("there is no member of this name")]
    UnknownMember,
    /// Nobody would be left.
    #[error("it is the only member")]
    LastMember,
    /// There is no such shard.
    #[error("there is no such shard")]
    UnknownShard,
    /// It does not vote in the group, or lacks too much, or does not answer.
    #[error("this member cannot lead the group now: it has no vote there, or lacks entries")]
    CannotLead,
    /// It may have been done, or may be yet: nobody who could say so answered in time.
    #[error("no leader answered in time: it may have been done, or not")]
    Unknown,
}

/// What one node asks another, who may lead what it takes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Asked {
    /// The member of this name is to be one no longer. Who leads knows who that is.
    Remove(String),
    /// `to` is to lead the group of the shard; none: that of the members.
    Transfer { shard: Option<ShardId>, to: NodeId },
}

/// What one node answers another.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answered {
    Done,
    Refused(Refused),
    /// Ask there, if anywhere.
    Elsewhere(Option<Address>),
}

impl<N: Network> Node<N> {
    /// Takes the member `name` out of the cluster: others hold what it holds, then it votes nowhere.
    /// True when that has been decided; it is carried out after that. Done twice it is done once.
    ///
    /// # Errors
    ///
    /// Nothing has changed, unless it is [`Refused::Unknown`].
    pub async fn remove(&self, name: &str, deadline: Instant) -> Result<(), Refused> {
        let groups = self.inner.groups.get().ok_or(Refused::Unknown)?;
        let asked = Asked::Remove(name.to_owned());
        self.inner.ask_leader(groups, &asked, deadline).await
    }

    /// Lets the member `name` lead the group of `shard`; none: the group of the members. True when it
    /// leads.
    ///
    /// # Errors
    ///
    /// Nothing has changed, unless it is [`Refused::Unknown`].
    pub async fn transfer(
        &self,
        shard: Option<ShardId>,
        name: &str,
        deadline: Instant,
    ) -> Result<(), Refused> {
        let groups = self.inner.groups.get().ok_or(Refused::Unknown)?;
        if shard.is_some_and(|shard| groups.shard(shard).is_none()) {
            return Err(Refused::UnknownShard);
        }
        let to = member(groups, name)?;
        let asked = Asked::Transfer { shard, to };
        self.inner.ask_leader(groups, &asked, deadline).await
    }
}

/// Who is in the slot of this name, as this node has it.
fn member(groups: &Groups, name: &str) -> Result<NodeId, Refused> {
    let occupant = |map: &System| map.slots().get(name).map(|one| one.node);
    groups.map(occupant).ok_or(Refused::UnknownMember)
}

impl<N: Network> Inner<N> {
    /// Asks this node, and then whoever is said to know, while there is time.
    async fn ask_leader(
        &self,
        groups: &Groups,
        asked: &Asked,
        deadline: Instant,
    ) -> Result<(), Refused> {
        let mut others = Vec::new();
        loop {
            let mut answered = self.answer(groups, asked).await;
            if matches!(answered, Answered::Elsewhere(None)) {
                if others.is_empty() {
                    others = self.others(groups);
                }
                answered = Answered::Elsewhere(others.pop());
            }
            for _ in 0..2 {
                let Answered::Elsewhere(Some(to)) = &answered else {
                    break;
                };
                if to.node == groups.node {
                    break;
                }
                answered = self.ask_other(to, asked, deadline).await;
            }
            match answered {
                Answered::Done => return Ok(()),
                Answered::Refused(refused) => return Err(refused),
                Answered::Elsewhere(_) if Instant::now() >= deadline => {
                    return Err(Refused::Unknown);
                }
                Answered::Elsewhere(_) => sleep(LOOK).await,
            }
        }
    }

    async fn ask_other(&self, to: &Address, asked: &Asked, deadline: Instant) -> Answered {
        let request = Request {
            group: GroupId::FORWARD,
            epoch: EPOCH,
            body: encode(&Forwarded::Administer(asked.clone())),
        };
        let answer = self.peers.call(to, request, deadline).await;
        // What is asked may be asked twice.
        let answer = answer.ok().and_then(|answer| decode(&answer));
        answer.unwrap_or(Answered::Elsewhere(None))
    }
}

impl<N: Network> Inner<N> {
    /// Does it, as far as this node leads what it takes.
    pub(super) async fn answer(&self, groups: &Groups, asked: &Asked) -> Answered {
        match asked {
            Asked::Remove(name) => remove(groups, name).await,
            Asked::Transfer { to, .. } if self.silence.nodes().contains(to) => {
                Answered::Refused(Refused::CannotLead)
            }
            Asked::Transfer { shard: None, to } => transfer(&groups.system, *to).await,
            Asked::Transfer {
                shard: Some(shard),
                to,
            } => match groups.shard(*shard) {
                Some(group) => transfer(&group, *to).await,
                None => Answered::Refused(Refused::UnknownShard),
            },
        }
    }
}

/// At the leader of the system group, whose map is the newest once it has been confirmed.
async fn remove(groups: &Groups, name: &str) -> Answered {
    let deadline = Instant::now() + REMOVE_MAX;
    match groups.system.read_barrier(deadline).await {
        Ok(()) => {}
        Err(ReadError::NotLeader { leader }) => return Answered::Elsewhere(leader),
        Err(_) => return Answered::Elsewhere(None),
    }
    let occupant = |map: &System| map.slots().get(name).map(|one| one.node);
    let Some(node) = groups.system.read_with(occupant) else {
        return Answered::Refused(Refused::UnknownMember);
    };
    match propose(groups, Command::Remove { node }).await {
        Ok(Reply::LastMember) => Answered::Refused(Refused::LastMember),
        Ok(Reply::Removed) => Answered::Done,
        Err(ProposeError::NotLeader { leader }) => Answered::Elsewhere(leader),
        // Or somebody else has come to its place meanwhile.
        Ok(_) | Err(_) => Answered::Elsewhere(None),
    }
}

/// How long who leads may take to be confirmed.
const REMOVE_MAX: Duration = Duration::from_secs(1);

/// How long `to` may take before it counts as one that cannot lead.
const TRANSFER_MAX: Duration = Duration::from_secs(1);

async fn transfer<S: StateMachine>(group: &RaftGroup<S>, to: NodeId) -> Answered {
    let status = group.status();
    if status.leader == Some(to) {
        return Answered::Done;
    }
    if status.role != Role::Leader {
        return Answered::Elsewhere(group.leader());
    }
    if !status.could_lead(to) {
        return Answered::Refused(Refused::CannotLead);
    }
    if group.transfer_leadership(to).await.is_err() {
        return Answered::Elsewhere(None);
    }
    let until = Instant::now() + TRANSFER_MAX;
    while Instant::now() < until {
        if group.status().leader == Some(to) {
            return Answered::Done;
        }
        sleep(LOOK).await;
    }
    Answered::Refused(Refused::CannotLead)
}
