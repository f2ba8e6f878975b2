//! Looks for what was left behind, and tells the shards the time.
//!
//! A coordinator that vanished leaves attempts that nobody decides, or decisions that nobody
//! carries out. Whoever finds them may resolve them (I6): clocks decide only when.

use std::{sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};
use trandb_common::{TransactionId, limits::LOCK_WAIT_MAX};
use trandb_engine::{Command, Forget, LogTime, Resolver, ShardId};

use super::drive;
use crate::{
    Database, Shards,
    shards::{ShardError, all},
    sync::Instant,
};

/// How often.
const EVERY: Duration = Duration::from_secs(1);

/// What has been undecided for as long is asked about.
const IN_DOUBT_AFTER_MS: u64 = 3_000;

/// As many are resolved in one round of one shard.
const RESOLVED_MAX: usize = 256;

impl<S: Shards> Database<S> {
    /// Sweeps until it is dropped.
    pub async fn sweep_for_ever(&self) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.sweep().await;
        }
    }

    /// One round over all shards: each is told what clients have acknowledged, and those that this
    /// process [tends](Shards::tends) are looked at. A shard that is too busy is left to the next.
    pub async fn sweep(&self) {
        for shard in all(self.shards().count()) {
            let acknowledged = self.acknowledged().take(shard);
            let tends = self.shards().tends(shard);
            if tends || !acknowledged.is_empty() {
                let _ = self.sweep_shard(shard, acknowledged, tends).await;
            }
        }
    }

    async fn sweep_shard(
        &self,
        shard: ShardId,
        acknowledged: Vec<TransactionId>,
        tends: bool,
    ) -> Result<(), ShardError> {
        let deadline = Instant::now() + LOCK_WAIT_MAX;
        let now = self.source().now();
        let tick = Command::Forget(Forget {
            finalized: Vec::new(),
            acknowledged,
            now,
        });
        let _ = self.shards().execute(shard, &tick, deadline).await?;
        if !tends {
            return Ok(());
        }
        let since = LogTime(now.0.saturating_sub(IN_DOUBT_AFTER_MS));
        let left = self
            .shards()
            .left_behind(shard, since, RESOLVED_MAX, deadline)
            .await?;
        let in_doubt = left.in_doubt.into_iter();
        let in_doubt = in_doubt.map(|doubt| Resolver::in_doubt(shard, doubt, now));
        let unfinalized = left.unfinalized.into_iter();
        let unfinalized = unfinalized.map(|commit| Resolver::unfinalized(shard, commit, now));
        for resolver in in_doubt.chain(unfinalized) {
            let shards = Arc::clone(self.shards_shared());
            drive::resolver(shards, Arc::clone(self.source_shared()), resolver).await;
        }
        Ok(())
    }
}
