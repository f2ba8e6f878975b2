//! [`Group`] by openraft.
//!
//! ```text
//! types      what openraft is told about our types
//! log        the entries, in memory
//! machine    applies them
//! message    what replicas say to each other
//! network    sends it, entries as `append` says; `incoming` answers it
//! barrier    reads share their rounds
//! leadership what a leader claims
//! tend       what a replica does unasked
//! ```
//!
//! Where openraft can be told to bend Raft's rules (a log that is shorter than it was, leadership
//! kept over a restart) it is not.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::FutureExt as _;
use openraft::{
    AsyncRuntime as _, ChangeMembers, Config, Instant as _, Precondition, ServerState,
    SnapshotPolicy,
    async_runtime::WatchReceiver as _,
    errors::{ChangeMembershipError, ClientWriteError, ForwardToLeader, RaftError},
};
use tokio::{
    sync::{Mutex, mpsc, oneshot},
    time::{Instant, timeout_at},
};
use trandb_common::limits::PEER_BODY_BYTES_MAX;

use crate::{
    identity::{Epoch, GroupId, NodeId},
    transport::{Address, Refusal, Request, Transport},
};

use super::{
    ChangeError, Group, Membership, Position, ProposeError, ReadError, Role, StateMachine, Status,
};

use self::{
    barrier::Waiting,
    incoming::Incoming,
    log::Log,
    machine::Machine,
    network::Network,
    types::{Proposal, Runtime, Types, log_id, position},
};

mod append;
mod barrier;
mod incoming;
mod leadership;
mod log;
mod machine;
mod message;
mod network;
mod tend;
mod types;

pub use leadership::Leadership;

/// Most bytes of entries in a log (64 MiB): with more, proposals are refused until a majority has
/// them.
pub const LOG_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Most bytes of commands that are proposed and not yet answered.
const PROPOSING_BYTES_MAX: usize = 64 * 1024 * 1024;

/// When entries that are applied begin to be dropped.
const LOG_MUCH_BYTES: usize = 16 * 1024 * 1024;

/// What is kept of them, for replicas that lag a little.
const LOG_KEPT_BYTES: usize = 8 * 1024 * 1024;

/// A leader that no majority has followed for so long has none that follows it.
const FOLLOWED_WITHIN: Duration = Duration::from_secs(1);

/// The largest command. What stands around one in a message is much less than the rest.
const COMMAND_BYTES_MAX: usize = PEER_BODY_BYTES_MAX - 64 * 1024;

type Raft<S> = openraft::Raft<Types<S>, Machine<S>>;

/// How long things take. All replicas of a group should have the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How often a leader is heard of. Whole milliseconds.
    pub heartbeat: Duration,
    /// When a replica that hears of no leader asks for votes, at the earliest. At least some
    /// heartbeats.
    pub election_min: Duration,
    /// And at the latest.
    pub election_max: Duration,
    /// When entries that are applied begin to be dropped, in bytes; for tests.
    pub log_much_bytes: usize,
    /// What is kept of them, in bytes; for tests.
    pub log_kept_bytes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(100),
            election_min: Duration::from_millis(250),
            election_max: Duration::from_millis(500),
            log_much_bytes: LOG_MUCH_BYTES,
            log_kept_bytes: LOG_KEPT_BYTES,
        }
    }
}

impl Settings {
    fn config(&self, group: GroupId) -> Config {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Config {
            cluster_name: format!("group {group}"),
            heartbeat_interval: millis(self.heartbeat),
            election_timeout_min: millis(self.election_min),
            election_timeout_max: millis(self.election_max),
            enable_pre_vote: Some(true),
            enable_leader_restore: Some(false),
            allow_log_reversion: Some(false),
            // By bytes, not by number: `tend` does it.
            snapshot_policy: SnapshotPolicy::Never,
            max_in_snapshot_log_to_keep: u64::MAX,
            // A learner gets a snapshot only when the entries that it needs are dropped.
            replication_lag_threshold: u64::MAX,
            api_channel_size: Some(4_096),
            notification_channel_size: Some(4_096),
            state_machine_channel_size: Some(1_024),
            // A replica that cannot be reached is tried often enough to be found soon.
            backoff: "50ms 100ms ..500ms".to_owned(),
            ..Config::default()
        }
    }
}

/// A replica. It runs until [`shutdown`](Group::shutdown); its clones are the same replica.
pub struct RaftGroup<S: StateMachine> {
    inner: Arc<Inner<S>>,
    readers: mpsc::Sender<Waiting>,
}

impl<S: StateMachine> Clone for RaftGroup<S> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            readers: self.readers.clone(),
        }
    }
}

struct Inner<S: StateMachine> {
    group: GroupId,
    epoch: Epoch,
    node: NodeId,
    raft: Raft<S>,
    log: Log<S>,
    /// Up to where at least the log was committed that it had and has forgotten.
    forgotten: Option<Position>,
    log_kept_bytes: usize,
    machine: Machine<S>,
    /// The commands that are proposed and not yet answered, in bytes.
    proposing: AtomicUsize,
    incoming: Mutex<Incoming>,
    /// Held while this replica changes the membership.
    changing: Mutex<()>,
}

fn address(node: Option<NodeId>, at: Option<String>) -> Option<Address> {
    Some(Address {
        node: node?,
        at: at?,
    })
}

impl<S: StateMachine> RaftGroup<S> {
    /// Starts a replica that has nothing yet: it waits to be founded or to be made a member.
    /// `state` must be the same for all replicas of the group.
    ///
    /// # Errors
    ///
    /// The settings make no sense.
    pub async fn start<T: Transport>(
        group: GroupId,
        epoch: Epoch,
        node: NodeId,
        state: S,
        transport: Arc<T>,
        settings: &Settings,
    ) -> Result<Self, ChangeError> {
        let log = Log::new(settings.log_much_bytes);
        let memory = (log, None);
        Self::start_with(memory, group, epoch, node, state, transport, settings).await
    }

    /// The same replica, which has ended, with `state` and without a log: all that it remembers is how
    /// it has voted, and that the log was committed up to `committed` at least. It must be no member of
    /// the group by the membership there.
    ///
    /// Its log was what kept it from voting for who lacks entries that are committed: one who does not
    /// know of that membership yet and counts on its vote. Now `committed` does.
    ///
    /// # Errors
    ///
    /// The settings make no sense.
    pub async fn without_anything<T: Transport>(
        &self,
        committed: Position,
        state: S,
        transport: Arc<T>,
        settings: &Settings,
    ) -> Result<Self, ChangeError> {
        let Inner {
            group, epoch, node, ..
        } = *self.inner;
        let log = self.inner.log.vote_alone(settings.log_much_bytes);
        let memory = (log, self.inner.forgotten.max(Some(committed)));
        Self::start_with(memory, group, epoch, node, state, transport, settings).await
    }

    async fn start_with<T: Transport>(
        (log, forgotten): (Log<S>, Option<Position>),
        group: GroupId,
        epoch: Epoch,
        node: NodeId,
        state: S,
        transport: Arc<T>,
        settings: &Settings,
    ) -> Result<Self, ChangeError> {
        let refused = |error: &dyn std::error::Error| ChangeError::Refused(error.to_string());
        let config = settings.config(group).validate();
        let config = config.map_err(|error| refused(&error))?;
        let machine = Machine::new(state);
        let network = Network {
            transport,
            group,
            epoch,
        };
        let raft = Raft::<S>::new(
            node,
            Arc::new(config),
            network,
            log.clone(),
            machine.clone(),
        );
        let raft = raft.await.map_err(|error| refused(&error))?;
        let (readers, rounds) = barrier::rounds(raft.clone());
        let inner = Arc::new(Inner {
            group,
            epoch,
            node,
            raft,
            log,
            forgotten,
            log_kept_bytes: settings.log_kept_bytes,
            machine,
            proposing: AtomicUsize::new(0),
            incoming: Mutex::default(),
            changing: Mutex::new(()),
        });
        Runtime::spawn(rounds);
        Runtime::spawn(tend::keep_log_short(Arc::clone(&inner)));
        Runtime::spawn(tend::finish_changes(Arc::clone(&inner)));
        Ok(Self { inner, readers })
    }

    /// Whether this replica has an entry, or has had one.
    pub fn has_anything(&self) -> bool {
        self.inner
            .raft
            .metrics()
            .borrow_watched()
            .last_log_index
            .is_some()
    }

    /// Whether this replica is a member of the group, as it has heard.
    pub fn is_member(&self) -> bool {
        let metrics = self.inner.raft.metrics();
        let metrics = metrics.borrow_watched();
        let membership = metrics.membership_config.membership();
        membership.get_node(&self.inner.node).is_some()
    }

    /// Whether this replica leads, as it believes.
    pub fn leads(&self) -> bool {
        self.inner.raft.metrics().borrow_watched().state == ServerState::Leader
    }

    /// Who leads instead of this replica, as it believes: for who would only ask it to hear that.
    pub fn leads_instead(&self) -> Option<Address> {
        self.inner.leads_instead()
    }

    /// What this replica claims when it leads. A read that had come before is answered by what this
    /// replica has applied after a majority has [confirmed](Self::has_voted_for) it: the same as
    /// [`read_barrier`](Group::read_barrier), but that who asks can ask for many groups at once.
    ///
    /// # Errors
    ///
    /// It does not lead, or has not applied an entry of its term yet.
    pub fn leadership(&self) -> Result<Leadership, ReadError> {
        self.inner.leadership()
    }

    /// Whether this replica has voted for `candidate` in `term`, and for nobody later.
    pub fn has_voted_for(&self, candidate: NodeId, term: u64) -> bool {
        self.inner.log.has_voted_for(candidate, term)
    }
}

impl<S: StateMachine> Inner<S> {
    #[allow(clippy::significant_drop_tightening)]
    fn status(&self) -> Status {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let role = match metrics.state {
            _ if metrics.running_state.is_err() => Role::Stopped,
            ServerState::Learner => Role::Learner,
            ServerState::Follower => Role::Follower,
            ServerState::Candidate => Role::Candidate,
            ServerState::Leader => Role::Leader,
            ServerState::Shutdown => Role::Stopped,
        };
        let stored = &metrics.membership_config;
        let replicated = metrics.replication.iter().flatten();
        // Nobody acknowledges anything to who votes alone.
        let votes_alone = stored.voter_ids().all(|voter| voter == self.node);
        Status {
            node: self.node,
            term: metrics.current_term,
            role,
            leader: metrics.current_leader,
            followed: votes_alone
                || metrics
                    .last_quorum_acked
                    .is_some_and(|acked| is_outside_of_time() || acked.elapsed() < FOLLOWED_WITHIN),
            last: metrics.last_log_index,
            applied: self
                .machine
                .with(|applied| applied.last.as_ref().map(position)),
            purged: metrics.purged.as_ref().map(position),
            membership: Membership {
                position: stored.log_id().as_ref().map(position),
                voters: stored.get_joint_config().clone(),
                members: stored
                    .nodes()
                    .map(|(node, at)| (*node, at.clone()))
                    .collect(),
            },
            membership_committed: metrics.committed_membership_config.log_id()
                == metrics.membership_config.log_id(),
            replicated: replicated
                .map(|(node, upto)| (*node, upto.as_ref().map(openraft::LogId::index)))
                .collect(),
            log_bytes: self.log.bytes(),
        }
    }

    /// Drops applied entries until at most `kept` bytes are left; none: the replica has ended.
    async fn shorten_log(&self, kept: usize) -> Option<()> {
        let Some(applied) = self.machine.with(|applied| applied.last) else {
            return Some(());
        };
        self.raft.trigger().snapshot().await.ok()?;
        let wait = self.raft.wait(Some(Duration::from_secs(1)));
        let announced = wait.metrics(|metrics| metrics.snapshot >= Some(applied), "a snapshot");
        // Next time, then.
        let _ = announced.await;
        if let Some(cut) = self.log.cut(kept) {
            let cut = cut.min(applied.index());
            self.raft.trigger().purge_log(cut).await.ok()?;
        }
        Some(())
    }
}

/// Counts a command for as long as its proposer waits: before it enters the log it takes memory too.
struct Proposing<'a> {
    all: &'a AtomicUsize,
    bytes: usize,
}

impl<'a> Proposing<'a> {
    /// None: too many wait already.
    fn begin(all: &'a AtomicUsize, bytes: usize) -> Option<Self> {
        let before = all.fetch_add(bytes, Ordering::Relaxed);
        let proposing = Self { all, bytes };
        (before + bytes <= PROPOSING_BYTES_MAX).then_some(proposing)
    }
}

impl Drop for Proposing<'_> {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Whether a simulation looks, from outside of the simulated time, where no time passes.
fn is_outside_of_time() -> bool {
    cfg!(simulation) && tokio::runtime::Handle::try_current().is_err()
}

fn not_leader<S: StateMachine>(to: ForwardToLeader<Types<S>>) -> Option<Address> {
    address(to.leader_id, to.leader_node)
}

fn change_error<S: StateMachine>(
    error: RaftError<Types<S>, ClientWriteError<Types<S>>>,
) -> ChangeError {
    match error {
        RaftError::APIError(ClientWriteError::ForwardToLeader(to)) => ChangeError::NotLeader {
            leader: not_leader(to),
        },
        RaftError::APIError(ClientWriteError::LogEntryDiscarded(_)) => {
            ChangeError::Unknown("leadership was lost")
        }
        RaftError::APIError(ClientWriteError::PreconditionFailed(_)) => ChangeError::Outdated,
        RaftError::APIError(ClientWriteError::ChangeMembershipError(error)) => match error {
            ChangeMembershipError::InProgress(_) => ChangeError::InProgress,
            error => ChangeError::Refused(error.to_string()),
        },
        RaftError::Fatal(_) => ChangeError::Unknown("the replica has stopped"),
    }
}

fn in_time<R>(
    result: Result<Result<R, ChangeError>, tokio::time::error::Elapsed>,
) -> Result<R, ChangeError> {
    result.unwrap_or(Err(ChangeError::Unknown("no majority in time")))
}

impl<S: StateMachine> Group for RaftGroup<S> {
    type Machine = S;

    async fn propose(
        &self,
        command: S::Command,
        deadline: Instant,
    ) -> Result<S::Reply, ProposeError> {
        let bytes = S::command_bytes(&command);
        if bytes > COMMAND_BYTES_MAX {
            return Err(ProposeError::TooLarge { bytes });
        }
        if self.inner.log.bytes() + bytes > LOG_BYTES_MAX {
            return Err(ProposeError::Overloaded);
        }
        let proposing = Proposing::begin(&self.inner.proposing, bytes);
        let _proposing = proposing.ok_or(ProposeError::Overloaded)?;
        let proposal = Proposal(Arc::new(command));
        let written = timeout_at(deadline, self.inner.raft.client_write(proposal)).await;
        match written {
            Ok(Ok(written)) => Ok(written.data.expect("a command has a reply")),
            Ok(Err(RaftError::APIError(ClientWriteError::ForwardToLeader(to)))) => {
                Err(ProposeError::NotLeader {
                    leader: not_leader(to),
                })
            }
            Ok(Err(RaftError::APIError(_))) => Err(ProposeError::LeadershipLost),
            Ok(Err(RaftError::Fatal(_))) => Err(ProposeError::Stopped),
            Err(_) => Err(ProposeError::TimedOut),
        }
    }

    async fn read_barrier(&self, deadline: Instant) -> Result<(), ReadError> {
        let (answer, answered) = oneshot::channel();
        self.readers.try_send(answer).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => ReadError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => ReadError::Stopped,
        })?;
        match timeout_at(deadline, answered).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(ReadError::Stopped),
            Err(_) => Err(ReadError::TimedOut),
        }
    }

    fn read_with<R>(&self, read: impl FnOnce(&S) -> R) -> R {
        self.inner.machine.with(|applied| read(&applied.state))
    }

    fn leader(&self) -> Option<Address> {
        let status = self.inner.status();
        status.membership.address(status.leader?)
    }

    fn status(&self) -> Status {
        self.inner.status()
    }

    async fn changed(&self) -> Result<(), ReadError> {
        let mut metrics = self.inner.raft.metrics();
        // It has seen nothing yet, not even what is now.
        let _ = metrics.changed().now_or_never();
        metrics.changed().await.map_err(|_| ReadError::Stopped)
    }

    async fn initialize(&self, founders: BTreeMap<NodeId, String>) -> Result<(), ChangeError> {
        match self.inner.raft.initialize(founders).await {
            Ok(()) => Ok(()),
            Err(RaftError::APIError(error)) => Err(ChangeError::Refused(error.to_string())),
            Err(RaftError::Fatal(_)) => Err(ChangeError::Unknown("the replica has stopped")),
        }
    }

    async fn add_learner(&self, learner: Address, deadline: Instant) -> Result<(), ChangeError> {
        let change = async {
            let _alone = self.inner.changing.lock().await;
            let added = self
                .inner
                .raft
                .add_learner(learner.node, learner.at, false)
                .await;
            added.map(|_| ()).map_err(change_error)
        };
        in_time(timeout_at(deadline, change).await)
    }

    async fn swap_voters(
        &self,
        expected: Option<Position>,
        remove: BTreeSet<NodeId>,
        add: BTreeSet<NodeId>,
        deadline: Instant,
    ) -> Result<(), ChangeError> {
        let change = async {
            let _alone = self.inner.changing.lock().await;
            let membership = self.inner.status().membership;
            if membership.position != expected {
                return Err(ChangeError::Outdated);
            }
            let learner = |node: &NodeId| {
                membership.members.contains_key(node) && !membership.is_voter(*node)
            };
            let (learners, voters) = remove.into_iter().partition(learner);
            let changes = ChangeMembers::Batch(vec![
                ChangeMembers::AddVoterIds(add),
                ChangeMembers::RemoveVoters(voters),
                ChangeMembers::RemoveNodes(learners),
            ]);
            let as_expected = Precondition::LastMembershipLogId {
                last_membership_log_id: expected.map(log_id),
            };
            let changed = self
                .inner
                .raft
                .change_membership_if(changes, false, [as_expected])
                .await;
            changed.map(|_| ()).map_err(change_error)
        };
        in_time(timeout_at(deadline, change).await)
    }

    async fn transfer_leadership(&self, to: NodeId) -> Result<(), ChangeError> {
        let asked = self.inner.raft.trigger().transfer_leader(to).await;
        asked.map_err(|_| ChangeError::Unknown("the replica has stopped"))
    }

    async fn snapshot(&self) -> Result<(), ChangeError> {
        let shortened = self.inner.shorten_log(0).await;
        shortened.ok_or(ChangeError::Unknown(
            "the replica has stopped, or has nothing",
        ))
    }

    async fn handle(&self, _: NodeId, request: Request) -> Result<Bytes, Refusal> {
        if request.group != self.inner.group {
            return Err(Refusal::UnknownGroup);
        }
        if request.epoch != self.inner.epoch {
            let here = self.inner.epoch;
            return Err(Refusal::WrongEpoch { here });
        }
        let Inner {
            raft,
            incoming,
            forgotten,
            ..
        } = &*self.inner;
        incoming::answer(raft, incoming, *forgotten, request.body).await
    }

    async fn shutdown(&self) {
        if let Err(error) = self.inner.raft.shutdown().await {
            tracing::error!(group = %self.inner.group, %error, "a replica ended badly");
        }
        // So that what waits for it finds that the replica has ended.
        self.inner.log.wake();
    }
}
