//! Runs the transactions one after another in the order of a witness and compares what they read:
//! the proof behind every [`Verdict::Ok`]. It shares nothing with the inference that found the
//! order but the transactions themselves, and that reads of a list were found to be prefixes of one
//! another, so that length and last element tell them apart.

use foldhash::{HashMap, HashMapExt};

use super::{Consistency, ListOp, RegisterOp, Transaction, Version};
use crate::evidence::Verdict;
use crate::history::{OperationId, Outcome, Value};

/// Of transactions on lists that happened.
pub(super) fn lists(
    transactions: &[Transaction<ListOp>],
    happened: &[bool],
    witness: impl Iterator<Item = u32>,
    consistency: Consistency,
) -> Verdict {
    let mut lists: HashMap<&Value, (usize, &Value)> = HashMap::new();
    verdict(run(transactions, happened, witness, consistency, |op| {
        match op {
            ListOp::Append { key, element } => {
                let (length, last) = lists.entry(key).or_insert((0, element));
                *length += 1;
                *last = element;
            }
            ListOp::Read { list: None, .. } => {}
            ListOp::Read {
                key,
                list: Some(read),
            } => {
                let list = lists.get(key);
                return list.map_or(0, |&(length, _)| length) == read.len()
                    && list.map(|&(_, last)| last) == read.last();
            }
        }
        true
    }))
}

/// What a register holds. The version is not known until a read tells, if the write did not.
#[derive(Default)]
struct Register<'a> {
    value: Option<&'a Value>,
    version: Option<Version>,
    /// The greatest version so far.
    greatest: Option<Version>,
    /// The transaction that wrote it, and the greatest version before.
    writer: Option<OperationId>,
    before: Option<Version>,
}

impl<'a> Register<'a> {
    fn write(&mut self, writer: OperationId, value: &'a Value, version: Option<Version>) -> bool {
        if self.writer != Some(writer) {
            self.before = self.greatest;
        }
        self.writer = Some(writer);
        self.value = Some(value);
        self.version = None;
        // Only a transaction's last write of a key has a version.
        self.greatest = self.before;
        version.is_none_or(|version| self.bind(version))
    }

    fn bind(&mut self, version: Version) -> bool {
        if let Some(known) = self.version {
            return known == version;
        }
        let grows =
            self.writer.is_some() && self.greatest.is_none_or(|greatest| greatest < version);
        self.version = Some(version);
        self.greatest = Some(version);
        grows
    }

    fn read(&mut self, reader: OperationId, value: &Value, version: Option<Version>) -> bool {
        self.value.unwrap_or(&Value::Nil) == value
            && (self.writer == Some(reader) || version.is_none_or(|version| self.bind(version)))
    }
}

/// Of transactions on registers that happened.
pub(super) fn registers(
    transactions: &[Transaction<RegisterOp>],
    happened: &[bool],
    witness: impl Iterator<Item = u32>,
    consistency: Consistency,
) -> Result<(), String> {
    let mut registers: HashMap<&Value, Register<'_>> = HashMap::new();
    run_whole(
        transactions,
        happened,
        witness,
        consistency,
        |transaction| {
            let id = transaction.id;
            let last = transaction.ops.len();
            transaction
                .ops
                .iter()
                .enumerate()
                .all(|(place, op)| match op {
                    RegisterOp::Write {
                        key,
                        value,
                        version,
                    } => {
                        let rest = &transaction.ops[place + 1..last];
                        let is_last = version.is_none()
                    || !rest.iter().any(
                        |op| matches!(op, RegisterOp::Write { key: other, .. } if other == key),
                    );
                        let version = version.filter(|_| is_last);
                        registers.entry(key).or_default().write(id, value, version)
                    }
                    RegisterOp::Read { value: None, .. } => true,
                    RegisterOp::Read {
                        key,
                        value: Some(value),
                        version,
                    } => registers.entry(key).or_default().read(id, value, *version),
                })
        },
    )
}

/// `Ok` if nothing was found to differ.
pub(super) fn verdict(result: Result<(), String>) -> Verdict {
    match result {
        Ok(()) => Verdict::Ok,
        Err(reason) => {
            Verdict::Unknown(format!("the order that was found does not hold: {reason}"))
        }
    }
}

fn run<'a, M>(
    transactions: &'a [Transaction<M>],
    happened: &[bool],
    witness: impl Iterator<Item = u32>,
    consistency: Consistency,
    mut step: impl FnMut(&'a M) -> bool,
) -> Result<(), String> {
    run_whole(
        transactions,
        happened,
        witness,
        consistency,
        |transaction| transaction.ops.iter().all(&mut step),
    )
}

fn run_whole<'a, M>(
    transactions: &'a [Transaction<M>],
    happened: &[bool],
    witness: impl Iterator<Item = u32>,
    consistency: Consistency,
    mut step: impl FnMut(&'a Transaction<M>) -> bool,
) -> Result<(), String> {
    let mut missing = happened.to_vec();
    let mut order = Order::new(consistency);
    for node in witness
        .map(|node| node as usize)
        .filter(|&node| happened[node])
    {
        let transaction = &transactions[node];
        if !std::mem::replace(&mut missing[node], false) || transaction.outcome == Outcome::Failed {
            return Err(format!("{} is in it twice, or failed", transaction.id));
        }
        if !order.admits(transaction) {
            return Err(format!("{} comes too late in it", transaction.id));
        }
        if !step(transaction) {
            return Err(format!("{} read something else", transaction.id));
        }
    }
    let mut judged = transactions.iter().zip(happened).zip(&missing);
    let left_out = judged.find(|&((transaction, &happened), &missing)| {
        missing || transaction.outcome == Outcome::Ok && !happened
    });
    match left_out {
        Some(((transaction, _), _)) => Err(format!("{} is not in it", transaction.id)),
        None => Ok(()),
    }
}

/// Whether transactions come in an order that a consistency admits.
struct Order {
    consistency: Consistency,
    /// The latest call so far.
    call: u64,
    /// The last of each process so far.
    last: HashMap<i64, OperationId>,
}

impl Order {
    fn new(consistency: Consistency) -> Self {
        Self {
            consistency,
            call: 0,
            last: HashMap::new(),
        }
    }

    /// Whether it may come next: none that came before it had to come after it.
    fn admits<M>(&mut self, transaction: &Transaction<M>) -> bool {
        let Transaction { id, process, .. } = *transaction;
        let is_open = transaction.outcome == Outcome::Unknown;
        if self.consistency >= Consistency::StrongSessionSerializable {
            let last = self.last.entry(process).or_insert(id);
            if *last > id && !is_open {
                return false;
            }
            *last = id.max(*last);
        }
        if self.consistency >= Consistency::StrictSerializable
            && let Some(interval) = transaction.interval
        {
            if interval.ret < self.call && !is_open {
                return false;
            }
            self.call = self.call.max(interval.call);
        }
        true
    }
}
