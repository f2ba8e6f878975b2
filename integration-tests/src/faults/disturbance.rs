//! What keeps others from the shards for a while: a shard that is occupied as a whole, keys that
//! an undecided attempt has locked.

use std::{fmt, time::Duration};

use fastrand::Rng;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;
use trandb_common::Key;
use trandb_engine::{AttemptId, ShardId, route};
use trandb_server::{Local, Shards as _};

use super::Swarm;
use crate::{counts::Tally, trace::Trace};

/// Something that happens at the shards, and when. Times are in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disturbance {
    /// Since the run began.
    pub at_ms: u64,
    /// How long it lasts. From a second on, who waits is refused.
    pub for_ms: u64,
    /// What.
    pub what: Kind,
}

/// What happens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Nobody else gets at this shard.
    Occupied {
        /// Taken modulo the number of shards.
        shard: u16,
    },
    /// Writers do not get at this shard.
    Shared {
        /// Taken modulo the number of shards.
        shard: u16,
    },
    /// An undecided attempt has locked this key.
    Locked {
        /// Which.
        key: String,
        /// Whether readers may pass.
        shared: bool,
    },
}

impl Kind {
    fn name(&self) -> &'static str {
        match self {
            Self::Occupied { .. } => "shard occupied",
            Self::Shared { .. } => "shard shared",
            Self::Locked { .. } => "key locked",
        }
    }
}

impl fmt::Display for Disturbance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (at, lasts) = (self.at_ms, self.for_ms);
        match &self.what {
            Kind::Occupied { shard } => write!(f, "shard {shard} is occupied"),
            Kind::Shared { shard } => write!(f, "shard {shard} is kept from writers"),
            Kind::Locked { key, shared: true } => write!(f, "{key} is locked, shared,"),
            Kind::Locked { key, shared: false } => write!(f, "{key} is locked"),
        }?;
        write!(f, " at {at} ms for {lasts} ms")
    }
}

/// The disturbances of one run over these keys.
pub fn draw(swarm: &mut Swarm, rng: &mut Rng, keys: &[String]) -> Vec<Disturbance> {
    let mut kinds: Vec<fn(&mut Rng, &[String]) -> Kind> = Vec::new();
    if swarm.has() {
        kinds.push(|rng, _| Kind::Occupied { shard: rng.u16(..) });
        kinds.push(|rng, _| Kind::Shared { shard: rng.u16(..) });
    }
    if swarm.has() && !keys.is_empty() {
        kinds.push(|rng, keys| Kind::Locked {
            key: keys[rng.usize(..keys.len())].clone(),
            shared: rng.bool(),
        });
    }
    if kinds.is_empty() {
        return Vec::new();
    }
    let within_ms = *rng.choice(&[20, 200, 2_000]).unwrap_or(&20);
    let for_ms_max = *rng.choice(&[5, 50, 1_500]).unwrap_or(&5);
    let count = rng.usize(1..=6);
    let disturbances = (0..count).map(|_| Disturbance {
        at_ms: rng.u64(..within_ms),
        for_ms: match rng.u32(..6) {
            // Who waits gets his turn about when his time is over.
            0 => rng.u64(990..1_040),
            _ => rng.u64(..for_ms_max),
        },
        what: kinds[rng.usize(..kinds.len())](rng, keys),
    });
    disturbances.collect()
}

impl Disturbance {
    /// Lets it happen. `number` tells its attempt from others.
    pub async fn happen(&self, number: u128, local: &Local, tally: &Tally, trace: &Trace) {
        sleep(Duration::from_millis(self.at_ms)).await;
        let lasts = || sleep(Duration::from_millis(self.for_ms));
        let shard = |shard: u16| ShardId(shard % local.count());
        match &self.what {
            Kind::Occupied { shard: number } => {
                let _guard = local.occupy(shard(*number)).await;
                self.note(tally, trace);
                lasts().await;
            }
            Kind::Shared { shard: number } => {
                let _guard = local.share(shard(*number)).await;
                self.note(tally, trace);
                lasts().await;
            }
            Kind::Locked { key, shared } => {
                let Ok(key) = Key::new(key) else { return };
                let shard = route(&key, local.count());
                let (attempt, keys) = (AttemptId(number), [key]);
                let (free, held) = if *shared {
                    (&keys[..], &[][..])
                } else {
                    (&[][..], &keys[..])
                };
                // Another disturbance may hold it: then this one does not come about.
                if local.lock(shard, attempt, free, held).await.is_ok() {
                    self.note(tally, trace);
                    lasts().await;
                    local.unlock(shard, attempt).await;
                }
            }
        }
        trace.line("fault", format_args!("over: {self}"));
    }

    fn note(&self, tally: &Tally, trace: &Trace) {
        tally.count(self.what.name());
        trace.line("fault", format_args!("{self}"));
    }
}
