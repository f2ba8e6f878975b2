//! Numbers for what histories call by values, and the writes of a value by key.

use foldhash::fast::FixedState;
use foldhash::{HashMap, HashMapExt};
use hashbrown::HashTable;
use std::hash::BuildHasher;

use super::graph::index;
use crate::history::Value;

/// Keys, numbered in the order in which they are met.
#[derive(Debug, Default)]
pub(super) struct Keys<'a> {
    numbers: HashMap<&'a Value, u32>,
    pub(super) names: Vec<&'a Value>,
}

impl<'a> Keys<'a> {
    pub(super) fn new() -> Self {
        Self {
            numbers: HashMap::new(),
            names: Vec::new(),
        }
    }

    /// The key's number, a new one if it is new.
    pub(super) fn number(&mut self, key: &'a Value) -> u32 {
        let next = index(self.names.len());
        let number = *self.numbers.entry(key).or_insert(next);
        if number == next {
            self.names.push(key);
        }
        number
    }

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }
}

/// Entries found by a hash of `Q`; what is equal is the caller's to say.
#[derive(Debug, Default)]
pub(super) struct Table {
    table: HashTable<(u64, u32)>,
}

impl Table {
    /// The first entry under a hash that `equal` accepts.
    pub(super) fn find(&self, hash: u64, mut equal: impl FnMut(u32) -> bool) -> Option<u32> {
        self.table
            .find(hash, |&(other, entry)| other == hash && equal(entry))
            .map(|&(_, entry)| entry)
    }

    /// All entries under a hash.
    pub(super) fn all(&self, hash: u64) -> impl Iterator<Item = u32> {
        let entries = self.table.iter_hash(hash);
        entries
            .filter(move |&&(other, _)| other == hash)
            .map(|&(_, entry)| entry)
    }

    pub(super) fn insert(&mut self, hash: u64, entry: u32) {
        self.table
            .insert_unique(hash, (hash, entry), |&(hash, _)| hash);
    }
}

/// A hash that is the same in every run.
pub(super) fn hash(key: u32, rest: &impl std::hash::Hash) -> u64 {
    FixedState::with_seed(0x7261_6e64).hash_one((key, rest))
}
