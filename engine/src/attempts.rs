//! A participant's memory of attempts: those it has prepared, and those it has finalized.
//!
//! An attempt goes from unknown to prepared to finalized, or from unknown to finalized at once when
//! the home's decision overtakes the `Prepare`. It is forgotten when the shard's log time is past
//! its expiry: from then on a `Prepare` of it is refused for that reason (I5).
//!
//! Both kinds together are bounded by [`ATTEMPTS_MAX`].
//!
//! Tests: with the commands that use it (`shard::participant`).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use trandb_common::{Key, Value, Version, limits::ATTEMPTS_MAX};

use crate::{AttemptId, InDoubt, LogTime, Operations, TransactionId, Write, shard::entry_bytes};

/// What a prepared attempt takes beside its keys and values, in bytes: two nodes' parts of maps.
const PREPARED_BYTES: u64 = 256;
/// What one locked key takes in the lock table, in bytes, beside a long key's own.
const LOCK_BYTES: u64 = 160;
/// What the memory of a finalized attempt takes, in bytes.
const FINALIZED_BYTES: u64 = 112;

/// An attempt that has voted yes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Prepared {
    pub(crate) doubt: InDoubt,
    /// The shard's log time then.
    pub(crate) since: LogTime,
    pub(crate) writes: Vec<Write>,
    /// The version of the first write.
    pub(crate) first: Version,
    /// What it counts for, in bytes.
    pub(crate) bytes: u64,
}

/// What a prepared part takes, in bytes: its locks, and all that its writes will take as entries,
/// so that finalizing never needs more memory than it frees.
pub(crate) fn prepared_bytes(part: &Operations) -> u64 {
    let lock = |key: &Key| LOCK_BYTES + 2 * key.as_bytes().len() as u64;
    let locks: u64 = part.looked_at().chain(part.changed()).map(lock).sum();
    let writes = part.writes.iter();
    let entries: u64 = writes
        .map(|write| entry_bytes(write.key(), write.value().map_or(0, Value::len)))
        .sum();
    PREPARED_BYTES + FINALIZED_BYTES + locks + entries
}

/// The attempts that a shard takes part in without being their home.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Attempts {
    prepared: BTreeMap<AttemptId, Prepared>,
    finalized: BTreeMap<AttemptId, LogTime>,
    /// The finalized ones in the order in which they are forgotten.
    by_expiry: BTreeSet<(LogTime, AttemptId)>,
    prepared_bytes: u64,
}

impl Attempts {
    /// In bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.prepared_bytes + self.finalized.len() as u64 * FINALIZED_BYTES
    }

    /// Whether there is no room for one more.
    pub(crate) fn is_full(&self) -> bool {
        self.prepared.len() + self.finalized.len() >= ATTEMPTS_MAX
    }

    pub(crate) fn prepared(&self, attempt: AttemptId) -> Option<&Prepared> {
        self.prepared.get(&attempt)
    }

    pub(crate) fn is_finalized(&self, attempt: AttemptId) -> bool {
        self.finalized.contains_key(&attempt)
    }

    pub(crate) fn prepare(&mut self, prepared: Prepared) {
        self.prepared_bytes += prepared.bytes;
        self.prepared.insert(prepared.doubt.attempt, prepared);
    }

    /// Makes the attempt finalized until `expires`, and hands out what was prepared.
    pub(crate) fn finalize(
        &mut self,
        attempt: AttemptId,
        expires: LogTime,
        clock: LogTime,
    ) -> Option<Prepared> {
        let prepared = self.prepared.remove(&attempt);
        if let Some(prepared) = &prepared {
            self.prepared_bytes -= prepared.bytes;
        }
        // What it was finalized with first stays, whatever a second copy says.
        if clock <= expires && !self.is_finalized(attempt) {
            self.finalized.insert(attempt, expires);
            self.by_expiry.insert((expires, attempt));
        }
        prepared
    }

    /// What all is told by: the prepared ones, and the finalized ones with their expiries.
    pub(crate) fn parts(
        &self,
    ) -> (
        impl ExactSizeIterator<Item = &Prepared>,
        &BTreeMap<AttemptId, LogTime>,
    ) {
        (self.prepared.values(), &self.finalized)
    }

    /// The attempts with these parts.
    pub(crate) fn from_parts(
        prepared: Vec<Prepared>,
        finalized: BTreeMap<AttemptId, LogTime>,
    ) -> Self {
        let mut attempts = Self::default();
        for prepared in prepared {
            attempts.prepare(prepared);
        }
        for (attempt, expires) in &finalized {
            attempts.by_expiry.insert((*expires, *attempt));
        }
        attempts.finalized = finalized;
        attempts
    }

    /// Forgets finalized attempts that no `Prepare` can come for any more, at most `count`.
    pub(crate) fn expire(&mut self, clock: LogTime, count: usize) {
        for _ in 0..count {
            match self.by_expiry.first() {
                Some((expires, attempt)) if *expires < clock => {
                    self.finalized.remove(attempt);
                    self.by_expiry.pop_first();
                }
                _ => return,
            }
        }
    }

    /// Whether an attempt of `transaction` is prepared.
    pub(crate) fn knows(&self, transaction: TransactionId) -> bool {
        let mut all = self.prepared.values();
        all.any(|prepared| prepared.doubt.transaction == transaction)
    }

    /// Attempts prepared at `since` or before, by their ids, those after `after`.
    pub(crate) fn in_doubt(&self, since: LogTime) -> impl Iterator<Item = InDoubt> {
        let old = move |prepared: &&Prepared| prepared.since <= since;
        self.prepared
            .values()
            .filter(old)
            .map(|prepared| prepared.doubt)
    }

    /// How many are prepared.
    pub(crate) fn prepared_count(&self) -> usize {
        self.prepared.len()
    }
}
