//! Versions of a key grow in real time: what is called after an answer with a version is answered
//! with no earlier one, and a write with a later one. So no acknowledged write is overtaken by
//! what came before it.

use std::collections::BTreeMap;

use trandb_checker::Evidence;
use trandb_client::Version;

use super::found;
use crate::{
    recorder::{Answered, Operation},
    world::Run,
};

pub(super) fn check(run: &Run) -> Vec<Evidence> {
    let mut moments: Vec<(u64, bool, usize)> = Vec::new();
    for (index, operation) in run.history.operations.iter().enumerate() {
        moments.push((operation.called, true, index));
        moments.extend(operation.returned.map(|returned| (returned, false, index)));
    }
    moments.sort_unstable();
    // By key: the latest version that was answered so far. By operation: the same at its call.
    let mut latest: BTreeMap<&str, (Version, &Operation)> = BTreeMap::new();
    let mut at_call = vec![BTreeMap::new(); run.history.operations.len()];
    let has_transactions = run.history.has_transactions();
    let mut evidence = Vec::new();
    for (_, is_call, index) in moments {
        let operation = &run.history.operations[index];
        if is_call {
            at_call[index] = match operation.asked.key() {
                Some(key) => latest
                    .get_key_value(key)
                    .map(|(k, v)| (*k, *v))
                    .into_iter()
                    .collect(),
                None => latest.clone(),
            };
            continue;
        }
        // A listing does not wait for what transactions hold.
        let is_late = has_transactions && matches!(operation.answered, Answered::Page(_));
        for (key, version, writes) in answered(operation).into_iter().filter(|_| !is_late) {
            if let Some((before, earlier)) = at_call[index].get(key)
                && (version < *before || (writes && version == *before))
            {
                let sentence = format!(
                    "#{} was answered with version {version} of {key}, although #{} had been \
                     answered with {before} before it was called",
                    operation.id, earlier.id
                );
                evidence.push(found("version-went-back", sentence, &[earlier, operation]));
            }
            let newest = latest.entry(key).or_insert((version, operation));
            if newest.0 < version {
                *newest = (version, operation);
            }
        }
    }
    evidence
}

/// Which keys had which version at some moment of the operation, and which it wrote.
fn answered(operation: &Operation) -> Vec<(&str, Version, bool)> {
    if let Answered::Page(page) = &operation.answered {
        let rows = page.keys.iter();
        return rows
            .map(|row| (row.key.as_str(), row.version, false))
            .collect();
    }
    let found = operation.found().into_iter();
    // What a client was held to it has seen before.
    let found = found.filter(|_| !matches!(operation.answered, Answered::Happened));
    let found = found.filter_map(|found| Some((found.key, found.version?, false)));
    let written = operation.asked.writes().into_iter();
    let written = written.filter_map(|(key, _)| Some((key, operation.version_given(key)?, true)));
    found.chain(written).collect()
}
