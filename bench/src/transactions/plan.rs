//! Which keys each transaction of a run has.
//!
//! Cold transactions divide the keys among them, so that two of them that are on their way at the
//! same time never meet. Hot ones draw their keys from a Zipf distribution and meet all the time:
//! every eighth draw is the same key. Tests: at the end of this file.

use std::num::NonZeroU16;

use anyhow::{Context, ensure};
use trandb_common::Key;
use trandb_engine::{ShardId, route};

use crate::workload::key_text;

/// Hot keys are the first so many.
pub const HOT_KEYS: u64 = 1_000;

/// How many different hot transactions there are.
pub const HOT_TRANSACTIONS: u64 = 10_000;

/// The key of rank r, from 1 on, is drawn in proportion to 1 / r to this power.
const ZIPF_EXPONENT: f64 = 0.99;

const SEED: u64 = 1;

/// Where the keys of a transaction lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// All in one shard.
    OneShard,
    /// Each in a shard of its own.
    SeveralShards,
}

/// The keys of each transaction, by its number: first the cold ones, then [`HOT_TRANSACTIONS`] hot
/// ones.
#[derive(Debug)]
pub struct Plan {
    /// Numbers of keys.
    pub transactions: Vec<Vec<u64>>,
    /// How many of them are cold.
    pub cold: u64,
}

impl Plan {
    /// Transactions of `width` of the `keys` keys each, where there are so many `shards`.
    ///
    /// Errors: too few keys, or too few shards.
    pub fn new(
        keys: u64,
        width: usize,
        spread: Spread,
        shards: NonZeroU16,
    ) -> anyhow::Result<Self> {
        ensure!(
            spread == Spread::OneShard || width <= usize::from(shards.get()),
            "{width} keys in as many of {shards} shards"
        );
        let shards = (0..keys)
            .map(|key| Ok((route(&Key::try_from(&key_text(key)[..])?, shards), key)))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let mut random = fastrand::Rng::with_seed(SEED);
        let mut transactions = cold(&shards, width, spread);
        random.shuffle(&mut transactions);
        let cold = transactions.len() as u64;
        ensure!(
            cold > 0,
            "{keys} keys are too few for transactions of {width}"
        );
        for _ in 0..HOT_TRANSACTIONS {
            transactions.push(hot(&shards, width, spread, &mut random)?);
        }
        Ok(Self { transactions, cold })
    }
}

/// Every key in one transaction at most.
fn cold(keys: &[(ShardId, u64)], width: usize, spread: Spread) -> Vec<Vec<u64>> {
    let mut shards = std::collections::BTreeMap::<ShardId, Vec<u64>>::new();
    for &(shard, key) in keys {
        shards.entry(shard).or_default().push(key);
    }
    let mut shards: Vec<Vec<u64>> = shards.into_values().collect();
    match spread {
        Spread::OneShard => {
            let groups = shards.iter().flat_map(|shard| shard.chunks_exact(width));
            groups.map(<[u64]>::to_vec).collect()
        }
        Spread::SeveralShards => {
            let mut transactions = Vec::new();
            loop {
                shards.sort_by_key(|shard| std::cmp::Reverse(shard.len()));
                let group: Vec<u64> = shards.iter_mut().take(width).filter_map(Vec::pop).collect();
                if group.len() < width {
                    return transactions;
                }
                transactions.push(group);
            }
        }
    }
}

/// Different keys, drawn one after another until they lie as they have to.
fn hot(
    keys: &[(ShardId, u64)],
    width: usize,
    spread: Spread,
    random: &mut fastrand::Rng,
) -> anyhow::Result<Vec<u64>> {
    const DRAWS_MAX: usize = 1_000_000;
    let hot = &keys[..keys.len().min(usize::try_from(HOT_KEYS)?)];
    let weights: Vec<f64> = (1..=hot.len())
        .scan(0.0, |sum, rank| {
            *sum += (rank as f64).powf(-ZIPF_EXPONENT);
            Some(*sum)
        })
        .collect();
    let sum = weights.last().copied().context("no keys")?;
    let mut taken: Vec<(ShardId, u64)> = Vec::with_capacity(width);
    for _ in 0..DRAWS_MAX {
        if taken.len() == width {
            return Ok(taken.into_iter().map(|(_, key)| key).collect());
        }
        let drawn = random.f64() * sum;
        let (shard, key) = hot[weights.partition_point(|&weight| weight <= drawn)];
        let is_fit = taken.iter().all(|&(other_shard, other_key)| match spread {
            Spread::OneShard => shard == other_shard && key != other_key,
            Spread::SeveralShards => shard != other_shard,
        });
        if is_fit {
            taken.push((shard, key));
        }
    }
    anyhow::bail!("too few hot keys for transactions of {width}")
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashMap};

    use super::*;

    const SHARDS: NonZeroU16 = NonZeroU16::new(16).unwrap();

    fn shard(key: u64) -> ShardId {
        route(&Key::try_from(&key_text(key)[..]).unwrap(), SHARDS)
    }

    #[test]
    fn keys_lie_in_one_shard_or_in_as_many_as_there_are_keys() {
        for width in [1, 2, 8] {
            for (spread, expected) in [(Spread::OneShard, 1), (Spread::SeveralShards, width)] {
                let plan = Plan::new(10_000, width, spread, SHARDS).unwrap();
                assert_eq!(plan.transactions.len() as u64, plan.cold + HOT_TRANSACTIONS);
                for keys in &plan.transactions {
                    let different: BTreeSet<u64> = keys.iter().copied().collect();
                    assert_eq!(different.len(), width, "{keys:?}");
                    let shards: BTreeSet<ShardId> = keys.iter().map(|&key| shard(key)).collect();
                    assert_eq!(shards.len(), expected, "{keys:?}");
                }
            }
        }
    }

    #[test]
    fn cold_transactions_have_no_key_in_common_and_leave_few_out() {
        for spread in [Spread::OneShard, Spread::SeveralShards] {
            let plan = Plan::new(10_000, 4, spread, SHARDS).unwrap();
            let cold = &plan.transactions[..usize::try_from(plan.cold).unwrap()];
            let keys: Vec<u64> = cold.iter().flatten().copied().collect();
            let different: BTreeSet<u64> = keys.iter().copied().collect();
            assert_eq!(different.len(), keys.len());
            assert!(keys.len() > 9_900, "{spread:?}: {}", keys.len());
        }
    }

    #[test]
    fn the_first_hot_key_is_by_far_the_most_frequent() {
        let plan = Plan::new(10_000, 1, Spread::OneShard, SHARDS).unwrap();
        let mut counts = HashMap::<u64, u32>::new();
        for keys in &plan.transactions[usize::try_from(plan.cold).unwrap()..] {
            *counts.entry(keys[0]).or_default() += 1;
        }
        // 1 / (1 + 1/2 + … + 1/1000), nearly: an eighth.
        assert!((1_150..1_450).contains(&counts[&0]), "{}", counts[&0]);
        assert!(counts.keys().all(|&key| key < HOT_KEYS));
    }

    #[test]
    fn what_cannot_be_planned_is_refused() {
        let two = NonZeroU16::new(2).unwrap();
        assert!(Plan::new(10_000, 4, Spread::SeveralShards, two).is_err());
        assert!(Plan::new(3, 4, Spread::OneShard, SHARDS).is_err());
    }
}
