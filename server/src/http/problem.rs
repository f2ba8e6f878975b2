//! Errors as answers.

use http::{
    HeaderValue, Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, RETRY_AFTER},
};
use trandb_common::{ErrorCode, InvalidKey, PROBLEM_CONTENT_TYPE, Problem, ValueTooLarge, limits};

use super::{Body, headers};
use crate::database;

/// Why a request is refused: what is sent, and the headers that go with it.
#[derive(Debug)]
pub(super) struct Rejection {
    /// On the heap, since it is large and rare.
    problem: Box<Problem>,
    allow: Option<&'static str>,
}

impl Rejection {
    pub(super) fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Problem::new(code, detail).into()
    }

    /// The methods that the path does take.
    pub(super) fn method_not_allowed(allow: &'static str) -> Self {
        let detail = format!("Use one of {allow}.");
        Self {
            allow: Some(allow),
            ..Self::new(ErrorCode::MethodNotAllowed, detail)
        }
    }

    /// Adds a sentence to what happened here.
    pub(super) fn with_detail(mut self, sentence: &str) -> Self {
        self.problem.detail.push(' ');
        self.problem.detail.push_str(sentence);
        self
    }

    /// The answer.
    pub(super) fn into_response(self) -> Response<Body> {
        let Self { problem, allow } = self;
        // A problem is plain text and numbers: writing it down cannot fail.
        let json = serde_json::to_vec(&problem).unwrap_or_default();
        let mut response = Response::new(Body::from(json));
        *response.status_mut() =
            StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_CONTENT_TYPE));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(milliseconds) = problem.retry_after_ms {
            headers.insert(RETRY_AFTER, HeaderValue::from(milliseconds.div_ceil(1000)));
        }
        if let Some(allow) = allow {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        if let Some(Some(current)) = problem.current_version {
            headers.insert(ETAG, headers::etag(current));
        }
        response
    }
}

impl From<Problem> for Rejection {
    fn from(problem: Problem) -> Self {
        Self {
            problem: Box::new(problem),
            allow: None,
        }
    }
}

impl From<Rejection> for axum::response::Response {
    fn from(rejection: Rejection) -> Self {
        rejection.into_response().map(axum::body::Body::new)
    }
}

impl axum::response::IntoResponse for Rejection {
    fn into_response(self) -> axum::response::Response {
        self.into()
    }
}

/// A key that stands in a path.
impl From<InvalidKey> for Rejection {
    fn from(error: InvalidKey) -> Self {
        let detail = sentence(&error);
        match error {
            InvalidKey::TooLong { actual } => Problem::new(ErrorCode::KeyTooLongInPath, detail)
                .with_limit(limits::KEY_BYTES_MAX, u64::try_from(actual).ok())
                .into(),
            InvalidKey::NotUtf8 => Self::new(ErrorCode::InvalidUtf8, detail),
            InvalidKey::Empty | InvalidKey::DotSegment | InvalidKey::BadEscape => {
                Self::new(ErrorCode::InvalidKey, detail)
            }
        }
    }
}

/// What is wrong with a key, as a sentence.
fn sentence(error: &InvalidKey) -> String {
    let mut text = format!("{error}.");
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    text
}

impl From<ValueTooLarge> for Rejection {
    fn from(error: ValueTooLarge) -> Self {
        value_too_large(u64::try_from(error.actual).ok())
    }
}

/// `actual` in bytes, where it is known.
pub(super) fn value_too_large(actual: Option<u64>) -> Rejection {
    let detail = format!("A value has at most {} bytes.", limits::VALUE_BYTES_MAX);
    Problem::new(ErrorCode::ValueTooLarge, detail)
        .with_limit(limits::VALUE_BYTES_MAX, actual)
        .into()
}

impl From<database::Error> for Rejection {
    fn from(error: database::Error) -> Self {
        match error {
            database::Error::LockTimeout => Self::new(
                ErrorCode::LockTimeout,
                "The key's lock could not be had within one second. Nothing was changed. Try \
                 again.",
            ),
            database::Error::MemoryFull { limit, used } => {
                let mut problem = Problem::new(
                    ErrorCode::MemoryFull,
                    "The bytes stored have reached the memory limit. Nothing was changed. Reads \
                     and deletes go on: delete keys, or give the server more memory.",
                );
                (problem.limit, problem.actual) = (Some(limit), Some(used));
                problem.into()
            }
            database::Error::ShardUnavailable => Self::new(
                ErrorCode::ShardUnavailable,
                "The key's shard cannot be reached, or not enough of it. Nothing was changed. Try \
                 again.",
            ),
            database::Error::Unknown => Self::new(
                ErrorCode::OutcomeUnknown,
                "The write may or may not have happened, and may happen yet. Read the key. A write \
                 with an Idempotency-Key may be sent again.",
            ),
            database::Error::PreconditionFailed(current) => Problem::new(
                ErrorCode::PreconditionFailed,
                match current {
                    Some(_) => {
                        "The key has a value, and its version is not as the condition asks. \
                         Nothing was changed. Read it again."
                    }
                    None => "The key has no value. Nothing was changed.",
                },
            )
            .with_current_version(current)
            .into(),
        }
    }
}
