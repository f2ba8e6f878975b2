//! What happens when, all of it drawn from one seed before the run begins.

use std::time::Duration;

use trandb_cluster::simulation::{Fault, Kind, draw};

/// A run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) hosts: usize,
    /// Of each process.
    pub(crate) clients: u64,
    pub(crate) keys: u64,
    pub(crate) writes_percent: u64,
    /// Between two operations of a client, on average.
    pub(crate) pause_ms: u64,
    pub(crate) value_bytes: usize,
    pub(crate) log_much_bytes: usize,
    /// Each with the milliseconds after the beginning.
    pub(crate) faults: Vec<(u64, Fault)>,
    /// When peace begins.
    pub(crate) peace_ms: u64,
    /// What happens whenever a change of membership is half done.
    pub(crate) in_joint: Option<Fault>,
    /// Off only to show that it is needed.
    pub(crate) names_whom_it_means: bool,
}

impl Plan {
    /// Without any fault.
    pub(crate) fn calm(seed: u64, hosts: usize) -> Self {
        Self {
            seed,
            hosts,
            clients: 2,
            keys: 3,
            writes_percent: 60,
            pause_ms: 20,
            value_bytes: 40,
            log_much_bytes: 20_000,
            faults: Vec::new(),
            peace_ms: 3_000,
            in_joint: None,
            names_whom_it_means: true,
        }
    }

    /// What the seed says: a size, a load, and some kinds of faults (a tenth has none).
    pub(crate) fn of(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let hosts = if rng.bool() { 3 } else { 5 };
        let mut plan = Self {
            clients: rng.u64(1..4),
            keys: rng.u64(1..6),
            writes_percent: rng.u64(20..90),
            pause_ms: rng.u64(5..60),
            value_bytes: rng.usize(1..400),
            log_much_bytes: *rng.choice(&[5_000, 20_000, 10_000_000]).expect("some"),
            peace_ms: rng.u64(6_000..12_000),
            in_joint: in_joint(&mut rng, hosts),
            ..Self::calm(seed, hosts)
        };
        if rng.u8(..10) > 0 {
            let kinds: Vec<Kind> = [Fault::KINDS, &[Fault::TRANSFER]].concat();
            plan.faults = draw(&mut rng, hosts, (800, plan.peace_ms), &kinds);
        }
        plan
    }

    pub(crate) fn peace(&self) -> Duration {
        Duration::from_millis(self.peace_ms)
    }
}

fn in_joint(rng: &mut fastrand::Rng, hosts: usize) -> Option<Fault> {
    match rng.u8(..3) {
        // Of three, with one dead already, no majority would be left.
        0 if hosts > 3 => Some(Fault::CrashLeader { back_ms: 300 }),
        1 => Some(Fault::IsolateLeader),
        _ => None,
    }
}
