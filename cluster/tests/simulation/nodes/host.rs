//! A process: a node, and clients that stay with it, also when it is cut off.

use std::{
    collections::BTreeMap,
    num::{NonZeroU8, NonZeroU16},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep};
use trandb_cluster::{
    founding::Charter,
    group::Settings,
    node::{Config, Gone, Listing, Node, Router},
    simulation::{Simulated, SimulatedListener, host_name, peer_address, seeded, spawn},
    system::Description,
};
use trandb_common::{Key, Value};
use trandb_engine::{Command, Condition, Read, Reply, ShardId, route};

use super::{
    super::{invariants::History, world::Trace},
    run::NodesPlan,
};

/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// What was seen during a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct NodeCounts {
    pub(crate) written: usize,
    pub(crate) read: usize,
    pub(crate) listed: usize,
    pub(crate) refused: usize,
    pub(crate) unknown: usize,
    pub(crate) crashes: usize,
    pub(crate) elections: usize,
    /// Lives that have become members.
    pub(crate) members: usize,
    /// Replicas that were sent a snapshot.
    pub(crate) snapshots: usize,
    /// Members that were removed, and have ended.
    pub(crate) removed: usize,
}

impl NodeCounts {
    pub(crate) fn add(&mut self, other: &Self) {
        self.written += other.written;
        self.read += other.read;
        self.listed += other.listed;
        self.refused += other.refused;
        self.unknown += other.unknown;
        self.crashes += other.crashes;
        self.elections += other.elections;
        self.members += other.members;
        self.snapshots += other.snapshots;
        self.removed += other.removed;
    }

    pub(crate) fn each(&self) -> [(&'static str, usize); 10] {
        [
            ("written", self.written),
            ("read", self.read),
            ("listed", self.listed),
            ("refused", self.refused),
            ("unknown", self.unknown),
            ("crashed", self.crashes),
            ("elected", self.elections),
            ("made a member", self.members),
            ("sent as a snapshot", self.snapshots),
            ("removed", self.removed),
        ]
    }
}

#[derive(Default)]
pub(crate) struct World {
    /// The processes that live, by host; with which life it is.
    pub(crate) nodes: BTreeMap<usize, (u64, Node<Simulated>)>,
    pub(crate) lives: u64,
    /// Hosts where a removed member has ended and where another process is to begin, with the
    /// milliseconds until then.
    pub(crate) removed: Vec<(usize, u64)>,
    pub(crate) history: History,
    pub(crate) counts: NodeCounts,
    /// When something was last written by a client at each host.
    pub(crate) last_written: BTreeMap<usize, Duration>,
    pub(crate) quiet: bool,
    pub(crate) trace: Trace,
}

impl World {
    /// The nodes that live, by host.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = (usize, &Node<Simulated>)> + Clone {
        self.nodes.iter().map(|(host, (_, node))| (*host, node))
    }

    /// How many members there should be when all have come that are to come.
    pub(crate) fn expected(&self, plan: &NodesPlan) -> usize {
        let for_good = plan
            .removals
            .iter()
            .filter(|(_, host, back)| back.is_none() && !self.nodes.contains_key(host));
        plan.hosts - for_good.count()
    }

    /// Those that are in their slots still, as far as any of them knows, and those that are in none
    /// yet.
    pub(crate) fn members(&self) -> impl Iterator<Item = (usize, &Node<Simulated>)> + Clone {
        let statuses = self.nodes().filter_map(|(_, node)| node.status());
        let newest = statuses.max_by_key(|status| status.map_version);
        let slots = newest.map_or_else(Vec::new, |newest| newest.slots);
        self.nodes().filter(move |(_, node)| {
            let Some(status) = node.status() else {
                return true;
            };
            slots.iter().any(|slot| slot.node == status.me.node)
        })
    }
}

#[derive(Clone, Default)]
pub(crate) struct Shared(Arc<Mutex<World>>);

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) async fn run(host: usize, plan: Arc<NodesPlan>, world: Shared) -> turmoil::Result {
    let begins = Duration::from_millis(plan.begins_ms(host));
    sleep(begins.saturating_sub(turmoil::sim_elapsed().unwrap_or_default())).await;
    let life = {
        let mut world = world.lock();
        world.lives += 1;
        world.lives
    };
    let seed = plan.seed ^ (life << 32);
    seeded(seed, live(host, life, plan, world)).await
}

fn config(host: usize, life: u64, plan: &NodesPlan) -> Config {
    let rng = Mutex::new(fastrand::Rng::with_seed(plan.seed ^ (life << 20)));
    // Who has founded alone must not do so again when it comes back.
    let is_founder = host <= plan.founders || host > plan.hosts;
    let founds = is_founder && (plan.founders > 1 || life == 1);
    Config {
        description: Description {
            slot: host_name(plan.slot_of(host)),
            at: peer_address(host),
            client_at: String::new(),
            zone: String::new(),
        },
        seeds: (1..=if founds { plan.founders } else { plan.hosts })
            .map(peer_address)
            .collect(),
        bootstrap_expect: if founds { plan.founders } else { usize::MAX },
        charter: Charter {
            shards: NonZeroU16::new(plan.shards).expect("some"),
            replicas: NonZeroU8::new(plan.replicas).expect("some"),
            version_epoch: 1,
            outcome_bytes: 1_000_000,
        },
        memory_limit: u64::MAX,
        settings: Settings {
            log_much_bytes: plan.log_much_bytes,
            log_kept_bytes: plan.log_much_bytes / 4,
            ..Settings::default()
        },
        random: Arc::new(move || {
            let mut rng = rng.lock().unwrap_or_else(PoisonError::into_inner);
            rng.u128(1..)
        }),
    }
}

async fn live(host: usize, life: u64, plan: Arc<NodesPlan>, world: Shared) -> turmoil::Result {
    let listener = SimulatedListener::bind().await?;
    let node = Node::start(config(host, life, &plan), Simulated, listener)?;
    world.lock().nodes.insert(host, (life, node.clone()));
    for number in 0..plan.clients {
        let client = Client {
            host,
            life,
            number,
            rng: fastrand::Rng::with_seed(plan.seed ^ (life << 16) ^ number),
            written: 0,
            plan: Arc::clone(&plan),
            world: world.clone(),
        };
        let node = node.clone();
        spawn(async move {
            if let Some(router) = node.joined().await {
                client.run(router).await;
            }
        });
    }
    if let Some((at, stopping)) = plan.stops
        && stopping == host
        && life == host as u64
    {
        sleep(Duration::from_millis(at)).await;
        let before = Instant::now();
        node.stop(before + Duration::from_secs(5)).await;
        let mut world = world.lock();
        let took = before.elapsed();
        world
            .trace
            .add(format_args!("{host} has stopped after {took:?}"));
        world.nodes.remove(&host);
        return Ok(());
    }
    for (at_ms, removed, _) in &plan.removals {
        // Somebody else asks for it.
        if 1 + removed % plan.hosts == host {
            let (at, name) = (Duration::from_millis(*at_ms), host_name(*removed));
            let node = node.clone();
            spawn(async move {
                let passed = turmoil::sim_elapsed().unwrap_or_default();
                sleep(at.saturating_sub(passed)).await;
                // It may come to nothing: nobody may lead.
                let _ = node.remove(&name, Instant::now() + PATIENCE).await;
            });
        }
    }
    match node.gone().await {
        Gone::Succeeded(_) => std::future::pending().await,
        Gone::Removed => {}
    }
    node.stop(Instant::now() + Duration::from_secs(1)).await;
    let mut world = world.lock();
    world.trace.add(format_args!("{host} was removed"));
    world.counts.removed += 1;
    world.nodes.remove(&host);
    let mut removals = plan.removals.iter();
    let back_ms = removals.find_map(|(_, removed, back_ms)| back_ms.filter(|_| *removed == host));
    world.removed.extend(back_ms.map(|back_ms| (host, back_ms)));
    Ok(())
}

struct Client {
    host: usize,
    life: u64,
    number: u64,
    rng: fastrand::Rng,
    written: u64,
    plan: Arc<NodesPlan>,
    world: Shared,
}

impl Client {
    async fn run(mut self, router: Router<Simulated>) {
        loop {
            let pause = self.rng.u64(..2 * self.plan.pause_ms);
            sleep(Duration::from_millis(pause)).await;
            if self.world.lock().quiet {
                continue;
            }
            let name = format!("k{}", self.rng.u64(..self.plan.keys));
            let key = Key::new(&name).expect("legal");
            match self.rng.u8(..10) {
                0..5 => self.put(&router, key).await,
                5..9 => self.read(&router, key).await,
                _ => self.list(&router).await,
            }
        }
    }

    async fn put(&mut self, router: &Router<Simulated>, key: Key) {
        self.written += 1;
        let (life, number, written) = (self.life, self.number, self.written);
        let filling = "x".repeat(self.rng.usize(..self.plan.value_bytes));
        let text = format!("{life}-{number}-{written} {filling}");
        let value = Value::try_from(text).expect("legal");
        let floor = self.world.lock().history.begin_put(&key, &value);
        let command = Command::Put {
            key: key.clone(),
            value: value.clone(),
            condition: Condition::default(),
        };
        let shard = route(&key, router.count());
        let deadline = Instant::now() + PATIENCE;
        let written = router.execute(shard, &command, deadline).await;
        let now = turmoil::sim_elapsed().unwrap_or_default();
        let mut world = self.world.lock();
        match written {
            Ok(Reply::Written(version)) => {
                world.trace.add(format_args!("{life} put {key}: {version}"));
                world.counts.written += 1;
                world.last_written.insert(self.host, now);
                world.history.acknowledged(&key, &value, version, floor);
            }
            Ok(other) => panic!("no lock and no condition, and yet {other:?}"),
            Err(error) if error.changed_nothing() => {
                world.trace.add(format_args!("{life} put {key}: {error:?}"));
                world.counts.refused += 1;
                world.history.refused(&key, &value);
            }
            Err(error) => {
                world.trace.add(format_args!("{life} put {key}: {error:?}"));
                world.counts.unknown += 1;
            }
        }
    }

    async fn read(&mut self, router: &Router<Simulated>, key: Key) {
        let floor = self.world.lock().history.begin_read(&key);
        let shard = route(&key, router.count());
        let read = router.read(shard, &key, Instant::now() + PATIENCE).await;
        let mut world = self.world.lock();
        let life = self.life;
        match read {
            Ok(Read::Done(found)) => {
                let version = found.as_ref().map(|found| found.version);
                world
                    .trace
                    .add(format_args!("{life} read {key}: {version:?}"));
                world.counts.read += 1;
                world.history.read(&key, found.as_ref(), floor);
            }
            Ok(Read::Locked(_)) => panic!("nobody locks"),
            Err(error) => {
                assert!(error.changed_nothing(), "a read changes nothing");
                world.counts.refused += 1;
            }
        }
    }

    /// All keys of one shard.
    async fn list(&mut self, router: &Router<Simulated>) {
        let shard = ShardId(self.rng.u16(..router.count().get()));
        let floors: Vec<(Key, u64)> = {
            let world = self.world.lock();
            let here = |key: &&Key| route(key, router.count()) == shard;
            let keys = world.history.keys().filter(here);
            keys.map(|key| (key.clone(), world.history.floor(key)))
                .collect()
        };
        let listing = Listing {
            prefix: String::new(),
            after: None,
            before: None,
            limit: 1_000,
        };
        let deadline = Instant::now() + PATIENCE;
        let listed = router.list(shard, &listing, deadline).await;
        let mut world = self.world.lock();
        let Ok(listed) = listed else {
            world.counts.refused += 1;
            return;
        };
        world.counts.listed += 1;
        let life = self.life;
        let rows = listed.len();
        world
            .trace
            .add(format_args!("{life} listed {rows} keys of {shard}"));
        for (key, floor) in floors {
            let row = listed.iter().find(|row| row.key == key);
            let has = row.map_or(0, |row| row.version.counter);
            world.history.listed(&key, has, floor);
        }
    }
}
