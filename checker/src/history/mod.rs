//! Histories: operations, when they were called and returned, and what came of them.
//!
//! From bytes to a model's operations in three steps, each a stream of its own:
//!
//! 1. [`Events`] reads calls and returns, one at a time, from any of the [formats](Format) in which
//!    histories are recorded; the formats are described in `docs/histories.md`.
//! 2. [`Operations`] (or [`Steps`], which shows calls too) joins each call to its return.
//! 3. [`crate::decode`] says what the operation means to a model.
//!
//! Invariants:
//!
//! - Whatever the bytes, memory is bounded by one event and by what is in flight.
//! - Nothing doubtful is judged: what cannot be understood is a [`BadHistory`] with its line, and
//!   ends the stream.
//!
//! Tests: beside each module; `tests/it` for whole files, `fuzz/` for arbitrary bytes.

mod edn;
mod error;
mod event;
mod format;
mod json;
mod log;
mod pair;
mod read;
mod scan;
pub mod value;
pub mod write;

use std::fmt;

pub use error::BadHistory;
pub use event::{Event, Field, Kind};
pub use format::Format;
pub use pair::{Completed, Operations, Step, Steps};
pub use read::Events;
pub use scan::EVENT_BYTES_MAX;
pub use value::Value;

/// An operation's place in the order of calls of its history, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationId(pub usize);

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// What is known of an operation's effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It happened, between its call and its return.
    Ok,
    /// It certainly did not happen.
    Failed,
    /// It may have happened at any time after its call, or may yet, or never: open for ever.
    Unknown,
}

/// When an operation ran, in ticks of its history: places in its strictly increasing order of
/// calls and returns. An operation precedes another if it returned before the other was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Interval {
    /// The call's tick.
    pub call: u64,
    /// The return's tick; [`Interval::NEVER`] if it is open for ever.
    pub ret: u64,
}

impl Interval {
    /// The return of what is open for ever.
    pub const NEVER: u64 = u64::MAX;
}
