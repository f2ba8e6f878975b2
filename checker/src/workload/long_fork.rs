//! `long-fork`: all reads agree on the order in which keys came to be (Jepsen's long-fork test).
//!
//! Each key is written once. So of two reads of the same keys one must have found everything that
//! the other found: if each found a key that the other did not, they saw the two writes in
//! different orders, which parallel snapshot isolation allows and snapshot isolation does not.

use std::collections::BTreeMap;

use super::verdict;
use crate::{
    decode::{Access, micro_operations},
    evidence::{Edge, Evidence, Shown, Verdict},
    history::{BadHistory, Completed, OperationId, Outcome, Value},
};

/// A read of a group of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// Which operation.
    pub id: OperationId,
    /// The keys in order, each with what it held.
    pub found: Vec<(Value, Value)>,
}

/// The reads of a history, in the order of their calls. With a `group_size` each must read as many
/// keys; without, any number.
pub fn decode(
    completed: impl Iterator<Item = Result<Completed, BadHistory>>,
    group_size: Option<usize>,
) -> Result<Vec<Read>, BadHistory> {
    let mut reads = Vec::new();
    let mut writers: BTreeMap<Value, u64> = BTreeMap::new();
    let mut values: BTreeMap<Value, Value> = BTreeMap::new();
    for completed in completed {
        let completed = completed?;
        let line = completed.call.line;
        let micros = micro_operations(&completed)?;
        if micros.iter().all(|micro| micro.access == Access::Write) {
            for micro in micros {
                if let Some(earlier) = writers.insert(micro.key.clone(), line) {
                    let key = micro.key;
                    let reason = format!("key {key} is written once, and line {earlier} wrote it");
                    return Err(BadHistory::at(line, reason));
                }
            }
            continue;
        }
        if micros.iter().any(|micro| micro.access != Access::Read) {
            return Err(BadHistory::at(
                line,
                "a transaction reads or writes, not both",
            ));
        }
        if group_size.is_some_and(|size| size != micros.len()) {
            let reason = format!("it reads {} keys", micros.len());
            return Err(BadHistory::at(line, reason));
        }
        if completed.outcome != Outcome::Ok {
            continue;
        }
        let mut found = Vec::with_capacity(micros.len());
        for micro in micros {
            let value = micro.value.cloned().unwrap_or_default();
            if !value.is_nil() {
                let first = values
                    .entry(micro.key.clone())
                    .or_insert_with(|| value.clone());
                if *first != value {
                    let key = micro.key;
                    let reason = format!("key {key} holds {value} and held {first}");
                    return Err(BadHistory::at(micro.line, reason));
                }
            }
            found.push((micro.key.clone(), value));
        }
        found.sort_unstable();
        reads.push(Read {
            id: completed.id,
            found,
        });
    }
    reads.sort_unstable_by_key(|read| read.id);
    Ok(reads)
}

/// Judges the reads of a history.
pub fn check(reads: &[Read]) -> Verdict {
    let mut groups: BTreeMap<Vec<&Value>, Vec<&Read>> = BTreeMap::new();
    for read in reads {
        let keys = read.found.iter().map(|(key, _)| key).collect();
        groups.entry(keys).or_default().push(read);
    }
    let mut evidence: Vec<Evidence> = groups.into_values().filter_map(fork).collect();
    evidence.sort_by_key(|evidence| evidence.operations.first().map(|shown| shown.id));
    verdict(evidence)
}

/// Two reads of which neither found all that the other found. Sorted by how much they found, all
/// are in order if each is with the next.
fn fork(mut reads: Vec<&Read>) -> Option<Evidence> {
    reads.sort_by_key(|read| {
        read.found
            .iter()
            .filter(|(_, value)| !value.is_nil())
            .count()
    });
    reads.windows(2).find_map(|two| {
        let [fewer, more] = two else {
            return None;
        };
        let only_in_fewer = only_in_first(fewer, more)?;
        // It found no fewer keys, so it has one too.
        let only_in_more = only_in_first(more, fewer)?;
        Some(evidence(fewer, more, only_in_fewer, only_in_more))
    })
}

/// A key that the first found and the second did not.
fn only_in_first<'a>(first: &'a Read, second: &Read) -> Option<&'a Value> {
    let mut both = first.found.iter().zip(&second.found);
    both.find(|((_, a), (_, b))| !a.is_nil() && b.is_nil())
        .map(|((key, _), _)| key)
}

fn evidence(a: &Read, b: &Read, only_a: &Value, only_b: &Value) -> Evidence {
    let edge = |from: &Read, to: &Read, key: &Value| Edge {
        from: from.id,
        to: to.id,
        kind: "rw",
        reason: format!("{} did not find {key}, {} did", from.id, to.id),
    };
    let mut pair = [a, b];
    pair.sort_by_key(|read| read.id);
    Evidence {
        anomaly: "long-fork".to_owned(),
        sentence: format!(
            "{} found {only_a} but not {only_b}, {} found {only_b} but not {only_a}",
            a.id, b.id
        ),
        operations: pair
            .map(|read| Shown {
                id: read.id,
                text: text(read),
                offending: true,
            })
            .into(),
        edges: vec![edge(b, a, only_a), edge(a, b, only_b)],
    }
}

fn text(read: &Read) -> String {
    let found: Vec<String> = read
        .found
        .iter()
        .map(|(key, v)| format!("{key} {v}"))
        .collect();
    format!("read {}", found.join(", "))
}
