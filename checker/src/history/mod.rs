//! Histories: operations, when they were called and returned, and what came of them.

pub mod value;

use std::fmt;

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
