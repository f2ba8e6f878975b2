//! What every answer of a server must be, whatever the request was.

use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use trandb_common::{ErrorCode, Problem, Version};

/// An answer that keeps the contract's form.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// Of an error that has a body.
    pub(super) problem: Option<Problem>,
}

impl Answer {
    /// Collects and checks the answer to a request of `method`.
    pub(super) async fn of(method: &Method, response: Response<trandb_server::Body>) -> Self {
        let (head, body) = response.into_parts();
        let body = body.collect().await.expect("the body comes").to_bytes();
        Self::checked(method, head.status, head.headers, body)
    }

    pub(super) fn checked(
        method: &Method,
        status: StatusCode,
        headers: HeaderMap,
        body: Bytes,
    ) -> Self {
        let problem = if status.is_success() || status == StatusCode::NOT_MODIFIED {
            None
        } else {
            problem(method, status, &headers, &body)
        };
        Self {
            status: status.as_u16(),
            headers,
            body,
            problem,
        }
    }

    /// The name of the error; none of a success, and of an error to HEAD without its body.
    pub(super) fn code(&self) -> Option<&str> {
        self.problem.as_ref().map(|problem| &*problem.code)
    }

    /// The version that the answer names.
    pub(super) fn version(&self) -> Option<Version> {
        let tag = self.headers.get(header::ETAG)?.to_str().expect("text");
        let text = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
        let version = text.expect("a strong tag").parse().expect("a version");
        Some(version)
    }
}

/// The problem of an answer that is not a success: whole, known, and in agreement with the status.
fn problem(
    method: &Method,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
) -> Option<Problem> {
    let media_type = headers.get(header::CONTENT_TYPE);
    assert_eq!(
        media_type.map(http::HeaderValue::as_bytes),
        Some(&b"application/problem+json"[..]),
        "an error of {status} is a problem"
    );
    let comes_back = headers.contains_key(header::RETRY_AFTER);
    assert_eq!(comes_back, status == 503, "exactly a 503 has Retry-After");
    if method == Method::HEAD && body.is_empty() {
        return None;
    }
    let problem: Problem = serde_json::from_slice(body).expect("a problem");
    let known = |code: &&ErrorCode| code.as_str() == problem.code && code.status() == status;
    let code = ErrorCode::ALL
        .iter()
        .find(known)
        .unwrap_or_else(|| panic!("{status} is not of {}", problem.code));
    assert_eq!(problem.status, status.as_u16());
    assert_eq!(
        (problem.outcome, problem.retryable),
        (code.outcome(), code.retryable())
    );
    assert_eq!(problem.retry_after_ms.is_some(), comes_back);
    Some(problem)
}
