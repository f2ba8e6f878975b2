//! Looks for what was left behind, and tells the shards the time.
//!
//! A coordinator that vanished leaves attempts that nobody decides, or decisions that nobody
//! carries out. Whoever finds them may resolve them (I6): clocks decide only when.
//!
//! Log time goes on at the pace of whoever tends a shard, also where its clock is behind log time: by
//! hours, if the clock of a node that was heard of before is ahead by hours. Else nothing would ever
//! be old there, and nothing be dropped.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

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

/// The log time of each shard that was tended, and when that was.
type Clocks = BTreeMap<ShardId, (LogTime, tokio::time::Instant)>;

impl<S: Shards> Database<S> {
    /// Sweeps until it is dropped.
    pub async fn sweep_for_ever(&self) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut clocks = Clocks::new();
        loop {
            ticks.tick().await;
            self.sweep_by(&mut clocks).await;
        }
    }

    /// One round over all shards: each is told what clients have acknowledged, and those that this
    /// process [tends](Shards::tends) are looked at. A shard that is too busy is left to the next.
    pub async fn sweep(&self) {
        self.sweep_by(&mut Clocks::new()).await;
    }

    async fn sweep_by(&self, clocks: &mut Clocks) {
        for shard in all(self.shards().count()) {
            let acknowledged = self.acknowledged().take(shard);
            let tends = self.shards().tends(shard);
            if !tends {
                clocks.remove(&shard);
            }
            if tends || !acknowledged.is_empty() {
                let _ = self.sweep_shard(shard, acknowledged, tends, clocks).await;
            }
        }
    }

    async fn sweep_shard(
        &self,
        shard: ShardId,
        acknowledged: Vec<TransactionId>,
        tends: bool,
        clocks: &mut Clocks,
    ) -> Result<(), ShardError> {
        let deadline = Instant::now() + LOCK_WAIT_MAX;
        let by_log = clocks.get(&shard).map(|(log, at)| log.after(at.elapsed()));
        let now = self.source().now().max(by_log.unwrap_or_default());
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
        clocks.insert(shard, (left.clock, tokio::time::Instant::now()));
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
