//! A process: a replica, the server that its peers call, clients that talk to it, and its part of
//! replacing the dead when it leads.
//!
//! Clients stay with their replica, also when it is cut off: they ask a leader that is none any
//! more.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};
use trandb_cluster::{
    group::{Group as _, RaftGroup, Role, Settings, replace},
    identity::{Epoch, GroupId, NodeId},
    simulation::{PORT, host_name, peer_address, seeded, spawn},
};
use trandb_common::{Key, Value};
use trandb_engine::{Command, Condition, Read, Reply, Shard};
use turmoil::net::TcpListener;

use super::{
    plan::Plan,
    transport::{SimulatedTransport, serve},
    world::Shared,
};

pub(crate) const GROUP: GroupId = GroupId(1);
const EPOCH: Epoch = Epoch(1);

/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// How often who leads looks for somebody to be replaced.
const LOOK: Duration = Duration::from_millis(100);

/// Runs on `host` until it is crashed.
pub(crate) async fn run(host: usize, plan: Arc<Plan>, world: Shared) -> turmoil::Result {
    let node = world.lock().begin(host);
    let seed = plan.seed ^ (node.0 << 32);
    let life = live(host, node, plan, world);
    seeded(seed, life).await
}

async fn live(host: usize, node: NodeId, plan: Arc<Plan>, world: Shared) -> turmoil::Result {
    let transport = SimulatedTransport {
        from: node,
        names_whom_it_means: plan.names_whom_it_means,
    };
    let settings = Settings {
        log_much_bytes: plan.log_much_bytes,
        log_kept_bytes: plan.log_much_bytes / 4,
        ..Settings::default()
    };
    let shard = Shard::new(EPOCH.0);
    let group = RaftGroup::start(GROUP, EPOCH, node, shard, Arc::new(transport), &settings).await?;
    world.lock().process(node).group = Some(group.clone());
    for client in 0..plan.clients {
        let seed = plan.seed ^ (node.0 << 16) ^ client;
        let client = Client {
            node,
            number: client,
            rng: fastrand::Rng::with_seed(seed),
            written: 0,
            group: group.clone(),
            plan: Arc::clone(&plan),
            world: world.clone(),
        };
        spawn(client.run());
    }
    spawn(replace_the_dead(node, group.clone(), world.clone()));
    if node == NodeId(1) {
        spawn(found(plan.hosts, group.clone()));
    }
    let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
    tracing::debug!("process {node} begins on {}", host_name(host));
    serve(listener, node, group).await?;
    Ok(())
}

/// The first life of each host is a founder; they begin in the order of the hosts.
async fn found(hosts: usize, group: RaftGroup<Shard>) {
    sleep(Duration::from_millis(100)).await;
    let founders: BTreeMap<NodeId, String> = (1..=hosts)
        .map(|host| (NodeId(host as u64), peer_address(host)))
        .collect();
    let founded = group.initialize(founders).await;
    founded.expect("founded once");
}

async fn replace_the_dead(node: NodeId, group: RaftGroup<Shard>, world: Shared) {
    loop {
        sleep(LOOK).await;
        let next = world.lock().replacements.front().cloned();
        let leads = group.status().role == Role::Leader;
        let Some(next) = next.filter(|_| leads) else {
            continue;
        };
        let deadline = Instant::now() + Duration::from_secs(3);
        let result = replace(&group, &next.dead, next.new.clone(), deadline).await;
        let mut world = world.lock();
        world
            .trace
            .add(format_args!("{node} replaces {next:?}: {result:?}"));
        if result.is_ok() && world.replacements.front() == Some(&next) {
            world.replacements.pop_front();
            world.counts.replaced += 1;
        }
    }
}

struct Client {
    node: NodeId,
    number: u64,
    rng: fastrand::Rng,
    written: u64,
    group: RaftGroup<Shard>,
    plan: Arc<Plan>,
    world: Shared,
}

impl Client {
    async fn run(mut self) {
        loop {
            let pause = self.rng.u64(..2 * self.plan.pause_ms);
            sleep(Duration::from_millis(pause)).await;
            if self.world.lock().quiet {
                continue;
            }
            let name = format!("k{}", self.rng.u64(..self.plan.keys));
            let key = Key::new(&name).expect("legal");
            if self.rng.u64(..100) < self.plan.writes_percent {
                self.put(key).await;
            } else {
                self.read(key).await;
            }
        }
    }

    async fn put(&mut self, key: Key) {
        self.written += 1;
        let text = format!(
            "{}-{}-{} {}",
            self.node,
            self.number,
            self.written,
            "x".repeat(self.rng.usize(..self.plan.value_bytes))
        );
        let value = Value::try_from(text).expect("legal");
        let floor = self.world.lock().history.begin_put(&key, &value);
        let command = Command::Put {
            key: key.clone(),
            value: value.clone(),
            condition: Condition::default(),
        };
        let written = self.group.propose(command, Instant::now() + PATIENCE).await;
        let mut world = self.world.lock();
        let node = self.node;
        match written {
            Ok(Reply::Written(version)) => {
                world.trace.add(format_args!("{node} put {key}: {version}"));
                world.counts.written += 1;
                world.history.acknowledged(&key, &value, version, floor);
            }
            Ok(other) => panic!("no lock and no condition, and yet {other:?}"),
            Err(error) if error.not_committed() => {
                world.counts.refused += 1;
                world.history.refused(&key, &value);
            }
            Err(error) => {
                world.trace.add(format_args!("{node} put {key}: {error:?}"));
                world.counts.unknown += 1;
            }
        }
    }

    async fn read(&mut self, key: Key) {
        let floor = self.world.lock().history.begin_read(&key);
        let barrier = self.group.read_barrier(Instant::now() + PATIENCE).await;
        if barrier.is_err() {
            return;
        }
        let Read::Done(found) = self.group.read_with(|shard| shard.read(&key)) else {
            panic!("nobody locks");
        };
        let mut world = self.world.lock();
        let node = self.node;
        let version = found.as_ref().map(|found| found.version);
        world
            .trace
            .add(format_args!("{node} read {key}: {version:?}"));
        world.counts.read += 1;
        world.history.read(&key, found.as_ref(), floor);
    }
}
