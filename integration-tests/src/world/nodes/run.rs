//! Plays a scenario on a simulated cluster: a time with faults, then peace, in which all must agree,
//! nothing may stay locked, and everything is looked at.

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::watch;
use trandb_cluster::{
    node::Node,
    simulation::{
        Fault, Invariants, OnProcesses, Simulated, apart, apart_but_for_equality, host_name,
        leader_host, network, seeded,
    },
};
use trandb_engine::{LogTime, Shard, ShardId};
use turmoil::Sim;

use super::{
    ambush::{Ambush, Blow, Caught},
    host::{self, Made, Queues, Shared, endpoint, latest_clock},
    plan::Plan,
};
use crate::{
    scenario::Scenario,
    trace::Trace,
    world::{
        End, Quiet, Run,
        play::{Watch, audit, play_clients},
        simulated::watched,
    },
};

/// How long it may take until a cluster is founded, or agrees and has resolved all that was left
/// behind, when nothing is in the way.
const AGREEMENT: Duration = Duration::from_mins(1);

/// How long clients may take: all their calls have time limits.
const CLIENTS: Duration = Duration::from_mins(20);

/// How often it is asked whether they are that far: it takes longer than a tick.
const LOOK_TICKS: usize = 10;

/// What clients wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Founding,
    Faults,
    Peace,
}

/// How far the clients are.
#[derive(Debug, Default)]
struct Clients {
    are_done: bool,
    quiet: Option<Quiet>,
}

/// Runs a scenario on a cluster of simulated nodes. The same scenario and plan give the same run.
pub fn run_on_nodes(scenario: &Scenario, plan: &Plan) -> Run {
    let clock = Arc::new(AtomicU64::new(0));
    let watch = Watch::begin_with(Trace::told(Arc::clone(&clock)));
    let made = Arc::new(Made {
        scenario: scenario.clone(),
        plan: plan.clone(),
        watch: watch.clone(),
        peace: Arc::default(),
    });
    for line in plan.to_string().lines() {
        watch.trace.line("plan", format_args!("{line}"));
    }
    let world = Shared::default();
    let played = watched(|| Playing::new(&made, &world, clock).play());
    // What is left of the processes ends here, outside of their runtimes.
    world.lock().processes.clear();
    let end = match played {
        Ok(Ok(quiet)) => End::Quiet(quiet),
        Ok(Err(violation)) => End::Violated(violation),
        Err(panic) => End::Panicked(panic),
    };
    Run::new(scenario, &watch, end)
}

struct Playing<'a> {
    sim: Sim<'a>,
    made: Arc<Made>,
    world: Shared,
    clock: Arc<AtomicU64>,
    invariants: Invariants,
    phase: watch::Sender<Phase>,
    clients: Arc<Mutex<Clients>>,
    /// When the clients began.
    begun: Duration,
    faults: VecDeque<(u64, Fault)>,
    ambushes: Vec<Ambush>,
    /// Those that end as planned, and how many milliseconds later others begin there.
    stopping: Vec<(usize, u64)>,
    /// When a process begins again, and where.
    back: Vec<(Duration, usize)>,
}

impl Playing<'_> {
    fn new(made: &Arc<Made>, world: &Shared, clock: Arc<AtomicU64>) -> Self {
        let plan = &made.plan;
        let mut sim = network(made.scenario.seed.0).build();
        for host in 1..=plan.hosts {
            let (made, world) = (Arc::clone(made), world.clone());
            sim.host(host_name(host), move || {
                host::run(host, Arc::clone(&made), world.clone())
            });
        }
        let (phase, phases) = watch::channel(Phase::Founding);
        let clients = Arc::default();
        let calling = call(
            Arc::clone(made),
            world.clone(),
            phases,
            Arc::clone(&clients),
        );
        sim.client("clients", seeded(made.scenario.seed.0, calling));
        Self {
            sim,
            faults: plan.faults.iter().copied().collect(),
            ambushes: plan.ambushes.clone(),
            made: Arc::clone(made),
            world: world.clone(),
            clock,
            invariants: Invariants::default(),
            phase,
            clients,
            begun: Duration::ZERO,
            stopping: Vec::new(),
            back: Vec::new(),
        }
    }

    fn play(mut self) -> Result<Quiet, String> {
        let latest = latest_clock(&self.made.plan);
        self.until("not all have told the time", AGREEMENT, |run| {
            let told = |node: &Node<Simulated>, shard| {
                let clock = node.replica(ShardId(shard), |_, state| state.clock());
                !holds(node, ShardId(shard)) || clock.is_some_and(|clock| clock >= latest)
            };
            let world = run.world.lock();
            let mut shards = 0..run.made.scenario.setup.shards;
            let all = shards.all(|shard| world.nodes().all(|(_, node)| told(node, shard)));
            (!all || world.processes.is_empty()).then(String::new)
        })?;
        self.agree("the cluster is not founded")?;
        self.begun = self.sim.elapsed();
        self.enter(Phase::Faults);
        let lasts = Duration::from_millis(self.made.plan.lasts_ms);
        while self.sim.elapsed() < self.begun + lasts {
            self.arm();
            self.inject();
            self.tick()?;
        }
        self.line(format_args!("peace"));
        Fault::end_all(&mut self.sim, self.made.plan.hosts);
        self.world.lock().armed.clear();
        self.until("clients did not come to an end", CLIENTS, |run| {
            (!run.clients().are_done).then(String::new)
        })?;
        self.agree("they do not agree, although nothing is in the way")?;
        self.made.peace.store(true, Ordering::Relaxed);
        self.enter(Phase::Peace);
        self.until("nobody can look at what is there", CLIENTS, |run| {
            run.clients().quiet.is_none().then(String::new)
        })?;
        self.agree("they do not agree any more")?;
        Ok(self.clients().quiet.take().unwrap_or_default())
    }

    fn enter(&self, phase: Phase) {
        self.line(format_args!("{phase:?}"));
        self.phase.send_replace(phase);
    }

    fn clients(&self) -> std::sync::MutexGuard<'_, Clients> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn line(&self, what: fmt::Arguments<'_>) {
        self.made.watch.trace.line("run", what);
    }

    /// Until all nodes are ready and equal, and no transaction is undecided or unfinalized.
    fn agree(&mut self, otherwise: &str) -> Result<(), String> {
        self.until(otherwise, AGREEMENT, |run| {
            let world = run.world.lock();
            let left = world.nodes().find_map(|(host, node)| {
                let mut shards = (0..run.made.scenario.setup.shards).map(ShardId);
                shards.find_map(|shard| {
                    let left = node.replica(shard, |_, state| left_behind(state))??;
                    Some(format!("host {host}, shard {}: {left}", shard.0))
                })
            });
            left.or_else(|| apart(world.nodes(), run.made.plan.hosts))
        })
    }

    /// Until `wrong` finds nothing; what it found last is told if that takes too long.
    fn until(
        &mut self,
        otherwise: &str,
        patience: Duration,
        wrong: impl Fn(&Self) -> Option<String>,
    ) -> Result<(), String> {
        let end = self.sim.elapsed() + patience;
        while let Some(wrong) = wrong(self) {
            if self.sim.elapsed() > end {
                return Err(format!("{otherwise}: {wrong}"));
            }
            for _ in 0..LOOK_TICKS {
                self.tick()?;
            }
        }
        Ok(())
    }

    fn tick(&mut self) -> Result<(), String> {
        self.begin_again();
        let step = self.sim.step();
        step.map_err(|error| format!("a process failed: {error}"))?;
        let now = u64::try_from(self.sim.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.clock.store(now, Ordering::Relaxed);
        self.strike();
        let news = {
            let world = self.world.lock();
            let processes = world.processes.iter();
            let nodes = processes.map(|(host, process)| (*host, process.life, &process.node));
            self.invariants.after_tick(nodes, |_, _| Ok(()))?
        };
        let tally = &self.made.watch.tally;
        for member in &news.members {
            self.line(format_args!("{member}"));
        }
        for _ in 0..news.elections {
            tally.count("election");
        }
        for _ in 0..news.snapshots {
            tally.count("snapshot sent");
        }
        Ok(())
    }

    /// Processes begin in the places of others.
    fn begin_again(&mut self) {
        let now = self.sim.elapsed();
        let ended = |host: usize| !self.world.lock().processes.contains_key(&host);
        let stopped = self.stopping.extract_if(.., |(host, _)| ended(*host));
        let stopped: Vec<_> = stopped.collect();
        for (host, back_ms) in stopped {
            self.back.push((now + Duration::from_millis(back_ms), host));
        }
        let due: Vec<_> = self.back.extract_if(.., |(at, _)| *at <= now).collect();
        for (_, host) in due {
            self.sim.bounce(host_name(host));
        }
    }

    fn passed_ms(&self) -> u64 {
        let passed = self.sim.elapsed().saturating_sub(self.begun);
        u64::try_from(passed.as_millis()).unwrap_or(u64::MAX)
    }

    fn arm(&mut self) {
        let now = self.passed_ms();
        let due = self.ambushes.extract_if(.., |one| one.armed_ms <= now);
        self.world.lock().armed.extend(due);
    }

    fn inject(&mut self) {
        let now = self.passed_ms();
        while let Some((_, fault)) = self.faults.pop_front_if(|(at, _)| *at <= now) {
            self.inject_one(fault);
        }
    }

    fn inject_one(&mut self, fault: Fault) {
        self.line(format_args!("{fault:?}"));
        let leader = self.leader(ShardId(0));
        let words = format!("{fault:?}");
        let name = words.split(' ').next().unwrap_or_default();
        self.made.watch.tally.count(name);
        match fault.on_links(&mut self.sim, self.made.plan.hosts, leader) {
            Some(OnProcesses::Crash { host, back_ms }) => self.crash(host, back_ms),
            Some(OnProcesses::Stop { host, back_ms }) => self.stop(host, back_ms),
            Some(OnProcesses::Transfer) => panic!("no fault of whole nodes"),
            None => {}
        }
    }

    fn leader(&self, shard: ShardId) -> Option<usize> {
        leader_host(self.world.lock().nodes(), shard)
    }

    /// Whether a process may end: not while another is missing, since nothing can be promised with
    /// less than a majority.
    fn may_end(&self) -> bool {
        let world = self.world.lock();
        self.stopping.is_empty()
            && apart_but_for_equality(world.nodes(), self.made.plan.hosts).is_none()
    }

    fn crash(&mut self, host: usize, back_ms: u64) {
        if !self.may_end() {
            return;
        }
        self.line(format_args!("the process of host {host} ends"));
        self.made.watch.tally.count("process ended");
        self.world.lock().processes.remove(&host);
        self.sim.crash(host_name(host));
        let at = self.sim.elapsed() + Duration::from_millis(back_ms);
        self.back.push((at, host));
    }

    fn stop(&mut self, host: usize, back_ms: u64) {
        if !self.may_end() {
            return;
        }
        self.line(format_args!("the process of host {host} is stopped"));
        self.made.watch.tally.count("process stopped");
        if let Some(process) = self.world.lock().processes.get(&host) {
            process.stop.notify_one();
            self.stopping.push((host, back_ms));
        }
    }

    /// What has been waited for has come.
    fn strike(&mut self) {
        let caught = std::mem::take(&mut self.world.lock().caught);
        for Caught {
            ambush,
            host,
            shard,
            go_on,
        } in caught
        {
            let Ambush {
                moment,
                blow,
                back_ms,
                ..
            } = ambush;
            self.line(format_args!(
                "{moment:?} at shard {}, coordinator at host {host}: {blow:?}",
                shard.0
            ));
            self.made.watch.tally.count(&format!("{moment:?} {blow:?}"));
            let hosts = self.made.plan.hosts;
            let leader = self.leader(shard).unwrap_or(host);
            let mut isolate = |host| {
                let _ = Fault::Isolate { host }.on_links(&mut self.sim, hosts, None);
            };
            match blow {
                Blow::CrashCoordinator => self.crash(host, back_ms),
                Blow::IsolateCoordinator => isolate(host),
                Blow::HoldCoordinator => {
                    for other in (1..=hosts).filter(|other| *other != host) {
                        self.sim.hold(host_name(host), host_name(other));
                    }
                }
                Blow::CrashLeader => self.crash(leader, back_ms),
                Blow::IsolateLeader => isolate(leader),
                Blow::Both => {
                    if leader != host {
                        isolate(leader);
                    }
                    self.crash(host, back_ms);
                }
            }
            // To nobody if it has ended.
            let _ = go_on.send(());
        }
    }
}

/// Whether a node has a replica of a shard, or should have one.
fn holds(node: &Node<Simulated>, shard: ShardId) -> bool {
    node.status().is_some_and(|status| {
        let mut groups = status.groups.iter();
        groups.any(|group| group.shard == Some(shard) && group.role.is_some())
    })
}

/// What transactions have left at a shard, in words.
fn left_behind(shard: &Shard) -> Option<String> {
    let in_doubt = shard.in_doubt(LogTime(u64::MAX), 1);
    let unfinalized = shard.unfinalized(LogTime(u64::MAX), 1);
    if let Some(doubt) = in_doubt.first() {
        return Some(format!("undecided: {doubt:?}"));
    }
    if let Some(one) = unfinalized.first() {
        return Some(format!("not carried out everywhere: {one:?}"));
    }
    (!shard.is_unlocked()).then(|| "locks of nobody".to_owned())
}

/// All clients, and at the end one who looks.
async fn call(
    made: Arc<Made>,
    world: Shared,
    mut phases: watch::Receiver<Phase>,
    clients: Arc<Mutex<Clients>>,
) -> turmoil::Result {
    let Made {
        scenario,
        plan,
        watch,
        ..
    } = &*made;
    let endpoints: Vec<String> = (1..=plan.hosts).map(endpoint).collect();
    let tell = |change: &dyn Fn(&mut Clients)| {
        change(&mut clients.lock().unwrap_or_else(PoisonError::into_inner));
    };
    phases.wait_for(|phase| *phase >= Phase::Faults).await?;
    let way = Queues(world.clone());
    play_clients(watch, scenario, &endpoints, way, |_| ()).await;
    tell(&|clients| clients.are_done = true);
    phases.wait_for(|phase| *phase >= Phase::Peace).await?;
    let quiet = audit(watch, scenario, &endpoints, Queues(world)).await;
    tell(&|clients| clients.quiet = Some(quiet.clone()));
    Ok(())
}
