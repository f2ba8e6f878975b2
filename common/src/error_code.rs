//! Every error that TranDB answers with, and the three questions each of them answers.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What became of the write that an error answers.
///
/// A success needs no such word: 2xx means that it happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Outcome {
    /// It certainly did not happen, and will not.
    NotCommitted,
    /// It may or may not have happened, or may still happen.
    Unknown,
}

/// The errors of the contract.
///
/// Each has a stable snake-case name ([`as_str`](Self::as_str)), an HTTP status, and says whether
/// the same request may be sent again and what happened to the write. All answers are given by
/// exhaustive matches: a new code cannot be added without them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// The key is empty, `.`, `..`, or its escapes are malformed.
    InvalidKey,
    /// The key is not UTF-8.
    InvalidUtf8,
    /// A header that the answer depends on cannot be understood or is not supported.
    InvalidHeader,
    /// A parameter of the query is unknown, repeated or out of range.
    InvalidQuery,
    /// The body cannot be read as what its type says.
    MalformedBody,
    /// A key stands twice in one list of a transaction.
    DuplicateKey,
    /// A transaction without checks, reads and writes.
    EmptyTransaction,
    /// The key has no value.
    KeyNotFound,
    /// No such path.
    RouteNotFound,
    /// The id is not known, or its outcome is no longer kept.
    TransactionNotFound,
    /// The cluster has no member of this name.
    MemberNotFound,
    /// The path exists, the method does not; `Allow` says which do.
    MethodNotAllowed,
    /// The body stopped coming.
    RequestTimeout,
    /// A check of a transaction failed.
    Conflict,
    /// The cluster, as it is, does not allow it.
    ClusterConflict,
    /// `If-Match` or `If-None-Match` does not hold.
    PreconditionFailed,
    /// The value has more than 4 MiB.
    ValueTooLarge,
    /// Too many operations or bytes in one transaction.
    TransactionTooLarge,
    /// A key in a path has more than 1,024 bytes.
    KeyTooLongInPath,
    /// A key in a body has more than 1,024 bytes.
    KeyTooLongInBody,
    /// The `Content-Type` is not one that the path takes.
    UnsupportedMediaType,
    /// The id was used before, with another body.
    IdReused,
    /// The lock could not be had within one second.
    LockTimeout,
    /// Too many connections or bytes in flight.
    Overloaded,
    /// Starting, or draining before the end.
    NotReady,
    /// The shard has no leader, or no majority.
    ShardUnavailable,
    /// The write entered the log and was not seen applied.
    OutcomeUnknown,
    /// The memory limit is reached: reads and deletes go on.
    MemoryFull,
}

impl ErrorCode {
    /// All of them, in the order of their status.
    pub const ALL: [Self; 28] = [
        Self::InvalidKey,
        Self::InvalidUtf8,
        Self::InvalidHeader,
        Self::InvalidQuery,
        Self::MalformedBody,
        Self::DuplicateKey,
        Self::EmptyTransaction,
        Self::KeyTooLongInBody,
        Self::KeyNotFound,
        Self::RouteNotFound,
        Self::TransactionNotFound,
        Self::MemberNotFound,
        Self::MethodNotAllowed,
        Self::RequestTimeout,
        Self::Conflict,
        Self::ClusterConflict,
        Self::PreconditionFailed,
        Self::ValueTooLarge,
        Self::TransactionTooLarge,
        Self::KeyTooLongInPath,
        Self::UnsupportedMediaType,
        Self::IdReused,
        Self::LockTimeout,
        Self::Overloaded,
        Self::NotReady,
        Self::ShardUnavailable,
        Self::OutcomeUnknown,
        Self::MemoryFull,
    ];

    /// The stable name, as it stands in `code`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidKey => "invalid_key",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::InvalidHeader => "invalid_header",
            Self::InvalidQuery => "invalid_query",
            Self::MalformedBody => "malformed_body",
            Self::DuplicateKey => "duplicate_key",
            Self::EmptyTransaction => "empty_transaction",
            Self::KeyNotFound => "key_not_found",
            Self::RouteNotFound => "route_not_found",
            Self::TransactionNotFound => "transaction_not_found",
            Self::MemberNotFound => "member_not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::RequestTimeout => "request_timeout",
            Self::Conflict => "conflict",
            Self::ClusterConflict => "cluster_conflict",
            Self::PreconditionFailed => "precondition_failed",
            Self::ValueTooLarge => "value_too_large",
            Self::TransactionTooLarge => "transaction_too_large",
            Self::KeyTooLongInPath | Self::KeyTooLongInBody => "key_too_long",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::IdReused => "id_reused",
            Self::LockTimeout => "lock_timeout",
            Self::Overloaded => "overloaded",
            Self::NotReady => "not_ready",
            Self::ShardUnavailable => "shard_unavailable",
            Self::OutcomeUnknown => "outcome_unknown",
            Self::MemoryFull => "memory_full",
        }
    }

    /// One short sentence, the same for every occurrence.
    pub const fn title(self) -> &'static str {
        match self {
            Self::InvalidKey => "This is not a legal key",
            Self::InvalidUtf8 => "A key is UTF-8 text",
            Self::InvalidHeader => "A header cannot be understood",
            Self::InvalidQuery => "A query parameter cannot be understood",
            Self::MalformedBody => "The body cannot be read",
            Self::DuplicateKey => "A key stands twice in one list",
            Self::EmptyTransaction => "The transaction is empty",
            Self::KeyNotFound => "The key has no value",
            Self::RouteNotFound => "There is no such path",
            Self::TransactionNotFound => "The transaction is not known",
            Self::MemberNotFound => "The cluster has no such member",
            Self::MethodNotAllowed => "The path does not take this method",
            Self::RequestTimeout => "The request did not arrive in time",
            Self::Conflict => "A check failed",
            Self::ClusterConflict => "The cluster does not allow it",
            Self::PreconditionFailed => "The precondition does not hold",
            Self::ValueTooLarge => "The value is too large",
            Self::TransactionTooLarge => "The transaction is too large",
            Self::KeyTooLongInPath | Self::KeyTooLongInBody => "The key is too long",
            Self::UnsupportedMediaType => "The body has a type that is not taken here",
            Self::IdReused => "The id was used for something else",
            Self::LockTimeout => "The lock could not be had in time",
            Self::Overloaded => "Too much is going on",
            Self::NotReady => "The server does not take requests now",
            Self::ShardUnavailable => "The shard is not available",
            Self::OutcomeUnknown => "The outcome is not known",
            Self::MemoryFull => "The memory limit is reached",
        }
    }

    /// The HTTP status.
    pub const fn status(self) -> u16 {
        match self {
            Self::InvalidKey
            | Self::InvalidUtf8
            | Self::InvalidHeader
            | Self::InvalidQuery
            | Self::MalformedBody
            | Self::DuplicateKey
            | Self::EmptyTransaction
            | Self::KeyTooLongInBody => 400,
            Self::KeyNotFound
            | Self::RouteNotFound
            | Self::TransactionNotFound
            | Self::MemberNotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::RequestTimeout => 408,
            Self::Conflict | Self::ClusterConflict => 409,
            Self::PreconditionFailed => 412,
            Self::ValueTooLarge | Self::TransactionTooLarge => 413,
            Self::KeyTooLongInPath => 414,
            Self::UnsupportedMediaType => 415,
            Self::IdReused => 422,
            Self::LockTimeout | Self::Overloaded | Self::NotReady | Self::ShardUnavailable => 503,
            Self::OutcomeUnknown => 504,
            Self::MemoryFull => 507,
        }
    }

    /// Whether the same request may succeed if it is sent again as it is. After
    /// [`Outcome::Unknown`] this holds only for a request that carries an id.
    pub const fn retryable(self) -> bool {
        match self {
            Self::RequestTimeout
            | Self::LockTimeout
            | Self::Overloaded
            | Self::NotReady
            | Self::ShardUnavailable
            | Self::OutcomeUnknown => true,
            Self::InvalidKey
            | Self::InvalidUtf8
            | Self::InvalidHeader
            | Self::InvalidQuery
            | Self::MalformedBody
            | Self::DuplicateKey
            | Self::EmptyTransaction
            | Self::KeyNotFound
            | Self::RouteNotFound
            | Self::TransactionNotFound
            | Self::MemberNotFound
            | Self::MethodNotAllowed
            | Self::Conflict
            | Self::ClusterConflict
            | Self::PreconditionFailed
            | Self::ValueTooLarge
            | Self::TransactionTooLarge
            | Self::KeyTooLongInPath
            | Self::KeyTooLongInBody
            | Self::UnsupportedMediaType
            | Self::IdReused
            | Self::MemoryFull => false,
        }
    }

    /// What happened to the write.
    pub const fn outcome(self) -> Outcome {
        match self {
            Self::OutcomeUnknown => Outcome::Unknown,
            Self::InvalidKey
            | Self::InvalidUtf8
            | Self::InvalidHeader
            | Self::InvalidQuery
            | Self::MalformedBody
            | Self::DuplicateKey
            | Self::EmptyTransaction
            | Self::KeyNotFound
            | Self::RouteNotFound
            | Self::TransactionNotFound
            | Self::MemberNotFound
            | Self::MethodNotAllowed
            | Self::RequestTimeout
            | Self::Conflict
            | Self::ClusterConflict
            | Self::PreconditionFailed
            | Self::ValueTooLarge
            | Self::TransactionTooLarge
            | Self::KeyTooLongInPath
            | Self::KeyTooLongInBody
            | Self::UnsupportedMediaType
            | Self::IdReused
            | Self::LockTimeout
            | Self::Overloaded
            | Self::NotReady
            | Self::ShardUnavailable
            | Self::MemoryFull => Outcome::NotCommitted,
        }
    }

    /// How long to wait before the next try, in milliseconds; for every 503, none for the rest.
    pub const fn retry_after_ms(self) -> Option<u64> {
        match self {
            // The lock has been waited for already: its holder is slow, not busy.
            Self::LockTimeout | Self::ShardUnavailable | Self::NotReady => Some(1000),
            Self::Overloaded => Some(100),
            _ => None,
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_lists_every_code_once() {
        let distinct: std::collections::HashSet<_> = ErrorCode::ALL.into_iter().collect();
        assert_eq!(distinct.len(), ErrorCode::ALL.len());
    }

    #[test]
    fn a_code_is_known_by_its_name() {
        let mut names = std::collections::BTreeMap::new();
        let snake_case = |b: u8| b == b'_' || b.is_ascii_lowercase() || b.is_ascii_digit();
        for code in ErrorCode::ALL {
            let name = code.as_str();
            assert!(!name.is_empty() && name.bytes().all(snake_case), "{name:?}");
            assert_eq!(code.to_string(), name);
            names.entry(name).or_insert_with(Vec::new).push(code);
        }
        let shared: Vec<_> = names
            .into_values()
            .filter(|codes| codes.len() > 1)
            .collect();
        let too_long = [ErrorCode::KeyTooLongInBody, ErrorCode::KeyTooLongInPath];
        assert_eq!(shared, [too_long], "one name for two statuses");
    }

    #[test]
    fn names_and_titles_go_together() {
        for a in ErrorCode::ALL {
            assert!(!a.title().is_empty(), "{a}");
            for b in ErrorCode::ALL {
                assert_eq!(
                    a.as_str() == b.as_str(),
                    a.title() == b.title(),
                    "{a} and {b}"
                );
            }
        }
    }

    #[test]
    fn the_status_alone_says_whether_to_try_again() {
        for code in ErrorCode::ALL {
            let may_pass = matches!(code.status(), 408 | 503 | 504);
            assert_eq!(code.retryable(), may_pass, "{code}");
        }
    }

    #[test]
    fn the_status_alone_says_what_happened() {
        for code in ErrorCode::ALL {
            let certain = match code.status() {
                504 => Outcome::Unknown,
                400..=499 | 503 | 507 => Outcome::NotCommitted,
                other => panic!("{code} has the status {other}, which the contract does not name"),
            };
            assert_eq!(code.outcome(), certain, "{code}");
        }
    }

    #[test]
    fn exactly_the_503s_say_when_to_come_back() {
        for code in ErrorCode::ALL {
            assert_eq!(
                code.retry_after_ms().is_some(),
                code.status() == 503,
                "{code}"
            );
        }
    }

    #[test]
    fn whoever_is_told_to_come_back_may_come_back() {
        for code in ErrorCode::ALL {
            assert!(
                code.retryable() || code.retry_after_ms().is_none(),
                "{code}"
            );
        }
    }
}
