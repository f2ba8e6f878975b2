//! What reads tell of the order of appends.
//!
//! A read shows a text: what was put, and everything that was appended since, in order. If it can
//! be taken apart in one way only, each append in it took effect exactly when what is before it
//! was there. And if every read can be, an append that none shows spoils the text for all reads
//! up to the next put, whatever it added. So instead of every order of concurrent appends only
//! the one that was seen is tried.
//!
//! Tests: `tests/linearizability`, where keys with appends are compared with the oracle.

use std::collections::{BTreeSet, HashMap};

use crate::{
    history::Value,
    linearizability::{
        model::Operation,
        models::{Kv, KvAction, KvOp},
    },
};

/// `part` with appends that say where they took effect; none if that cannot be told of all.
pub(super) fn refine(model: &Kv, part: &[&Operation<KvOp>]) -> Option<Vec<KvOp>> {
    let texts = Texts::of(model, part)?;
    let mut before = HashMap::new();
    for operation in part.iter().filter(|operation| !operation.unknown) {
        match &operation.op.action {
            KvAction::Get {
                value: Some(shown),
                version: None,
            } => {
                let shown = shown.to_string();
                for (at, added) in texts.take_apart(&shown)? {
                    // Another read that shows it elsewhere cannot be explained by anything.
                    before
                        .entry(added)
                        .or_insert_with(|| Value::Text(shown[..at].into()));
                }
            }
            KvAction::Put {
                condition: None,
                version: None,
                ..
            }
            | KvAction::Append(_) => {}
            _ => return None,
        }
    }
    let refined = part.iter().map(|operation| match &operation.op.action {
        KvAction::Append(added) => {
            let action = match before.get(&added.to_string()) {
                Some(before) => KvAction::AppendTo {
                    before: before.clone(),
                    added: added.clone(),
                },
                None => KvAction::AppendUnseen,
            };
            KvOp {
                key: operation.op.key.clone(),
                action,
            }
        }
        _ => operation.op.clone(),
    });
    Some(refined.collect())
}

/// What a key's value may be made of.
struct Texts {
    /// What may stand at the beginning.
    begins: BTreeSet<String>,
    added: BTreeSet<String>,
    added_lengths: BTreeSet<usize>,
}

impl Texts {
    /// None if nothing is appended, or a text is not of one append only.
    fn of(model: &Kv, part: &[&Operation<KvOp>]) -> Option<Self> {
        let mut begins = BTreeSet::from([model.absent.as_ref()?.to_string()]);
        let mut added = BTreeSet::new();
        for operation in part {
            match &operation.op.action {
                KvAction::Append(text) => {
                    let text = text.to_string();
                    if text.is_empty() || !added.insert(text) {
                        return None;
                    }
                }
                KvAction::Put { value, .. } => _ = begins.insert(value.to_string()),
                _ => {}
            }
        }
        let added_lengths = added.iter().map(String::len).collect();
        (!added.is_empty()).then_some(Self {
            begins,
            added,
            added_lengths,
        })
    }

    /// The appended texts that `shown` consists of after its beginning, each with its place; none
    /// if there is no way or more than one to take it apart.
    fn take_apart(&self, shown: &str) -> Option<Vec<(usize, String)>> {
        /// Enough to know that there is more than one way.
        const WAYS_MAX: u8 = 2;
        // By place: in how many ways one can come there, and the last text on the way.
        let mut ways = vec![(0u8, 0usize); shown.len() + 1];
        for begin in self
            .begins
            .iter()
            .filter(|begin| shown.starts_with(begin.as_str()))
        {
            ways[begin.len()].0 = WAYS_MAX.min(ways[begin.len()].0 + 1);
        }
        for at in 0..shown.len() {
            let so_far = ways[at].0;
            for length in self.added_lengths.iter().filter(|_| so_far > 0) {
                let Some(text) = shown.get(at..at + length) else {
                    continue;
                };
                if self.added.contains(text) {
                    let there = ways[at + length].0;
                    ways[at + length] = (WAYS_MAX.min(there + so_far), *length);
                }
            }
        }
        if ways[shown.len()].0 != 1 {
            return None;
        }
        let mut parts = Vec::new();
        let mut at = shown.len();
        while ways[at].1 > 0 {
            let length = ways[at].1;
            at -= length;
            parts.push((at, shown[at..at + length].into()));
        }
        parts.reverse();
        Some(parts)
    }
}
