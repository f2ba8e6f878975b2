//! What may be sent again, and when. Pure: no clock, no network.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use http::StatusCode;
use trandb_common::{ErrorCode, Outcome};

use crate::{error::Kind, transport::Stage};

/// Longest of all waits that a policy may name: sums of them cannot overflow.
const DELAY_MAX: Duration = Duration::from_hours(1);

/// What a request does to the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing: doing it twice is doing it once.
    Read,
    /// Doing it twice may undo what others did between.
    Write,
    /// The server knows it again by its id and does it once.
    WriteWithId,
}

/// Whether a request may be sent again after this failure: it may succeed then, and a write
/// cannot happen twice.
pub(crate) fn may_send_again(effect: Effect, failure: &Kind) -> bool {
    let repeatable = match effect {
        Effect::Read | Effect::WriteWithId => true,
        Effect::Write => false,
    };
    match failure {
        Kind::Configuration { .. }
        | Kind::InvalidKey(_)
        | Kind::ValueTooLarge(_)
        | Kind::InvalidLimit { .. }
        | Kind::InvalidTransaction(_)
        | Kind::Unusable { .. } => false,
        Kind::Aborted(_) => true,
        Kind::Transport { error, .. } => match error.stage {
            Stage::NotSent => true,
            Stage::MaybeSent => repeatable,
            Stage::AnswerTooLarge => false,
        },
        Kind::TimedOut { .. } => repeatable,
        Kind::Problem(problem) => {
            problem.retryable && (repeatable || problem.outcome == Outcome::NotCommitted)
        }
        Kind::Foreign(status) => repeatable && is_passing(*status),
    }
}

/// Whether the failure is one of this endpoint's, so that another one may do better.
pub(crate) fn is_of_endpoint(failure: &Kind) -> bool {
    match failure {
        Kind::Configuration { .. }
        | Kind::InvalidKey(_)
        | Kind::ValueTooLarge(_)
        | Kind::InvalidLimit { .. }
        | Kind::InvalidTransaction(_)
        | Kind::Aborted(_)
        | Kind::Unusable { .. } => false,
        Kind::Transport { error, .. } => error.stage != Stage::AnswerTooLarge,
        Kind::TimedOut { .. } => true,
        Kind::Problem(problem) => {
            problem.code == ErrorCode::NotReady.as_str()
                || problem.code == ErrorCode::ShardUnavailable.as_str()
        }
        Kind::Foreign(status) => is_passing(*status),
    }
}

/// What proxies and gateways answer while something behind them is away or busy.
fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 502 | 503 | 504)
}

/// How often, and after which waits, the client sends a request again.
///
/// It does so only when the request certainly did not happen, or is a read. A request is tried at
/// most once at every endpoint without a wait between, and then at most
/// [`max_retries`](Self::max_retries) times more, after waits that double from
/// [`min_delay`](Self::min_delay) to [`max_delay`](Self::max_delay), each with up to its own
/// length of jitter on top. A server that says how long to wait (`Retry-After`) is given that time
/// in addition, up to [`max_retry_after`](Self::max_retry_after). Whatever would end after the
/// call's time limit is not begun.
///
/// No delay is longer than an hour; a longer one is taken as that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    max_retries: u32,
    min_delay: Duration,
    max_delay: Duration,
    max_retry_after: Duration,
}

impl Default for RetryPolicy {
    /// 5 retries, 50 ms doubling up to 2 s, and `Retry-After` up to 5 s.
    fn default() -> Self {
        Self {
            max_retries: 5,
            min_delay: Duration::from_millis(50),
            max_delay: Duration::from_secs(2),
            max_retry_after: Duration::from_secs(5),
        }
    }
}

impl RetryPolicy {
    /// Sends nothing again after a wait. Other endpoints are still tried once.
    pub fn none() -> Self {
        Self::default().max_retries(0)
    }

    /// How often a request is sent again after a wait.
    #[must_use]
    pub fn max_retries(mut self, times: u32) -> Self {
        self.max_retries = times;
        self
    }

    /// The first wait, before its jitter.
    #[must_use]
    pub fn min_delay(mut self, delay: Duration) -> Self {
        self.min_delay = delay.min(DELAY_MAX);
        self
    }

    /// The longest wait, before its jitter.
    #[must_use]
    pub fn max_delay(mut self, delay: Duration) -> Self {
        self.max_delay = delay.min(DELAY_MAX);
        self
    }

    /// How much of a server's `Retry-After` is obeyed.
    #[must_use]
    pub fn max_retry_after(mut self, delay: Duration) -> Self {
        self.max_retry_after = delay.min(DELAY_MAX);
        self
    }

    /// The waits of one request. The same seed gives the same ones.
    pub(crate) fn delays(&self, seed: u64) -> Delays {
        Delays {
            backoff: ExponentialBuilder::new()
                .with_min_delay(self.min_delay.min(self.max_delay))
                .with_max_delay(self.max_delay)
                .with_max_times(usize::try_from(self.max_retries).unwrap_or(usize::MAX))
                .with_jitter()
                .with_jitter_seed(seed)
                .build(),
            max_retry_after: self.max_retry_after,
        }
    }
}

/// The waits that are left to one request.
pub(crate) struct Delays {
    backoff: ExponentialBackoff,
    max_retry_after: Duration,
}

impl Delays {
    /// How long to wait before the next try; none when there is to be none.
    pub(crate) fn next(&mut self, retry_after: Option<Duration>) -> Option<Duration> {
        let asked = retry_after.unwrap_or_default().min(self.max_retry_after);
        // On top rather than instead: whoever was sent away together does not come back together.
        Some(self.backoff.next()? + asked)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use trandb_common::Problem;

    use super::*;
    use crate::TransportError;

    const ALL: [Effect; 3] = [Effect::Read, Effect::Write, Effect::WriteWithId];

    fn transport(error: TransportError) -> Kind {
        Kind::Transport {
            endpoint: "http://a".parse().expect("an endpoint"),
            error,
        }
    }

    fn timed_out() -> Kind {
        Kind::TimedOut {
            endpoint: "http://a".parse().expect("an endpoint"),
            after: Duration::from_secs(1),
        }
    }

    fn foreign(status: u16) -> Kind {
        Kind::Foreign(StatusCode::from_u16(status).expect("a status"))
    }

    fn problem(code: ErrorCode) -> Kind {
        Kind::Problem(Box::new(Problem::new(code, "d")))
    }

    /// Which of a read, a write and a write with an id may be sent again.
    fn allowed(failure: &Kind) -> [bool; 3] {
        ALL.map(|effect| may_send_again(effect, failure))
    }

    #[test]
    fn what_was_not_sent_may_be_sent() {
        assert_eq!(
            allowed(&transport(TransportError::not_sent("x"))),
            [true; 3]
        );
    }

    #[test]
    fn what_may_have_happened_is_sent_again_only_if_twice_is_once() {
        let unknown = [
            transport(TransportError::maybe_sent("x")),
            timed_out(),
            problem(ErrorCode::OutcomeUnknown),
            foreign(408),
            foreign(429),
            foreign(502),
            foreign(503),
            foreign(504),
        ];
        for failure in unknown {
            assert_eq!(allowed(&failure), [true, false, true], "{failure}");
        }
    }

    #[test]
    fn what_would_fail_again_is_never_sent_again() {
        let last = [
            transport(TransportError::answer_too_large()),
            foreign(400),
            foreign(500),
            foreign(301),
            Kind::Unusable {
                status: StatusCode::OK,
                what: "x",
                source: None,
            },
            Kind::Configuration {
                what: "x",
                source: None,
            },
            Kind::InvalidLimit { actual: 0 },
        ];
        for failure in last {
            assert_eq!(allowed(&failure), [false; 3], "{failure}");
        }
    }

    #[test]
    fn codes_are_believed() {
        for code in ErrorCode::ALL {
            let certain = code.outcome() == Outcome::NotCommitted;
            let again = code.retryable();
            assert_eq!(
                allowed(&problem(code)),
                [again, again && certain, again],
                "{code}"
            );
        }
    }

    /// A write goes on to another endpoint only where it would be sent again at all, but the call
    /// after it profits.
    #[test]
    fn failures_of_an_endpoint_are_told_from_those_of_a_request() {
        for (failure, expected) in [
            (transport(TransportError::not_sent("x")), true),
            (transport(TransportError::maybe_sent("x")), true),
            (transport(TransportError::answer_too_large()), false),
            (timed_out(), true),
            (foreign(502), true),
            (foreign(404), false),
            (problem(ErrorCode::NotReady), true),
            (problem(ErrorCode::ShardUnavailable), true),
            (problem(ErrorCode::Overloaded), false),
            (problem(ErrorCode::PreconditionFailed), false),
        ] {
            assert_eq!(is_of_endpoint(&failure), expected, "{failure}");
        }
    }

    proptest! {
        #[test]
        fn waits_are_bounded_and_repeat(
            seed: u64,
            retries in 0_u32..20,
            min_delay: Duration,
            max_delay: Duration,
            asked: Option<Duration>,
            most_asked: Duration,
        ) {
            let policy = RetryPolicy::none()
                .max_retries(retries)
                .min_delay(min_delay)
                .max_delay(max_delay)
                .max_retry_after(most_asked);
            let waits = || {
                let mut delays = policy.delays(seed);
                std::iter::from_fn(move || delays.next(asked)).take(50).collect::<Vec<_>>()
            };
            prop_assert_eq!(waits(), waits());
            prop_assert_eq!(waits().len(), retries as usize);
            let least = asked.unwrap_or_default().min(most_asked).min(DELAY_MAX);
            let most = 2 * max_delay.min(DELAY_MAX) + least;
            // Jitter is computed with the precision of an f32.
            let most = most + most / 1_000_000 + Duration::from_nanos(1);
            for wait in waits() {
                prop_assert!((least..=most).contains(&wait), "{wait:?} of {least:?}..={most:?}");
            }
        }
    }
}
