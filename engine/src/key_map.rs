//! The entries of a shard: found by hash, listed in byte order, small.
//!
//! Three parts: `slots` holds the entries densely, `index` finds a slot by the hash of its key,
//! `order` lists the slots by key. A deleted entry's slot is filled by the last one, so that the
//! memory of what is left stays dense. With keys of up to 24 bytes an entry needs one allocation,
//! its value's (`docs/performance.md` has the bytes a key).

use std::hash::BuildHasher as _;

use foldhash::fast::FixedState;
use hashbrown::{HashTable, hash_table};
use trandb_common::{Key, Value};

use crate::order::Order;

/// An entry. Its version is the shard's epoch and this counter.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    pub(crate) key: Key,
    pub(crate) value: Value,
    pub(crate) counter: u64,
}

/// The place of an entry in `slots`, in the four bytes that the index and the order spend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SlotNumber(u32);

impl SlotNumber {
    /// `2^32` entries of one shard would be some 500 GB before the first byte of a value.
    pub(crate) fn new(index: usize) -> Self {
        Self(u32::try_from(index).expect("a shard has fewer than 2^32 keys"))
    }

    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// A map from keys to values that can be listed in byte order.
#[derive(Debug, Clone)]
pub(crate) struct KeyMap {
    slots: Vec<Slot>,
    index: HashTable<SlotNumber>,
    order: Order,
    hasher: FixedState,
}

impl KeyMap {
    /// An empty map. The seed makes collisions of the index hard to prepare; no result depends on
    /// it.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            slots: Vec::new(),
            index: HashTable::new(),
            order: Order::default(),
            hasher: FixedState::with_seed(seed),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    fn hash(&self, key: &Key) -> u64 {
        self.hasher.hash_one(key.as_bytes())
    }

    fn find(&self, key: &Key) -> Option<SlotNumber> {
        self.index
            .find(self.hash(key), |&n| self.slots[n.index()].key == *key)
            .copied()
    }

    pub(crate) fn get(&self, key: &Key) -> Option<&Slot> {
        self.find(key).map(|slot| &self.slots[slot.index()])
    }

    /// Puts the entry in the place of the key's old one, which it returns.
    pub(crate) fn insert(&mut self, key: &Key, value: Value, counter: u64) -> Option<Value> {
        let hash = self.hash(key);
        let Self {
            slots,
            index,
            order,
            hasher,
        } = self;
        let entry = index.entry(
            hash,
            |&n| slots[n.index()].key == *key,
            |&n| hasher.hash_one(slots[n.index()].key.as_bytes()),
        );
        match entry {
            hash_table::Entry::Occupied(found) => {
                let slot = &mut slots[found.get().index()];
                slot.counter = counter;
                Some(std::mem::replace(&mut slot.value, value))
            }
            hash_table::Entry::Vacant(vacant) => {
                let number = SlotNumber::new(slots.len());
                vacant.insert(number);
                slots.push(Slot {
                    key: key.clone(),
                    value,
                    counter,
                });
                order.insert(number, slots);
                None
            }
        }
    }

    /// Takes the entry out.
    pub(crate) fn remove(&mut self, key: &Key) -> Option<Value> {
        let hash = self.hash(key);
        let slots = &self.slots;
        let found = self
            .index
            .find_entry(hash, |&n| slots[n.index()].key == *key)
            .ok()?;
        let (removed, _) = found.remove();
        self.order.remove(key, &self.slots);

        let last = SlotNumber::new(self.slots.len() - 1);
        if removed != last {
            let moved = &self.slots[last.index()].key;
            let hash = self.hasher.hash_one(moved.as_bytes());
            self.order.relocate(moved, removed, &self.slots);
            let number = self
                .index
                .find_mut(hash, |&n| n == last)
                .expect("every slot is indexed");
            *number = removed;
        }
        let slot = self.slots.swap_remove(removed.index());
        self.give_memory_back();
        Some(slot.value)
    }

    /// After many deletes, frees what growing to the peak had taken.
    fn give_memory_back(&mut self) {
        const SMALL: usize = 1024;
        if self.slots.capacity() > SMALL && self.slots.len() < self.slots.capacity() / 4 {
            let room = self.slots.len() * 2;
            self.slots.shrink_to(room);
            let Self {
                slots,
                index,
                hasher,
                ..
            } = self;
            index.shrink_to(room, |&n| hasher.hash_one(slots[n.index()].key.as_bytes()));
        }
    }

    /// The entries whose keys come after the text `from` (or are it, if `inclusive`), in byte order.
    pub(crate) fn from(&self, from: &str, inclusive: bool) -> impl Iterator<Item = &Slot> {
        self.order
            .from(from, inclusive, &self.slots)
            .map(|number| &self.slots[number.index()])
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn key(text: &str) -> Key {
        Key::new(text).expect("legal")
    }

    fn value(text: &str) -> Value {
        Value::try_from(text).expect("legal")
    }

    fn keys(map: &KeyMap) -> Vec<&str> {
        map.from("", true).map(|slot| slot.key.as_str()).collect()
    }

    #[test]
    fn the_slot_of_a_deleted_key_is_filled_by_the_last() {
        let mut map = KeyMap::new(0);
        for (i, k) in ["b", "a", "c"].into_iter().enumerate() {
            map.insert(&key(k), value(k), i as u64);
        }
        assert_eq!(map.remove(&key("b")), Some(value("b")));
        assert_eq!(keys(&map), ["a", "c"]);
        assert_eq!(map.get(&key("c")).expect("there").value, value("c"));
        assert_eq!(map.remove(&key("b")), None);
    }

    #[test]
    fn blocks_split_and_merge_and_stay_in_order() {
        let mut map = KeyMap::new(0);
        let name = |i: u32| key(&format!("{:05}", (i * 7919) % 10_000));
        for i in 0..10_000 {
            map.insert(&name(i), value(""), 0);
        }
        assert!(map.order.blocks() >= 10_000 / 512);
        assert!(keys(&map).is_sorted());
        for i in 0..9_900 {
            assert!(map.remove(&name(i)).is_some());
        }
        assert!(
            map.order.blocks() <= 10,
            "{} blocks for 100 keys",
            map.order.blocks()
        );
        assert!(
            map.slots.capacity() <= 1024,
            "{} slots",
            map.slots.capacity()
        );
        assert_eq!(keys(&map).len(), 100);
        assert!(keys(&map).is_sorted());
    }

    /// What is given back is much, so that deleting stays cheap, and what is kept is room to grow
    /// again.
    #[test]
    fn memory_is_given_back_when_a_quarter_is_used_and_not_before() {
        let mut map = KeyMap::new(0);
        for i in 0..20_000 {
            map.insert(&key(&i.to_string()), value(""), 0);
        }
        for i in 0..20_000 {
            let before = map.slots.capacity();
            assert!(map.remove(&key(&i.to_string())).is_some());
            let (after, used) = (map.slots.capacity(), map.len());
            if before > 1024 && used < before / 4 {
                assert!(
                    (2 * used..3 * used).contains(&after),
                    "{after} slots for {used}"
                );
            } else {
                assert_eq!(after, before, "{used} slots were used");
            }
        }
    }

    #[test]
    fn a_small_map_keeps_its_memory() {
        let mut map = KeyMap::new(0);
        for i in 0..1_000 {
            map.insert(&key(&i.to_string()), value(""), 0);
        }
        assert_eq!(map.slots.capacity(), 1024);
        for i in 0..1_000 {
            map.remove(&key(&i.to_string()));
        }
        assert_eq!(map.slots.capacity(), 1024);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Insert(u16, u64),
        Remove(u16),
        From(u16, bool),
    }

    fn any_step(keys: u16) -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (0..keys, any::<u64>()).prop_map(|(k, n)| Step::Insert(k, n)),
            2 => (0..keys).prop_map(Step::Remove),
            1 => (0..keys, any::<bool>()).prop_map(|(k, inclusive)| Step::From(k, inclusive)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        /// Few keys meet each other often, many keys make blocks split and merge.
        #[test]
        fn it_is_a_sorted_map(
            steps in prop_oneof![
                prop::collection::vec(any_step(20), 0..300),
                prop::collection::vec(any_step(3_000), 0..6_000),
            ],
        ) {
            let mut map = KeyMap::new(1);
            let mut model: BTreeMap<Key, (Value, u64)> = BTreeMap::new();
            let name = |k: u16| key(&format!("k{k}"));
            for step in steps {
                match step {
                    Step::Insert(k, counter) => {
                        let v = value(&counter.to_string());
                        let old = map.insert(&name(k), v.clone(), counter);
                        let expected = model.insert(name(k), (v, counter)).map(|(v, _)| v);
                        prop_assert_eq!(old, expected);
                    }
                    Step::Remove(k) => {
                        prop_assert_eq!(
                            map.remove(&name(k)),
                            model.remove(&name(k)).map(|(v, _)| v)
                        );
                    }
                    Step::From(k, inclusive) => {
                        let from = name(k);
                        let expected: Vec<_> = model
                            .keys()
                            .filter(|k| **k > from || (inclusive && **k == from))
                            .collect();
                        let found: Vec<_> = map.from(from.as_str(), inclusive).map(|s| &s.key).collect();
                        prop_assert_eq!(found, expected);
                    }
                }
                prop_assert_eq!(map.len(), model.len());
            }
            let found: Vec<_> =
                map.from("", true).map(|s| (s.key.clone(), (s.value.clone(), s.counter))).collect();
            prop_assert_eq!(found, model.clone().into_iter().collect::<Vec<_>>());
            for (key, (value, counter)) in &model {
                let slot = map.get(key).expect("the model has it");
                prop_assert_eq!((&slot.value, &slot.counter), (value, counter));
            }
        }
    }
}
