//! What happened in a run, line by line: the evidence that a run repeats, and what a person reads
//! who replays one.
//!
//! A line begins with the time since the run began; in a simulated world that is virtual.

use std::{
    fmt::{self, Write as _},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::time::Instant;

/// A growing trace. A clone is another handle of the same one.
#[derive(Debug, Clone)]
pub struct Trace {
    clock: Clock,
    text: Arc<Mutex<String>>,
}

/// Where the time comes from.
#[derive(Debug, Clone)]
enum Clock {
    /// The runtime's, since then.
    Begun(Instant),
    /// Somebody says it, in milliseconds.
    Told(Arc<AtomicU64>),
}

impl Trace {
    /// An empty one that begins now.
    pub fn begin() -> Self {
        Self {
            clock: Clock::Begun(Instant::now()),
            text: Arc::default(),
        }
    }

    /// An empty one where there are several runtimes, none of which has the time of all: `clock` is
    /// told, in milliseconds.
    pub fn told(clock: Arc<AtomicU64>) -> Self {
        Self {
            clock: Clock::Told(clock),
            text: Arc::default(),
        }
    }

    /// Adds a line: who did what.
    pub fn line(&self, who: impl fmt::Display, what: fmt::Arguments<'_>) {
        let time = match &self.clock {
            Clock::Begun(begun) => begun.elapsed().as_millis(),
            Clock::Told(time) => time.load(Ordering::Relaxed).into(),
        };
        let mut text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        // Writing to a text cannot fail.
        let _ = writeln!(text, "{time:>7} ms  {who:<9} {what}");
    }

    /// All so far.
    pub fn text(&self) -> String {
        let text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        text.clone()
    }
}
