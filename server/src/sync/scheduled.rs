//! tokio's primitives with a decision of shuttle's scheduler before each use, and a clock that
//! moves only when a test [moves it](advance).

use std::{
    cell::Cell,
    ops::{Add, Deref, DerefMut},
    pin::pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::future::{Either, select};
use shuttle::sync::atomic::AtomicBool;
pub use shuttle::sync::atomic::AtomicU64;
use tokio::sync::TryLockError;

/// Lets the scheduler decide who goes on. Using one of shuttle's atomics is the plainest way to
/// ask: yielding would tell it that this task has nothing to do.
fn step() {
    let _ = AtomicBool::new(false).load(Ordering::SeqCst);
}

/// [`tokio::sync::RwLock`].
#[derive(Debug, Default)]
pub struct RwLock<T>(tokio::sync::RwLock<T>);

impl<T> RwLock<T> {
    /// Unlocked.
    pub fn new(value: T) -> Self {
        Self(tokio::sync::RwLock::new(value))
    }

    /// [`tokio::sync::RwLock::read`].
    pub async fn read(&self) -> RwLockReadGuard<'_, T> {
        step();
        RwLockReadGuard(self.0.read().await)
    }

    /// [`tokio::sync::RwLock::write`].
    pub async fn write(&self) -> RwLockWriteGuard<'_, T> {
        step();
        RwLockWriteGuard(self.0.write().await)
    }

    /// [`tokio::sync::RwLock::try_read`].
    pub fn try_read(&self) -> Result<RwLockReadGuard<'_, T>, TryLockError> {
        step();
        self.0.try_read().map(RwLockReadGuard)
    }

    /// [`tokio::sync::RwLock::try_write`].
    pub fn try_write(&self) -> Result<RwLockWriteGuard<'_, T>, TryLockError> {
        step();
        self.0.try_write().map(RwLockWriteGuard)
    }
}

/// [`tokio::sync::RwLockReadGuard`].
#[derive(Debug)]
pub struct RwLockReadGuard<'a, T>(tokio::sync::RwLockReadGuard<'a, T>);

/// [`tokio::sync::RwLockWriteGuard`].
#[derive(Debug)]
pub struct RwLockWriteGuard<'a, T>(tokio::sync::RwLockWriteGuard<'a, T>);

impl<T> Deref for RwLockReadGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for RwLockWriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

/// Before the release. A task that panics has failed the test: nothing is scheduled any more.
impl<T> Drop for RwLockReadGuard<'_, T> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            step();
        }
    }
}

/// As that of [`RwLockReadGuard`].
impl<T> Drop for RwLockWriteGuard<'_, T> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            step();
        }
    }
}

/// [`tokio::sync::Notify`].
#[derive(Debug, Default)]
pub struct Notify(tokio::sync::Notify);

impl Notify {
    /// Nobody waits.
    pub fn new() -> Self {
        Self::default()
    }

    /// [`tokio::sync::Notify::notified`]: what it sees begins with this call, not with its first
    /// poll.
    pub fn notified(&self) -> impl Future<Output = ()> + Send + '_ {
        step();
        let notified = self.0.notified();
        async move {
            step();
            notified.await;
        }
    }

    /// [`tokio::sync::Notify::notify_one`].
    pub fn notify_one(&self) {
        step();
        self.0.notify_one();
    }

    /// [`tokio::sync::Notify::notify_waiters`].
    pub fn notify_waiters(&self) {
        step();
        self.0.notify_waiters();
    }
}

/// A moment of the test's own clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(Duration);

impl Instant {
    /// The clock's time.
    pub fn now() -> Self {
        step();
        Self(CLOCK.with(|clock| clock.now.get()))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0 + duration)
    }
}

/// One for each thread of the test harness: shuttle runs all tasks of a test on one. It need not
/// begin anew with each schedule, since only differences matter.
#[derive(Default)]
struct Clock {
    now: Cell<Duration>,
    moved: Arc<tokio::sync::Notify>,
}

std::thread_local! {
    static CLOCK: Clock = Clock::default();
}

/// Lets `duration` pass: whose deadline is reached by it wakes.
pub fn advance(duration: Duration) {
    step();
    CLOCK.with(|clock| {
        clock.now.set(clock.now.get() + duration);
        clock.moved.notify_waiters();
    });
}

async fn reached(deadline: Instant) {
    loop {
        let (now, moved) = CLOCK.with(|clock| {
            let moved = Arc::clone(&clock.moved).notified_owned();
            (clock.now.get(), moved)
        });
        if now >= deadline.0 {
            return;
        }
        moved.await;
    }
}

/// The deadline was reached first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elapsed;

/// [`tokio::time::timeout_at`] by the test's clock; as there, what is ready at the deadline is
/// ready.
pub async fn timeout_at<F: Future>(deadline: Instant, future: F) -> Result<F::Output, Elapsed> {
    match select(pin!(future), pin!(reached(deadline))).await {
        Either::Left((output, _)) => Ok(output),
        Either::Right(_) => Err(Elapsed),
    }
}
