//! Which keys undecided transactions have locked.
//!
//! A key is locked exclusively by one attempt, or shared by several. The table only answers; who
//! waits, and for how long, is the runtime's business. It is empty almost always, and then costs
//! one comparison.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use trandb_common::Key;

/// One try of a coordinator to commit a transaction. Unique; the table asks no more of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AttemptId(pub u128);

/// A lock on one key. Ordered collections, so that a shard's state is the same on every replica.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum Lock {
    Exclusive(AttemptId),
    /// At least one holder.
    Shared(BTreeSet<AttemptId>),
}

/// The locks of one shard.
///
/// A key without a lock is in no map. An attempt gets all that it asks for or nothing, and nobody
/// waits while holding: there is no deadlock.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct LockTable {
    by_key: BTreeMap<Key, Lock>,
    by_attempt: BTreeMap<AttemptId, BTreeSet<Key>>,
}

impl LockTable {
    /// No lock at all.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// Who keeps `attempt` from locking these keys; none: nobody. Without any lock in the table it
    /// looks at no key.
    pub fn conflict<'a>(
        &self,
        attempt: AttemptId,
        shared: impl IntoIterator<Item = &'a Key>,
        exclusive: impl IntoIterator<Item = &'a Key>,
    ) -> Option<AttemptId> {
        if self.is_empty() {
            return None;
        }
        let mut exclusive = exclusive.into_iter();
        let mut shared = shared.into_iter();
        exclusive
            .find_map(|key| self.other_holder(key, attempt))
            .or_else(|| {
                shared.find_map(|key| {
                    self.exclusive_holder(key)
                        .filter(|holder| *holder != attempt)
                })
            })
    }

    /// Locks `shared` and `exclusive` keys for `attempt`, all or none.
    ///
    /// A key in both lists is locked exclusively. Asking again for what the attempt holds already
    /// changes nothing.
    ///
    /// # Errors
    ///
    /// An attempt that holds one of the keys in a way that does not go together with this.
    pub fn acquire(
        &mut self,
        attempt: AttemptId,
        shared: &[Key],
        exclusive: &[Key],
    ) -> Result<(), AttemptId> {
        if let Some(holder) = self.conflict(attempt, shared, exclusive) {
            return Err(holder);
        }
        for key in exclusive {
            self.by_key.insert(key.clone(), Lock::Exclusive(attempt));
        }
        for key in shared {
            let lock = self.by_key.entry(key.clone());
            if let Lock::Shared(holders) = lock.or_insert_with(|| Lock::Shared(BTreeSet::new())) {
                holders.insert(attempt);
            }
        }
        if !(shared.is_empty() && exclusive.is_empty()) {
            let held = self.by_attempt.entry(attempt).or_default();
            held.extend(shared.iter().chain(exclusive).cloned());
        }
        Ok(())
    }

    /// Releases all that `attempt` holds; nothing happens when it holds nothing.
    pub fn release(&mut self, attempt: AttemptId) {
        for key in self.by_attempt.remove(&attempt).unwrap_or_default() {
            let free = match self.by_key.get_mut(&key) {
                Some(Lock::Shared(holders)) => {
                    holders.remove(&attempt);
                    holders.is_empty()
                }
                Some(Lock::Exclusive(_)) => true,
                None => false,
            };
            if free {
                self.by_key.remove(&key);
            }
        }
    }

    /// Who keeps a read of `key` waiting.
    pub fn exclusive_holder(&self, key: &Key) -> Option<AttemptId> {
        match self.by_key.get(key)? {
            Lock::Exclusive(holder) => Some(*holder),
            Lock::Shared(_) => None,
        }
    }

    /// Who keeps a plain write of `key` waiting; of several, the smallest.
    pub fn holder(&self, key: &Key) -> Option<AttemptId> {
        match self.by_key.get(key)? {
            Lock::Exclusive(holder) => Some(*holder),
            Lock::Shared(holders) => holders.first().copied(),
        }
    }

    /// What all is told by.
    pub(crate) fn by_key(&self) -> &BTreeMap<Key, Lock> {
        &self.by_key
    }

    /// The table with these locks; none if one is shared by nobody.
    pub(crate) fn from_locks(by_key: BTreeMap<Key, Lock>) -> Option<Self> {
        let mut by_attempt: BTreeMap<AttemptId, BTreeSet<Key>> = BTreeMap::new();
        for (key, lock) in &by_key {
            let holders = match lock {
                Lock::Exclusive(holder) => &BTreeSet::from([*holder]),
                Lock::Shared(holders) if holders.is_empty() => return None,
                Lock::Shared(holders) => holders,
            };
            for holder in holders {
                by_attempt.entry(*holder).or_default().insert(key.clone());
            }
        }
        Some(Self { by_key, by_attempt })
    }

    fn other_holder(&self, key: &Key, attempt: AttemptId) -> Option<AttemptId> {
        match self.by_key.get(key)? {
            Lock::Exclusive(holder) => Some(*holder).filter(|holder| *holder != attempt),
            Lock::Shared(holders) => holders.iter().copied().find(|holder| *holder != attempt),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ONE: AttemptId = AttemptId(1);
    const TWO: AttemptId = AttemptId(2);

    fn key(text: &str) -> Key {
        Key::new(text).expect("legal")
    }

    fn keys(names: &[&str]) -> Vec<Key> {
        names.iter().map(|name| key(name)).collect()
    }

    #[test]
    fn a_lock_that_nobody_shares_makes_no_table() {
        let lock = |holders: &[AttemptId]| {
            let lock = Lock::Shared(holders.iter().copied().collect());
            LockTable::from_locks(BTreeMap::from([(key("a"), lock)]))
        };
        assert_eq!(lock(&[]), None);
        let shared = lock(&[ONE, TWO]).expect("two share it");
        assert_eq!(shared.holder(&key("a")), Some(ONE));
    }

    #[test]
    fn exclusive_keeps_everybody_else_out() {
        let mut locks = LockTable::default();
        assert_eq!(locks.acquire(ONE, &[], &keys(&["a"])), Ok(()));
        assert_eq!(locks.acquire(TWO, &[], &keys(&["a"])), Err(ONE));
        assert_eq!(locks.acquire(TWO, &keys(&["a"]), &[]), Err(ONE));
        assert_eq!(locks.holder(&key("a")), Some(ONE));
        assert_eq!(locks.exclusive_holder(&key("a")), Some(ONE));
    }

    #[test]
    fn shared_goes_with_shared_and_keeps_writes_out() {
        let mut locks = LockTable::default();
        assert_eq!(locks.acquire(ONE, &keys(&["a"]), &[]), Ok(()));
        assert_eq!(locks.acquire(TWO, &keys(&["a"]), &[]), Ok(()));
        assert_eq!(locks.acquire(TWO, &[], &keys(&["a"])), Err(ONE));
        assert_eq!(locks.holder(&key("a")), Some(ONE));
        assert_eq!(locks.exclusive_holder(&key("a")), None);
    }

    #[test]
    fn all_or_none() {
        let mut locks = LockTable::default();
        locks.acquire(ONE, &[], &keys(&["b"])).expect("free");
        assert_eq!(
            locks.acquire(TWO, &keys(&["c"]), &keys(&["a", "b"])),
            Err(ONE)
        );
        assert_eq!(locks.holder(&key("a")), None);
        assert_eq!(locks.holder(&key("c")), None);
    }

    #[test]
    fn the_only_reader_may_become_the_writer() {
        let mut locks = LockTable::default();
        locks.acquire(ONE, &keys(&["a"]), &[]).expect("free");
        assert_eq!(locks.acquire(ONE, &[], &keys(&["a"])), Ok(()));
        assert_eq!(locks.exclusive_holder(&key("a")), Some(ONE));
        assert!(!locks.is_empty());
        locks.release(ONE);
        assert!(locks.is_empty());
    }

    #[test]
    fn a_key_in_both_lists_is_exclusive() {
        let mut locks = LockTable::default();
        locks
            .acquire(ONE, &keys(&["a"]), &keys(&["a"]))
            .expect("free");
        assert_eq!(locks.exclusive_holder(&key("a")), Some(ONE));
    }

    #[test]
    fn releasing_one_reader_leaves_the_other() {
        let mut locks = LockTable::default();
        locks.acquire(ONE, &keys(&["a"]), &[]).expect("free");
        locks.acquire(TWO, &keys(&["a"]), &[]).expect("shared");
        locks.release(ONE);
        assert_eq!(locks.holder(&key("a")), Some(TWO));
    }

    proptest! {
        /// Whatever was acquired in whatever order: at most one writer or many readers a key,
        /// and nothing is left when all are released.
        #[test]
        fn no_two_attempts_hold_what_does_not_go_together(
            asks in prop::collection::vec(
                (0_u128..4, prop::collection::vec(0_u8..5, 0..3),
                 prop::collection::vec(0_u8..5, 0..3), any::<bool>()),
                0..40,
            ),
        ) {
            let mut locks = LockTable::default();
            let mut held: BTreeMap<u128, (BTreeSet<u8>, BTreeSet<u8>)> = BTreeMap::new();
            let name = |k: u8| key(&k.to_string());
            for (attempt, shared, exclusive, release) in asks {
                if release {
                    locks.release(AttemptId(attempt));
                    held.remove(&attempt);
                    continue;
                }
                let others = || held.iter().filter(|(other, _)| **other != attempt);
                let free = exclusive
                    .iter()
                    .all(|k| others().all(|(_, (s, x))| !s.contains(k) && !x.contains(k)))
                    && shared.iter().all(|k| others().all(|(_, (_, x))| !x.contains(k)));
                let names = |ks: &[u8]| ks.iter().map(|k| name(*k)).collect::<Vec<_>>();
                let answer =
                    locks.acquire(AttemptId(attempt), &names(&shared), &names(&exclusive));
                prop_assert_eq!(answer.is_ok(), free);
                if free {
                    let (s, x) = held.entry(attempt).or_default();
                    s.extend(shared);
                    x.extend(exclusive);
                }
                for k in 0..5 {
                    let writer = held.iter().find(|(_, (_, x))| x.contains(&k)).map(|(a, _)| *a);
                    let anybody =
                        held.iter().any(|(_, (s, x))| s.contains(&k) || x.contains(&k));
                    prop_assert_eq!(locks.exclusive_holder(&name(k)), writer.map(AttemptId));
                    prop_assert_eq!(locks.holder(&name(k)).is_some(), anybody);
                }
            }
            for attempt in held.into_keys() {
                locks.release(AttemptId(attempt));
            }
            prop_assert_eq!(locks, LockTable::default());
        }
    }
}
