//! What was recorded, and the same as a history that checkers understand.
//!
//! A page of a listing is, to a checker, a read of every key that it covers: of the listed ones
//! their version, of the others that they are absent. Each of them holds at some moment between
//! the call and the return, though not all at the same.
//!
//! Where there are transactions, every operation is one, and all keys are judged together (the
//! checker's model `rw-register`); else each key by itself (`kv`). Listings are left out then.

use std::collections::{BTreeMap, BTreeSet};

mod transactions;

use compact_str::CompactString;
use trandb_checker::history::{Event, Field, Kind, Value};
use trandb_client::{Key, ListPage, TransactionId, TransactionStatus, Version};

use super::{Answered, Asked, Given, Operation, Told};

/// What was recorded in one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// In the order of their calls.
    pub operations: Vec<Operation>,
    /// All keys that any of them may have touched.
    pub keys: BTreeSet<String>,
    /// All that was said of transactions, in that order.
    pub told: Vec<Told>,
    /// Transactions of which some client has said that it has the answer.
    pub acknowledged: BTreeSet<TransactionId>,
}

/// The processes of reads that a listing is made of begin here.
const FIRST_ROW_PROCESS: i64 = 1_000_000;

impl History {
    pub(super) fn new(
        mut operations: Vec<Operation>,
        keys: BTreeSet<String>,
        told: Vec<Told>,
        acknowledged: BTreeSet<TransactionId>,
    ) -> Self {
        settle(&mut operations, &acknowledged);
        let has_transactions = has_transactions(&operations);
        let mut id = 0;
        for operation in &mut operations {
            operation.id = id;
            id += match &operation.asked {
                Asked::List { .. } if has_transactions => 0,
                Asked::List { .. } => reads_of(operation, &keys).len(),
                // Not one of the keys.
                Asked::Status { .. } => 0,
                _ => 1,
            };
        }
        Self {
            operations,
            keys,
            told,
            acknowledged,
        }
    }

    /// Whether there are transactions in it.
    pub fn has_transactions(&self) -> bool {
        has_transactions(&self.operations)
    }

    /// The checker's model that judges [`events`](Self::events).
    pub fn model(&self) -> &'static str {
        if self.has_transactions() {
            "rw-register"
        } else {
            "kv"
        }
    }

    /// What became of each transaction, as was asked at the end; none: nothing is known of it.
    pub fn statuses(&self) -> BTreeMap<TransactionId, Option<TransactionStatus>> {
        statuses(&self.operations)
    }

    /// Calls and returns in the order in which they happened, for the checker's
    /// [model](Self::model).
    pub fn events(&self) -> Vec<Event> {
        if self.has_transactions() {
            self.as_transactions()
        } else {
            self.events_of_keys()
        }
    }

    /// The same, each operation but listings as a transaction, whether there are others or not.
    pub fn as_transactions(&self) -> Vec<Event> {
        transactions::events(self)
    }

    fn events_of_keys(&self) -> Vec<Event> {
        let mut moments: Vec<(u64, usize, bool)> = Vec::new();
        for (index, operation) in self.operations.iter().enumerate() {
            moments.push((operation.called, index, true));
            if let Some(returned) = operation.returned {
                moments.push((returned, index, false));
            }
        }
        moments.sort_unstable();
        let mut events = Vec::with_capacity(moments.len());
        for (_, index, is_call) in moments {
            let operation = &self.operations[index];
            match &operation.asked {
                Asked::List { .. } => {
                    let process = FIRST_ROW_PROCESS + i64::try_from(operation.id).unwrap_or(0);
                    for (row, (key, version)) in (process..).zip(reads_of(operation, &self.keys)) {
                        events.push(if is_call {
                            event(row, Kind::Invoke, "get", of(key))
                        } else {
                            let mut fields = of(key);
                            fields.extend(version.map(|found| (Field::Version, number(found))));
                            event(row, Kind::Ok, "get", fields)
                        });
                    }
                }
                Asked::Status { .. } => {}
                _ if is_call => events.push(call(operation)),
                _ => events.push(ret(operation)),
            }
        }
        events
    }

    /// What evidence names so.
    pub fn operation(&self, id: usize) -> Option<&Operation> {
        let after = self
            .operations
            .partition_point(|operation| operation.id <= id);
        self.operations.get(after.checked_sub(1)?)
    }
}

fn has_transactions(operations: &[Operation]) -> bool {
    let transactional =
        |asked: &Asked| matches!(asked, Asked::Transaction(_) | Asked::GetMany { .. });
    operations
        .iter()
        .any(|operation| transactional(&operation.asked))
}

/// Takes what was learned at the end for what was not known before.
fn settle(operations: &mut [Operation], acknowledged: &BTreeSet<TransactionId>) {
    let statuses = statuses(operations);
    for operation in operations {
        let Answered::Unknown(reason) = &operation.answered else {
            continue;
        };
        let status = match operation.transaction {
            // It never came to be sent.
            None if matches!(operation.asked, Asked::Transaction(_)) => {
                Some(TransactionStatus::NotCommitted)
            }
            None => continue,
            Some(id) => match statuses.get(&id) {
                // Outcomes are kept longer than a run that asks for them takes.
                Some(None) if !acknowledged.contains(&id) => Some(TransactionStatus::NotCommitted),
                Some(status) => *status,
                None => continue,
            },
        };
        match status {
            Some(TransactionStatus::Committed) => operation.answered = Answered::Happened,
            // Nobody is left who could commit it.
            Some(TransactionStatus::NotCommitted | TransactionStatus::InProgress) => {
                let reason = format!("{reason}; its status: not committed");
                operation.answered = Answered::Failed(reason);
            }
            None => {}
        }
    }
}

fn statuses(operations: &[Operation]) -> BTreeMap<TransactionId, Option<TransactionStatus>> {
    let statuses =
        operations
            .iter()
            .filter_map(|operation| match (&operation.asked, &operation.answered) {
                (Asked::Status { id }, Answered::Status(status)) => Some((*id, *status)),
                _ => None,
            });
    statuses.collect()
}

/// Which keys a page covers, and the version that each has in it.
fn reads_of<'a>(
    operation: &'a Operation,
    keys: &'a BTreeSet<String>,
) -> Vec<(&'a str, Option<Version>)> {
    let (Asked::List { prefix, after, .. }, Answered::Page(page)) =
        (&operation.asked, &operation.answered)
    else {
        return Vec::new();
    };
    let covered = |key: &&String| {
        key.starts_with(prefix.as_str())
            && after.as_ref().is_none_or(|after| *key > after)
            && page
                .next
                .as_ref()
                .is_none_or(|last| key.as_str() <= last.as_str())
    };
    let reads = keys.iter().filter(covered);
    reads.map(|key| (key.as_str(), listed(page, key))).collect()
}

fn listed(page: &ListPage, key: &str) -> Option<Version> {
    let row = page.keys.iter().find(|row| Key::as_str(&row.key) == key)?;
    Some(row.version)
}

fn event(process: i64, kind: Kind, f: &str, fields: Vec<(Field, Value)>) -> Event {
    Event {
        line: 0,
        process,
        kind,
        f: CompactString::new(f),
        value: Value::Nil,
        fields,
    }
}

fn of(key: &str) -> Vec<(Field, Value)> {
    vec![(Field::Key, Value::from(key))]
}

fn number(version: Version) -> Value {
    // Epochs and counters of a run fit: a real epoch does until the year 2039.
    let part = |number: u64| Value::Int(i64::try_from(number).unwrap_or(i64::MAX));
    Value::List(vec![part(version.epoch), part(version.counter)])
}

fn function(asked: &Asked) -> &'static str {
    match asked {
        // The answer to HEAD is one to GET that does not tell the value.
        Asked::Get { .. } | Asked::Stat { .. } => "get",
        Asked::Put { .. } => "put",
        Asked::Delete { .. } => "delete",
        Asked::List { .. } => "list",
        Asked::GetMany { .. } | Asked::Transaction(_) | Asked::Status { .. } => {
            unreachable!("they are judged otherwise")
        }
    }
}

fn call(operation: &Operation) -> Event {
    let asked = &operation.asked;
    let mut fields = of(asked.key().unwrap_or_default());
    let given = match asked {
        Asked::Put { given, .. } | Asked::Delete { given, .. } => *given,
        _ => None,
    };
    fields.extend(given.map(|given| match given {
        Given::Absent => (Field::IfAbsent, Value::Bool(true)),
        Given::Version(version) => (Field::IfVersion, number(version)),
    }));
    let mut event = event(operation.process, Kind::Invoke, function(asked), fields);
    if let Asked::Put { value, .. } = asked {
        event.value = Value::from(value.as_str());
    }
    event
}

fn ret(operation: &Operation) -> Event {
    let mut fields = of(operation.asked.key().unwrap_or_default());
    let (mut kind, mut value) = (Kind::Ok, Value::Nil);
    match &operation.answered {
        Answered::Value(None) | Answered::Stat(None) | Answered::Deleted | Answered::Page(_) => {}
        Answered::Value(Some((found, version))) => {
            value = Value::from(found.as_str());
            fields.push((Field::Version, number(*version)));
        }
        Answered::Stat(Some((version, _))) | Answered::Written(version) => {
            fields.push((Field::Version, number(*version)));
        }
        Answered::Refused(current) => {
            fields.push((Field::Applied, Value::Bool(false)));
            fields.push((Field::Current, current.map_or(Value::Nil, number)));
        }
        Answered::Failed(_) | Answered::Aborted(_) => kind = Kind::Fail,
        Answered::Unknown(_) | Answered::NotYet | Answered::Happened => kind = Kind::Info,
        Answered::Values(_) | Answered::Committed { .. } | Answered::Status(_) => {
            unreachable!("they are judged otherwise")
        }
    }
    let f = function(&operation.asked);
    let mut event = event(operation.process, kind, f, fields);
    event.value = value;
    event
}
