//! What a shard says of the memory that it takes: the limit of a server rests on it.

use std::collections::BTreeMap;

use proptest::prelude::*;
use trandb_common::{
    Key, Value,
    limits::{KEY_BYTES_MAX, VALUE_BYTES_MAX},
};
use trandb_engine::{Command, Condition, Shard};

/// Beside its key and value no entry takes as much.
const BOOKKEEPING_BYTES_MAX: usize = 256;

fn key(length: usize) -> Key {
    Key::new(&"k".repeat(length)).expect("legal")
}

fn put(key: Key, value_bytes: usize) -> Command {
    let value = Value::try_from(vec![0; value_bytes]).expect("legal");
    Command::Put {
        key,
        value,
        condition: Condition::default(),
    }
}

fn bytes_of(key_bytes: usize, value_bytes: usize) -> u64 {
    Shard::new(0).growth(&put(key(key_bytes), value_bytes))
}

#[test]
fn short_keys_take_no_memory_of_their_own() {
    assert_eq!(bytes_of(1, 10), bytes_of(24, 10));
    assert!(bytes_of(25, 10) > bytes_of(24, 10) + 24);
    assert_eq!(bytes_of(26, 10), bytes_of(25, 10) + 1);
}

#[test]
fn the_largest_entry_is_the_largest_growth() {
    assert_eq!(bytes_of(KEY_BYTES_MAX, VALUE_BYTES_MAX), Shard::GROWTH_MAX);
}

#[test]
fn a_shard_without_entries_takes_nothing() {
    let mut shard = Shard::new(0);
    assert_eq!((shard.bytes(), shard.len(), shard.is_empty()), (0, 0, true));
    let _ = shard.apply(&put(key(1), 0));
    assert_eq!((shard.len(), shard.is_empty()), (1, false));
    assert!(shard.bytes() > 0, "an empty value takes memory too");
}

proptest! {
    #[test]
    fn an_entry_counts_for_what_it_keeps_and_not_much_more(
        key_bytes in 1..=KEY_BYTES_MAX,
        value_bytes in 0_usize..10_000,
    ) {
        let bytes = usize::try_from(bytes_of(key_bytes, value_bytes)).expect("fits");
        let own = if key_bytes <= 24 { 0 } else { key_bytes };
        prop_assert!(bytes > own + value_bytes);
        prop_assert!(bytes < own + value_bytes + BOOKKEEPING_BYTES_MAX);
    }

    /// However they came to be there.
    #[test]
    fn a_shard_takes_what_its_entries_take(
        writes in prop::collection::vec((1_usize..40, prop::option::of(0_usize..100)), 0..60),
    ) {
        let mut shard = Shard::new(0);
        let mut model = BTreeMap::new();
        for (length, value_bytes) in writes {
            let command = match value_bytes {
                Some(bytes) => put(key(length), bytes),
                None => Command::Delete { key: key(length), condition: Condition::default() },
            };
            let _ = shard.apply(&command);
            match value_bytes {
                Some(bytes) => model.insert(length, bytes),
                None => model.remove(&length),
            };
            let expected: u64 = model.iter().map(|(key, value)| bytes_of(*key, *value)).sum();
            prop_assert_eq!(shard.bytes(), expected);
        }
    }
}
