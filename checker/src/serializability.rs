//! Strict serializability: could the transactions have run one after another?

use std::{fmt, time::Duration};

use crate::{
    evidence::Verdict,
    history::{Interval, OperationId, Outcome, Value},
};

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
        /// The version of what was read; `None` if none is known. Not looked at where the
        /// transaction reads its own write.
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
/// Which order of the transactions must explain what they saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Consistency {
    /// Any.
    Serializable,
    /// One in which the transactions of each process keep their order.
    StrongSessionSerializable,
    /// One in which moreover what returned before another was called comes before it. Transactions
    /// without times are held to the order of their process alone.
    StrictSerializable,
}

/// What to judge by, and how hard to try.
#[derive(Debug, Clone)]
pub struct Options {
    /// The order demanded.
    pub consistency: Consistency,
    /// Ends the search for an order of writes; the parts that take linear time are not bounded.
    pub time_limit: Option<Duration>,
    /// Bytes that the search for an order of writes may take.
    pub memory_limit: usize,
    /// How many pieces of evidence are shown at most.
    pub evidence_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            consistency: Consistency::StrictSerializable,
            time_limit: None,
            memory_limit: 1 << 30,
            evidence_max: 8,
        }
    }
}

impl Options {
    /// The defaults for a consistency.
    pub fn new(consistency: Consistency) -> Self {
        Self {
            consistency,
            ..Self::default()
        }
    }
}

/// A history that says too little to be judged, through no fault of the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusable {
    /// The transaction at which this was noticed.
    pub id: OperationId,
    /// Why, in words.
    pub reason: String,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.id, self.reason)
    }
}

impl std::error::Error for Unusable {}

/// Judges transactions that append to lists and read them. Takes linear time and is complete: never
/// [`Verdict::Unknown`].
///
/// # Errors
///
/// An element that is appended twice to one key, by whomever.
pub fn check_list_append(
    transactions: &[Transaction<ListOp>],
    options: &Options,
) -> Result<Verdict, Unusable> {
    let _ = (transactions, options);
    Ok(Verdict::Unknown("not built".into()))
}

/// Judges transactions that write registers and read them. Takes about linear time if every write
/// that happened has a version; otherwise, if the edges that can be inferred neither form a cycle
/// nor lead to a witness at once, the search for an order of the writes may take exponential time,
/// and ends in [`Verdict::Unknown`] at a bound.
///
/// # Errors
///
/// A value that is written twice to one key, both times without version, by transactions that did
/// not fail.
pub fn check_registers(
    transactions: &[Transaction<RegisterOp>],
    options: &Options,
) -> Result<Verdict, Unusable> {
    let _ = (transactions, options);
    Ok(Verdict::Unknown("not built".into()))
}
