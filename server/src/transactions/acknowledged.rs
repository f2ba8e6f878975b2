//! Acknowledgements that could not be handed on at once.

use std::{
    collections::BTreeMap,
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
};

use trandb_common::{TransactionId, limits::ACKNOWLEDGED_WAITING_MAX};
use trandb_engine::ShardId;

/// What clients have acknowledged, until the next sweep tells the shards.
///
/// Nothing depends on it: what is dropped here expires by itself.
#[derive(Debug, Default)]
pub struct Acknowledged {
    waiting: Mutex<BTreeMap<ShardId, Vec<TransactionId>>>,
}

impl Acknowledged {
    fn waiting(&self) -> MutexGuard<'_, BTreeMap<ShardId, Vec<TransactionId>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps as many as there is room for, [`ACKNOWLEDGED_WAITING_MAX`] for each shard.
    pub(super) fn keep(&self, shard: ShardId, transactions: &[TransactionId]) {
        let mut waiting = self.waiting();
        let kept = waiting.entry(shard).or_default();
        let room = ACKNOWLEDGED_WAITING_MAX.saturating_sub(kept.len());
        kept.extend(transactions.iter().take(room));
    }

    /// What is kept for `shard`, which is kept no longer.
    pub(super) fn take(&self, shard: ShardId) -> Vec<TransactionId> {
        self.waiting()
            .get_mut(&shard)
            .map(mem::take)
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::{ACKNOWLEDGED_WAITING_MAX, Acknowledged, ShardId, TransactionId};

    #[test]
    fn keeps_so_many_for_each_shard_and_hands_them_out_once() {
        let acknowledged = Acknowledged::default();
        let ids: Vec<_> = (0..=ACKNOWLEDGED_WAITING_MAX as u128)
            .map(TransactionId)
            .collect();
        acknowledged.keep(ShardId(0), &ids[..2]);
        acknowledged.keep(ShardId(0), &ids[2..]);
        acknowledged.keep(ShardId(1), &ids[..1]);
        assert_eq!(
            acknowledged.take(ShardId(0)),
            ids[..ACKNOWLEDGED_WAITING_MAX]
        );
        assert_eq!(acknowledged.take(ShardId(0)), []);
        assert_eq!(acknowledged.take(ShardId(1)), ids[..1]);
        assert_eq!(acknowledged.take(ShardId(2)), []);
    }
}
