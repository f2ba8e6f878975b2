//! What clients called and what came of it.
//!
//! - [`Recorder`] puts calls and returns into one order, as they happen;
//! - [`Actor`] is a client that plays a plan and records it;
//! - [`History`] is what was recorded, with every operation's call and return.
//!
//! Invariants: a call is recorded before its request leaves, and a return after the answer is
//! known, so an operation never seems shorter than it was; what came of an operation is the
//! client library's own word, and a failure of the harness never becomes one: it panics.
//!
//! Tests: `tests/simulation`.

mod actor;
mod history;
mod operation;
mod transact;
pub mod words;

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
};

use trandb_client::TransactionId;

use self::words::Sent;
pub use self::{
    actor::Actor,
    history::History,
    operation::{Answered, Asked, Body, By, Found, Given, Operation, Seen},
    words::Word,
};
use crate::trace::Trace;

/// Puts calls and returns into one order. A clone is another handle of the same one.
#[derive(Debug, Clone)]
pub struct Recorder {
    trace: Trace,
    processes: Arc<AtomicI64>,
    log: Arc<Mutex<Log>>,
}

#[derive(Debug, Default)]
struct Log {
    tick: u64,
    operations: Vec<Operation>,
    told: Vec<Told>,
    acknowledged: BTreeSet<TransactionId>,
}

/// What was said of a transaction, to whomever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Of which.
    pub id: TransactionId,
    /// To whom.
    pub to: By,
    /// What.
    pub word: Word,
}

/// An operation that is in flight.
#[derive(Debug, Clone, Copy)]
pub struct InFlight(usize);

impl Recorder {
    /// Nothing recorded yet.
    pub fn new(trace: Trace) -> Self {
        Self {
            trace,
            processes: Arc::default(),
            log: Arc::default(),
        }
    }

    /// A number that no process had yet.
    pub fn new_process(&self) -> i64 {
        self.processes.fetch_add(1, Ordering::Relaxed)
    }

    /// Records a call.
    pub fn call(&self, process: i64, by: By, asked: Asked) -> InFlight {
        self.trace.line(by, format_args!("{asked}"));
        let mut log = self.log();
        let called = log.next_tick();
        log.operations.push(Operation {
            id: 0,
            process,
            by,
            asked,
            answered: Answered::NotYet,
            transaction: None,
            copied: false,
            called,
            returned: None,
        });
        InFlight(log.operations.len() - 1)
    }

    /// Records what it asks, now that its client knows.
    pub fn asks(&self, call: InFlight, asked: Asked) {
        self.log().operations[call.0].asked = asked;
    }

    /// Records that its request, which has an id, is about to leave.
    pub fn sent(&self, call: InFlight, sent: &Sent) {
        let mut log = self.log();
        log.acknowledged.extend(&sent.acknowledged);
        let operation = &mut log.operations[call.0];
        operation.transaction = Some(sent.id);
        if let Asked::Transaction(body) = &mut operation.asked {
            for seen in &mut body.seen {
                seen.version = sent.checks.get(&seen.key).copied().flatten();
            }
        }
    }

    /// Records that copies of its request may arrive at any time.
    pub fn copied(&self, call: InFlight) {
        self.log().operations[call.0].copied = true;
    }

    /// Records what was said of a transaction.
    pub fn told(&self, id: TransactionId, to: By, word: Word) {
        self.log().told.push(Told { id, to, word });
    }

    /// Records what came of it, and says it.
    pub fn returned(&self, call: InFlight, answered: Answered) -> Answered {
        let mut log = self.log();
        let returned = log.next_tick();
        let answered = log.known(&log.operations[call.0], answered);
        let operation = &mut log.operations[call.0];
        self.trace.line(
            operation.by,
            format_args!("{} -> {answered}", operation.asked),
        );
        operation.returned = Some(returned);
        operation.answered = answered.clone();
        answered
    }

    /// What was recorded so far, over these keys.
    pub fn history(&self, keys: impl IntoIterator<Item = String>) -> History {
        let log = self.log();
        History::new(
            log.operations.clone(),
            keys.into_iter().collect(),
            log.told.clone(),
            log.acknowledged.clone(),
        )
    }

    /// All ids that were sent.
    pub fn transactions(&self) -> Vec<TransactionId> {
        let log = self.log();
        let ids = log.operations.iter();
        ids.filter_map(|operation| operation.transaction).collect()
    }

    fn log(&self) -> std::sync::MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log {
    fn next_tick(&mut self) -> u64 {
        self.tick += 1;
        self.tick
    }

    /// What is known of an operation that its client was answered so.
    fn known(&self, operation: &Operation, answered: Answered) -> Answered {
        match (answered, operation.transaction) {
            // A refusal that is not a decision says nothing of a copy that is carried out later.
            (Answered::Failed(reason), Some(_)) if operation.copied => {
                Answered::Unknown(format!("{reason}, but copies may be on their way"))
            }
            // With an id this is a decision, and what the key had then need not be the reason.
            (Answered::Refused(_), Some(_)) => Answered::Aborted("a condition".to_owned()),
            // The client library keeps versions to itself where it commits by itself.
            (Answered::Committed { versions, reads }, Some(id)) if versions.is_empty() => {
                let mut told = self.told.iter().rev().filter(|told| told.id == id);
                let versions = told.find_map(|told| match &told.word {
                    Word::Committed(versions) => versions.clone(),
                    Word::NotCommitted => None,
                });
                Answered::Committed {
                    versions: versions.unwrap_or_default(),
                    reads,
                }
            }
            (answered, _) => answered,
        }
    }
}
