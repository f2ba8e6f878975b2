//! A shard with what this node keeps beside it: who waits for locks, and how much memory it takes.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio::sync::Notify;
use trandb_engine::{Command, InvalidSnapshot, Reply, Shard};

use crate::{founding::Charter, group::StateMachine};

/// A replica of a shard. Its clones are other states with the same company.
#[derive(Clone)]
pub(crate) struct Replica {
    shard: Shard,
    /// None for a state that came as a snapshot and is in nobody's place yet.
    beside: Option<Beside>,
}

#[derive(Clone)]
struct Beside {
    /// Told when an attempt may have let go of keys.
    released: Arc<Notify>,
    /// What all shards of this node hold, in bytes.
    used: Arc<AtomicU64>,
}

impl Replica {
    pub(super) fn new(charter: &Charter, used: Arc<AtomicU64>) -> Self {
        let shard = Shard::with_outcome_budget(charter.version_epoch, charter.outcome_bytes);
        used.fetch_add(shard.bytes(), Ordering::Relaxed);
        let released = Arc::default();
        Self {
            shard,
            beside: Some(Beside { released, used }),
        }
    }

    pub(super) fn shard(&self) -> &Shard {
        &self.shard
    }

    /// Gives the memory back that it takes, and wakes who waits: it will change no more.
    pub(super) fn forget(&self) {
        if let Some(beside) = &self.beside {
            beside.settle(self.shard.bytes(), 0);
            beside.released.notify_waiters();
        }
    }

    /// Told when an attempt may have let go of keys.
    pub(super) fn released(&self) -> Option<Arc<Notify>> {
        let beside = self.beside.as_ref()?;
        Some(Arc::clone(&beside.released))
    }
}

impl Beside {
    fn settle(&self, before: u64, after: u64) {
        // Wraps around: the difference alone counts.
        self.used
            .fetch_add(after.wrapping_sub(before), Ordering::Relaxed);
    }
}

impl StateMachine for Replica {
    type Command = Command;
    type Reply = Reply;
    type InvalidSnapshot = InvalidSnapshot;

    fn apply(&mut self, command: &Command) -> Reply {
        let before = self.shard.bytes();
        let reply = self.shard.apply(command);
        if let Some(beside) = &self.beside {
            beside.settle(before, self.shard.bytes());
            if reply == Reply::Finalized {
                beside.released.notify_waiters();
            }
        }
        reply
    }

    fn command_bytes(command: &Command) -> usize {
        Shard::command_bytes(command)
    }

    fn take_place_of(&mut self, old: &Self) {
        self.beside.clone_from(&old.beside);
        if let Some(beside) = &self.beside {
            beside.settle(old.shard.bytes(), self.shard.bytes());
            // Whatever was finalized on the way.
            beside.released.notify_waiters();
        }
    }

    fn snapshot(&self) -> Vec<u8> {
        self.shard.snapshot()
    }

    fn restore(bytes: &[u8]) -> Result<Self, InvalidSnapshot> {
        let shard = Shard::restore(bytes)?;
        Ok(Self {
            shard,
            beside: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::num::{NonZeroU8, NonZeroU16};

    use trandb_common::{Key, Value};
    use trandb_engine::{AttemptId, Condition, Decision, Finalize, LogTime};

    use super::*;

    fn replica(used: &Arc<AtomicU64>) -> Replica {
        let charter = Charter {
            shards: NonZeroU16::MIN,
            replicas: NonZeroU8::MIN,
            version_epoch: 1,
            outcome_bytes: 1_000_000,
        };
        Replica::new(&charter, Arc::clone(used))
    }

    fn put(key: &str) -> Command {
        Command::Put {
            key: Key::new(key).expect("legal"),
            value: Value::try_from("value").expect("legal"),
            condition: Condition::default(),
        }
    }

    fn finalize() -> Command {
        Command::Finalize(Finalize {
            attempt: AttemptId(1),
            decision: Decision::Abort,
            expires: LogTime(9),
            now: LogTime(1),
        })
    }

    #[test]
    fn what_all_shards_hold_is_counted_together() {
        let used = Arc::default();
        let (mut one, mut two) = (replica(&used), replica(&used));
        let _ = one.apply(&put("a"));
        let _ = two.apply(&put("bc"));
        let sum = one.shard().bytes() + two.shard().bytes();
        assert_eq!(used.load(Ordering::Relaxed), sum);
        let mut installed = Replica::restore(&one.snapshot()).expect("a snapshot");
        let _ = installed.apply(&put("of a snapshot, counted when it takes its place"));
        installed.take_place_of(&two);
        let sum = one.shard().bytes() + installed.shard().bytes();
        assert_eq!(used.load(Ordering::Relaxed), sum);
    }

    #[tokio::test]
    async fn a_finalize_wakes_and_a_put_does_not() {
        let mut replica = replica(&Arc::default());
        let released = replica.released().expect("of a node");
        let woken = released.notified();
        tokio::pin!(woken);
        assert!(futures_util::poll!(&mut woken).is_pending());
        let _ = replica.apply(&put("a"));
        assert!(futures_util::poll!(&mut woken).is_pending());
        let _ = replica.apply(&finalize());
        assert!(futures_util::poll!(&mut woken).is_ready());
    }

    #[tokio::test]
    async fn a_snapshot_wakes_who_waited_at_the_state_before() {
        let mut old = replica(&Arc::default());
        let _ = old.apply(&put("a"));
        let released = old.released().expect("of a node");
        let woken = released.notified();
        tokio::pin!(woken);
        let mut new = Replica::restore(&old.snapshot()).expect("a snapshot");
        new.take_place_of(&old);
        assert!(futures_util::poll!(&mut woken).is_ready());
        let again = released.notified();
        tokio::pin!(again);
        let _ = new.apply(&finalize());
        assert!(futures_util::poll!(&mut again).is_ready());
    }
}
