//! Transactions as a history has them: what was asked in order of the calls, and what was answered.

use std::fmt;

use crate::history::{Interval, OperationId, Outcome, Value};

/// A transaction of a history, with micro-operations `M`: [`ListOp`] or [`RegisterOp`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction<M> {
    /// Its place in the order of calls.
    pub id: OperationId,
    /// The process or session that ran it, one transaction after another.
    pub process: i64,
    /// When it ran; `None` if no times were recorded.
    pub interval: Option<Interval>,
    /// What became of it. The micro-operations of a failed one tell what it attempted.
    pub outcome: Outcome,
    /// In the order in which they were asked.
    pub ops: Vec<M>,
}

/// A micro-operation on lists that only grow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListOp {
    /// Puts an element at the end of a list. No element is appended twice to one key.
    Append {
        /// The list's.
        key: Value,
        /// What is put at its end.
        element: Value,
    },
    /// Reads a whole list. An absent list is an empty one.
    Read {
        /// The list's.
        key: Value,
        /// Its elements; `None` if the answer is not known.
        list: Option<Vec<Value>>,
    },
}

/// A micro-operation on registers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegisterOp {
    /// Sets a register. Removing it is writing [`Value::Nil`].
    Write {
        /// The register's.
        key: Value,
        /// What it is set to.
        value: Value,
        /// The version that the write was given; `None` if none is known. Only that of a
        /// transaction's last write of a key counts.
        version: Option<Version>,
    },
    /// Reads a register.
    Read {
        /// The register's.
        key: Value,
        /// What was read: [`Value::Nil`] if the register is absent, as all are initially; `None` if
        /// the answer is not known, which then says nothing, even with a version.
        value: Option<Value>,
        /// The version of what was read; `None` if none is known, and for the initial absence, which
        /// has none. Not looked at where the transaction reads its own write.
        version: Option<Version>,
    },
}

/// The version of a register, for instance an epoch and a counter, compared in this order. A
/// register's versions grow with its writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub [i64; 2]);

impl Version {
    /// From one or two numbers, the more significant first; `None` for fewer or more.
    pub fn new(numbers: &[i64]) -> Option<Self> {
        match *numbers {
            [number] => Some(Self::from(number)),
            [epoch, counter] => Some(Self([epoch, counter])),
            _ => None,
        }
    }
}

impl From<i64> for Version {
    fn from(number: i64) -> Self {
        Self([0, number])
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [0, number] => number.fmt(f),
            [epoch, counter] => write!(f, "{epoch}.{counter}"),
        }
    }
}
