//! How often what happened: in one run, or summed over many.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};

/// Counters of a run or of many.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Runs.
    pub runs: u64,
    /// Runs without any fault.
    pub calm_runs: u64,
    /// Operations by function and outcome: `put ok`, `delete refused`, `get unknown`.
    pub operations: BTreeMap<String, u64>,
    /// Faults that happened, by kind.
    pub faults: BTreeMap<String, u64>,
}

impl Counts {
    /// Adds those of other runs.
    pub fn merge(&mut self, other: &Self) {
        self.runs += other.runs;
        self.calm_runs += other.calm_runs;
        add(&mut self.operations, &other.operations);
        add(&mut self.faults, &other.faults);
    }

    /// All operations.
    pub fn operations(&self) -> u64 {
        self.operations.values().sum()
    }
}

fn add(sums: &mut BTreeMap<String, u64>, more: &BTreeMap<String, u64>) {
    for (name, count) in more {
        *sums.entry(name.clone()).or_default() += count;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (runs, calm) = (self.runs, self.calm_runs);
        writeln!(
            f,
            "{runs} runs ({calm} without faults), {} operations",
            self.operations()
        )?;
        for (title, counts) in [("operations", &self.operations), ("faults", &self.faults)] {
            let counts: Vec<String> = counts
                .iter()
                .map(|(name, count)| format!("{name} {count}"))
                .collect();
            writeln!(f, "  {title}: {}", counts.join(", "))?;
        }
        Ok(())
    }
}

/// Counts faults where they happen. A clone is another handle of the same one.
#[derive(Debug, Clone, Default)]
pub struct Tally(Arc<Mutex<BTreeMap<String, u64>>>);

impl Tally {
    /// Counts one.
    pub fn count(&self, fault: &str) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match counts.get_mut(fault) {
            Some(count) => *count += 1,
            None => {
                counts.insert(fault.to_owned(), 1);
            }
        }
    }

    /// All so far.
    pub fn counts(&self) -> BTreeMap<String, u64> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.clone()
    }
}
