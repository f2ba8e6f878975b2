//! Everything that a run is made of, drawn from one seed: what clients do, what goes wrong, and
//! how the service is set up. A value: it can be printed, stored, changed and run again.
//!
//! Inputs vary as much as faults: the number of clients, keys, shards, sizes and the limits are
//! drawn anew for each run.

mod shrink;

use std::fmt;

use fastrand::Rng;
use serde::{Deserialize, Serialize};

pub use self::shrink::{Shrinking, shrink, strategy};
use crate::{
    faults::{
        Swarm,
        disturbance::{self, Disturbance},
        seam::SeamFaults,
    },
    seed::Seed,
    traffic::{self, Call, Content, Schedule, Workload},
};

/// A run, before it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scenario {
    /// What it was drawn from, and what worlds draw from.
    pub seed: Seed,
    /// The workload's name.
    pub workload: String,
    /// What clients do, and what the network does to it.
    pub schedule: Schedule,
    /// What the seam between service and shards does.
    pub seam: SeamFaults,
    /// What happens at the shards.
    pub disturbances: Vec<Disturbance>,
    /// How the service is set up.
    pub setup: Setup,
}

/// How the service is set up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setup {
    /// Shards.
    pub shards: u16,
    /// Of the shards' versions.
    pub epoch: u64,
    /// What may be stored, in bytes.
    pub memory_bytes_max: u64,
    /// What may be on its way, in bytes.
    pub in_flight_bytes_max: u64,
    /// How long a body may take, in milliseconds.
    pub body_timeout_ms: u64,
}

/// Without a fault nothing reaches it.
const MEMORY_BYTES: u64 = 1 << 30;
const IN_FLIGHT_BYTES: u64 = 64 << 20;
const BODY_TIMEOUT_MS: u64 = 30_000;

impl Setup {
    /// Without any limit that a run could reach.
    pub fn ample(shards: u16, epoch: u64) -> Self {
        Self {
            shards,
            epoch,
            memory_bytes_max: MEMORY_BYTES,
            in_flight_bytes_max: IN_FLIGHT_BYTES,
            body_timeout_ms: BODY_TIMEOUT_MS,
        }
    }

    fn draw(swarm: &mut Swarm, rng: &mut Rng, schedule: &Schedule) -> Self {
        let shards = *rng.choice(&[1, 2, 3, 8, 64]).unwrap_or(&1);
        // Never 0, and within the whole numbers of a history.
        let mut setup = Self::ample(shards, rng.u64(1..1 << 62));
        let written = schedule.steps().flat_map(|step| step.call.contents());
        let written = written.map(Content::size);
        let (largest, all) = written.fold((0, 0), |(largest, all), size| {
            (size.max(largest), all + size)
        });
        if swarm.has() {
            // From a quarter of what all keys take on.
            let keys = schedule.keys().len() as u64;
            let needed = all.min(largest * keys) + 150 * keys;
            setup.memory_bytes_max = rng.u64(needed / 4..=needed + 1);
        }
        if swarm.has() {
            let largest = schedule.steps().map(|step| body_bytes(&step.call)).max();
            setup.in_flight_bytes_max = rng.u64(1..=1 + 3 * largest.unwrap_or(0));
        }
        if swarm.has() {
            setup.body_timeout_ms = rng.u64(1..=100);
        }
        setup
    }
}

/// How many bytes the body of a call takes, about.
fn body_bytes(call: &Call) -> u64 {
    let values: u64 = call.contents().into_iter().map(Content::size).sum();
    match call {
        // Its own bytes, and what names its parts.
        Call::Transaction(_) | Call::GetMany { .. } => values + 60 + 40 * call.keys().len() as u64,
        _ => values,
    }
}

impl Scenario {
    /// Draws a workload, and a run of it.
    pub fn draw(seed: Seed) -> Self {
        let workload = seed.rng("workload").choice(traffic::ALL);
        Self::of(workload.expect("there are workloads"), seed)
    }

    /// Draws a run of this workload.
    pub fn of(workload: &Workload, seed: Seed) -> Self {
        let mut schedule = Schedule::draw(workload, &mut seed.rng("traffic"));
        let mut swarm = Swarm::draw(seed.rng("swarm"));
        swarm.disturb(&mut schedule);
        let transactional = workload.transactional;
        let seam = SeamFaults::draw(&mut swarm, &mut seed.rng("seam faults"), transactional);
        let keys: Vec<String> = schedule.keys().into_iter().collect();
        let disturbances = disturbance::draw(&mut swarm, &mut seed.rng("disturbances"), &keys);
        let setup = Setup::draw(&mut swarm, &mut seed.rng("setup"), &schedule);
        Self {
            seed,
            workload: workload.name.to_owned(),
            schedule,
            seam,
            disturbances,
            setup,
        }
    }

    /// Whether there are transactions in it.
    pub fn is_transactional(&self) -> bool {
        let transactional =
            |call: &Call| matches!(call, Call::Transaction(_) | Call::GetMany { .. });
        self.schedule.steps().any(|step| transactional(&step.call))
    }

    /// Whether nothing goes wrong in it.
    pub fn is_calm(&self) -> bool {
        let troubled = |step: &traffic::Step| step.passage.trouble.is_some();
        self.seam.is_calm()
            && self.disturbances.is_empty()
            && !self.schedule.steps().any(troubled)
            && self.setup == Setup::ample(self.setup.shards, self.setup.epoch)
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let setup = &self.setup;
        writeln!(f, "workload {}, seed {}", self.workload, self.seed)?;
        write!(f, "{} shard(s)", setup.shards)?;
        for (limit, ample, what) in [
            (setup.memory_bytes_max, MEMORY_BYTES, "bytes of memory"),
            (
                setup.in_flight_bytes_max,
                IN_FLIGHT_BYTES,
                "bytes in flight",
            ),
            (setup.body_timeout_ms, BODY_TIMEOUT_MS, "ms for a body"),
        ] {
            if limit != ample {
                write!(f, ", {limit} {what}")?;
            }
        }
        writeln!(f)?;
        if !self.seam.is_calm() {
            writeln!(f, "seam: {}", self.seam)?;
        }
        for disturbance in &self.disturbances {
            writeln!(f, "{disturbance}")?;
        }
        self.schedule.fmt(f)
    }
}
