//! Gives up what this node should not hold any more.
//!
//! Who is taken out of a group hears of it from nobody, and what it has would take memory for ever. So
//! a node asks, for each shard that the map places elsewhere, whether it is a member still, and if it
//! is not, it forgets what it has: all but its vote.
//!
//! # Why nothing is lost
//!
//! A replica forgets what it has acknowledged, which Raft forbids a member. It is safe because it is
//! none, and because nothing that it acknowledged as one counts any more:
//!
//! 1. It is closed to other replicas before it asks, and open again when it has forgotten.
//! 2. It asks the group's leader, which looks at its membership, and then lets a majority confirm that
//!    it leads in the same term still. So when it looked, after the question, it was the leader, and
//!    that membership was in force.
//! 3. If the membership is committed, not joint, and without this node, whatever was acknowledged
//!    before is in a majority without it. Should it be made a member again, that comes later than the
//!    look, and then the leader begins with what it acknowledges as a new member: nothing while it is
//!    closed, and afterwards what it has.
//! 4. It remembers its vote, so that it never votes twice in a term.
//! 5. It remembers where that membership stands in the log, and votes for nobody whose log ends before.
//!    Else one that has missed the change, and still counts on its vote, could lead without entries
//!    that are committed.
//!
//! Tests: `tests/simulation`, where nodes come and are removed.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};
use trandb_engine::ShardId;

use crate::{
    group::{Group as _, Position, RaftGroup, ReadError, Role, StateMachine},
    identity::{GroupId, NodeId},
    peer::network::Network,
    transport::{Address, Request, Transport as _},
};

use super::{
    EPOCH, Groups, Inner,
    forward::{Forwarded, decode, encode},
    held::Held,
    replica::Replica,
    rounds,
};

/// Whether a node is a member of a group.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Belongs {
    Yes,
    /// By the membership that stands there, which is in force.
    No(Position),
    /// Who was asked does not lead, or a change is under way. Who leads, if that is another one.
    Unknown(Option<Address>),
}

/// Between two looks.
const LOOK: Duration = Duration::from_millis(500);

/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(1);

/// Of a member, until it stops.
pub(super) async fn run<N: Network>(inner: Arc<Inner<N>>) {
    loop {
        sleep(LOOK).await;
        let Some(groups) = inner.groups.get() else {
            return;
        };
        for (shard, held) in (0..).map(ShardId).zip(&groups.shards) {
            if inner.is_stopping() {
                return;
            }
            let should_hold = !inner.is_unwanted() && groups.should_hold(shard);
            if held.group().has_anything() && !should_hold {
                give_up(&inner, groups, shard, held).await;
            }
        }
    }
}

/// Whether nobody needs this node any more, which has a successor or was removed: it holds nothing, and
/// is not a member of the members' group. If it ended before, its votes would be missing, perhaps for
/// ever.
pub(super) async fn has_given_up_all<N: Network>(inner: &Inner<N>, groups: &Groups) -> bool {
    let mut all = groups.shards.iter();
    if all.any(|held| held.group().has_anything()) {
        return false;
    }
    let left = left_by(inner, inner.others(groups), None).await;
    left.is_some()
}

async fn give_up<N: Network>(inner: &Inner<N>, groups: &Groups, shard: ShardId, held: &Held) {
    let ask = || {
        let placed = groups.map(|map| map.voters_of(shard));
        let all = held.answers().into_iter().chain(placed);
        left_by(inner, all, Some(shard))
    };
    // While it is a voter others need it: it is not even closed.
    if ask().await.is_none() {
        return;
    }
    let closed = held.close();
    let Some(left) = ask().await else {
        return;
    };
    let old = held.group();
    old.shutdown().await;
    old.read_with(Replica::forget);
    let empty = Replica::new(&Inner::<N>::charter(groups), Arc::clone(&inner.used));
    let peers = Arc::clone(&inner.peers);
    match old
        .without_anything(left, empty, peers, &inner.config.settings)
        .await
    {
        Ok(new) => {
            closed.exchange(new);
            tracing::info!(%shard, "gave up what others hold now");
        }
        // The settings were good enough for the first one.
        Err(error) => tracing::error!(%shard, %error, "a replica cannot be started again"),
    }
}

/// By which membership this node has left the group of the shard, or that of the members; none: it has
/// not, or nobody knows. One of `all` leads it, or knows who does.
async fn left_by<N: Network>(
    inner: &Inner<N>,
    all: impl IntoIterator<Item = Address>,
    shard: Option<ShardId>,
) -> Option<Position> {
    for to in all {
        let mut answered = ask(inner, &to, shard).await;
        if let Some(Belongs::Unknown(Some(leader))) = &answered {
            answered = ask(inner, leader, shard).await;
        }
        match answered {
            Some(Belongs::Yes) => return None,
            Some(Belongs::No(position)) => return Some(position),
            Some(Belongs::Unknown(_)) | None => {}
        }
    }
    None
}

async fn ask<N: Network>(
    inner: &Inner<N>,
    to: &Address,
    shard: Option<ShardId>,
) -> Option<Belongs> {
    let deadline = Instant::now() + ANSWER_MAX;
    let request = Request {
        group: GroupId::FORWARD,
        epoch: EPOCH,
        body: encode(&Forwarded::Belongs(shard)),
    };
    let answer = inner.peers.call(to, request, deadline).await.ok()?;
    decode(&answer)
}

/// What is answered to `from`, who asks whether it is a member of the shard's group, or of the members'.
pub(super) async fn answer(groups: &Groups, from: NodeId, shard: Option<ShardId>) -> Belongs {
    let deadline = Instant::now() + ANSWER_MAX;
    match shard {
        None => {
            let confirmed = groups.system.read_barrier(deadline);
            answer_of(&groups.system, from, confirmed).await
        }
        Some(shard) => match groups.shard(shard) {
            Some(group) => {
                let confirmed = rounds::barrier(&groups.reads, shard, deadline);
                answer_of(&group, from, confirmed).await
            }
            None => Belongs::Unknown(None),
        },
    }
}

/// Looks, and then lets a majority confirm that this replica leads in the term still in which it looked.
async fn answer_of<S: StateMachine>(
    group: &RaftGroup<S>,
    from: NodeId,
    confirmed: impl Future<Output = Result<(), ReadError>>,
) -> Belongs {
    let status = group.status();
    let membership = &status.membership;
    let leads = status.role == Role::Leader;
    if !leads || !status.membership_committed || membership.is_joint() {
        return Belongs::Unknown(group.leader().filter(|_| !leads));
    }
    let answer = match membership.position {
        _ if membership.members.contains_key(&from) => Belongs::Yes,
        Some(position) => Belongs::No(position),
        None => Belongs::Unknown(None),
    };
    let was_confirmed = confirmed.await.is_ok();
    let now = group.status();
    if was_confirmed && now.role == Role::Leader && now.term == status.term {
        answer
    } else {
        Belongs::Unknown(None)
    }
}
