//! What goes wrong in a simulated cluster, drawn from the seed of its scenario.

use std::fmt;

use trandb_cluster::simulation::{Fault, Kind, draw};

use super::ambush::{Ambush, Blow, Moment};
use crate::{
    scenario::{Scenario, Setup},
    seed::Seed,
};

/// What processes and links go through. Times are in milliseconds after the clients began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// How many nodes; they count from 1.
    pub hosts: usize,
    /// How many hold each shard.
    pub replicas: u8,
    /// By how much the clock of each is ahead, in milliseconds. Every life on a host has the same one,
    /// and the shards have heard of all of them before clients begin: outcomes are kept for ten
    /// minutes of log time, which is no promise any more when log time jumps by hours.
    pub clocks_ms: Vec<u64>,
    /// When entries that are applied begin to be dropped from logs, in bytes.
    pub log_much_bytes: usize,
    /// What happens whatever anybody does.
    pub faults: Vec<(u64, Fault)>,
    /// What happens at moments of transactions.
    pub ambushes: Vec<Ambush>,
    /// From then on nothing is in the way any more.
    pub lasts_ms: u64,
}

/// How far clocks may be apart, in milliseconds: six hours.
const APART_MS_MAX: u64 = 6 * 3_600_000;

impl Plan {
    /// Without any fault.
    pub fn calm(hosts: usize) -> Self {
        Self {
            hosts,
            replicas: 3,
            clocks_ms: vec![0; hosts],
            log_much_bytes: 20_000,
            faults: Vec::new(),
            ambushes: Vec::new(),
            lasts_ms: 2_000,
        }
    }

    /// What the seed says: a size, and some kinds of faults (a tenth has none).
    pub fn of(seed: Seed) -> Self {
        let mut rng = seed.rng("nodes");
        let hosts = if rng.u8(..4) == 0 { 5 } else { 3 };
        let mut plan = Self {
            replicas: *rng.choice(&[3, 5]).unwrap_or(&3),
            log_much_bytes: *rng.choice(&[5_000, 20_000, 10_000_000]).unwrap_or(&5_000),
            lasts_ms: rng.u64(2_000..6_000),
            ..Self::calm(hosts)
        };
        if rng.u8(..10) == 0 {
            return plan;
        }
        let kinds: Vec<Kind> = [Fault::KINDS, &[Fault::LOSS, Fault::STOP]].concat();
        let times = (rng.u64(..1_000), plan.lasts_ms);
        plan.faults = draw(&mut rng, hosts, times, &kinds);
        if rng.bool() {
            let ambushes = 0..rng.u64(1..4);
            plan.ambushes = ambushes.map(|_| ambush(&mut rng, plan.lasts_ms)).collect();
        }
        if rng.u8(..4) == 0 {
            let clocks = (0..hosts).map(|_| rng.u64(..APART_MS_MAX));
            plan.clocks_ms = clocks.collect();
        }
        plan
    }
}

fn ambush(rng: &mut fastrand::Rng, before_ms: u64) -> Ambush {
    let moments = [Moment::Prepared, Moment::Decided, Moment::Aborting];
    let blows = [
        Blow::CrashCoordinator,
        Blow::IsolateCoordinator,
        Blow::HoldCoordinator,
        Blow::CrashLeader,
        Blow::IsolateLeader,
        Blow::Both,
    ];
    Ambush {
        armed_ms: rng.u64(..before_ms),
        moment: *rng.choice(&moments).unwrap_or(&Moment::Prepared),
        blow: *rng.choice(&blows).unwrap_or(&Blow::Both),
        back_ms: rng.u64(50..1_500),
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            hosts,
            replicas,
            clocks_ms,
            log_much_bytes,
            faults,
            ambushes,
            lasts_ms,
        } = self;
        writeln!(
            f,
            "{hosts} nodes, {replicas} hold each shard, clocks ahead by {clocks_ms:?} ms, logs cut from {log_much_bytes} bytes \
             on, peace after {lasts_ms} ms"
        )?;
        for (at, fault) in faults {
            writeln!(f, "{at:>7} ms  {fault:?}")?;
        }
        for ambush in ambushes {
            writeln!(f, "{ambush:?}")?;
        }
        Ok(())
    }
}

/// Fewest shards, so that transactions have several, and most: each is a group at every node.
const SHARDS_MIN: u16 = 2;
const SHARDS_MAX: u16 = 4;

/// The scenario as far as it concerns such a cluster, where an election takes longer than most calls
/// elsewhere: clients take their steps in bursts, so that they last about as long as the faults.
#[must_use]
pub fn adapted(mut scenario: Scenario, plan: &Plan) -> Scenario {
    let mut rng = scenario.seed.rng("pace");
    for client in &mut scenario.schedule.clients {
        let steps = client.steps.len().max(1) as u64;
        let mean = u32::try_from(plan.lasts_ms / steps).unwrap_or(u32::MAX);
        for step in &mut client.steps {
            step.think_ms = match rng.u8(..4) {
                0 => rng.u32(0..=8 * mean),
                _ => rng.u32(0..=2),
            };
        }
    }
    let shards = SHARDS_MIN + scenario.setup.shards % (SHARDS_MAX - SHARDS_MIN + 1);
    scenario.setup = Setup::ample(shards, scenario.setup.epoch);
    scenario.disturbances.clear();
    scenario
}
