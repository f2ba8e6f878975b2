//! All shards, wherever their leaders are.

use std::{num::NonZeroU16, sync::Arc, time::Duration};

use tokio::{
    sync::futures::OwnedNotified,
    time::{Instant, sleep, sleep_until},
};
use trandb_common::{Key, TransactionId, limits::PEER_BODY_BYTES_MAX, wire::ListedKey};
use trandb_engine::{Command, Known, LogTime, Read, Reply, Shard, ShardId};

use crate::{
    group::{Group as _, RaftGroup, Role},
    identity::GroupId,
    peer::network::{Network, Tcp},
    transport::{Address, Request, Transport as _, TransportError},
};

use super::{
    EPOCH, Failure, Groups, Inner, LeftBehind, Listing,
    forward::{Answered, Forwarded, decode, encode},
    operation::{Miss, Operation, Outcome},
    replica::Replica,
    rounds,
};

/// How long to wait before a leader is looked for again. Not until the group says that something
/// has changed: asking it is a change too.
const RETRY: Duration = Duration::from_millis(20);

/// How long to wait for keys that are locked at a shard of which this node has no replica.
const RELEASED_ELSEWHERE: Duration = Duration::from_millis(20);

/// How long one node may take to answer what changes nothing: then another one is asked.
const LOOK_MAX: Duration = Duration::from_millis(500);

/// Asks shards, in the vocabulary of the engine. Any node's router serves any shard; clones are
/// the same.
///
/// Dropping a returned future before it is ready means that the caller no longer wants to know; a
/// command is then carried out whole or not at all.
pub struct Router<N: Network = Tcp> {
    inner: Arc<Inner<N>>,
    count: NonZeroU16,
}

impl<N: Network> Clone for Router<N> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            count: self.count,
        }
    }
}

impl<N: Network> Router<N> {
    /// Of a member.
    pub(super) fn new(inner: Arc<Inner<N>>) -> Option<Self> {
        let count = inner.groups.get()?.count;
        Some(Self { inner, count })
    }

    /// How many shards there are; fixed for the life of the cluster.
    pub fn count(&self) -> NonZeroU16 {
        self.count
    }

    /// Reads `key` at `shard`: all that was acknowledged before this was called is seen.
    ///
    /// # Errors
    ///
    /// [`Failure`], which then always [changed nothing](Failure::changed_nothing).
    pub async fn read(
        &self,
        shard: ShardId,
        key: &Key,
        deadline: Instant,
    ) -> Result<Read, Failure> {
        match self
            .run(shard, Operation::Read(key.clone()), deadline)
            .await?
        {
            Outcome::Read(read) => Ok(read),
            _ => Err(Failure::Unavailable),
        }
    }

    /// Runs `command` at `shard`, once.
    ///
    /// # Errors
    ///
    /// [`Failure::changed_nothing`] says whether the command certainly had no effect.
    pub async fn execute(
        &self,
        shard: ShardId,
        command: &Command,
        deadline: Instant,
    ) -> Result<Reply, Failure> {
        let operation = Operation::Execute(command.clone());
        match self.run(shard, operation, deadline).await? {
            Outcome::Executed(reply) => Ok(reply),
            _ => Err(Failure::Unknown),
        }
    }

    /// Lists keys of `shard` in byte order.
    ///
    /// # Errors
    ///
    /// See [`read`](Self::read).
    pub async fn list(
        &self,
        shard: ShardId,
        listing: &Listing,
        deadline: Instant,
    ) -> Result<Vec<ListedKey>, Failure> {
        let operation = Operation::List(listing.clone());
        match self.run(shard, operation, deadline).await? {
            Outcome::Listed(keys) => Ok(keys),
            _ => Err(Failure::Unavailable),
        }
    }

    /// What `shard` knows of a transaction.
    ///
    /// # Errors
    ///
    /// See [`read`](Self::read).
    pub async fn known(
        &self,
        shard: ShardId,
        transaction: TransactionId,
        deadline: Instant,
    ) -> Result<Option<Known>, Failure> {
        let operation = Operation::Known(transaction);
        match self.run(shard, operation, deadline).await? {
            Outcome::Known(known) => Ok(known),
            _ => Err(Failure::Unavailable),
        }
    }

    /// What was left behind at `shard` at log time `since` or before; at most `limit` of each kind.
    ///
    /// # Errors
    ///
    /// See [`read`](Self::read).
    pub async fn left_behind(
        &self,
        shard: ShardId,
        since: LogTime,
        limit: usize,
        deadline: Instant,
    ) -> Result<LeftBehind, Failure> {
        let operation = Operation::LeftBehind { since, limit };
        match self.run(shard, operation, deadline).await? {
            Outcome::LeftBehind(left_behind) => Ok(left_behind),
            _ => Err(Failure::Unavailable),
        }
    }

    /// Ready when an attempt may have released keys of `shard` since the call, as this node's
    /// replica sees it, or after a moment where it has none. Waiters are woken together; each tries
    /// again. A replica that is cut off sees nothing: wait with a deadline.
    pub fn released(&self, shard: ShardId) -> impl Future<Output = ()> + Send + use<N> {
        // Sees every `notify_waiters` from its creation on, polled or not.
        let replica = self.replica(shard).filter(RaftGroup::is_member);
        let notified: Option<OwnedNotified> = replica.and_then(|group| {
            let released = group.read_with(Replica::released)?;
            Some(released.notified_owned())
        });
        async move {
            match notified {
                Some(notified) => notified.await,
                None => sleep(RELEASED_ELSEWHERE).await,
            }
        }
    }

    /// Whether this node leads `shard`, as it believes: who has the choice drives what the shard's
    /// leader should drive, such as resolving what was left behind.
    pub fn leads(&self, shard: ShardId) -> bool {
        let group = self.replica(shard);
        group.is_some_and(|group| group.leads())
    }

    fn replica(&self, shard: ShardId) -> Option<RaftGroup<Replica>> {
        self.inner.groups.get()?.shard(shard)
    }

    /// Asks the shard's leader, and looks for it while there is time.
    async fn run(
        &self,
        shard: ShardId,
        operation: Operation,
        deadline: Instant,
    ) -> Result<Outcome, Failure> {
        let groups = self.inner.groups.get().ok_or(Failure::Unavailable)?;
        let mut tries = 0_usize;
        loop {
            let mut missed = self.inner.here(groups, shard, &operation, deadline).await;
            if matches!(missed, Err(Miss::Elsewhere(_))) && !groups.should_hold(shard) {
                missed = self
                    .elsewhere(groups, shard, &operation, deadline, tries)
                    .await;
            }
            // One hop, or another one if the first knows better.
            for _ in 0..2 {
                let Err(Miss::Elsewhere(Some(leader))) = &missed else {
                    break;
                };
                if leader.node == groups.node {
                    break;
                }
                missed = self.there(leader, shard, &operation, deadline).await;
            }
            match missed {
                Ok(outcome) => return Ok(outcome),
                Err(Miss::Failed(failure)) => return Err(failure),
                Err(Miss::Elsewhere(_)) => {}
            }
            let now = Instant::now();
            if now >= deadline || self.inner.is_stopping() {
                return Err(Failure::Unavailable);
            }
            sleep_until(deadline.min(now + RETRY)).await;
            tries += 1;
        }
    }

    /// Asks a node that should know the shard, where this one holds no replica of it: who answered
    /// last, and then those at whom it is placed in turn.
    async fn elsewhere(
        &self,
        groups: &Groups,
        shard: ShardId,
        operation: &Operation,
        deadline: Instant,
        tries: usize,
    ) -> Answered {
        let Some(held) = groups.held(shard) else {
            return Err(Miss::Failed(Failure::Unavailable));
        };
        let placed = || {
            let voters = groups.map(|map| map.voters_of(shard));
            voters.get(tries % voters.len().max(1)).cloned()
        };
        let Some(to) = held.answers().or_else(placed) else {
            return Err(Miss::Elsewhere(None));
        };
        let mut answered = self.there(&to, shard, operation, deadline).await;
        let mut by = to;
        if let Err(Miss::Elsewhere(Some(leader))) = &answered
            && leader.node != groups.node
        {
            by = leader.clone();
            answered = self.there(&by, shard, operation, deadline).await;
        }
        let knows = !matches!(answered, Err(Miss::Elsewhere(_)));
        let known = held.answers();
        if knows && known.as_ref() != Some(&by) {
            held.set_answers(Some(by));
        } else if !knows && known.is_some() {
            held.set_answers(None);
        }
        answered
    }

    /// Asks another node, one hop away.
    async fn there(
        &self,
        leader: &Address,
        shard: ShardId,
        operation: &Operation,
        deadline: Instant,
    ) -> Answered {
        let now = Instant::now();
        let until = if operation.is_command() {
            deadline
        } else {
            deadline.min(now + LOOK_MAX)
        };
        let time_left = until.saturating_duration_since(now).as_millis();
        let body = encode(&Forwarded::Shard {
            shard,
            time_left: u64::try_from(time_left).unwrap_or(u64::MAX),
            operation: operation.clone(),
        });
        if body.len() > PEER_BODY_BYTES_MAX {
            let bytes = body.len() as u64;
            return Err(Miss::Failed(Failure::TooLarge { bytes }));
        }
        let request = Request {
            group: GroupId::FORWARD,
            epoch: EPOCH,
            body,
        };
        match self.inner.peers.call(leader, request, until).await {
            Ok(answer) => decode::<Answered>(&answer).unwrap_or_else(|| Err(lost(operation))),
            Err(error) if error.may_have_arrived() => Err(lost(operation)),
            Err(TransportError::Overloaded) => Err(Miss::Failed(Failure::Overloaded)),
            Err(_) => Err(Miss::Elsewhere(None)),
        }
    }
}

/// What it means that the answer to what may have arrived is not heard.
fn lost(operation: &Operation) -> Miss {
    if operation.is_command() {
        Miss::Failed(Failure::Unknown)
    } else {
        Miss::Elsewhere(None)
    }
}

impl<N: Network> Inner<N> {
    /// Asks this node's replica, which answers if it leads.
    pub(super) async fn here(
        &self,
        groups: &Groups,
        shard: ShardId,
        operation: &Operation,
        deadline: Instant,
    ) -> Answered {
        let group = groups.shard(shard);
        let group = group.ok_or(Miss::Failed(Failure::Unavailable))?;
        if let Some(leader) = group.leads_instead() {
            return Err(Miss::Elsewhere(Some(leader)));
        }
        if !group.is_member() {
            return Err(Miss::Elsewhere(None));
        }
        if let Operation::Execute(command) = operation {
            return self.propose(&group, command, deadline).await;
        }
        let until = deadline.min(Instant::now() + LOOK_MAX);
        rounds::barrier(&groups.reads, shard, until).await?;
        let outcome = group.read_with(|replica| operation.look(replica.shard()));
        outcome.ok_or(Miss::Failed(Failure::Unknown))
    }

    async fn propose(
        &self,
        group: &RaftGroup<Replica>,
        command: &Command,
        deadline: Instant,
    ) -> Answered {
        if self.is_stopping() {
            // Whoever leads next will answer; this one might not be able to any more.
            return Err(Miss::Elsewhere(None));
        }
        self.has_memory_for(group, command)?;
        let reply = group.propose(command.clone(), deadline).await?;
        Ok(Outcome::Executed(reply))
    }

    /// Of a leader: whether the command may be proposed.
    fn has_memory_for(&self, group: &RaftGroup<Replica>, command: &Command) -> Result<(), Miss> {
        let limit = self.config.memory_limit;
        let used = self.used.load(std::sync::atomic::Ordering::Relaxed);
        let fits = |growth: u64| used.saturating_add(growth) <= limit;
        // What the command really adds takes a look-up: only where it may matter.
        if fits(Shard::growth_max(command)) {
            return Ok(());
        }
        let growth = group.read_with(|replica| replica.shard().growth(command));
        if growth == 0 || fits(growth) {
            return Ok(());
        }
        // Only a leader's memory counts.
        if group.status().role != Role::Leader {
            return Err(Miss::Elsewhere(group.leader()));
        }
        Err(Miss::Failed(Failure::MemoryFull { limit, used }))
    }
}
