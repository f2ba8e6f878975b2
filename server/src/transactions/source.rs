//! Where ids and time come from.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::Instant;
use trandb_common::TransactionId;
use trandb_engine::{AttemptId, LogTime};

/// Makes ids that nobody has made before, tells proposers the time, and draws jitter.
///
/// Everything follows from what it was made of and from the runtime's clock, so that a simulated
/// run repeats.
#[derive(Debug)]
pub struct Source {
    /// The upper half of every id.
    unique: u64,
    made: AtomicU64,
    /// The time at `begun`, in milliseconds since 1970.
    time: u64,
    begun: Instant,
}

impl Source {
    /// `unique` must never have been used before (see [`new_epoch`](crate::local::new_epoch));
    /// `time` is now, in milliseconds since 1970.
    pub fn new(unique: u64, time: u64) -> Self {
        Self {
            unique,
            made: AtomicU64::new(0),
            time,
            begun: Instant::now(),
        }
    }

    /// The time, for commands. It does not jump when the machine's clock is set: log time would
    /// not follow backwards anyway.
    pub fn now(&self) -> LogTime {
        let since = self.begun.elapsed().as_millis();
        LogTime(
            self.time
                .saturating_add(u64::try_from(since).unwrap_or(u64::MAX)),
        )
    }

    pub(super) fn attempt(&self) -> AttemptId {
        AttemptId(self.id())
    }

    /// An id for a transaction whose client gave none.
    pub(super) fn transaction(&self) -> TransactionId {
        TransactionId(self.id())
    }

    fn id(&self) -> u128 {
        let made = self.made.fetch_add(1, Ordering::Relaxed);
        u128::from(self.unique) << 64 | u128::from(made)
    }

    /// A number that is hard to tell from chance, for jitter.
    pub(super) fn chance(&self) -> u64 {
        let made = self.made.fetch_add(1, Ordering::Relaxed);
        twox_hash::XxHash3_64::oneshot_with_seed(self.unique, &made.to_le_bytes())
    }
}
