//! Plays a plan: faults, then peace, then all must be ready and equal.

use std::{
    collections::{BTreeMap, VecDeque},
    panic::{self, AssertUnwindSafe},
    sync::Arc,
    time::Duration,
};

use trandb_cluster::{
    node::NodeStatus,
    simulation::{
        Fault, Invariants, OnProcesses, apart, apart_but_for_equality, host_name, leader_host,
        network,
    },
};
use trandb_engine::{Read, ShardId, route};
use turmoil::Sim;

use super::{
    super::invariants::{acknowledged_is_kept, refused_never_happens},
    host::{self, NodeCounts, Shared, World},
};

/// How long agreeing may take when nothing is in the way.
const CONVERGENCE: Duration = Duration::from_secs(40);

/// A run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NodesPlan {
    pub(crate) seed: u64,
    /// The founders are the first of them.
    pub(crate) hosts: usize,
    pub(crate) founders: usize,
    /// When the others begin.
    pub(crate) newcomers_ms: u64,
    pub(crate) shards: u16,
    /// How many voters each shard should have.
    pub(crate) replicas: u8,
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
    /// When a process begins elsewhere that has the name of which host, by mistake.
    pub(crate) twin: Option<(u64, usize)>,
    /// When a member is removed, which, and after how many milliseconds another process begins there.
    pub(crate) removals: Vec<(u64, usize, Option<u64>)>,
}

impl NodesPlan {
    /// Without any fault.
    pub(crate) fn calm(seed: u64) -> Self {
        Self {
            seed,
            hosts: 3,
            founders: 3,
            newcomers_ms: 0,
            shards: 2,
            replicas: 3,
            clients: 2,
            keys: 4,
            pause_ms: 20,
            value_bytes: 40,
            log_much_bytes: 20_000,
            faults: Vec::new(),
            peace_ms: 4_000,
            stops: None,
            crashes_founders: false,
            twin: None,
            removals: Vec::new(),
        }
    }

    /// When the process of `host` begins.
    pub(crate) fn begins_ms(&self, host: usize) -> u64 {
        match self.twin {
            Some((begins_ms, _)) if host > self.hosts => begins_ms,
            _ if host > self.founders => self.newcomers_ms,
            _ => 0,
        }
    }

    /// The host by whose name the process of `host` goes: its own, but for the twin.
    pub(crate) fn slot_of(&self, host: usize) -> usize {
        let of = self.twin.map_or(host, |(_, of)| of);
        if host > self.hosts { of } else { host }
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
        let mut sim = network(plan.seed).build();
        let twin = usize::from(plan.twin.is_some());
        for host in 1..=plan.hosts + twin {
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
        Fault::end_all(&mut self.sim, self.plan.hosts);
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
            let apart = {
                let world = self.world.lock();
                apart(world.members(), world.expected(&self.plan))
            };
            match apart {
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
        let removed = std::mem::take(&mut self.world.lock().removed);
        for (host, back_ms) in removed {
            self.back.push((now + Duration::from_millis(back_ms), host));
        }
        let due = self.back.extract_if(.., |(at, _)| *at <= now);
        for (_, host) in due.collect::<Vec<_>>() {
            self.sim.bounce(host_name(host));
        }
        let step = self.sim.step();
        step.map_err(|error| format!("a process failed: {error}"))?;
        let mut world = self.world.lock();
        if let Some(violation) = world.history.take_violation() {
            return Err(violation);
        }
        let nodes = world.nodes.iter();
        let nodes = nodes.map(|(host, (life, node))| (*host, *life, node));
        let news = self.invariants.after_tick(nodes, |node, shard| {
            acknowledged_is_kept::look(node, shard, &world.history)?;
            refused_never_happens::look(node, shard, &world.history)
        })?;
        world.counts.members += news.members.len();
        world.counts.elections += news.elections;
        world.counts.snapshots += news.snapshots;
        for line in news.members {
            world.trace.add(format_args!("{line}"));
        }
        Ok(())
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
        let leader = leader_host(self.world.lock().nodes(), ShardId(0));
        match fault.on_links(&mut self.sim, self.plan.hosts, leader) {
            Some(OnProcesses::Crash { host, back_ms }) => self.crash(host, back_ms),
            Some(other) => panic!("no fault of whole nodes: {other:?}"),
            None => {}
        }
    }

    /// Only when nobody else is missing: with less than a majority nothing can be promised.
    fn crash(&mut self, host: usize, back_ms: u64) {
        {
            let mut world = self.world.lock();
            if !world.nodes.contains_key(&host) || world.nodes.len() < 3 {
                return;
            }
            if apart_but_for_equality(world.members(), world.nodes.len()).is_some() {
                let founds = self.plan.crashes_founders
                    && world.nodes.len() == self.plan.founders
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
}

/// When all are equal: each key has the last version that anybody was told of, or a later one.
fn at_the_end(world: &World, shards: u16) -> Result<(), String> {
    let count = std::num::NonZeroU16::new(shards).expect("some");
    for (host, node) in world.members() {
        for key in world.history.keys() {
            let shard = route(key, count);
            let holds = |status: &NodeStatus| {
                let mut groups = status.groups.iter();
                groups.any(|group| group.shard == Some(shard) && group.role.is_some())
            };
            if !node.status().as_ref().is_some_and(holds) {
                continue;
            }
            let read = node.replica(shard, |_, shard| shard.read(key));
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
