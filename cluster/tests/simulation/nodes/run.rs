//! Plays a plan: faults, then peace, then all must be ready and equal.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    panic::{self, AssertUnwindSafe},
    sync::Arc,
    time::Duration,
};

use trandb_cluster::{
    group::{Position, Role},
    identity::{ClusterId, GroupId, NodeId},
    node::{GroupStatus, Node, NodeStatus},
};
use trandb_engine::{Read, ShardId, route};
use turmoil::Sim;

use super::{
    super::{
        invariants::{Digests, acknowledged_is_kept, refused_never_happens},
        plan::Fault,
        world::host_name,
    },
    host::{self, NodeCounts, Shared, Simulated, World},
};

const TICK: Duration = Duration::from_millis(2);

/// How long agreeing may take when nothing is in the way.
const CONVERGENCE: Duration = Duration::from_secs(40);

/// A run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NodesPlan {
    pub(crate) seed: u64,
    pub(crate) hosts: usize,
    pub(crate) shards: u16,
    /// Of each process.
    pub(crate) clients: u64,
    pub(crate) keys: u64,
    /// Between two operations of a client, on average.
    pub(crate) pause_ms: u64,
    pub(crate) value_bytes: usize,
    pub(crate) log_much_bytes: usize,
    /// Each with the milliseconds after the beginning. The leader is that of the first shard.
    pub(crate) faults: Vec<(u64, Fault)>,
    /// When peace begins.
    pub(crate) peace_ms: u64,
    /// When the first life of which host is stopped, as planned.
    pub(crate) stops: Option<(u64, usize)>,
    /// Processes end also while their cluster is not founded yet: one at a time.
    pub(crate) crashes_founders: bool,
}

impl NodesPlan {
    /// Without any fault.
    pub(crate) fn calm(seed: u64) -> Self {
        Self {
            seed,
            hosts: 3,
            shards: 2,
            clients: 2,
            keys: 4,
            pause_ms: 20,
            value_bytes: 40,
            log_much_bytes: 20_000,
            faults: Vec::new(),
            peace_ms: 4_000,
            stops: None,
            crashes_founders: false,
        }
    }
}

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Equal for equal runs.
    pub(crate) trace: u64,
    pub(crate) counts: NodeCounts,
    /// When something was last written by a client at each host.
    pub(crate) last_written: BTreeMap<usize, Duration>,
    /// What went wrong first.
    pub(crate) violation: Option<String>,
}

struct Run<'a> {
    sim: Sim<'a>,
    plan: Arc<NodesPlan>,
    world: Shared,
    faults: VecDeque<(u64, Fault)>,
    /// When a process begins again, and where.
    back: Vec<(Duration, usize)>,
    invariants: Invariants,
}

/// Plays `plan` to its end, or to the first violation.
pub(crate) fn run(plan: &NodesPlan) -> Outcome {
    let world = Shared::default();
    let played = panic::catch_unwind(AssertUnwindSafe(|| Run::new(plan, &world).play()));
    let violation = match played {
        Ok(played) => played.err(),
        Err(_) => Some("somebody panicked: see above".to_owned()),
    };
    let mut world = world.lock();
    // What is left of the processes ends here, outside of their runtime.
    world.nodes.clear();
    Outcome {
        trace: world.trace.hash(),
        counts: world.counts.clone(),
        last_written: world.last_written.clone(),
        violation: violation.map(|violation| {
            let lines: Vec<&str> = world.trace.lines().map(String::as_str).collect();
            format!("{}\n\n{violation}", lines.join("\n"))
        }),
    }
}

impl Run<'_> {
    fn new(plan: &NodesPlan, world: &Shared) -> Self {
        let plan = Arc::new(plan.clone());
        let mut sim = turmoil::Builder::new()
            .simulation_duration(Duration::from_hours(1))
            .tick_duration(TICK)
            .min_message_latency(Duration::from_millis(1))
            .max_message_latency(Duration::from_millis(10))
            .tcp_capacity(4_096)
            .rng_seed(plan.seed)
            .build();
        for host in 1..=plan.hosts {
            let (plan, world) = (Arc::clone(&plan), world.clone());
            sim.host(host_name(host), move || {
                host::run(host, Arc::clone(&plan), world.clone())
            });
        }
        Self {
            sim,
            faults: plan.faults.iter().copied().collect(),
            plan,
            world: world.clone(),
            back: Vec::new(),
            invariants: Invariants::default(),
        }
    }

    fn play(&mut self) -> Result<(), String> {
        while self.sim.elapsed() < Duration::from_millis(self.plan.peace_ms) {
            self.inject();
            self.tick()?;
        }
        self.heal();
        self.sim.set_max_message_latency(Duration::from_millis(10));
        {
            let mut world = self.world.lock();
            world.quiet = true;
            world.trace.add(format_args!("peace"));
        }
        if let Some((_, host)) = self.plan.stops {
            self.sim.bounce(host_name(host));
        }
        let end = self.sim.elapsed() + CONVERGENCE;
        loop {
            self.tick()?;
            match apart(&self.world.lock(), self.plan.hosts) {
                None => break,
                Some(apart) if self.sim.elapsed() > end => {
                    return Err(format!(
                        "they do not agree, although nothing is in the way: {apart}"
                    ));
                }
                Some(_) => {}
            }
        }
        at_the_end(&self.world.lock(), self.plan.shards)
    }

    fn tick(&mut self) -> Result<(), String> {
        let now = self.sim.elapsed();
        let due = self.back.extract_if(.., |(at, _)| *at <= now);
        for (_, host) in due.collect::<Vec<_>>() {
            self.sim.bounce(host_name(host));
        }
        let step = self.sim.step();
        step.map_err(|error| format!("a process failed: {error}"))?;
        self.invariants.after_tick(&mut self.world.lock())
    }

    fn inject(&mut self) {
        let now = self.sim.elapsed();
        while let Some((at, fault)) = self.faults.front().copied()
            && Duration::from_millis(at) <= now
        {
            self.faults.pop_front();
            self.world
                .lock()
                .trace
                .add(format_args!("{now:?} {fault:?}"));
            self.inject_one(fault);
        }
    }

    fn inject_one(&mut self, fault: Fault) {
        let leader = leader_host(&self.world.lock());
        match fault {
            Fault::Crash { host, back_ms } => self.crash(host, back_ms),
            Fault::CrashLeader { back_ms } => {
                if let Some(leader) = leader {
                    self.crash(leader, back_ms);
                }
            }
            Fault::Partition { a, b } => self.sim.partition(host_name(a), host_name(b)),
            Fault::OneWay { from, to } => {
                self.sim.partition_oneway(host_name(from), host_name(to));
            }
            Fault::Hold { a, b } => self.sim.hold(host_name(a), host_name(b)),
            Fault::Isolate { host } => self.isolate(host),
            Fault::IsolateLeader => {
                if let Some(leader) = leader {
                    self.isolate(leader);
                }
            }
            Fault::Heal => self.heal(),
            Fault::Latency { max_ms } => {
                self.sim
                    .set_max_message_latency(Duration::from_millis(max_ms));
            }
            other => panic!("no fault of whole nodes: {other:?}"),
        }
    }

    /// Only when nobody else is missing: with less than a majority nothing can be promised.
    fn crash(&mut self, host: usize, back_ms: u64) {
        {
            let mut world = self.world.lock();
            if apart_but_for_equality(&world, self.plan.hosts).is_some() {
                let founds = self.plan.crashes_founders
                    && world.nodes.len() == self.plan.hosts
                    && world
                        .nodes
                        .values()
                        .all(|(_, node)| node.status().is_none());
                if !founds {
                    return;
                }
            }
            world.nodes.remove(&host);
            world.counts.crashes += 1;
        }
        self.sim.crash(host_name(host));
        let at = self.sim.elapsed() + Duration::from_millis(back_ms);
        self.back.push((at, host));
    }

    fn isolate(&mut self, host: usize) {
        for other in (1..=self.plan.hosts).filter(|other| *other != host) {
            self.sim.partition(host_name(host), host_name(other));
        }
    }

    fn heal(&mut self) {
        for a in 1..=self.plan.hosts {
            for b in a + 1..=self.plan.hosts {
                self.sim.repair(host_name(a), host_name(b));
                self.sim.release(host_name(a), host_name(b));
            }
        }
    }
}

fn statuses(world: &World) -> impl Iterator<Item = (usize, &Node<Simulated>, NodeStatus)> {
    world
        .nodes
        .iter()
        .filter_map(|(host, (_, node))| Some((*host, node, node.status()?)))
}

/// Of the first shard, in the latest term in which anybody leads it.
fn leader_host(world: &World) -> Option<usize> {
    let leads = statuses(world).filter_map(|(host, _, status)| {
        let group = status.groups.get(1)?;
        (group.role == Role::Leader).then_some((group.term, host))
    });
    leads.max().map(|(_, host)| host)
}

/// What is still apart in who votes where.
fn apart_but_for_equality(world: &World, hosts: usize) -> Option<String> {
    let all: Vec<(usize, NodeStatus)> = statuses(world).map(|(host, _, s)| (host, s)).collect();
    if all.len() != hosts {
        return Some(format!("{} of {hosts} nodes are members", all.len()));
    }
    let alive: BTreeSet<NodeId> = all.iter().map(|(_, status)| status.me.node).collect();
    for (host, status) in &all {
        let uniform = |group: &GroupStatus| group.voters == [alive.clone()];
        if !status.ready || !status.groups.iter().all(uniform) {
            return Some(format!("host {host} is not ready: {status:?}"));
        }
    }
    None
}

/// What is still apart; none: all are ready and equal.
fn apart(world: &World, hosts: usize) -> Option<String> {
    if let Some(apart) = apart_but_for_equality(world, hosts) {
        return Some(apart);
    }
    let mut first: Option<(u64, Vec<Option<u64>>)> = None;
    for (host, node, status) in statuses(world) {
        if let Some(lagging) = status.groups.iter().find(|group| group.lag > 0) {
            return Some(format!("host {host} lags: {lagging:?}"));
        }
        let shards = status.groups.iter().filter_map(|group| group.shard);
        let digests = shards.map(|shard| node.replica(shard, |_, shard| shard.digest()));
        let has = (status.map_version, digests.collect());
        if *first.get_or_insert(has.clone()) != has {
            return Some(format!("host {host} has applied something else"));
        }
    }
    None
}

/// What must hold after every tick.
#[derive(Default)]
struct Invariants {
    clusters: BTreeSet<ClusterId>,
    /// Which life has which number.
    numbers: BTreeMap<NodeId, u64>,
    leaders: BTreeMap<(GroupId, u64), NodeId>,
    digests: BTreeMap<ShardId, Digests>,
    looked_at: BTreeMap<(NodeId, ShardId), Position>,
}

impl Invariants {
    fn after_tick(&mut self, world: &mut World) -> Result<(), String> {
        if let Some(violation) = world.history.take_violation() {
            return Err(violation);
        }
        let mut lines = Vec::new();
        let mut elections = 0;
        for (host, (life, node)) in &world.nodes {
            let Some(status) = node.status() else {
                continue;
            };
            self.clusters.insert(status.me.cluster);
            if self.clusters.len() > 1 {
                return Err(format!("more than one cluster: {:?}", self.clusters));
            }
            let me = status.me.node;
            let known = self.numbers.len();
            if *self.numbers.entry(me).or_insert(*life) != *life {
                return Err(format!("two lives are node {me}"));
            }
            if self.numbers.len() > known {
                lines.push(format!("host {host}, life {life}, is node {me}"));
            }
            for group in &status.groups {
                elections += usize::from(self.look_at_leader(me, group)?);
                if let Some(shard) = group.shard {
                    self.look_at_shard(node, me, shard, world)?;
                }
            }
        }
        world.counts.members += lines.len();
        world.counts.elections += elections;
        for line in lines {
            world.trace.add(format_args!("{line}"));
        }
        Ok(())
    }

    fn look_at_leader(&mut self, me: NodeId, group: &GroupStatus) -> Result<bool, String> {
        if group.role != Role::Leader {
            return Ok(false);
        }
        match self.leaders.insert((group.group, group.term), me) {
            Some(other) if other != me => Err(format!(
                "two leaders of group {} in term {}: {other} and {me}",
                group.group, group.term
            )),
            other => Ok(other.is_none()),
        }
    }

    fn look_at_shard(
        &mut self,
        node: &Node<Simulated>,
        me: NodeId,
        shard: ShardId,
        world: &World,
    ) -> Result<(), String> {
        let looked = node.replica(shard, |status, state| {
            let Some(applied) = status.applied else {
                return Ok(());
            };
            if self.looked_at.insert((me, shard), applied) == Some(applied) {
                return Ok(());
            }
            let digests = self.digests.entry(shard).or_default();
            digests.look(me, applied, state.digest())?;
            acknowledged_is_kept::look(me, state, &world.history)?;
            refused_never_happens::look(me, state, &world.history)
        });
        looked.unwrap_or(Ok(()))
    }
}

/// When all are equal: each key has the last version that anybody was told of, or a later one.
fn at_the_end(world: &World, shards: u16) -> Result<(), String> {
    let count = std::num::NonZeroU16::new(shards).expect("some");
    for (host, node, _) in statuses(world) {
        for key in world.history.keys() {
            let read = node.replica(route(key, count), |_, shard| shard.read(key));
            let Some(Read::Done(found)) = read else {
                return Err(format!("{key} is locked at host {host}"));
            };
            let has = found.map_or(0, |found| found.version.counter);
            let floor = world.history.floor(key);
            if has < floor {
                return Err(format!(
                    "lost: version {floor} of {key} was acknowledged or read, host {host} has {has}"
                ));
            }
        }
    }
    Ok(())
}
