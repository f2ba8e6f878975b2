//! Where a scenario runs. A world decides on threads, time and what lies between client and
//! service; what clients do and what is recorded is the same in all.
//!
//! - [`simulated`]: one thread, virtual time, everything drawn from the seed;
//! - [`real`]: several threads, sockets, real time: there the history is the evidence;
//! - [`real_nodes`]: a cluster of processes or containers, one of which fails in the middle;
//! - `nodes` (`--cfg simulation`): a cluster in a simulated network.

#[cfg(simulation)]
pub mod nodes;
mod play;
pub mod real;
pub mod real_nodes;
mod service;
pub mod simulated;

use std::collections::BTreeMap;

use self::play::Watch;
pub use self::{
    real::run_real,
    real_nodes::run_on_nodes,
    simulated::{run_simulated, run_simulated_on},
};
use crate::{counts::Counts, recorder::History, scenario::Scenario};

/// What a scenario came to.
#[derive(Debug, Clone)]
pub struct Run {
    /// What was run.
    pub scenario: Scenario,
    /// What was called and answered.
    pub history: History,
    /// What happened, for people and for comparing runs.
    pub trace: String,
    /// How often what happened.
    pub counts: Counts,
    /// How it ended.
    pub end: End,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Every client has taken all its steps, and all faults are over.
    Quiet(Quiet),
    /// Something panicked: the service, or the harness.
    Panicked(String),
    /// Something was seen inside the service that must not be.
    Violated(String),
    /// Clients did not come to an end.
    Stalled,
}

/// What was left when nobody asked any more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Quiet {
    /// What the service counts; none where it runs in other processes.
    pub counted: Option<Counted>,
    /// What its content needs by the engine's own measure, in bytes.
    pub content_bytes: u64,
    /// What did not work at once although nothing stood in its way.
    pub complaints: Vec<String>,
}

/// What a service counts when nobody asks any more. In bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counted {
    /// Stored.
    pub stored: u64,
    /// On its way.
    pub in_flight: u64,
    /// Stored after every key was deleted.
    pub emptied: u64,
}

impl Run {
    fn new(scenario: &Scenario, watch: &Watch, end: End) -> Self {
        let history = watch.recorder.history(scenario.schedule.keys());
        let mut operations = BTreeMap::new();
        for operation in &history.operations {
            let (function, outcome) = (operation.asked.function(), operation.answered.outcome());
            *operations
                .entry(format!("{function} {outcome}"))
                .or_default() += 1;
        }
        Self {
            counts: Counts {
                runs: 1,
                calm_runs: u64::from(scenario.is_calm()),
                operations,
                faults: watch.tally.counts(),
            },
            scenario: scenario.clone(),
            history,
            trace: watch.trace.text(),
            end,
        }
    }
}
