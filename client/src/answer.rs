//! What an answer means, by the contract's table. Pure.

use std::time::Duration;

use bytes::Bytes;
use http::{
    HeaderMap, Response, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, RETRY_AFTER},
};
use serde::de::DeserializeOwned;
use trandb_common::{
    ErrorCode, PROBLEM_CONTENT_TYPE, Problem, Version,
    limits::VALUE_BYTES_MAX,
    wire::{
        cluster::ClusterStatus,
        transaction::{self as wire, Decision},
    },
};

use crate::{Entry, Key, Limits, ListPage, Stat, TransactionStatus, error::Kind};

/// A failed try.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    /// How long the server asks to wait.
    pub(crate) retry_after: Option<Duration>,
}

impl From<Kind> for Failure {
    fn from(kind: Kind) -> Self {
        Self {
            kind,
            retry_after: None,
        }
    }
}

/// `GET /keys/{key}`.
pub(crate) fn entry(answer: &Response<Bytes>) -> Result<Option<Entry>, Failure> {
    if answer.status() != StatusCode::OK {
        return absent_or_failure(answer);
    }
    let version = version(answer)?;
    let value = answer.body().clone();
    if value.len() > VALUE_BYTES_MAX {
        return Err(unusable(StatusCode::OK, "has a value of more than 4 MiB"));
    }
    Ok(Some(Entry { value, version }))
}

/// `HEAD /keys/{key}`.
pub(crate) fn stat(answer: &Response<Bytes>) -> Result<Option<Stat>, Failure> {
    match answer.status() {
        StatusCode::OK => {}
        // An answer to HEAD has no body, but the type of the one that GET would get.
        StatusCode::NOT_FOUND if is_problem(answer.headers()) => return Ok(None),
        _ => return Err(failure(answer)),
    }
    let size = answer
        .headers()
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .ok_or_else(|| unusable(StatusCode::OK, "has no Content-Length"))?;
    Ok(Some(Stat {
        version: version(answer)?,
        size,
    }))
}

/// `PUT /keys/{key}`.
pub(crate) fn written(answer: &Response<Bytes>) -> Result<Version, Failure> {
    if answer.status() == StatusCode::OK {
        version(answer)
    } else {
        Err(failure(answer))
    }
}

/// `DELETE /keys/{key}`.
pub(crate) fn deleted(answer: &Response<Bytes>) -> Result<(), Failure> {
    if answer.status() == StatusCode::NO_CONTENT {
        Ok(())
    } else {
        Err(failure(answer))
    }
}

/// `GET /keys`, where the page is to hold keys after `after`.
pub(crate) fn page(answer: &Response<Bytes>, after: Option<&Key>) -> Result<ListPage, Failure> {
    let page: ListPage = json(answer)?;
    // Whoever follows the pages of a listing must arrive at its end.
    if page.next.is_some() && page.next.as_ref() <= after {
        return Err(unusable(answer.status(), "has a next page that leads back"));
    }
    Ok(page)
}

/// `GET /limits`.
pub(crate) fn limits(answer: &Response<Bytes>) -> Result<Limits, Failure> {
    json(answer)
}

/// `GET /cluster`.
pub(crate) fn cluster(answer: &Response<Bytes>) -> Result<ClusterStatus, Failure> {
    json(answer)
}

/// `POST /cluster/remove` and `POST /cluster/transfer`.
pub(crate) fn done(answer: &Response<Bytes>) -> Result<(), Failure> {
    match answer.status() {
        StatusCode::OK | StatusCode::ACCEPTED => Ok(()),
        _ => Err(failure(answer)),
    }
}

/// `GET /readyz`. Any 503 will do: a proxy's means as little readiness as the server's.
pub(crate) fn ready(answer: &Response<Bytes>) -> Result<bool, Failure> {
    match answer.status() {
        StatusCode::OK => Ok(true),
        StatusCode::SERVICE_UNAVAILABLE => Ok(false),
        _ => Err(failure(answer)),
    }
}

/// `POST /transactions`. With `asked` the answer must hold what was read of exactly these keys.
pub(crate) fn committed(
    answer: &Response<Bytes>,
    asked: Option<&[Key]>,
) -> Result<wire::Committed, Failure> {
    if answer.status() != StatusCode::OK {
        return Err(failure(answer));
    }
    let committed: wire::Committed =
        minicbor_serde::from_slice(answer.body()).map_err(|error| {
            Failure::from(Kind::Unusable {
                status: answer.status(),
                what: "has a body that is not the CBOR of the contract",
                source: Some(error.to_string().into()),
            })
        })?;
    let read = committed.reads.iter().flatten().map(|found| &found.key);
    if committed.outcome != Decision::Committed || asked.is_some_and(|keys| !read.eq(keys)) {
        let what = "is not the answer to this transaction";
        return Err(unusable(answer.status(), what));
    }
    Ok(committed)
}

/// `GET /transactions/{id}`.
pub(crate) fn transaction_status(
    answer: &Response<Bytes>,
) -> Result<Option<TransactionStatus>, Failure> {
    if answer.status() == StatusCode::NOT_FOUND {
        let failure = failure(answer);
        return match &failure.kind {
            Kind::Problem(problem) if problem.code == ErrorCode::TransactionNotFound.as_str() => {
                Ok(None)
            }
            _ => Err(failure),
        };
    }
    transaction_aborted(answer).map(Some)
}

/// `POST /transactions/{id}/abort`.
pub(crate) fn transaction_aborted(answer: &Response<Bytes>) -> Result<TransactionStatus, Failure> {
    json(answer).map(|status: wire::Status| status.outcome.into())
}

fn json<T: DeserializeOwned>(answer: &Response<Bytes>) -> Result<T, Failure> {
    if answer.status() != StatusCode::OK {
        return Err(failure(answer));
    }
    serde_json::from_slice(answer.body()).map_err(|error| {
        Failure::from(Kind::Unusable {
            status: answer.status(),
            what: "has a body that is not the JSON of the contract",
            source: Some(error.into()),
        })
    })
}

/// `key_not_found` is an answer; any other 404 is not one of a key.
fn absent_or_failure<T>(answer: &Response<Bytes>) -> Result<Option<T>, Failure> {
    let failure = failure(answer);
    match &failure.kind {
        Kind::Problem(problem) if problem.code == ErrorCode::KeyNotFound.as_str() => Ok(None),
        _ => Err(failure),
    }
}

fn failure(answer: &Response<Bytes>) -> Failure {
    let status = answer.status();
    if status.is_success() {
        return unusable(status, "has a status that is not the contract's");
    }
    let problem = problem(answer);
    let retry_after = problem
        .as_ref()
        .and_then(|problem| problem.retry_after_ms.map(Duration::from_millis))
        .or_else(|| retry_after(answer.headers()));
    Failure {
        kind: problem.map_or(Kind::Foreign(status), |problem| {
            Kind::Problem(Box::new(problem))
        }),
        retry_after,
    }
}

/// The server's own words; none when the answer is not TranDB's, or its body did not come whole.
fn problem(answer: &Response<Bytes>) -> Option<Problem> {
    if !is_problem(answer.headers()) {
        return None;
    }
    serde_json::from_slice(answer.body())
        .ok()
        .filter(|problem: &Problem| problem.status == answer.status().as_u16())
}

fn is_problem(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|essence| essence.trim().eq_ignore_ascii_case(PROBLEM_CONTENT_TYPE))
}

/// Seconds only: the header's other form, a date, would need a wall clock.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers
        .get(RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds))
}

/// The version in the answer's strong `ETag`.
fn version(answer: &Response<Bytes>) -> Result<Version, Failure> {
    answer
        .headers()
        .get(ETAG)
        .and_then(|value| value.to_str().ok())
        .and_then(|tag| tag.strip_prefix('"')?.strip_suffix('"')?.parse().ok())
        .ok_or_else(|| unusable(answer.status(), "has no version in its ETag"))
}

fn unusable(status: StatusCode, what: &'static str) -> Failure {
    Failure::from(Kind::Unusable {
        status,
        what,
        source: None,
    })
}
