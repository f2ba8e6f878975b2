//! Which shard a key belongs to.

use std::{fmt, num::NonZeroU16};

use serde::{Deserialize, Serialize};
use trandb_common::Key;

/// The number of a shard, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ShardId(pub u16);

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The shard of `key` when there are `shards` of them, as [`Key::shard`] says.
pub fn route(key: &Key, shards: NonZeroU16) -> ShardId {
    ShardId(key.shard(shards))
}

#[cfg(test)]
mod tests {
    use twox_hash::XxHash3_64;

    use super::*;

    fn shard_of(key: &str, shards: u16) -> u16 {
        route(
            &Key::new(key).expect("legal"),
            NonZeroU16::new(shards).expect("not 0"),
        )
        .0
    }

    #[test]
    fn the_hash_is_xxh3_and_stays_so() {
        // XXH3_64bits of "a", from the algorithm's reference implementation.
        assert_eq!(XxHash3_64::oneshot(b"a"), 0xe6c6_32b6_1e96_4e1f);
        assert_eq!(
            u64::from(shard_of("a", 997)),
            0xe6c6_32b6_1e96_4e1f_u64 % 997
        );
    }

    #[test]
    fn one_shard_has_all() {
        assert_eq!((shard_of("a", 1), shard_of("b", 1)), (0, 0));
    }

    #[test]
    fn similar_keys_spread_evenly() {
        let mut counts = [0_u32; 16];
        for i in 0..16_000 {
            counts[usize::from(shard_of(&format!("user:{i:08}"), 16))] += 1;
        }
        // Mean 1,000; a fair spread leaves this range once in a billion runs.
        assert!(counts.iter().all(|n| (800..1200).contains(n)), "{counts:?}");
    }
}
