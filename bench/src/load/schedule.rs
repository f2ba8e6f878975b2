//! When an open loop's requests are meant to start.
//!
//! A plain value without a clock: time comes in as an argument. Latency is counted from the
//! moment that this schedule names, never from the moment of sending, so a server that stalls
//! pays for all the requests that were due meanwhile (coordinated omission).
//! Tests: at the end of this file.

use std::time::{Duration, Instant};

/// Requests at a constant rate from a first moment until an end.
#[derive(Debug)]
pub(super) struct Schedule {
    start: Instant,
    end: Instant,
    interval: Duration,
    /// How many moments were handed out.
    taken: u32,
}

impl Schedule {
    /// `per_second` requests each second (at least 1), the first one at `start`, none at `end` or
    /// after it.
    pub(super) fn new(start: Instant, end: Instant, per_second: u32) -> Self {
        Self {
            start,
            end,
            interval: Duration::from_secs(1) / per_second.max(1),
            taken: 0,
        }
    }

    /// The moment that the next request is meant for; `None` when there are no more.
    pub(super) fn next(&self) -> Option<Instant> {
        let moment = self.start + self.interval * self.taken;
        (moment < self.end).then_some(moment)
    }

    /// Takes the next request if it is due at `now`, and answers the moment it was meant for.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Instant> {
        let moment = self.next().filter(|&moment| moment <= now)?;
        self.taken += 1;
        Some(moment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_is_paid_by_every_request_that_was_due_in_it() {
        let start = Instant::now();
        let ms = |n: u64| start + Duration::from_millis(n);
        let mut schedule = Schedule::new(start, ms(100), 1_000);
        let mut latencies_ms = Vec::new();
        // The server answers at once, but nothing can be sent between 10 ms and 60 ms.
        for now in (0..=10).chain(60..=100).map(ms) {
            while let Some(meant) = schedule.take_due(now) {
                latencies_ms.push((now - meant).as_millis());
            }
        }
        assert_eq!(
            latencies_ms.len(),
            100,
            "the rate is kept, the delayed requests are not lost"
        );
        assert_eq!(latencies_ms.iter().filter(|&&ms| ms > 0).count(), 49);
        assert_eq!(latencies_ms.iter().sum::<u128>(), (1..=49).sum());
    }

    #[test]
    fn nothing_is_due_before_its_moment_or_at_the_end() {
        let start = Instant::now();
        let end = start + Duration::from_millis(2);
        let mut schedule = Schedule::new(start, end, 1_000);
        assert_eq!(schedule.take_due(start), Some(start));
        assert_eq!(schedule.take_due(start), None);
        assert_eq!(
            schedule.take_due(end),
            Some(start + Duration::from_millis(1))
        );
        assert_eq!(schedule.take_due(end + Duration::from_secs(1)), None);
        assert_eq!(schedule.next(), None);
    }
}
