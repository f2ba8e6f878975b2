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
//!
//! Tests: `tests/simulation`, where nodes come and are removed.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};
use trandb_engine::ShardId;

use crate::{
    group::{Group as _, RaftGroup, Role, StateMachine},
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

/// Whether nobody needs this node any more, which has a successor or was removed: it holds nothing, and is not a member of
/// the members' group. If it ended before, its votes would be missing, perhaps for ever.
pub(super) async fn has_given_up_all<N: Network>(inner: &Inner<N>, groups: &Groups) -> bool {
    let mut all = groups.shards.iter();
    if all.any(|held| held.group().has_anything()) {
        return false;
    }
    ask_all(inner, inner.others(groups), None).await == Some(false)
}

async fn give_up<N: Network>(inner: &Inner<N>, groups: &Groups, shard: ShardId, held: &Held) {
    // While it is a voter others need it: it is not even closed.
    if is_member(inner, groups, shard, held).await != Some(false) {
        return;
    }
    let closed = held.close();
    if is_member(inner, groups, shard, held).await != Some(false) {
        return;
    }
    let old = held.group();
    old.shutdown().await;
    old.read_with(Replica::forget);
    let empty = Replica::new(&Inner::<N>::charter(groups), Arc::clone(&inner.used));
    let peers = Arc::clone(&inner.peers);
    match old
        .without_anything(empty, peers, &inner.config.settings)
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

/// Whether this node is a member of the shard's group; none: nobody knows.
async fn is_member<N: Network>(
    inner: &Inner<N>,
    groups: &Groups,
    shard: ShardId,
    held: &Held,
) -> Option<bool> {
    let placed = groups.system.read_with(|map| map.voters_of(shard));
    // The map of who was removed is old.
    let others = inner.others(groups);
    let all = held.answers().into_iter().chain(placed).chain(others);
    ask_all(inner, all, Some(shard)).await
}

async fn ask_all<N: Network>(
    inner: &Inner<N>,
    all: impl IntoIterator<Item = Address>,
    shard: Option<ShardId>,
) -> Option<bool> {
    for to in all {
        let answered = ask(inner, &to, shard).await;
        if answered.is_some() {
            return answered;
        }
    }
    None
}

async fn ask<N: Network>(inner: &Inner<N>, to: &Address, shard: Option<ShardId>) -> Option<bool> {
    let deadline = Instant::now() + ANSWER_MAX;
    let request = Request {
        group: GroupId::FORWARD,
        epoch: EPOCH,
        body: encode(&Forwarded::Belongs(shard)),
    };
    let answer = inner.peers.call(to, request, deadline).await.ok()?;
    decode::<Option<bool>>(&answer)?
}

/// What a leader answers who asks whether it is a member of the shard's group, or of the members'; none:
/// this node does not lead, or a change is under way.
pub(super) async fn answer(groups: &Groups, from: NodeId, shard: Option<ShardId>) -> Option<bool> {
    let deadline = Instant::now() + ANSWER_MAX;
    let Some(shard) = shard else {
        let (term, is_member) = membership_of(&groups.system, from)?;
        groups.system.read_barrier(deadline).await.ok()?;
        return leads_in(&groups.system, term).then_some(is_member);
    };
    let group = groups.shard(shard)?;
    let (term, is_member) = membership_of(&group, from)?;
    rounds::barrier(&groups.reads, shard, deadline).await.ok()?;
    leads_in(&group, term).then_some(is_member)
}

fn leads_in<S: StateMachine>(group: &RaftGroup<S>, term: u64) -> bool {
    let status = group.status();
    status.role == Role::Leader && status.term == term
}

/// In which term this replica leads, and whether `node` is a member by a membership that will stay in
/// force until another one is committed.
fn membership_of<S: StateMachine>(group: &RaftGroup<S>, node: NodeId) -> Option<(u64, bool)> {
    let status = group.status();
    let membership = &status.membership;
    let holds =
        status.role == Role::Leader && status.membership_committed && !membership.is_joint();
    holds.then(|| (status.term, membership.members.contains_key(&node)))
}
