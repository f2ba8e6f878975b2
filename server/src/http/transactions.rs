//! `POST /transactions`, `GET /transactions/{id}`, `POST /transactions/{id}/abort`.

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use http::{
    HeaderMap, HeaderValue, Method, Response,
    header::{CACHE_CONTROL, CONTENT_TYPE, EXPECT},
    request,
};
use serde::Serialize;
use tokio::time::Instant;
use trandb_common::{
    ErrorCode, Problem, TransactionBody, TransactionId,
    limits::{TRANSACTION_BYTES_MAX, TRANSACTION_TIMEOUT_DEFAULT, TRANSACTION_TIMEOUT_MAX},
    wire::transaction::{
        CBOR_CONTENT_TYPE, Committed, Decision, Found, JSON_CONTENT_TYPE, Octets, Request, Status,
    },
};
use trandb_engine::{Operations, Write};

use super::{Body, BoxedAnswer, Inner, RequestBody, problem::Rejection, refused, upload};
use crate::{
    Shards,
    in_flight::Permit,
    transactions::{self, Error},
};

/// Where transactions are.
const PATH: &str = "/transactions";

/// How a body is written; the answer is written alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Cbor,
}

/// What is asked.
pub(super) enum Asked {
    Commit {
        format: Result<Format, Rejection>,
        expects_continue: bool,
    },
    Status(TransactionId),
    Abort(TransactionId),
    Nothing(Rejection),
}

/// What a request asks of transactions; none if its path is another.
pub(super) fn ask(head: &request::Parts) -> Option<Asked> {
    let rest = head.uri.path().strip_prefix(PATH)?;
    if rest.is_empty() {
        return Some(if head.method == Method::POST {
            Asked::Commit {
                format: format(head),
                expects_continue: head.headers.contains_key(EXPECT),
            }
        } else {
            Asked::Nothing(Rejection::method_not_allowed("POST"))
        });
    }
    let (id, is_abort) = match rest.strip_prefix('/')?.split_once('/') {
        None => (&rest[1..], false),
        Some((id, "abort")) => (id, true),
        Some(_) => return None,
    };
    Some(of_one(&head.method, id, is_abort).unwrap_or_else(Asked::Nothing))
}

fn of_one(method: &Method, id: &str, is_abort: bool) -> Result<Asked, Rejection> {
    let id = id.parse().map_err(|error| {
        Rejection::new(
            ErrorCode::TransactionNotFound,
            format!("{id:?} names no transaction: {error}."),
        )
    })?;
    match (is_abort, method) {
        (true, &Method::POST) => Ok(Asked::Abort(id)),
        (false, &Method::GET | &Method::HEAD) => Ok(Asked::Status(id)),
        (true, _) => Err(Rejection::method_not_allowed("POST")),
        (false, _) => Err(Rejection::method_not_allowed("GET, HEAD")),
    }
}

fn format(head: &request::Parts) -> Result<Format, Rejection> {
    let essence = head
        .headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .map(str::trim);
    match essence {
        Some(essence) if essence.eq_ignore_ascii_case(JSON_CONTENT_TYPE) => Ok(Format::Json),
        Some(essence) if essence.eq_ignore_ascii_case(CBOR_CONTENT_TYPE) => Ok(Format::Cbor),
        _ => Err(Rejection::new(
            ErrorCode::UnsupportedMediaType,
            "A transaction is sent with Content-Type: application/json, or application/cbor. \
             Nothing was changed.",
        )),
    }
}

/// Does what is asked.
pub(super) fn answer<S: Shards, B: RequestBody>(
    inner: Arc<Inner<S>>,
    asked: Asked,
    body: B,
) -> BoxedAnswer {
    match asked {
        Asked::Commit {
            format,
            expects_continue,
        } => Box::pin(commit(inner, format, expects_continue, body)),
        Asked::Status(id) => Box::pin(status(inner, id)),
        Asked::Abort(id) => Box::pin(abort(inner, id)),
        Asked::Nothing(rejection) => refused(rejection),
    }
}

#[utoipa::path(
    post, path = "/transactions", tag = "transactions", operation_id = "commit",
    summary = "Change many keys, all at one moment or none",
    description = "Reads and checks are of the moment of the commit, before its writes. The same \
        transaction may be sent again under its id: it is run once. The answer is written in the \
        format of the request. In application/cbor values are byte strings.",
    request_body(content(
        (Request = "application/json"),
        (Request = "application/cbor"),
    )),
    responses(
        (status = 200, description = "It was committed",
            content((Committed = "application/json"), (Committed = "application/cbor")),
            headers(("Cache-Control" = String, description = "`no-store`"))),
    ),
)]
async fn commit<S: Shards, B: RequestBody>(
    inner: Arc<Inner<S>>,
    format: Result<Format, Rejection>,
    expects_continue: bool,
    mut body: B,
) -> Result<Response<Body>, Rejection> {
    let uploaded = async {
        let format = format?;
        Ok((format, read_whole(&inner, &mut body).await?))
    };
    let (format, (bytes, permit)) = match uploaded.await {
        Ok(uploaded) => uploaded,
        Err(rejection) => {
            if !(expects_continue || body.is_end_stream()) {
                tokio::spawn(upload::discard(body));
            }
            return Err(rejection);
        }
    };
    let (asked, acknowledged) = understand(format, &bytes)?;
    drop(bytes);
    let keys = Arc::clone(asked.body.operations());
    inner.database.acknowledge(acknowledged);
    let committed = inner.database.transact(asked).await?;
    drop(permit);
    Ok(answer_committed(&inner, format, &keys, committed))
}

/// Reads a body of bounded size, in bounded time.
async fn read_whole<S: Shards, B: RequestBody>(
    inner: &Inner<S>,
    body: &mut B,
) -> Result<(Vec<u8>, Permit), Rejection> {
    let limit = inner.settings.limits.transaction_body_bytes_max;
    let announced = body.size_hint().exact();
    if announced.is_some_and(|bytes| bytes > limit) {
        return Err(body_too_large(limit, announced));
    }
    let mut permit = inner.in_flight.take(0).ok_or_else(upload::overloaded)?;
    let deadline = Instant::now() + inner.settings.body_timeout;
    let mut bytes = Vec::new();
    while let Some(piece) = upload::next_piece(body, deadline).await? {
        if (bytes.len() + piece.len()) as u64 > limit {
            return Err(body_too_large(limit, None));
        }
        upload::take(&mut permit, &piece)?;
        bytes.extend_from_slice(&piece);
    }
    Ok((bytes, permit))
}

fn body_too_large(limit: u64, actual: Option<u64>) -> Rejection {
    let detail =
        format!("The body of a transaction has at most {limit} bytes here. Nothing was changed.");
    let mut problem = Problem::new(ErrorCode::TransactionTooLarge, detail);
    (problem.limit, problem.actual) = (Some(limit), actual);
    problem.into()
}

type Acknowledged = Vec<(TransactionId, trandb_common::Key)>;

fn understand(
    format: Format,
    bytes: &[u8],
) -> Result<(transactions::Asked, Acknowledged), Rejection> {
    let malformed = |error: String| {
        Rejection::new(
            ErrorCode::MalformedBody,
            format!("The body is not a transaction: {error}. Nothing was changed."),
        )
    };
    let request: Request = match format {
        // All at once costs less than each text by itself.
        Format::Json => std::str::from_utf8(bytes)
            .map_err(|_| malformed("it is not UTF-8".to_owned()))
            .and_then(|text| {
                serde_json::from_str(text).map_err(|error| malformed(error.to_string()))
            })?,
        Format::Cbor => from_cbor(bytes).map_err(malformed)?,
    };
    let invalid = |error| Rejection::from(Problem::from(&error));
    let body = request.check().map_err(invalid)?;
    let acknowledged = request.check_acknowledged().map_err(invalid)?;
    let timeout = request
        .timeout_ms
        .map_or(TRANSACTION_TIMEOUT_DEFAULT, Duration::from_millis);
    let asked = transactions::Asked {
        id: request.id,
        body: body.into(),
        timeout: timeout.min(TRANSACTION_TIMEOUT_MAX),
    };
    Ok((asked, acknowledged))
}

/// One CBOR item, and nothing behind it.
fn from_cbor(bytes: &[u8]) -> Result<Request, String> {
    let mut deserializer = minicbor_serde::Deserializer::new(bytes);
    let request = serde::Deserialize::deserialize(&mut deserializer)
        .map_err(|error: minicbor_serde::error::DecodeError| error.to_string())?;
    if deserializer.decoder().position() != bytes.len() {
        return Err("there are bytes behind it".to_owned());
    }
    Ok(request)
}

fn answer_committed<S: Shards>(
    inner: &Inner<S>,
    format: Format,
    asked: &Operations,
    committed: transactions::Committed,
) -> Response<Body> {
    let versions = asked.writes.iter().zip(committed.versions);
    let versions = versions.filter_map(|(write, version)| Some((write.key().clone(), version?)));
    let reads = committed.reads.map(|found| {
        let rows = asked.reads.iter().cloned().zip(found);
        rows.map(|(key, found)| Found {
            key,
            version: found.as_ref().map(|found| found.version),
            value: found.map(|found| Octets::from(found.value)),
        })
        .collect()
    });
    let answer = Committed {
        id: committed.id,
        outcome: Decision::Committed,
        versions: versions.collect(),
        reads,
    };
    written(inner, format, &answer)
}

/// An answer in this format. What is written counts as in flight.
fn written<S>(inner: &Inner<S>, format: Format, answer: &impl Serialize) -> Response<Body> {
    // Keys, numbers and bytes: writing them down cannot fail.
    let (headers, bytes) = match format {
        Format::Json => {
            let mut bytes = Vec::with_capacity(ANSWER_BYTES);
            let _ = serde_json::to_writer(&mut bytes, answer);
            (&JSON_HEADERS, bytes)
        }
        Format::Cbor => (
            &CBOR_HEADERS,
            minicbor_serde::to_vec(answer).unwrap_or_default(),
        ),
    };
    // The transaction is decided: what the answer takes must be counted, never refused.
    let permit = inner.in_flight.count(bytes.len() as u64);
    let mut response = Response::new(Body::made(bytes, permit));
    *response.headers_mut() = HeaderMap::clone(headers);
    response
}

/// What the answer to a small transaction takes as JSON.
const ANSWER_BYTES: usize = 512;

// Copying a table costs less than filling one.
static JSON_HEADERS: LazyLock<HeaderMap> = LazyLock::new(|| headers(JSON_CONTENT_TYPE));
static CBOR_HEADERS: LazyLock<HeaderMap> = LazyLock::new(|| headers(CBOR_CONTENT_TYPE));

fn headers(content_type: &'static str) -> HeaderMap {
    HeaderMap::from_iter([
        (CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ])
}

#[utoipa::path(
    get, path = "/transactions/{id}", tag = "transactions", operation_id = "transaction_status",
    summary = "What became of a transaction",
    params(("id" = String, Path, format = "uuid", description = "The id that it was sent with")),
    responses(
        (status = 200, description = "What is known", body = Status,
            headers(("Cache-Control" = String, description = "`no-store`"))),
    ),
)]
async fn status<S: Shards>(
    inner: Arc<Inner<S>>,
    id: TransactionId,
) -> Result<Response<Body>, Rejection> {
    let outcome = match inner.database.transaction_status(id).await? {
        Some(status) => decision(status),
        None => {
            return Err(Rejection::new(
                ErrorCode::TransactionNotFound,
                "No transaction with this id has come, or its outcome is no longer kept.",
            ));
        }
    };
    Ok(written(&inner, Format::Json, &Status { outcome }))
}

#[utoipa::path(
    post, path = "/transactions/{id}/abort", tag = "transactions",
    operation_id = "abort_transaction",
    summary = "Decide a transaction",
    description = "Aborts it, unless it is committed. The answer is final: after not_committed it \
        will not be committed, even if its request is still on the way.",
    params(("id" = String, Path, format = "uuid", description = "The id that it was sent with")),
    responses(
        (status = 200, description = "committed or not_committed", body = Status,
            headers(("Cache-Control" = String, description = "`no-store`"))),
    ),
)]
async fn abort<S: Shards>(
    inner: Arc<Inner<S>>,
    id: TransactionId,
) -> Result<Response<Body>, Rejection> {
    let status = inner.database.abort_transaction(id).await?;
    let outcome = decision(status);
    Ok(written(&inner, Format::Json, &Status { outcome }))
}

fn decision(status: transactions::Status) -> Decision {
    match status {
        transactions::Status::Committed => Decision::Committed,
        transactions::Status::NotCommitted => Decision::NotCommitted,
        transactions::Status::InProgress => Decision::InProgress,
    }
}

/// A write of one key that carries an id: a transaction of that write and its condition.
pub(super) fn single(
    id: TransactionId,
    check: Option<trandb_engine::Check>,
    write: Write,
) -> Result<transactions::Asked, Rejection> {
    let operations = Operations {
        checks: check.into_iter().collect(),
        reads: Vec::new(),
        writes: vec![write],
    };
    let body = TransactionBody::new(operations);
    Ok(transactions::Asked {
        id: Some(id),
        body: body
            .map_err(|error| Rejection::from(Problem::from(&error)))?
            .into(),
        timeout: trandb_common::limits::LOCK_WAIT_MAX,
    })
}

impl From<Error> for Rejection {
    fn from(error: Error) -> Self {
        match error {
            Error::Conflict(failed) => {
                let detail = match failed.as_slice() {
                    [] => {
                        "The transaction was decided before: it did not happen, and will not. \
                         Send it under a new id."
                    }
                    _ => {
                        "Keys have other versions than the checks ask. Nothing was changed. Read \
                         them again."
                    }
                };
                let mut problem = Problem::new(ErrorCode::Conflict, detail);
                problem.failed = Some(failed);
                problem.into()
            }
            Error::TooMuchRead { bytes } => {
                let limit = TRANSACTION_BYTES_MAX as u64;
                let detail = format!(
                    "The values that a transaction reads have at most {limit} bytes together, \
                     these have {bytes}. Nothing was changed. Read them by several transactions, \
                     or one by one."
                );
                let mut problem = Problem::new(ErrorCode::TransactionTooLarge, detail);
                (problem.limit, problem.actual) = (Some(limit), Some(bytes));
                problem.into()
            }
            Error::IdReused => Self::new(
                ErrorCode::IdReused,
                "A transaction with another body has this id. This one did not happen. Give every \
                 transaction an id of its own.",
            ),
            Error::LockTimeout => Self::new(
                ErrorCode::LockTimeout,
                "Other transactions held the keys until the time was over. Nothing was changed. \
                 Try again.",
            ),
            Error::ShardUnavailable => Self::new(
                ErrorCode::ShardUnavailable,
                "A shard did not answer. Nothing was changed. Try again.",
            ),
            Error::Overloaded => Self::new(
                ErrorCode::Overloaded,
                "There is no room to remember what becomes of the transaction. Nothing was \
                 changed. Try again later.",
            ),
            Error::MemoryFull { limit, used } => {
                crate::database::Error::MemoryFull { limit, used }.into()
            }
            Error::Unknown { id, promised } => {
                let detail = if promised {
                    "The transaction may or may not have happened. Ask at `transaction`, or send \
                     it again under the same id."
                } else {
                    "The transaction may or may not have happened. Ask at `transaction`. One that \
                     is sent with an id may be sent again."
                };
                let mut problem = Problem::new(ErrorCode::OutcomeUnknown, detail);
                problem.transaction = Some(format!("{PATH}/{id}"));
                problem.into()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Request as HttpRequest;

    use super::*;

    fn asked(method: &str, path: &str) -> Option<Asked> {
        let request = HttpRequest::builder().method(method).uri(path);
        let (head, ()) = request.body(()).expect("a request").into_parts();
        ask(&head)
    }

    #[test]
    fn paths_are_told_from_each_other() {
        const ID: &str = "0199c2f4-5d1e-7c3a-9a41-2f60c1f0a7d2";
        assert!(matches!(
            asked("POST", "/transactions"),
            Some(Asked::Commit { .. })
        ));
        let status = asked("GET", &format!("/transactions/{ID}"));
        assert!(matches!(status, Some(Asked::Status(_))));
        let abort = asked("POST", &format!("/transactions/{ID}/abort"));
        assert!(matches!(abort, Some(Asked::Abort(_))));
        for (method, path) in [
            ("GET", "/transactions"),
            ("DELETE", &*format!("/transactions/{ID}")),
            ("GET", &*format!("/transactions/{ID}/abort")),
            ("GET", "/transactions/17"),
        ] {
            assert!(
                matches!(asked(method, path), Some(Asked::Nothing(_))),
                "{method} {path}"
            );
        }
        for path in [
            "/transactionsx",
            &format!("/transactions/{ID}/x"),
            "/keys/a",
        ] {
            assert!(asked("GET", path).is_none(), "{path}");
        }
    }

    #[test]
    fn bytes_behind_a_cbor_item_are_refused() {
        assert!(from_cbor(b"\xa0").is_ok());
        assert!(from_cbor(b"\xa0\x00").is_err());
        assert!(from_cbor(b"").is_err());
    }
}
