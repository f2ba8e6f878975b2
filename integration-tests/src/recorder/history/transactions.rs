//! A history in which every operation is a transaction on registers.
//!
//! What is absent holds nothing, so that a delete is a write. It is told no version, but has a place
//! in the order of them if it is known what it took away: its own counter is at least the next one.

use std::collections::BTreeMap;

use trandb_checker::history::{Event, Kind, Value};
use trandb_client::Version;

use super::{History, event, number};
use crate::recorder::{Answered, Asked, Found, Operation};

/// The value that each version of a key names, as far as anybody was told.
type Values<'a> = BTreeMap<(&'a str, Version), &'a str>;

/// Calls and returns, for the checker's model `rw-register`.
pub(super) fn events(history: &History) -> Vec<Event> {
    let values = values(history);
    let mut moments: Vec<(u64, Event)> = Vec::new();
    for operation in &history.operations {
        match &operation.asked {
            // A listing does not wait for what a transaction holds: what was committed may be in it
            // a moment later.
            Asked::Status { .. } | Asked::List { .. } => {}
            _ => {
                let kind = match operation.answered {
                    Answered::Failed(_) | Answered::Aborted(_) => Kind::Fail,
                    Answered::Unknown(_) | Answered::NotYet => Kind::Info,
                    _ => Kind::Ok,
                };
                let micro = micro_operations(operation, &values);
                add(&mut moments, operation, operation.process, kind, micro);
            }
        }
    }
    moments.sort_by_key(|(moment, _)| *moment);
    moments.into_iter().map(|(_, event)| event).collect()
}

fn add(
    moments: &mut Vec<(u64, Event)>,
    operation: &Operation,
    process: i64,
    kind: Kind,
    micro: Vec<Value>,
) {
    let asked = micro.iter().map(without_answer).collect();
    let mut call = event(process, Kind::Invoke, "txn", Vec::new());
    call.value = Value::List(asked);
    moments.push((operation.called, call));
    let returned = match (operation.returned, &operation.answered) {
        // At any moment since its call.
        (_, Answered::Happened) => Some(u64::MAX),
        (returned, _) => returned,
    };
    if let Some(returned) = returned {
        let mut ret = event(process, kind, "txn", Vec::new());
        ret.value = Value::List(micro);
        moments.push((returned, ret));
    }
}

/// What it found, and then what it wrote.
fn micro_operations(operation: &Operation, values: &Values<'_>) -> Vec<Value> {
    let found = operation.found();
    let mut micro: Vec<_> = found.iter().map(|found| read(*found, values)).collect();
    // Whether a condition held is not known of what did not certainly happen.
    if matches!(operation.answered, Answered::Refused(_)) {
        return micro;
    }
    for (key, value) in operation.asked.writes() {
        let before = found.iter().find(|found| found.key == key);
        let version = match (value, before) {
            // It had nothing to take away.
            (
                None,
                Some(Found {
                    is_there: false, ..
                }),
            ) => continue,
            (None, before) => before.and_then(|before| before.version).map(next),
            (Some(_), _) => operation.version_given(key),
        };
        let value = value.map_or(Value::Nil, Value::from);
        let mut write = vec![Value::from("w"), Value::from(key), value];
        write.extend(version.map(number));
        micro.push(Value::List(write));
    }
    micro
}

/// The least version that what comes after can have.
fn next(version: Version) -> Version {
    Version {
        counter: version.counter + 1,
        ..version
    }
}

fn read(found: Found<'_>, values: &Values<'_>) -> Value {
    let mut read = vec![Value::from("r"), Value::from(found.key)];
    let named = |version| values.get(&(found.key, version)).copied();
    let value = found.value.or_else(|| found.version.and_then(named));
    if !found.is_there {
        read.push(Value::Nil);
    } else if let Some(value) = value {
        read.push(Value::from(value));
        read.extend(found.version.map(number));
    }
    Value::List(read)
}

fn without_answer(micro: &Value) -> Value {
    match micro.as_list() {
        Some([f, key, ..]) if f.as_text() == Some("r") => Value::List(vec![f.clone(), key.clone()]),
        Some([f, key, value, ..]) => Value::List(vec![f.clone(), key.clone(), value.clone()]),
        _ => micro.clone(),
    }
}

fn values(history: &History) -> Values<'_> {
    let mut values = Values::new();
    for operation in &history.operations {
        for found in operation.found() {
            if let Some((version, value)) = found.version.zip(found.value) {
                values.insert((found.key, version), value);
            }
        }
        for (key, value) in operation.asked.writes() {
            if let Some((version, value)) = operation.version_given(key).zip(value) {
                values.insert((key, version), value);
            }
        }
    }
    values
}
