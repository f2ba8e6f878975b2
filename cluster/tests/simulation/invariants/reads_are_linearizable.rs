//! Reads and writes of a key happen one after the other, in the order of their versions, each
//! between its call and its return.
//!
//! Versions tell the order, so that nothing need be searched for: an operation must come behind
//! every version that was acknowledged or read before it was called (its *floor*), and a version
//! has one value.

use std::collections::{BTreeMap, BTreeSet};

use trandb_common::{Key, Value, Version};
use trandb_engine::Found;

#[derive(Default)]
struct OfKey {
    /// The latest version that anybody was told of.
    floor: u64,
    proposed: BTreeSet<Vec<u8>>,
    refused: BTreeSet<Vec<u8>>,
    /// Value by version, of those that anybody was told of.
    values: BTreeMap<u64, Value>,
    acknowledged: BTreeSet<u64>,
}

/// What clients did, and the first thing that is wrong with it.
#[derive(Default)]
pub(crate) struct History {
    keys: BTreeMap<Key, OfKey>,
    violation: Option<String>,
}

impl History {
    fn of(&mut self, key: &Key) -> &mut OfKey {
        self.keys.entry(key.clone()).or_default()
    }

    pub(crate) fn begin_put(&mut self, key: &Key, value: &Value) -> u64 {
        let of = self.of(key);
        of.proposed.insert(value.as_bytes().to_vec());
        of.floor
    }

    pub(crate) fn begin_read(&mut self, key: &Key) -> u64 {
        self.of(key).floor
    }

    pub(crate) fn refused(&mut self, key: &Key, value: &Value) {
        self.of(key).refused.insert(value.as_bytes().to_vec());
    }

    pub(crate) fn acknowledged(&mut self, key: &Key, value: &Value, version: Version, floor: u64) {
        if version.counter <= floor {
            self.violate(format!(
                "{key} was written as {version}, behind version {floor} that was known before"
            ));
        }
        self.of(key).acknowledged.insert(version.counter);
        self.told(key, value, version);
    }

    pub(crate) fn read(&mut self, key: &Key, found: Option<&Found>, floor: u64) {
        let has = found.map_or(0, |found| found.version.counter);
        if has < floor {
            self.violate(format!(
                "a stale read of {key}: version {has}, although {floor} was known before it began"
            ));
        }
        if let Some(found) = found {
            if !self.of(key).proposed.contains(found.value.as_bytes()) {
                self.violate(format!("{key} has a value that nobody wrote: {found:?}"));
            }
            self.told(key, &found.value, found.version);
        }
    }

    /// A listing showed this version, 0 if it showed no such key.
    pub(crate) fn listed(&mut self, key: &Key, has: u64, floor: u64) {
        if has < floor {
            self.violate(format!(
                "a stale listing of {key}: version {has}, although {floor} was known before it began"
            ));
        }
    }

    fn told(&mut self, key: &Key, value: &Value, version: Version) {
        let of = self.of(key);
        of.floor = of.floor.max(version.counter);
        let first = of.values.entry(version.counter).or_insert(value.clone());
        if first != value {
            let two = format!("{key} {version} is {first:?} and {value:?}");
            self.violate(two);
        }
    }

    fn violate(&mut self, what: String) {
        self.violation.get_or_insert(what);
    }

    pub(crate) fn take_violation(&mut self) -> Option<String> {
        self.violation.take()
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.keys.keys()
    }

    pub(crate) fn floor(&self, key: &Key) -> u64 {
        self.keys.get(key).map_or(0, |of| of.floor)
    }

    /// The value that `version` was acknowledged with, if it was.
    pub(crate) fn acknowledged_value(&self, key: &Key, version: u64) -> Option<&Value> {
        let of = self.keys.get(key)?;
        let acknowledged = of.acknowledged.contains(&version);
        of.values.get(&version).filter(|_| acknowledged)
    }

    pub(crate) fn was_refused(&self, key: &Key, value: &Value) -> bool {
        let of = self.keys.get(key);
        of.is_some_and(|of| of.refused.contains(value.as_bytes()))
    }
}
