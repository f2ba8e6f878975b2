//! Strict serializability: could the transactions have run one after another?
//!
//! A dependency graph of the transactions is inferred from what they read and wrote (Adya 1999;
//! Kingsbury and Alvaro, Elle, VLDB 2020): `ww` from a write to the next of its key, `wr` from a
//! write to its readers, `rw` from a read to the write that overwrote what was read; to these the
//! order of each process and real time are added as the [`Consistency`] asks. A cycle is an
//! anomaly; an order without cycles is a witness, which is replayed before the verdict is
//! [`Verdict::Ok`].
//!
//! - `lists`: appends to lists show the order of the writes; the cycles decide.
//! - `registers`: versions show the order of the writes; the cycles decide. Where versions are
//!   missing, `polygraph` looks for an order of the writes (Papadimitriou 1979; Tan et al., Cobra,
//!   OSDI 2020) and gives up with [`Verdict::Unknown`] at a bound on time or memory.
//! - `order`, `graph`, `cycles`: process and real-time edges in linear size; strongly connected
//!   components; smallest cycles and their names.
//! - `replay`: judges a witness by running it.
//!
//! What is assumed of every history:
//! - Failed transactions never happened. Unknown ones happened if what they wrote was read by one
//!   that happened, at any time after their calls; others are left out, which is never worse for
//!   the verdict, since nobody saw them.
//! - It is the writers' duty to tell writes apart: no element is appended twice to a list, and no
//!   value without version is written twice to a register. Otherwise the history is [`Unusable`].
//!
//! Not here: readers of files, weaker levels than serializability, predicates.
//!
//! Tests: `tests/serializability`, against a brute-force search and recorded histories.

mod cycles;
mod graph;
mod index;
mod lists;
mod order;
mod polygraph;
mod registers;
mod replay;
mod transaction;
mod words;

use std::fmt;
use std::time::Duration;

pub use transaction::{ListOp, RegisterOp, Transaction, Version};

use crate::evidence::Verdict;
use crate::history::OperationId;

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
    lists::check(transactions, options)
}

/// Judges transactions that write registers and read them. Takes about linear time if every write
/// that happened has a version; otherwise, if the edges that can be inferred neither form a cycle
/// nor lead to a witness at once, the search for an order of the writes may take exponential time,
/// and ends in [`Verdict::Unknown`] at a bound. So it does in two more cases: if a read without
/// version may have come from a transaction of unknown outcome although something that this read
/// or a version of its writes is known; and if absence was read with a version, and several
/// removals have none.
///
/// # Errors
///
/// A value other than [`Value::Nil`](crate::history::Value::Nil) that is written twice to one key, both times without version,
/// by transactions that did not fail.
pub fn check_registers(
    transactions: &[Transaction<RegisterOp>],
    options: &Options,
) -> Result<Verdict, Unusable> {
    registers::check(transactions, options)
}
