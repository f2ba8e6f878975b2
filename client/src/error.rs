//! What went wrong, what became of the write, and what to do now.

use std::{borrow::Cow, error::Error as StdError, fmt, time::Duration};

use http::StatusCode;
use trandb_common::{
    ErrorCode, InvalidKey, InvalidTransaction, Outcome, Problem, TransactionId, ValueTooLarge,
    Version, limits::LIST_LIMIT_MAX, wire::transaction::FailedCheck,
};

use crate::{
    Endpoint, TransportError,
    retry::{self, Effect},
    transport::{BoxError, Stage},
};

/// Why a call failed.
///
/// Its text says in one sentence what happened, what became of the write and whether it may be
/// sent again; its [sources](StdError::source) say why. Programs ask the predicates.
///
/// ```
/// use trandb_client::{Error, Outcome};
///
/// fn what_now(error: &Error) -> &'static str {
///     if error.is_conflict() {
///         "read the key and decide anew"
///     } else if error.is_retryable() {
///         "try again later"
///     } else {
///         match error.outcome() {
///             Outcome::NotCommitted => "nothing happened; give up, or change the request",
///             Outcome::Unknown => "read the key to see whether it happened",
///         }
///     }
/// }
/// # let refused = trandb_client::Client::connect("nonsense").unwrap_err();
/// # assert!(what_now(&refused).starts_with("nothing happened"));
/// ```
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: Kind,
    effect: Effect,
    tries: u32,
    transaction: Option<TransactionId>,
}

/// What happened, in the last try.
#[derive(Debug)]
pub(crate) enum Kind {
    /// The client cannot be made as it was asked for.
    Configuration {
        what: &'static str,
        source: Option<BoxError>,
    },
    InvalidKey(InvalidKey),
    ValueTooLarge(ValueTooLarge),
    InvalidLimit {
        actual: usize,
    },
    InvalidTransaction(InvalidTransaction),
    /// No answer came, and then the transaction was aborted for good: why no answer came.
    Aborted(Error),
    Transport {
        endpoint: Endpoint,
        error: TransportError,
    },
    /// The client's own time limit ended the try.
    TimedOut {
        endpoint: Endpoint,
        after: Duration,
    },
    /// An error of TranDB's.
    Problem(Box<Problem>),
    /// An error that is not TranDB's: a proxy's, or another server's.
    Foreign(StatusCode),
    /// A success that is not what the contract says.
    Unusable {
        status: StatusCode,
        what: &'static str,
        source: Option<BoxError>,
    },
}

impl Kind {
    /// What became of the write in the try that failed so.
    pub(crate) fn outcome(&self, effect: Effect) -> Outcome {
        if effect == Effect::Read {
            return Outcome::NotCommitted;
        }
        match self {
            Self::Configuration { .. }
            | Self::InvalidKey(_)
            | Self::ValueTooLarge(_)
            | Self::InvalidTransaction(_)
            | Self::Aborted(_)
            | Self::InvalidLimit { .. } => Outcome::NotCommitted,
            Self::Transport { error, .. } if error.stage == Stage::NotSent => Outcome::NotCommitted,
            Self::Problem(problem) => problem.outcome,
            Self::Transport { .. }
            | Self::TimedOut { .. }
            | Self::Foreign(_)
            | Self::Unusable { .. } => Outcome::Unknown,
        }
    }
}

impl Error {
    pub(crate) fn new(kind: Kind, effect: Effect, tries: u32) -> Self {
        Self(Box::new(Inner {
            kind,
            effect,
            tries,
            transaction: None,
        }))
    }

    pub(crate) fn configuration(what: &'static str, source: Option<BoxError>) -> Self {
        Self::new(Kind::Configuration { what, source }, Effect::Read, 0)
    }

    /// A transaction that failed with `error`, which does not say whether it happened, and that
    /// was aborted for good after that.
    pub(crate) fn aborted(id: TransactionId, error: Self) -> Self {
        let (effect, tries) = (error.0.effect, error.0.tries);
        Self::new(Kind::Aborted(error), effect, tries).of_transaction(id)
    }

    /// The same error, of this transaction.
    pub(crate) fn of_transaction(mut self, id: TransactionId) -> Self {
        self.0.transaction = Some(id);
        self
    }

    /// The end of several tries, of which the last failed with `last`. One before it failed with
    /// `open`, and may have happened, or may yet: unless the last answer is a decision, that stands.
    pub(crate) fn of_tries(last: Kind, open: Option<Kind>, effect: Effect, tries: u32) -> Self {
        let last = Self::new(last, effect, tries);
        match open {
            Some(open) if !last.is_conflict() => Self::new(open, effect, tries),
            _ => last,
        }
    }

    /// A request that is not even tried.
    pub(crate) fn refused(kind: Kind, effect: Effect) -> Self {
        Self::new(kind, effect, 0)
    }

    /// What became of the write. After a read it is always [`Outcome::NotCommitted`].
    ///
    /// [`Outcome::Unknown`] covers a success that lacks what belongs to it, too: then the write
    /// has most likely happened, and the error's text says so.
    pub fn outcome(&self) -> Outcome {
        self.0.kind.outcome(self.0.effect)
    }

    /// Whether the same call may succeed later, and repeating it can do no harm: what the client
    /// itself would have sent again, had tries and time not run out.
    pub fn is_retryable(&self) -> bool {
        retry::may_send_again(self.0.effect, &self.0.kind)
    }

    /// Whether a condition did not hold: the key has another version (412), or a check of a
    /// transaction failed (409). The write did not happen.
    pub fn is_conflict(&self) -> bool {
        self.problem()
            .is_some_and(|problem| matches!(problem.status, 409 | 412))
    }

    /// Whether a time limit of the client's was the reason.
    pub fn is_timeout(&self) -> bool {
        match &self.0.kind {
            Kind::TimedOut { .. } => true,
            Kind::Transport { error, .. } => error.timed_out,
            Kind::Aborted(error) => error.is_timeout(),
            _ => false,
        }
    }

    /// Whether no connection could be made. The write did not happen.
    pub fn is_connect(&self) -> bool {
        matches!(&self.0.kind, Kind::Transport { error, .. } if error.stage == Stage::NotSent)
    }

    /// The stable name of the error (`lock_timeout`, `value_too_large` and so on): the server's,
    /// or the one it would have used for what the client refused to send. None for failures of
    /// the network and answers that are not TranDB's.
    pub fn code(&self) -> Option<&str> {
        let code = match &self.0.kind {
            Kind::Problem(problem) => return Some(&problem.code),
            Kind::InvalidKey(InvalidKey::TooLong { .. }) => ErrorCode::KeyTooLongInPath,
            Kind::InvalidKey(InvalidKey::NotUtf8) => ErrorCode::InvalidUtf8,
            Kind::InvalidKey(_) => ErrorCode::InvalidKey,
            Kind::ValueTooLarge(_) => ErrorCode::ValueTooLarge,
            Kind::InvalidLimit { .. } => ErrorCode::InvalidQuery,
            Kind::InvalidTransaction(error) => error.code(),
            Kind::Configuration { .. }
            | Kind::Transport { .. }
            | Kind::TimedOut { .. }
            | Kind::Aborted(_)
            | Kind::Foreign(_)
            | Kind::Unusable { .. } => return None,
        };
        Some(code.as_str())
    }

    /// The HTTP status of the last answer; none when none came.
    pub fn status(&self) -> Option<StatusCode> {
        match &self.0.kind {
            Kind::Problem(problem) => StatusCode::from_u16(problem.status).ok(),
            Kind::Foreign(status) | Kind::Unusable { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// The server's own description of the error.
    pub fn problem(&self) -> Option<&Problem> {
        match &self.0.kind {
            Kind::Problem(problem) => Some(problem),
            _ => None,
        }
    }

    /// After a [conflict](Self::is_conflict): the version that the key has now, none when it has
    /// no value.
    pub fn current_version(&self) -> Option<Version> {
        self.problem()?.current_version?
    }

    /// After a [conflict](Self::is_conflict) of a transaction: every check that failed.
    pub fn failed_checks(&self) -> &[FailedCheck] {
        let failed = self.problem().and_then(|problem| problem.failed.as_deref());
        failed.unwrap_or_default()
    }

    /// The transaction whose outcome is not known, or that was aborted since no answer came.
    /// [`Client::transaction_status`](crate::Client::transaction_status) asks for it.
    pub fn transaction_id(&self) -> Option<TransactionId> {
        self.0.transaction
    }

    /// How many times the request was sent, or tried to.
    pub fn tries(&self) -> u32 {
        self.0.tries
    }
}

/// One sentence: what happened; what became of the write; what may be done now.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.kind)?;
        if self.0.tries > 1 {
            write!(f, " (after {} tries)", self.0.tries)?;
        }
        f.write_str(self.advice())
    }
}

impl Error {
    fn advice(&self) -> &'static str {
        let success = matches!(self.0.kind, Kind::Unusable { .. });
        match (self.0.effect, self.outcome(), self.is_retryable()) {
            _ if self.0.tries == 0 => "",
            (Effect::Read, _, true) => "; the read may be tried again",
            (Effect::Read, _, false) => "",
            (_, Outcome::NotCommitted, true) => "; the write did not happen and may be sent again",
            (_, Outcome::NotCommitted, false) => "; the write did not happen",
            (_, Outcome::Unknown, true) => {
                "; whether the write happened is not known, and it may be sent again under its id"
            }
            (_, Outcome::Unknown, false) if success => {
                "; if this answer is TranDB's, the write happened: read the key before sending \
                 it again"
            }
            (_, Outcome::Unknown, false) => {
                "; whether the write happened is not known: read the key before sending it again"
            }
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configuration { what, .. } => f.write_str(what),
            Self::InvalidKey(error) => write!(f, "nothing was sent: {error}"),
            Self::ValueTooLarge(error) => write!(f, "nothing was sent: {error}"),
            Self::InvalidLimit { actual } => write!(
                f,
                "nothing was sent: a page of a listing has 1 to {LIST_LIMIT_MAX} keys, not {actual}"
            ),
            Self::InvalidTransaction(error) => write!(f, "nothing was sent: {error}"),
            Self::Aborted(error) => {
                write!(f, "{}; the transaction was then aborted", error.0.kind)
            }
            Self::Transport { endpoint, error } => write!(f, "{endpoint}: {error}"),
            Self::TimedOut { endpoint, after } => {
                write!(f, "{endpoint}: no answer within {after:?}")
            }
            Self::Problem(problem) => write!(
                f,
                "{} {}: {}",
                problem.status,
                printable(&problem.code),
                // More of the sentence follows.
                printable(&problem.detail).trim_end_matches('.')
            ),
            Self::Foreign(status) => write!(
                f,
                "the answer {status} carries no error of TranDB's and may come from a proxy"
            ),
            Self::Unusable { status, what, .. } => write!(f, "the answer {status} {what}"),
        }
    }
}

/// What came over the network must not move a terminal's cursor.
fn printable(text: &str) -> Cow<'_, str> {
    if text.chars().any(char::is_control) {
        Cow::Owned(text.escape_debug().collect())
    } else {
        Cow::Borrowed(text)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.0.kind {
            Kind::Configuration { source, .. } | Kind::Unusable { source, .. } => {
                source.as_deref().map(|error| error as _)
            }
            // Its own text is part of this error's.
            Kind::Transport { error, .. } => error.source(),
            Kind::Aborted(error) => error.source(),
            _ => None,
        }
    }
}
