//! The seam between the service and its shards, as a wrapper around any shards: it declines to
//! answer at once, and waits before and after a command, so that requests meet in the middle. Some
//! commands do not reach their shard, and of some nobody hears whether they did. And coordinators
//! vanish: from some command on nothing more comes of all that one of them does.
//!
//! Everything that it does is allowed to an implementation of [`Shards`]; what stands above must
//! bear it.

use std::{
    collections::BTreeSet,
    fmt,
    future::pending,
    num::NonZeroU16,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use fastrand::Rng;
use serde::{Deserialize, Serialize};
use tokio::{
    task::yield_now,
    time::{Instant, sleep},
};
use trandb_common::{
    Key, TransactionId,
    wire::{ListedKey, cluster::ClusterStatus},
};
use trandb_engine::{AttemptId, Command, Known, LogTime, Read, Reply, ShardId, Subject};
use trandb_server::{
    Local, Shards,
    shards::{LeftBehind, Listing, ShardError},
};

use super::Swarm;
use crate::{counts::Tally, trace::Trace};

/// Shards that keep their state in this process, whatever stands between.
pub trait OverLocal: Shards {
    /// Where the state is.
    fn local(&self) -> &Local;
}

impl OverLocal for Local {
    fn local(&self) -> &Local {
        self
    }
}

/// How often the seam does what.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeamFaults {
    /// Of the tries to answer at once.
    pub decline_percent: u8,
    /// Of the moments before and after a command.
    pub pause_percent: u8,
    /// Longest pause, in milliseconds; 0 lets others run and goes on.
    pub pause_ms_max: u32,
    /// Of the moments before and after a command of a coordinator: it vanishes.
    #[serde(default)]
    pub vanish_percent: u8,
    /// Of the commands and reads: their shard is not available.
    #[serde(default)]
    pub unavailable_percent: u8,
    /// Of the commands: nobody hears what became of them; of each second one nothing did.
    #[serde(default)]
    pub unheard_percent: u8,
}

impl SeamFaults {
    /// Those of one run, with `transactions` or without.
    pub fn draw(swarm: &mut Swarm, rng: &mut Rng, transactions: bool) -> Self {
        let percent = |rng: &mut Rng| *rng.choice(&[5, 20, 60, 100]).unwrap_or(&0);
        let mut faults = Self::default();
        if swarm.has() {
            faults.decline_percent = percent(rng);
        }
        if swarm.has() {
            faults.decline_percent = faults.decline_percent.max(20);
            faults.pause_percent = percent(rng);
            faults.pause_ms_max = *rng.choice(&[0, 1, 5, 50]).unwrap_or(&0);
        }
        if transactions && swarm.has() {
            faults.vanish_percent = *rng.choice(&[1, 1, 3, 10]).unwrap_or(&0);
        }
        if swarm.has() {
            faults.decline_percent = faults.decline_percent.max(20);
            faults.unavailable_percent = *rng.choice(&[0, 1, 5]).unwrap_or(&0);
            faults.unheard_percent = *rng.choice(&[0, 3, 15]).unwrap_or(&0);
        }
        faults
    }

    /// Whether there is any.
    pub fn is_calm(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for SeamFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            decline_percent,
            pause_percent,
            pause_ms_max,
            vanish_percent,
            unavailable_percent,
            unheard_percent,
        } = self;
        write!(
            f,
            "{decline_percent} % not at once, {pause_percent} % with a pause of up to \
             {pause_ms_max} ms"
        )?;
        for (percent, what) in [
            (vanish_percent, "coordinators vanish"),
            (unavailable_percent, "shards are not available"),
            (unheard_percent, "nobody hears of a command"),
        ] {
            if *percent > 0 {
                write!(f, ", {what} at {percent} %")?;
            }
        }
        Ok(())
    }
}

/// Shards behind a seam with faults. A clone is another handle of the same ones.
#[derive(Debug)]
pub struct Seam<S> {
    inner: Arc<S>,
    faults: SeamFaults,
    rng: Arc<Mutex<Rng>>,
    vanished: Arc<Mutex<BTreeSet<AttemptId>>>,
    ended: Arc<AtomicBool>,
    tally: Tally,
    trace: Trace,
}

impl<S> Clone for Seam<S> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            faults: self.faults.clone(),
            rng: Arc::clone(&self.rng),
            vanished: Arc::clone(&self.vanished),
            ended: Arc::clone(&self.ended),
            tally: self.tally.clone(),
            trace: self.trace.clone(),
        }
    }
}

impl<S> Seam<S> {
    /// In front of `inner`.
    pub fn new(inner: S, faults: SeamFaults, rng: Rng, tally: Tally, trace: Trace) -> Self {
        Self {
            inner: Arc::new(inner),
            faults,
            rng: Arc::new(Mutex::new(rng)),
            vanished: Arc::default(),
            ended: Arc::default(),
            tally,
            trace,
        }
    }

    /// The same, with faults until `ended` is set.
    #[must_use]
    pub fn until(self, ended: Arc<AtomicBool>) -> Self {
        Self { ended, ..self }
    }

    /// The same shards without faults.
    #[must_use]
    pub fn calm(&self) -> Self {
        Self {
            faults: SeamFaults::default(),
            ..self.clone()
        }
    }

    /// What stands behind it.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    fn draws(&self, percent: u8) -> bool {
        // Without faults nothing is drawn and nothing locked.
        let drawn = || self.rng().u8(..100) < percent;
        percent > 0 && !self.ended.load(Ordering::Relaxed) && drawn()
    }

    fn rng(&self) -> std::sync::MutexGuard<'_, Rng> {
        self.rng.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn pause(&self) {
        if !self.draws(self.faults.pause_percent) {
            return;
        }
        self.tally.count("pause at the seam");
        let pause_ms = self.rng().u32(0..=self.faults.pause_ms_max);
        if pause_ms == 0 {
            yield_now().await;
        } else {
            sleep(Duration::from_millis(u64::from(pause_ms))).await;
        }
    }

    /// Never comes back if the coordinator that sends `command` vanishes here, or has vanished.
    async fn vanish(&self, command: &Command) {
        let percent = self.faults.vanish_percent;
        let Some(attempt) = attempt(command).filter(|_| percent > 0) else {
            return;
        };
        let is_gone = {
            let mut vanished = self.vanished.lock().unwrap_or_else(PoisonError::into_inner);
            let drawn = !vanished.contains(&attempt) && self.draws(percent);
            if drawn {
                self.tally.count("coordinator vanished");
                self.trace
                    .line("fault", format_args!("{} vanishes", Words(command)));
                vanished.insert(attempt);
            }
            vanished.contains(&attempt)
        };
        if is_gone {
            pending::<()>().await;
        }
    }

    fn is_unavailable(&self) -> bool {
        let is_unavailable = self.draws(self.faults.unavailable_percent);
        if is_unavailable {
            self.tally.count("shard not available");
        }
        is_unavailable
    }

    /// Whether nobody hears of `command`, and then whether it is carried out.
    fn unheard(&self, command: &Command) -> Option<bool> {
        if !self.draws(self.faults.unheard_percent) {
            return None;
        }
        self.tally.count("command unheard of");
        let is_carried_out = self.rng().bool();
        let becomes = if is_carried_out {
            "carried out"
        } else {
            "lost"
        };
        self.trace.line(
            "fault",
            format_args!("{} is {becomes}, and nobody hears of it", Words(command)),
        );
        Some(is_carried_out)
    }

    fn declines(&self) -> bool {
        let declines = self.draws(self.faults.decline_percent);
        if declines {
            self.tally.count("not at once");
        }
        declines
    }

    fn traced<T: fmt::Debug>(&self, shard: ShardId, what: fmt::Arguments<'_>, result: T) -> T {
        self.trace.line(
            format_args!("shard {}", shard.0),
            format_args!("    {what}: {result:?}"),
        );
        result
    }
}

impl<S: Shards> Shards for Seam<S> {
    fn count(&self) -> NonZeroU16 {
        self.inner.count()
    }

    async fn read(&self, shard: ShardId, key: &Key, deadline: Instant) -> Result<Read, ShardError> {
        self.pause().await;
        let read = if self.is_unavailable() {
            Err(ShardError::Unavailable)
        } else {
            self.inner.read(shard, key, deadline).await
        };
        let read = self.traced(shard, format_args!("read {}", key.as_str()), read);
        self.pause().await;
        read
    }

    async fn execute(
        &self,
        shard: ShardId,
        command: &Command,
        deadline: Instant,
    ) -> Result<Reply, ShardError> {
        self.pause().await;
        self.vanish(command).await;
        if is_tick(command) {
            return self.inner.execute(shard, command, deadline).await;
        }
        let execute = self.inner.execute(shard, command, deadline);
        let reply = if self.is_unavailable() {
            Err(ShardError::Unavailable)
        } else {
            match self.unheard(command) {
                None => execute.await,
                Some(false) => Err(ShardError::Unknown),
                Some(true) => execute.await.and(Err(ShardError::Unknown)),
            }
        };
        let reply = self.traced(shard, format_args!("{}", Words(command)), reply);
        self.vanish(command).await;
        self.pause().await;
        reply
    }

    fn try_read(&self, shard: ShardId, key: &Key) -> Option<Read> {
        if self.declines() {
            return None;
        }
        let read = self.inner.try_read(shard, key)?;
        Some(self.traced(shard, format_args!("read {} at once", key.as_str()), read))
    }

    fn try_execute(&self, shard: ShardId, command: &Command) -> Option<Result<Reply, ShardError>> {
        let may_vanish = self.faults.vanish_percent > 0 && attempt(command).is_some();
        if may_vanish || self.declines() {
            return None;
        }
        let reply = self.inner.try_execute(shard, command)?;
        Some(self.traced(shard, format_args!("{} at once", Words(command)), reply))
    }

    async fn list(
        &self,
        shard: ShardId,
        listing: &Listing,
        deadline: Instant,
    ) -> Result<Vec<ListedKey>, ShardError> {
        self.pause().await;
        let rows = self.inner.list(shard, listing, deadline).await;
        let count = rows.as_ref().map(Vec::len);
        let _ = self.traced(shard, format_args!("list {:?}", listing.prefix), count);
        self.pause().await;
        rows
    }

    async fn known(
        &self,
        shard: ShardId,
        transaction: TransactionId,
        deadline: Instant,
    ) -> Result<Option<Known>, ShardError> {
        self.inner.known(shard, transaction, deadline).await
    }

    async fn left_behind(
        &self,
        shard: ShardId,
        since: LogTime,
        limit: usize,
        deadline: Instant,
    ) -> Result<LeftBehind, ShardError> {
        self.inner.left_behind(shard, since, limit, deadline).await
    }

    fn released(&self, shard: ShardId) -> impl Future<Output = ()> + Send {
        self.inner.released(shard)
    }

    fn tends(&self, shard: ShardId) -> bool {
        self.inner.tends(shard)
    }

    fn cluster(&self) -> ClusterStatus {
        self.inner.cluster()
    }
}

/// The attempt that a coordinator or resolver sends this command for.
fn attempt(command: &Command) -> Option<AttemptId> {
    match command {
        Command::Prepare(prepare) => Some(prepare.attempt),
        Command::Commit(commit) => Some(commit.attempt),
        Command::Finalize(finalize) => Some(finalize.attempt),
        Command::Resolve(resolve) => match resolve.subject {
            Subject::Attempt { attempt, .. } => Some(attempt),
            Subject::Transaction { .. } => None,
        },
        Command::Forget(forget) => forget.finalized.first().map(|part| part.attempt),
        Command::Put { .. } | Command::Delete { .. } => None,
    }
}

/// Whether it only tells the time.
fn is_tick(command: &Command) -> bool {
    matches!(command, Command::Forget(forget)
        if forget.finalized.is_empty() && forget.acknowledged.is_empty())
}

/// A command in a few words.
struct Words<'a>(&'a Command);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Command::Put { key, value, .. } => {
                write!(f, "put {} ({} bytes)", key.as_str(), value.len())
            }
            Command::Delete { key, .. } => write!(f, "delete {}", key.as_str()),
            Command::Prepare(prepare) => write!(f, "prepare {:?}", prepare.attempt),
            Command::Commit(commit) => write!(f, "commit {:?}", commit.attempt),
            Command::Resolve(resolve) => write!(f, "resolve {:?}", resolve.subject),
            Command::Finalize(finalize) => {
                write!(
                    f,
                    "finalize {:?}: {:?}",
                    finalize.attempt, finalize.decision
                )
            }
            Command::Forget(_) => f.write_str("forget"),
        }
    }
}
