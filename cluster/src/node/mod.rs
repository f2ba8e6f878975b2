//! A node: one process of a cluster.
//!
//! ```text
//! Node      starts, becomes a member (joining), serves its peers, stops
//! Router    what clients ask, at the leader of the shard, wherever that is
//!   operation  what may be asked of a shard, and what may go wrong
//!   rounds     whether this node still leads, for all reads that wait
//!   replica    a shard with what this node keeps beside it
//! reconcile makes the groups' members and leaders those that the map desires
//! held      the replicas of this node
//! giving_up drops those that it should not hold any more
//! others    whether they are there, and whether this node is a member still
//! administration what people ask of the cluster
//! status    what it knows of itself and the cluster
//! ```
//!
//! A request is carried out by the leader of its shard's group: here, or one hop away. Who is asked
//! by another node never asks a third one; it says whom it believes to lead instead, and the first
//! tries again while there is time.
//!
//! # Invariants
//!
//! - A read is answered by a leader after its read barrier, nowhere else: never anything stale.
//! - [`Failure::changed_nothing`] means that no replica will ever apply the command.
//! - A command is proposed once, unless it is certain that it entered no log.
//! - A node takes part in groups only as the member that its cluster made it.
//!
//! What is not here: which shard a key belongs to, transactions and waiting for locks (who uses the
//! [`Router`]), and recovery when a majority of a group is lost.
//!
//! Tests: beside each module what is pure; `tests/simulation` has whole nodes in a simulated
//! network.

use std::{
    fmt,
    num::NonZeroU16,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::{Semaphore, watch},
    time::{Instant, sleep, timeout_at},
};
use trandb_engine::ShardId;

use crate::{
    founding::{Candidate, Charter, Founding, Nonce},
    group::{ChangeError, Group as _, RaftGroup, Role, Settings},
    identity::{Epoch, GroupId, NodeId},
    peer::{
        Identity, Listener, Member, Peers,
        network::{Accept, Network, Tcp},
    },
    system::{Command, Description, System},
    task,
    transport::{Handler, Refusal, Request, Transport as _},
};

mod administration;
mod forward;
mod giving_up;
mod held;
mod joining;
mod operation;
mod others;
mod reconcile;
mod replica;
mod rounds;
mod router;
mod status;

pub use administration::Refused;
pub use operation::{Failure, LeftBehind, Listing};
pub use others::Gone;
pub use router::Router;
pub use status::{GroupStatus, NodeStatus, SlotStatus};

use forward::Forwarded;
use held::Held;
use replica::Replica;

/// Most shards of a cluster.
pub const SHARDS_MAX: u16 = 1024;

/// For peers to get their last answers when a node stops.
const DRAIN: Duration = Duration::from_secs(1);

/// How often a stopping node looks whether others lead.
const LOOK: Duration = Duration::from_millis(20);

/// How a node is told to be.
#[derive(Clone)]
pub struct Config {
    /// Its place, and where it is reached.
    pub description: Description,
    /// Where other nodes listen for their peers, `host:port`; its own may be among them. For
    /// founding, all founders must know each other.
    pub seeds: Vec<String>,
    /// How many nodes found a cluster, this one included. The same at all of them.
    pub bootstrap_expect: usize,
    /// What the cluster is like, should this node found it. At most [`SHARDS_MAX`] shards. Its
    /// `version_epoch` must never have been used before.
    pub charter: Charter,
    /// Memory for what the shards hold, in bytes: with more, commands that need memory are refused
    /// by leaders here.
    pub memory_limit: u64,
    /// How long things take in groups.
    pub settings: Settings,
    /// Draws a random number that is not 0, never twice the same one.
    pub random: Arc<dyn Fn() -> u128 + Send + Sync>,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("description", &self.description)
            .field("seeds", &self.seeds)
            .field("bootstrap_expect", &self.bootstrap_expect)
            .finish_non_exhaustive()
    }
}

/// Why a node cannot be started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidConfig {
    /// A name or an address is missing or too long.
    #[error("the node's name is missing, or one of its texts is longer than 256 bytes")]
    Description,
    /// More than [`SHARDS_MAX`].
    #[error("more than {SHARDS_MAX} shards")]
    Shards,
    /// Nobody founds a cluster.
    #[error("it takes at least one node to found a cluster")]
    Expect,
}

/// One process of a cluster; clones are the same. It runs until it is [stopped](Self::stop).
pub struct Node<N: Network = Tcp> {
    inner: Arc<Inner<N>>,
}

impl<N: Network> Clone for Node<N> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
        }
    }
}

/// What runs here.
struct Inner<N: Network> {
    config: Config,
    identity: Identity,
    peers: Arc<Peers<N>>,
    candidate: Mutex<Candidate>,
    /// Of a member.
    groups: OnceLock<Groups>,
    /// Whether `groups` are there.
    joined: watch::Sender<bool>,
    stopping: watch::Sender<bool>,
    /// Nobody needs this node any more.
    closing: watch::Sender<bool>,
    stopped_listening: watch::Sender<bool>,
    /// Others have said that it has a successor, or that its place was removed.
    unwanted: AtomicBool,
    /// Why this node is of no use any more, and nobody needs it.
    gone: watch::Sender<Option<Gone>>,
    /// Which of the others do not answer.
    silence: others::Silence,
    /// For as many groups as may change at the same time.
    changes: Semaphore,
    /// Whether it has held all that it should at some time.
    has_settled: AtomicBool,
    /// What the shards here hold, in bytes.
    used: Arc<AtomicU64>,
}

/// The groups of a member.
struct Groups {
    node: NodeId,
    system: RaftGroup<System>,
    shards: Box<[Held]>,
    count: NonZeroU16,
    /// Where reads wait for their rounds.
    reads: rounds::Asking,
    /// The map of another node, newer than that of the system group here: of who is not told any more.
    newer: RwLock<Option<System>>,
}

impl Groups {
    fn held(&self, shard: ShardId) -> Option<&Held> {
        self.shards.get(usize::from(shard.0))
    }

    fn shard(&self, shard: ShardId) -> Option<RaftGroup<Replica>> {
        self.held(shard).map(Held::group)
    }

    /// Looks at the newest map that is known here.
    fn map<R>(&self, look: impl FnOnce(&System) -> R) -> R {
        // Nothing panics while it holds the lock.
        let newer = self.newer.read().unwrap_or_else(PoisonError::into_inner);
        self.system.read_with(|map| match &*newer {
            Some(newer) if newer.version() > map.version() => look(newer),
            _ => look(map),
        })
    }

    fn set_newer_map(&self, map: System) {
        *self.newer.write().unwrap_or_else(PoisonError::into_inner) = Some(map);
    }

    /// Whether the map wants this node to hold a replica of `shard`.
    fn should_hold(&self, shard: ShardId) -> bool {
        self.map(|map| {
            let placement = map.placement(shard);
            placement.is_some_and(|placement| placement.voters.contains(&self.node))
        })
    }
}

impl<N: Network> Node<N> {
    /// Starts a node: it listens, and looks for its cluster in the background. Needs a Tokio
    /// runtime.
    ///
    /// # Errors
    ///
    /// What it is told to be makes no sense.
    pub fn start<A: Accept>(config: Config, network: N, accept: A) -> Result<Self, InvalidConfig> {
        if !config.description.is_legal() {
            return Err(InvalidConfig::Description);
        }
        if config.charter.shards.get() > SHARDS_MAX {
            return Err(InvalidConfig::Shards);
        }
        if config.bootstrap_expect == 0 {
            return Err(InvalidConfig::Expect);
        }
        let identity = Identity::nobody();
        let candidate = Candidate::new(
            Nonce((config.random)()),
            config.description.clone(),
            config.bootstrap_expect,
            config.charter,
        );
        let inner = Arc::new(Inner {
            peers: Arc::new(Peers::new(network, identity.clone())),
            candidate: Mutex::new(candidate),
            groups: OnceLock::new(),
            joined: watch::Sender::new(false),
            stopping: watch::Sender::new(false),
            closing: watch::Sender::new(false),
            stopped_listening: watch::Sender::new(false),
            unwanted: AtomicBool::new(false),
            gone: watch::Sender::new(None),
            silence: others::Silence::default(),
            changes: Semaphore::new(reconcile::CHANGES_MAX),
            has_settled: AtomicBool::new(false),
            used: Arc::new(AtomicU64::new(0)),
            identity: identity.clone(),
            config,
        });
        let listener = Listener::new(accept, identity);
        task::spawn(serve(Arc::clone(&inner), listener));
        task::spawn(joining::run(Arc::clone(&inner)));
        Ok(Self { inner })
    }

    /// Waits until it is a member of a cluster; none if it is stopped before. What is asked of the
    /// router then may still have to wait for leaders.
    pub async fn joined(&self) -> Option<Router<N>> {
        let mut joined = self.inner.joined.subscribe();
        let mut stopping = self.inner.stopping.subscribe();
        tokio::select! {
            biased;
            _ = stopping.wait_for(|stopping| *stopping) => return None,
            joined = joined.wait_for(|joined| *joined) => joined.ok()?,
        };
        Router::new(Arc::clone(&self.inner))
    }

    /// What it knows of itself and the cluster; none before it is a member.
    pub fn status(&self) -> Option<NodeStatus> {
        let groups = self.inner.groups.get()?;
        Some(status::of(&self.inner, groups))
    }

    /// Waits until it is a member no longer and holds nothing, and says why. From then on this node is of no use: it
    /// should be stopped.
    pub async fn gone(&self) -> Gone {
        let mut gone = self.inner.gone.subscribe();
        let found = gone.wait_for(Option::is_some).await;
        match found.ok().and_then(|found| *found) {
            Some(gone) => gone,
            // Nobody will say it any more.
            None => std::future::pending().await,
        }
    }

    /// Ends it as planned: others lead what it leads, then it leaves. What is left when `deadline`
    /// is over is broken off.
    pub async fn stop(&self, deadline: Instant) {
        self.inner.stopping.send_replace(true);
        if let Some(groups) = self.inner.groups.get() {
            let handed_over = async {
                self.inner.say_that_it_leaves(groups, deadline).await;
                hand_over(groups).await;
            };
            let _ = timeout_at(deadline, handed_over).await;
        }
        // Not before: others need its votes to be elected.
        self.inner.closing.send_replace(true);
        if let Some(groups) = self.inner.groups.get() {
            for held in &groups.shards {
                held.group().shutdown().await;
            }
            groups.system.shutdown().await;
        }
        let mut stopped = self.inner.stopped_listening.subscribe();
        let _ = stopped.wait_for(|stopped| *stopped).await;
        self.inner.peers.shut_down(deadline).await;
    }

    /// The replica of a shard, for tests.
    #[cfg(simulation)]
    pub fn replica<R>(
        &self,
        shard: ShardId,
        look: impl FnOnce(&crate::group::Status, &trandb_engine::Shard) -> R,
    ) -> Option<R> {
        let group = self.inner.groups.get()?.shard(shard)?;
        let status = group.status();
        Some(group.read_with(|replica| look(&status, replica.shard())))
    }

    /// The map as it has it, for tests.
    #[cfg(simulation)]
    pub fn map(&self) -> Option<System> {
        let groups = self.inner.groups.get()?;
        Some(groups.map(Clone::clone))
    }
}

async fn serve<N: Network, A: Accept>(inner: Arc<Inner<N>>, listener: Listener<A>) {
    let mut closing = inner.closing.subscribe();
    let stop = async move {
        let _ = closing.wait_for(|closing| *closing).await;
    };
    listener.serve(Arc::clone(&inner), stop, DRAIN).await;
    inner.stopped_listening.send_replace(true);
}

/// Makes others lead whatever this node leads.
async fn hand_over(groups: &Groups) {
    loop {
        let mut leads = false;
        leads |= hand_over_one(&groups.system).await;
        for held in &groups.shards {
            leads |= hand_over_one(&held.group()).await;
        }
        if !leads {
            return;
        }
        sleep(LOOK).await;
    }
}

/// Asks the voter that lacks least to lead. Whether this node leads, and somebody else could.
async fn hand_over_one<S: crate::group::StateMachine>(group: &RaftGroup<S>) -> bool {
    let status = group.status();
    if status.role != Role::Leader {
        return false;
    }
    match status.next_leader(|_| true) {
        Some(to) => group.transfer_leadership(to).await.is_ok(),
        None => false,
    }
}

impl<N: Network> Inner<N> {
    /// Nothing panics while it holds the lock, so a poisoned one is as good as any.
    fn candidate(&self) -> MutexGuard<'_, Candidate> {
        self.candidate
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn charter(groups: &Groups) -> Charter {
        groups.system.read_with(|map| map.founding().charter)
    }

    fn is_unwanted(&self) -> bool {
        self.unwanted.load(Ordering::Relaxed)
    }

    fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Begins to take part in the groups of the cluster.
    async fn become_member(
        self: &Arc<Self>,
        founding: &Founding,
        node: NodeId,
    ) -> Result<(), ChangeError> {
        let (reads, asked) = rounds::channel();
        let groups = self.start_groups(founding, node, reads).await?;
        let member = Member {
            cluster: founding.cluster,
            node,
        };
        if self.groups.set(groups).is_err() || self.identity.become_member(member).is_err() {
            return Err(ChangeError::Refused("a member already".to_owned()));
        }
        tracing::info!(%node, cluster = %founding.cluster, "a member of the cluster");
        self.joined.send_replace(true);
        rounds::spawn(Arc::clone(self), asked);
        reconcile::spawn_all(self);
        task::spawn(others::watch(Arc::clone(self)));
        task::spawn(giving_up::run(Arc::clone(self)));
        Ok(())
    }

    async fn start_groups(
        &self,
        founding: &Founding,
        node: NodeId,
        reads: rounds::Asking,
    ) -> Result<Groups, ChangeError> {
        let founds = founding.number(self.candidate().nonce()) == Some(node);
        let founders: std::collections::BTreeMap<NodeId, String> = founding
            .numbered()
            .map(|(node, founder)| (node, founder.description.at.clone()))
            .collect();
        let settings = &self.config.settings;
        let map = System::new(founding);
        let system = RaftGroup::start(
            GroupId::SYSTEM,
            EPOCH,
            node,
            map,
            Arc::clone(&self.peers),
            settings,
        );
        let system = system.await?;
        let count = founding.charter.shards;
        let mut shards = Vec::new();
        for shard in (0..count.get()).map(ShardId) {
            let group = RaftGroup::start(
                GroupId::of_shard(shard),
                EPOCH,
                node,
                Replica::new(&founding.charter, Arc::clone(&self.used)),
                Arc::clone(&self.peers),
                settings,
            );
            shards.push(group.await?);
        }
        if founds {
            // Before any other is answered: then it is as if each had begun with these voters.
            system.initialize(founders.clone()).await?;
            for shard in &shards {
                shard.initialize(founders.clone()).await?;
            }
        }
        Ok(Groups {
            node,
            system,
            shards: shards.into_iter().map(Held::new).collect(),
            count,
            reads,
            newer: RwLock::new(None),
        })
    }

    /// So that the others need not find out. As far as there is a leader.
    async fn say_that_it_leaves(&self, groups: &Groups, deadline: Instant) {
        let node = groups.node;
        let wait = deadline.min(Instant::now() + DRAIN);
        let left = groups.system.propose(Command::Left { node }, wait).await;
        if let Err(crate::group::ProposeError::NotLeader {
            leader: Some(leader),
        }) = left
        {
            let body = forward::encode(&Forwarded::Left);
            let request = Request {
                group: GroupId::FORWARD,
                epoch: EPOCH,
                body,
            };
            // Whether or not: it leaves.
            let _ = self.peers.call(&leader, request, wait).await;
        }
    }
}

/// Of every group, since none is ever recovered by force.
const EPOCH: Epoch = Epoch(1);

impl<N: Network> Handler for Inner<N> {
    async fn handle(&self, from: NodeId, request: Request) -> Result<Bytes, Refusal> {
        if request.group == GroupId::BOOTSTRAP {
            return self.answer_question(&request.body).await;
        }
        let groups = self.groups.get().ok_or(Refusal::UnknownGroup)?;
        if request.group == GroupId::FORWARD {
            return self.answer_forwarded(groups, from, request).await;
        }
        if request.group == GroupId::SYSTEM {
            return groups.system.handle(from, request).await;
        }
        let held = request.group.shard().and_then(|shard| groups.held(shard));
        let group = held.and_then(Held::open).ok_or(Refusal::UnknownGroup)?;
        group.handle(from, request).await
    }
}
