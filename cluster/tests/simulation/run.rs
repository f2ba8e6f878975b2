//! Plays a plan: a time with faults, in which the invariants are looked at after every tick; then
//! peace, in which all must agree.

use std::{
    collections::VecDeque,
    panic::{self, AssertUnwindSafe},
    sync::Arc,
    time::Duration,
};

use trandb_cluster::{
    group::{Group as _, Role},
    simulation::{Fault, OnProcesses, host_name, network},
};
use turmoil::Sim;

use super::{
    invariants::{Invariants, converged},
    node,
    plan::Plan,
    world::{Counts, Shared},
};

/// How long agreeing may take when nothing is in the way.
const CONVERGENCE: Duration = Duration::from_secs(30);

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Equal for equal runs.
    pub(crate) trace: u64,
    pub(crate) counts: Counts,
    /// What went wrong first.
    pub(crate) violation: Option<String>,
}

struct Run<'a> {
    sim: Sim<'a>,
    plan: Arc<Plan>,
    world: Shared,
    faults: VecDeque<(u64, Fault)>,
    /// When a process begins again, and where.
    back: Vec<(Duration, usize)>,
    invariants: Invariants,
}

/// Plays `plan` to its end, or to the first violation.
pub(crate) fn run(plan: &Plan) -> Outcome {
    let world = Shared::default();
    let played = panic::catch_unwind(AssertUnwindSafe(|| Run::new(plan, &world).play()));
    let violation = match played {
        Ok(played) => played.err(),
        Err(_) => Some("somebody panicked: see above".to_owned()),
    };
    let world = world.lock();
    Outcome {
        trace: world.trace.hash(),
        counts: world.counts.clone(),
        violation: violation.map(|violation| {
            let lines: Vec<&str> = world.trace.lines().map(String::as_str).collect();
            format!("{}\n\n{violation}", lines.join("\n"))
        }),
    }
}

impl Run<'_> {
    fn new(plan: &Plan, world: &Shared) -> Self {
        let plan = Arc::new(plan.clone());
        let mut sim = network(plan.seed).build();
        for host in 1..=plan.hosts {
            let (plan, world) = (Arc::clone(&plan), world.clone());
            sim.host(host_name(host), move || {
                node::run(host, Arc::clone(&plan), world.clone())
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
        while self.sim.elapsed() < self.plan.peace() {
            self.inject();
            self.tick()?;
        }
        self.make_peace();
        let end = self.sim.elapsed() + CONVERGENCE;
        loop {
            self.tick()?;
            let apart = converged(&self.world.lock(), self.plan.hosts);
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
        Invariants::at_the_end(&self.world.lock())
    }

    fn tick(&mut self) -> Result<(), String> {
        self.begin_again();
        self.sim
            .step()
            .map_err(|error| format!("a process failed: {error}"))?;
        let joint = self.invariants.after_tick(&mut self.world.lock())?;
        if let Some(fault) = self.plan.in_joint
            && joint
            && self.sim.elapsed() < self.plan.peace()
        {
            self.inject_one(fault);
        }
        Ok(())
    }

    /// Ends processes and begins others in their places.
    fn begin_again(&mut self) {
        let now = self.sim.elapsed();
        let due: Vec<usize> = self
            .back
            .extract_if(.., |(at, _)| *at <= now)
            .map(|(_, host)| host)
            .collect();
        for host in due {
            self.sim.bounce(host_name(host));
        }
    }

    fn inject(&mut self) {
        let now = self.sim.elapsed();
        while let Some((at, fault)) = self.faults.front().copied()
            && Duration::from_millis(at) <= now
        {
            self.faults.pop_front();
            self.inject_one(fault);
        }
    }

    fn inject_one(&mut self, fault: Fault) {
        let now = self.sim.elapsed();
        self.world
            .lock()
            .trace
            .add(format_args!("{now:?} {fault:?}"));
        let leader = self.world.lock().leader_host();
        match fault.on_links(&mut self.sim, self.plan.hosts, leader) {
            Some(OnProcesses::Crash { host, back_ms }) => self.crash(host, back_ms),
            Some(OnProcesses::Transfer) => self.transfer(),
            Some(OnProcesses::Stop { .. }) => panic!("a replica alone does not leave"),
            None => {}
        }
    }

    /// Only as long as a majority of the voters stays alive: with less nothing can be promised.
    fn crash(&mut self, host: usize, back_ms: u64) {
        let ended = {
            let mut world = self.world.lock();
            let most = (self.plan.hosts - 1) / 2;
            if world.missing() >= most {
                return;
            }
            world.end(host)
        };
        if ended.is_some() {
            self.sim.crash(host_name(host));
            let at = self.sim.elapsed() + Duration::from_millis(back_ms);
            self.back.push((at, host));
        }
    }

    fn transfer(&self) {
        let world = self.world.lock();
        let leader = world.alive().find_map(|(_, group)| {
            let status = group.status();
            (status.role == Role::Leader).then_some((status, group.clone()))
        });
        drop(world);
        if let Some((status, group)) = leader {
            let mut voters = status.membership.voters.iter().flatten();
            let to = voters.find(|node| **node != status.node).copied();
            if let Some(to) = to {
                self.transfer_to(&group, to);
            }
        }
    }

    /// Outside of any process: what is asked of the replica goes into a queue at once.
    #[allow(clippy::unused_self)]
    fn transfer_to(
        &self,
        group: &trandb_cluster::group::RaftGroup<trandb_engine::Shard>,
        to: trandb_cluster::identity::NodeId,
    ) {
        let mut asked = Box::pin(group.transfer_leadership(to));
        let waker = std::task::Waker::noop();
        let _ = asked
            .as_mut()
            .poll(&mut std::task::Context::from_waker(waker));
    }

    fn make_peace(&mut self) {
        Fault::end_all(&mut self.sim, self.plan.hosts);
        let mut world = self.world.lock();
        world.quiet = true;
        world.trace.add(format_args!("peace"));
    }
}
