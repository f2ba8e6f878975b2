//! Reads of all shards share their rounds: one question to each other node serves every read that
//! waits here, whatever its shard.
//!
//! It is Raft's read index (Ongaro 2014, 6.4), but that a follower is asked for its vote instead of
//! being sent a heartbeat. A node leads a group in term t, and has applied an entry of t. It asks
//! after the read has come; when a majority of the voters, itself included, says that it has voted
//! for this node in t and for nobody later, nobody had been elected after t when the read came.
//! Then all that was acknowledged before is applied here: what leaders of earlier terms acknowledged
//! lies before the entry of t, and this one acknowledges what it has applied.
//!
//! A read that comes while a round is under way waits for the next one, since the others may have
//! answered before it came.
//!
//! Tests: `tests/simulation`, with leaders cut off while others write.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout_at},
};
use trandb_engine::ShardId;

use crate::{
    group::{Leadership, ReadError},
    identity::{GroupId, NodeId},
    peer::network::Network,
    task,
    transport::{Address, Request, Transport as _},
};

use super::{
    EPOCH, Groups, Inner,
    forward::{Forwarded, decode, encode},
};

/// Most reads that wait; the others are refused.
const READS_MAX: usize = 65_536;

/// How long a round may take, so that reads with patience are not kept by one that never ends.
const ROUND_MAX: Duration = Duration::from_millis(500);

/// Whether who asks leads this shard in this term, as far as who is asked has voted.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Claim {
    shard: ShardId,
    term: u64,
}

/// A read that waits for a round.
pub(super) struct Waiting {
    shard: ShardId,
    answer: oneshot::Sender<Result<(), ReadError>>,
}

/// The way to the rounds.
pub(super) type Asking = mpsc::Sender<Waiting>;

/// The way to the rounds, and what [`run`] takes from it.
pub(super) fn channel() -> (Asking, mpsc::Receiver<Waiting>) {
    mpsc::channel(READS_MAX)
}

/// Waits until what this node has applied of `shard` holds all that was acknowledged before.
pub(super) async fn barrier(
    asking: &Asking,
    shard: ShardId,
    deadline: Instant,
) -> Result<(), ReadError> {
    let (answer, answered) = oneshot::channel();
    let waiting = Waiting { shard, answer };
    asking.try_send(waiting).map_err(|error| match error {
        mpsc::error::TrySendError::Full(_) => ReadError::Overloaded,
        mpsc::error::TrySendError::Closed(_) => ReadError::Stopped,
    })?;
    match timeout_at(deadline, answered).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(ReadError::Stopped),
        Err(_) => Err(ReadError::TimedOut),
    }
}

/// Makes rounds until the node stops.
pub(super) fn spawn<N: Network>(inner: Arc<Inner<N>>, mut asked: mpsc::Receiver<Waiting>) {
    let mut closing = inner.closing.subscribe();
    task::spawn(async move {
        let mut reads = Vec::new();
        loop {
            let came = tokio::select! {
                biased;
                _ = closing.wait_for(|closing| *closing) => return,
                came = asked.recv_many(&mut reads, READS_MAX) => came,
            };
            let Some(groups) = inner.groups.get() else {
                return;
            };
            if came == 0 {
                return;
            }
            let mut round = Round::new(groups, reads.drain(..));
            round.run(&inner, groups.node).await;
        }
    });
}

/// The reads that are served together.
struct Round {
    shards: BTreeMap<ShardId, Claimed>,
}

/// What a round is to find out about a shard.
struct Claimed {
    leadership: Leadership,
    /// Who has confirmed it.
    confirmed: BTreeSet<NodeId>,
    reads: Vec<Waiting>,
}

impl Claimed {
    fn answer(self, result: &Result<(), ReadError>) {
        for read in self.reads {
            // Who waits no longer needs no answer.
            let _ = read.answer.send(result.clone());
        }
    }
}

impl Round {
    /// Answers at once what this node does not lead.
    fn new(groups: &Groups, reads: impl Iterator<Item = Waiting>) -> Self {
        let mut shards = BTreeMap::<ShardId, Claimed>::new();
        for read in reads {
            if let Some(claimed) = shards.get_mut(&read.shard) {
                claimed.reads.push(read);
                continue;
            }
            let leadership = groups.shard(read.shard).map(|group| group.leadership());
            match leadership.unwrap_or(Err(ReadError::NoMajority)) {
                Ok(leadership) => {
                    let claimed = Claimed {
                        leadership,
                        confirmed: [groups.node].into(),
                        reads: vec![read],
                    };
                    shards.insert(claimed.reads[0].shard, claimed);
                }
                Err(error) => {
                    let _ = read.answer.send(Err(error));
                }
            }
        }
        Self { shards }
    }

    async fn run<N: Network>(&mut self, inner: &Inner<N>, me: NodeId) {
        let deadline = Instant::now() + ROUND_MAX;
        let mut questions = BTreeMap::<Address, Vec<Claim>>::new();
        for (&shard, claimed) in &self.shards {
            let term = claimed.leadership.term();
            for voter in claimed.leadership.voters(me) {
                let claims = questions.entry(voter).or_default();
                claims.push(Claim { shard, term });
            }
        }
        let mut answers: FuturesUnordered<_> = questions
            .into_iter()
            .map(|(voter, claims)| ask(inner, voter, claims, deadline))
            .collect();
        self.settle();
        while !self.shards.is_empty()
            && let Some((voter, confirmed)) = answers.next().await
        {
            for shard in confirmed {
                if let Some(claimed) = self.shards.get_mut(&shard) {
                    claimed.confirmed.insert(voter);
                }
            }
            self.settle();
        }
        for (_, claimed) in std::mem::take(&mut self.shards) {
            claimed.answer(&Err(ReadError::NoMajority));
        }
    }

    /// Answers the reads of the shards that a majority has confirmed.
    fn settle(&mut self) {
        let settled =
            |_: &ShardId, claimed: &mut Claimed| claimed.leadership.is_majority(&claimed.confirmed);
        for (_, claimed) in self.shards.extract_if(.., settled) {
            claimed.answer(&Ok(()));
        }
    }
}

/// The shards of which `voter` confirms what is claimed.
async fn ask<N: Network>(
    inner: &Inner<N>,
    voter: Address,
    claims: Vec<Claim>,
    deadline: Instant,
) -> (NodeId, Vec<ShardId>) {
    let request = Request {
        group: GroupId::FORWARD,
        epoch: EPOCH,
        body: encode(&Forwarded::Confirm(claims)),
    };
    let answer = inner.peers.call(&voter, request, deadline).await;
    let confirmed = answer.ok().and_then(|answer| decode(&answer));
    (voter.node, confirmed.unwrap_or_default())
}

/// The shards of which this node confirms what `from` claims.
pub(super) fn confirm(groups: &Groups, from: NodeId, claims: &[Claim]) -> Vec<ShardId> {
    let confirmed = claims.iter().filter(|claim| {
        let group = groups.shard(claim.shard);
        group.is_some_and(|group| group.has_voted_for(from, claim.term))
    });
    confirmed.map(|claim| claim.shard).collect()
}
