//! What goes wrong, as data and as what carries it out. One file for each place where it does:
//!
//! - [`network`]: between a client and the service: requests and answers that are lost, late,
//!   doubled, slow or cut, calls that are given up;
//! - [`seam`]: between the service and its shards: waits inside a request, so that requests meet
//!   in the middle;
//! - [`disturbance`]: at the shards: kept occupied, or keys locked by an attempt, for a while.
//!
//! Which kinds a run has is drawn first ([`Swarm`]): a run with all of them at once hides what a
//! run with two would show, and some runs have none.

pub mod disturbance;
pub mod network;
pub mod seam;

use fastrand::Rng;

use crate::traffic::Schedule;

/// The share of runs without any fault, in percent.
const CALM_PERCENT: u32 = 10;

/// Faults as they are counted that are none of [`network::KINDS`].
pub const OTHER_KINDS: &[&str] = &[
    "call given up in time",
    "not at once",
    "pause at the seam",
    "shard occupied",
    "shard shared",
    "key locked",
];

/// And those of transactions alone.
pub const TRANSACTION_KINDS: &[&str] = &["coordinator vanished"];

/// All faults, as they are counted.
pub fn names() -> impl Iterator<Item = &'static str> {
    let network = network::KINDS.iter().map(|kind| kind.name);
    network.chain(OTHER_KINDS.iter().chain(TRANSACTION_KINDS).copied())
}

/// The kinds of faults of one run.
#[derive(Debug)]
pub struct Swarm {
    rng: Rng,
    /// Whether there is none.
    pub calm: bool,
}

impl Swarm {
    /// Draws whether there are any.
    pub fn draw(mut rng: Rng) -> Self {
        let calm = rng.u32(..100) < CALM_PERCENT;
        Self { rng, calm }
    }

    /// Draws whether this run has a certain kind of fault.
    pub fn has(&mut self) -> bool {
        let drawn = self.rng.bool();
        drawn && !self.calm
    }

    /// Gives the steps of `schedule` their ways through the network, and its clients their
    /// time-outs.
    pub fn disturb(&mut self, schedule: &mut Schedule) {
        let kinds: Vec<_> = network::KINDS.iter().filter(|_| self.has()).collect();
        let percent = *self.rng.choice(&[2, 5, 15, 40]).unwrap_or(&0);
        let delay_ms_max = *self.rng.choice(&[0, 2, 10, 100]).unwrap_or(&0);
        let impatient = self.has();
        for client in &mut schedule.clients {
            if impatient {
                client.timeout_ms = self.rng.u64(30..=1_500);
            }
            for step in &mut client.steps {
                step.passage.out_ms = self.rng.u32(0..=delay_ms_max);
                step.passage.back_ms = self.rng.u32(0..=delay_ms_max);
                let fitting: Vec<_> = kinds
                    .iter()
                    .filter(|kind| (kind.fits)(&step.call))
                    .collect();
                if self.rng.u32(..100) < percent
                    && let Some(kind) = self.rng.choice(&fitting)
                {
                    step.passage.trouble = Some((kind.draw)(&mut self.rng));
                }
            }
        }
    }
}
