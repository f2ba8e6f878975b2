//! What the layers of a connection know of its requests: whether one is being handled.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Whether a request of the connection is being handled, that is: has no answer yet.
///
/// Shared between the service and the stream of one connection, which run in the same task.
#[derive(Debug, Clone, Default)]
pub(super) struct Handling(Arc<AtomicBool>);

impl Handling {
    /// A request is handled from here on, or no longer.
    pub(super) fn set(&self, handling: bool) {
        self.0.store(handling, Ordering::Relaxed);
    }

    /// Whether a request is being handled.
    pub(super) fn is_on(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
