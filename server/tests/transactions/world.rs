//! A database over shards that do what a test says to single commands. Time is paused, so waiting
//! takes none.

use std::{
    num::NonZeroU16,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep};
use trandb_common::{Key, TransactionId, Value, Version, wire::ListedKey};
use trandb_engine::{
    Body, Check, Command, Condition, Found, Known, LogTime, Operations, Read, Reply, ShardId, Step,
    Write, route,
};
use trandb_server::{
    Database, Local, Shards,
    memory::Memory,
    shards::{LeftBehind, Listing, ShardError},
    transactions::{Asked, Source},
};

pub(crate) const EPOCH: u64 = 1;
pub(crate) const ID: TransactionId = TransactionId(7);
pub(crate) const TIMEOUT: Duration = Duration::from_secs(5);
pub(crate) const SHARDS: NonZeroU16 = NonZeroU16::new(3).expect("not 0");

/// What happens to a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It is refused, and changes nothing.
    Refused(ShardError),
    /// It waits before it is applied.
    Late(Duration),
    /// It is applied, and its reply waits.
    Told(Duration),
    /// It is not applied, and nobody can say so.
    Lost,
    /// It is applied, and nobody can say so.
    Unheard,
}

/// Which commands have trouble.
pub(crate) type Plan = Box<dyn Fn(Step, ShardId) -> Option<Trouble> + Send + Sync>;

/// Shards in this process with trouble on the way to them.
pub(crate) struct Shaky {
    pub(crate) local: Local,
    pub(crate) memory: Arc<Memory>,
    plan: Mutex<Arc<Plan>>,
    /// As many commands get through; the others are never heard of again.
    left: AtomicUsize,
    /// What has come, and when.
    seen: Mutex<Vec<(Step, ShardId, Instant)>>,
}

fn step(command: &Command) -> Option<Step> {
    Some(match command {
        Command::Put { .. } | Command::Delete { .. } => return None,
        Command::Prepare(_) => Step::Prepare,
        Command::Commit(_) => Step::Commit,
        Command::Resolve(_) => Step::Resolve,
        Command::Finalize(_) => Step::Finalize,
        Command::Forget(_) => Step::Forget,
    })
}

impl Shaky {
    fn new(memory_bytes: u64) -> Self {
        let memory = Arc::new(Memory::new(memory_bytes));
        Self {
            local: Local::new(SHARDS, EPOCH, Arc::clone(&memory)),
            memory,
            plan: Mutex::new(Arc::new(Box::new(|_, _| None))),
            left: AtomicUsize::new(usize::MAX),
            seen: Mutex::new(Vec::new()),
        }
    }

    /// From now on.
    pub(crate) fn plan(&self, plan: Plan) {
        *self.plan.lock().expect("not poisoned") = Arc::new(plan);
    }

    /// From now on `count` commands get through.
    pub(crate) fn cut_after(&self, count: usize) {
        self.left.store(count, Ordering::Relaxed);
    }

    /// When commands of this kind came.
    pub(crate) fn times(&self, wanted: Step) -> Vec<Instant> {
        let seen = self.seen.lock().expect("not poisoned");
        let times = seen.iter().filter(|(step, ..)| *step == wanted);
        times.map(|(_, _, time)| *time).collect()
    }

    /// What has come, in this order.
    pub(crate) fn steps(&self) -> Vec<(Step, ShardId)> {
        let seen = self.seen.lock().expect("not poisoned");
        seen.iter()
            .map(|(step, shard, _)| (*step, *shard))
            .collect()
    }
}

impl Shards for Shaky {
    fn count(&self) -> NonZeroU16 {
        self.local.count()
    }

    async fn read(&self, shard: ShardId, key: &Key, deadline: Instant) -> Result<Read, ShardError> {
        self.local.read(shard, key, deadline).await
    }

    async fn execute(
        &self,
        shard: ShardId,
        command: &Command,
        deadline: Instant,
    ) -> Result<Reply, ShardError> {
        let Some(step) = step(command) else {
            return self.local.execute(shard, command, deadline).await;
        };
        let now = Instant::now();
        self.seen
            .lock()
            .expect("not poisoned")
            .push((step, shard, now));
        let left = self.left.load(Ordering::Relaxed);
        self.left.store(left.saturating_sub(1), Ordering::Relaxed);
        if left == 0 {
            return std::future::pending().await;
        }
        let plan = Arc::clone(&self.plan.lock().expect("not poisoned"));
        match plan(step, shard) {
            None => self.local.execute(shard, command, deadline).await,
            Some(Trouble::Refused(error)) => Err(error),
            Some(Trouble::Late(time)) => {
                sleep(time).await;
                self.local.execute(shard, command, deadline).await
            }
            Some(Trouble::Told(time)) => {
                let reply = self.local.execute(shard, command, deadline).await;
                sleep(time).await;
                reply
            }
            Some(Trouble::Lost) => Err(ShardError::Unknown),
            Some(Trouble::Unheard) => {
                let reply = self.local.execute(shard, command, deadline).await;
                reply.and(Err(ShardError::Unknown))
            }
        }
    }

    async fn list(
        &self,
        shard: ShardId,
        listing: &Listing,
        deadline: Instant,
    ) -> Result<Vec<ListedKey>, ShardError> {
        self.local.list(shard, listing, deadline).await
    }

    async fn known(
        &self,
        shard: ShardId,
        transaction: TransactionId,
        deadline: Instant,
    ) -> Result<Option<Known>, ShardError> {
        self.local.known(shard, transaction, deadline).await
    }

    async fn left_behind(
        &self,
        shard: ShardId,
        since: LogTime,
        limit: usize,
        deadline: Instant,
    ) -> Result<LeftBehind, ShardError> {
        self.local.left_behind(shard, since, limit, deadline).await
    }

    fn released(&self, shard: ShardId) -> impl Future<Output = ()> + Send {
        self.local.released(shard)
    }
}

/// A database, and what tests ask of it.
pub(crate) struct World(pub(crate) Arc<Database<Shaky>>);

impl World {
    pub(crate) fn new() -> Self {
        Self::with_memory(1 << 30)
    }

    pub(crate) fn with_memory(bytes: u64) -> Self {
        let database = Database::new(Shaky::new(bytes), Source::new(EPOCH, 0));
        Self(Arc::new(database))
    }

    pub(crate) fn shards(&self) -> &Shaky {
        self.0.shards()
    }

    pub(crate) async fn put(&self, key: &Key, text: &str) -> Version {
        let put = self.0.put(key.clone(), value(text), Condition::default());
        put.await.expect("not locked")
    }

    pub(crate) async fn get(&self, key: &Key) -> Option<Found> {
        self.0.get(key).await.expect("not locked")
    }

    /// Seconds go by, and what they bring with them.
    pub(crate) async fn live_on(&self, seconds: u64) {
        for _ in 0..seconds {
            sleep(Duration::from_secs(1)).await;
            self.0.sweep().await;
        }
    }

    /// Nothing is locked, prepared, or to be finalized; whoever writes need not wait.
    pub(crate) async fn assert_nothing_is_left(&self, about: &str) {
        for shard in 0..SHARDS.get() {
            let everything = LogTime(u64::MAX);
            let left = self.shards().local.left_behind(
                ShardId(shard),
                everything,
                usize::MAX,
                Instant::now(),
            );
            let left = left.await.expect("not occupied");
            let nothing = LeftBehind {
                clock: left.clock,
                ..LeftBehind::default()
            };
            assert_eq!(left, nothing, "{about}: shard {shard}");
        }
        let before = Instant::now();
        for key in keys() {
            let again = self.get(&key).await;
            if let Some(found) = again {
                let same = Condition::version(found.version);
                let put = self.0.put(key, found.value, same).await;
                put.unwrap_or_else(|error| panic!("{about}: {error:?}"));
            }
        }
        assert_eq!(before.elapsed(), Duration::ZERO, "{about}: nothing waits");
    }
}

/// The first key `name`, `name'`, `name''`, … of this shard.
pub(crate) fn key(name: &str, shard: u16) -> Key {
    let mut name = name.to_owned();
    loop {
        let key = Key::new(&name).expect("legal");
        if route(&key, SHARDS) == ShardId(shard) {
            return key;
        }
        name.push('\'');
    }
}

/// One key in each shard.
pub(crate) fn keys() -> [Key; 3] {
    [key("a", 0), key("b", 1), key("c", 2)]
}

pub(crate) fn value(text: &str) -> Value {
    Value::try_from(text).expect("legal")
}

pub(crate) fn put(key: &Key, text: &str) -> Write {
    let (key, value) = (key.clone(), value(text));
    Write::Put { key, value }
}

pub(crate) fn absent(key: &Key) -> Check {
    Check {
        key: key.clone(),
        version: None,
    }
}

pub(crate) fn asked(checks: Vec<Check>, reads: Vec<Key>, writes: Vec<Write>) -> Asked {
    let operations = Operations {
        checks,
        reads,
        writes,
    };
    Asked {
        id: Some(ID),
        body: Body::new(operations).expect("legal"),
        timeout: TIMEOUT,
    }
}

/// A write of this text in each shard; the first is the home.
pub(crate) fn everywhere(text: &str) -> Asked {
    let writes = keys().iter().map(|key| put(key, text)).collect();
    asked(Vec::new(), Vec::new(), writes)
}
