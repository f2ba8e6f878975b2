//! What happened in a run, line by line: the evidence that a run repeats, and what a person reads
//! who replays one.
//!
//! A line begins with the time since the run began; in a simulated world that is virtual.

use std::{
    fmt::{self, Write as _},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::time::Instant;

/// A growing trace. A clone is another handle of the same one.
#[derive(Debug, Clone)]
pub struct Trace {
    begun: Instant,
    text: Arc<Mutex<String>>,
}

impl Trace {
    /// An empty one that begins now.
    pub fn begin() -> Self {
        Self {
            begun: Instant::now(),
            text: Arc::default(),
        }
    }

    /// Adds a line: who did what.
    pub fn line(&self, who: impl fmt::Display, what: fmt::Arguments<'_>) {
        let time = self.begun.elapsed().as_millis();
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
