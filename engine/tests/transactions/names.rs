//! Keys that say where they are: `x@1` is at shard 1.

use std::num::NonZeroU16;

use trandb_common::{Key, Value};
use trandb_engine::{ShardId, route};

/// The key called `name@shard`: that text and as many `'` as it takes to get there.
pub(crate) fn key(text: &str, shards: NonZeroU16) -> Key {
    let (_, shard) = text.split_once('@').expect("name@shard");
    let shard = ShardId(shard.parse().expect("the number of a shard"));
    assert!(shard.0 < shards.get(), "{text}: there are {shards} shards");
    let mut text = text.to_owned();
    loop {
        let key = Key::new(&text).expect("legal");
        if route(&key, shards) == shard {
            return key;
        }
        text.push('\'');
    }
}

/// What it is called.
pub(crate) fn name(key: &Key) -> &str {
    key.as_str().trim_end_matches('\'')
}

/// That text; `*n` is n bytes.
pub(crate) fn value(text: &str) -> Value {
    match text.strip_prefix('*') {
        Some(length) => Value::try_from(vec![b'*'; length.parse().expect("a number")]),
        None => Value::try_from(text),
    }
    .expect("legal")
}
