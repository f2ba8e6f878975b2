//! Where the primitives of waiting and counting come from: [`RwLock`], [`Notify`], [`AtomicU64`],
//! [`Instant`] and [`timeout_at`] for everything between the seam and the shards.
//!
//! In every ordinary build they are tokio's and the standard library's, under these names and with
//! nothing around them. With `--cfg shuttle`, which only `just interleavings` sets, each use of one
//! is a point at which shuttle's scheduler decides who runs next, so that the code above them can
//! be tried under many schedules, each repeatable. A cfg and not a feature: no dependency and no
//! `--all-features` can switch it on.
//!
//! # Why shuttle, and what runs under it
//!
//! Neither loom nor shuttle can look *into* tokio's primitives: tokio speaks to loom only in its
//! own unit tests (`cfg(all(test, loom))`, with loom among its dev-dependencies), and to shuttle
//! not at all. So the step of a schedule is one call of a primitive: tokio's own lock and
//! notification run, whole, between two decisions of the scheduler. That is sound as far as each
//! call of theirs is atomic, which is what tokio's loom tests are about; and it is the real queue
//! of waiters with its order, rather than a second implementation of it. (There is one: the crate
//! `shuttle-tokio`, whose lock and notification are its own.)
//!
//! loom would try all schedules and weaker memory orders, but knows no tasks, only a handful of
//! threads, and does not end for operations that take dozens of steps; shuttle runs futures, and
//! draws schedules at random, by PCT or, where there are few, all of them.
//!
//! Not found by this: what needs a weaker memory order than sequential consistency (the counters
//! here are single words and guard nothing else), and races inside tokio or the engine (which
//! has no shared state).
//!
//! Tests: `server/tests/interleavings`.

#[cfg(shuttle)]
mod scheduled;

#[cfg(shuttle)]
pub use self::scheduled::{
    AtomicU64, Elapsed, Instant, Notify, RwLock, RwLockReadGuard, RwLockWriteGuard, advance,
    timeout_at,
};

#[cfg(not(shuttle))]
pub use std::sync::atomic::AtomicU64;

#[cfg(not(shuttle))]
pub use tokio::{
    sync::{Notify, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::{Instant, timeout_at},
};
