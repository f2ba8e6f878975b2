//! What may be stored: the memory limit.
//!
//! Counted are the entries of all shards, by the engine's estimate of what they take. The limit
//! stands below what the machine has, since the allocator, connections and bodies in flight need
//! room too.

use std::{cmp::Ordering as CmpOrdering, sync::atomic::Ordering};

use crate::sync::AtomicU64;

/// A count of stored bytes with a limit that turns growth away.
#[derive(Debug)]
pub struct Memory {
    used: AtomicU64,
    limit: u64,
}

impl Memory {
    /// Nothing used yet. `limit` in bytes.
    pub fn new(limit: u64) -> Self {
        Self {
            used: AtomicU64::new(0),
            limit,
        }
    }

    /// In bytes.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// In bytes.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Whether `growth` more bytes fit.
    ///
    /// Asking and [settling](Self::settle) are two steps: commands that run at the same moment in
    /// different shards may together exceed the limit, by at most one value each.
    pub fn has_room(&self, growth: u64) -> bool {
        self.used().saturating_add(growth) <= self.limit
    }

    /// Counts what a shard that had `before` bytes and has `after` bytes now has grown or shrunk.
    pub fn settle(&self, before: u64, after: u64) {
        match after.cmp(&before) {
            // Writing the shared count anyway would make every core wait for every other.
            CmpOrdering::Equal => {}
            CmpOrdering::Greater => {
                self.used.fetch_add(after - before, Ordering::Relaxed);
            }
            CmpOrdering::Less => {
                self.used.fetch_sub(before - after, Ordering::Relaxed);
            }
        }
    }
}

/// The memory of the control group or, if it sets no limit, of the machine, in bytes.
///
/// # Errors
///
/// The system does not say.
pub fn total() -> anyhow::Result<u64> {
    let mut system = sysinfo::System::new()?;
    system.refresh_memory();
    let machine = system.total_memory();
    let total = system
        .cgroup_limits()
        .map_or(machine, |group| group.total_memory.min(machine));
    anyhow::ensure!(
        total > 0,
        "the system reports no memory: give --memory-limit a size"
    );
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_what_the_limit_leaves() {
        let memory = Memory::new(100);
        memory.settle(0, 60);
        assert!(memory.has_room(40));
        assert!(!memory.has_room(41));
        memory.settle(60, 10);
        assert_eq!(memory.used(), 10);
        assert!(memory.has_room(90));
        assert!(!memory.has_room(u64::MAX), "no overflow");
    }

    #[test]
    fn this_machine_has_memory() {
        assert!(total().expect("known") > 16 << 20);
    }
}
