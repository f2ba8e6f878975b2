//! Bytes in flight: bodies that are coming in or going out.
//!
//! Requests are many or large, rarely both: a bound on their number alone would be either too low
//! for small values or no bound at all for large ones.

use std::sync::{Arc, atomic::Ordering};

use crate::sync::AtomicU64;

/// A bound on the bytes of all bodies that are on their way.
#[derive(Debug)]
pub struct InFlight {
    bytes: AtomicU64,
    limit: u64,
}

/// Bytes that are counted as in flight until this is dropped.
#[derive(Debug)]
pub struct Permit {
    bytes: u64,
    of: Arc<InFlight>,
}

impl InFlight {
    /// Nothing in flight yet. `limit` in bytes.
    pub fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self {
            bytes: AtomicU64::new(0),
            limit,
        })
    }

    /// In bytes.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// What is in flight now, in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Counts `bytes` more, unless that is beyond the limit. 0 bytes always fit.
    pub fn take(self: &Arc<Self>, bytes: u64) -> Option<Permit> {
        self.add(bytes).then(|| Permit {
            bytes,
            of: Arc::clone(self),
        })
    }

    /// Counts `bytes` more, even beyond the limit: for what cannot be refused any more.
    pub fn count(self: &Arc<Self>, bytes: u64) -> Permit {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        Permit {
            bytes,
            of: Arc::clone(self),
        }
    }

    fn add(&self, bytes: u64) -> bool {
        // In one step: what is refused never counts, not even for the moment of asking.
        let fitting = |now: u64| now.checked_add(bytes).filter(|sum| *sum <= self.limit);
        bytes == 0
            || self
                .bytes
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fitting)
                .is_ok()
    }
}

impl Permit {
    /// Counts `bytes` more under this permit; false, and nothing changes, beyond the limit.
    #[must_use]
    pub fn grow(&mut self, bytes: u64) -> bool {
        let fits = self.of.add(bytes);
        if fits {
            self.bytes += bytes;
        }
        fits
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.of.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permit_counts_until_it_is_dropped() {
        let in_flight = InFlight::new(10);
        let mut permit = in_flight.take(4).expect("fits");
        assert!(permit.grow(6));
        assert!(!permit.grow(1));
        assert!(in_flight.take(1).is_none());
        assert!(in_flight.take(0).is_some());
        assert_eq!(in_flight.bytes(), 10);
        drop(permit);
        assert_eq!(in_flight.bytes(), 0);
        assert!(in_flight.take(10).is_some());
    }
}
