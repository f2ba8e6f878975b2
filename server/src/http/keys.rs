//! `/keys/{key}`: GET, HEAD, PUT, DELETE.

use std::sync::{Arc, LazyLock};

use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri,
    header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, EXPECT, X_CONTENT_TYPE_OPTIONS},
    request,
};
use trandb_common::{ErrorCode, Key, Problem, TransactionId, Version, path};
use trandb_engine::{Check, Condition, Found, Write};

use super::{Body, BoxedAnswer, Inner, RequestBody, headers, problem::Rejection, refused, upload};
use crate::{Shards, database, transactions};

/// What a key takes.
pub(super) const METHODS: &str = "GET, HEAD, PUT, DELETE";

/// What is asked of one key. A future that waits for a body holds this instead of a whole head.
pub(super) enum Asked {
    Get(Target),
    Head(Target),
    Put {
        target: Result<Target, Rejection>,
        id: Option<TransactionId>,
        expects_continue: bool,
    },
    Delete(Target, Option<TransactionId>),
    Nothing(Rejection),
}

/// What a request on the key that `segment` names asks.
pub(super) fn ask(segment: &str, head: &request::Parts) -> Asked {
    try_ask(segment, head).unwrap_or_else(Asked::Nothing)
}

fn try_ask(segment: &str, head: &request::Parts) -> Result<Asked, Rejection> {
    let target = || checked(segment, &head.uri, &head.headers);
    let supported = || headers::refuse_unsupported(&head.headers);
    match head.method {
        Method::GET => Ok(Asked::Get(target()?)),
        Method::HEAD => Ok(Asked::Head(target()?)),
        Method::PUT => {
            let checked = || {
                supported()?;
                Ok((target()?, headers::idempotency_key(&head.headers)?))
            };
            let (target, id) = match checked() {
                Ok((target, id)) => (Ok(target), id),
                Err(rejection) => (Err(rejection), None),
            };
            Ok(Asked::Put {
                target,
                id,
                expects_continue: head.headers.contains_key(EXPECT),
            })
        }
        Method::DELETE => {
            supported()?;
            let id = headers::idempotency_key(&head.headers)?;
            Ok(Asked::Delete(target()?, id))
        }
        _ => Err(Rejection::method_not_allowed(METHODS)),
    }
}

/// Does what is asked.
pub(super) fn answer<S: Shards, B: RequestBody>(
    inner: Arc<Inner<S>>,
    asked: Asked,
    body: B,
) -> BoxedAnswer {
    match asked {
        Asked::Get(target) => Box::pin(get(inner, target, false)),
        Asked::Head(target) => Box::pin(get(inner, target, true)),
        Asked::Put {
            target,
            id,
            expects_continue,
        } => Box::pin(put(inner, target, id, expects_continue, body)),
        Asked::Delete(target, None) => Box::pin(delete(inner, target)),
        Asked::Delete(target, Some(id)) => Box::pin(delete_once(inner, target, id)),
        Asked::Nothing(rejection) => refused(rejection),
    }
}

/// Answers a GET on the key that `segment` names, if nothing has to be waited for; none says
/// nothing.
pub(super) fn get_now<S: Shards, B>(
    inner: &Inner<S>,
    segment: &str,
    request: &Request<B>,
) -> Option<Result<Response<Body>, Rejection>> {
    match checked(segment, request.uri(), request.headers()) {
        Ok(Target { key, condition }) => {
            let found = inner.database.get_now(&key)?;
            Some(answer_read(inner, &key, found, &condition, false))
        }
        Err(rejection) => Some(Err(rejection)),
    }
}

/// What a request is about, and under which condition.
pub(super) struct Target {
    key: Key,
    condition: Condition,
}

fn checked(segment: &str, uri: &Uri, headers: &HeaderMap) -> Result<Target, Rejection> {
    let key = path::decode_key(segment)?;
    if uri.query().is_some() {
        return Err(Rejection::new(
            ErrorCode::InvalidQuery,
            "A key takes no query. A `?` that is part of the key is written %3F.",
        ));
    }
    Ok(Target {
        key,
        condition: headers::condition(headers)?,
    })
}

#[utoipa::path(
    get, path = "/keys/{key}", tag = "keys", operation_id = "get",
    summary = "Read a value",
    params(
        ("key" = String, Path, min_length = 1, max_length = 1024,
            pattern = r"^([^.]|\.[^.]|\.\.[\s\S])",
            description = "1 to 1,024 bytes of UTF-8, percent-encoded; not `.`, not `..`"),
        ("If-None-Match" = Option<String>, Header, description = "Versions that are known already"),
        ("If-Match" = Option<String>, Header, description = "Versions that are wanted"),
    ),
    responses(
        (status = 200, description = "The value", content_type = "application/octet-stream",
            body = Vec<u8>,
            headers(
                ("ETag" = String, description = "The value's version"),
                ("Cache-Control" = String, description = "`no-store`"),
                ("X-Content-Type-Options" = String, description = "`nosniff`"),
            )),
        (status = 304, description = "The value has one of the versions of If-None-Match",
            headers(
                ("ETag" = String, description = "The value's version"),
                ("Cache-Control" = String, description = "`no-store`"),
            )),
    ),
)]
async fn get<S: Shards>(
    inner: Arc<Inner<S>>,
    Target { key, condition }: Target,
    head_only: bool,
) -> Result<Response<Body>, Rejection> {
    let found = inner.database.get(&key).await?;
    answer_read(&inner, &key, found, &condition, head_only)
}

fn answer_read<S>(
    inner: &Inner<S>,
    key: &Key,
    found: Option<Found>,
    condition: &Condition,
    head_only: bool,
) -> Result<Response<Body>, Rejection> {
    let Some(Found { value, version }) = found else {
        return Err(Rejection::new(
            ErrorCode::KeyNotFound,
            format!("{key:?} has no value."),
        ));
    };
    if !condition.holds(Some(version)) {
        let wanted = condition
            .if_match
            .as_ref()
            .is_none_or(|tags| tags.contain(Some(version)));
        return if wanted {
            Ok(versioned(StatusCode::NOT_MODIFIED, version, Body::empty()))
        } else {
            Err(database::Error::PreconditionFailed(Some(version)).into())
        };
    }
    let length = value.len();
    let body = if head_only {
        Body::empty()
    } else {
        let permit = inner
            .in_flight
            .take(length as u64)
            .ok_or_else(upload::overloaded)?;
        Body::value(value, permit)
    };
    let mut response = with_headers(&VALUE_HEADERS, version, body);
    if head_only {
        // A body says by itself how long it is.
        let length = HeaderValue::from(length);
        response.headers_mut().insert(CONTENT_LENGTH, length);
    }
    Ok(response)
}

#[utoipa::path(
    put, path = "/keys/{key}", tag = "keys", operation_id = "put",
    summary = "Write a value",
    description = "With a UUID as Idempotency-Key it may be sent again and happens once; then the \
        condition is If-Match of one version, or If-None-Match: *.",
    request_body(content = Vec<u8>, content_type = "application/octet-stream",
        description = "0 to 4,194,304 bytes, kept as they are"),
    params(
        ("key" = String, Path, min_length = 1, max_length = 1024,
            pattern = r"^([^.]|\.[^.]|\.\.[\s\S])",
            description = "1 to 1,024 bytes of UTF-8, percent-encoded; not `.`, not `..`"),
        ("If-Match" = Option<String>, Header, description = "Write only over one of these versions"),
        ("If-None-Match" = Option<String>, Header, description = "`*`: write only a key without a value"),
    ),
    responses(
        (status = 200, description = "The value was written",
            headers(
                ("ETag" = String, description = "The value's version"),
                ("Cache-Control" = String, description = "`no-store`"),
            )),
    ),
)]
async fn put<S: Shards, B: RequestBody>(
    inner: Arc<Inner<S>>,
    target: Result<Target, Rejection>,
    id: Option<TransactionId>,
    expects_continue: bool,
    mut body: B,
) -> Result<Response<Body>, Rejection> {
    let uploaded = async {
        let target = target?;
        let in_flight: &Arc<_> = &inner.in_flight;
        let time = inner.settings.body_timeout;
        Ok((target, upload::read(&mut body, in_flight, time).await?))
    };
    let (Target { key, condition }, upload) = match uploaded.await {
        Ok(uploaded) => uploaded,
        Err(rejection) => {
            // A client that waits for `100 Continue` sends nothing after a refusal.
            if !(expects_continue || body.is_end_stream()) {
                tokio::spawn(upload::discard(body));
            }
            return Err(rejection);
        }
    };
    let version = match id {
        None => inner.database.put(key, upload.value, condition).await?,
        Some(id) => {
            let value = upload.value;
            let write = Write::Put {
                key: key.clone(),
                value,
            };
            // In a box: a PUT that names no id should not carry its room along.
            let committed = Box::pin(once(&inner, id, key, condition, write)).await?;
            let version = committed.versions.into_iter().flatten().next();
            let promised = true;
            version.ok_or(transactions::Error::Unknown { id, promised })?
        }
    };
    Ok(versioned(StatusCode::OK, version, Body::empty()))
}

#[utoipa::path(
    delete, path = "/keys/{key}", tag = "keys", operation_id = "delete",
    summary = "Take a value away",
    description = "With a UUID as Idempotency-Key it may be sent again and happens once; then the \
        condition is If-Match of one version, or If-None-Match: *.",
    params(
        ("key" = String, Path, min_length = 1, max_length = 1024,
            pattern = r"^([^.]|\.[^.]|\.\.[\s\S])",
            description = "1 to 1,024 bytes of UTF-8, percent-encoded; not `.`, not `..`"),
        ("If-Match" = Option<String>, Header, description = "Delete only one of these versions"),
        ("If-None-Match" = Option<String>, Header, description = "Delete none of these versions"),
    ),
    responses(
        (status = 204, description = "The key has no value, whether it had one before or not"),
    ),
)]
async fn delete<S: Shards>(
    inner: Arc<Inner<S>>,
    Target { key, condition }: Target,
) -> Result<Response<Body>, Rejection> {
    inner.database.delete(key, condition).await?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

async fn delete_once<S: Shards>(
    inner: Arc<Inner<S>>,
    Target { key, condition }: Target,
    id: TransactionId,
) -> Result<Response<Body>, Rejection> {
    let write = Write::Delete { key: key.clone() };
    once(&inner, id, key, condition, write).await?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

/// A write that happens once, however often it is sent under its id.
async fn once<S: Shards>(
    inner: &Inner<S>,
    id: TransactionId,
    key: Key,
    condition: Condition,
    write: Write,
) -> Result<transactions::Committed, Rejection> {
    let check = headers::single_version(condition)?.map(|version| Check {
        key: key.clone(),
        version,
    });
    let asked = super::transactions::single(id, check, write)?;
    let failed = match inner.database.transact(asked).await {
        Ok(committed) => return Ok(committed),
        Err(transactions::Error::Conflict(failed)) => failed,
        Err(error) => return Err(error.into()),
    };
    if let Some(failed) = failed.first() {
        return Err(database::Error::PreconditionFailed(failed.actual).into());
    }
    let found = inner.database.get(&key).await?;
    let detail = "A request with this Idempotency-Key did not happen, and will not. Send this one \
                  under a new key.";
    Err(Problem::new(ErrorCode::PreconditionFailed, detail)
        .with_current_version(found.map(|found| found.version))
        .into())
}

/// What every answer that names a version has, with room for it. No cache may keep it.
static VERSIONED_HEADERS: LazyLock<HeaderMap> = LazyLock::new(|| {
    let mut headers = HeaderMap::new();
    headers.insert(ETAG, HeaderValue::from_static(""));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers
});

/// And what an answer with a value has beside that.
static VALUE_HEADERS: LazyLock<HeaderMap> = LazyLock::new(|| {
    let mut headers = VERSIONED_HEADERS.clone();
    let octets = HeaderValue::from_static("application/octet-stream");
    headers.insert(CONTENT_TYPE, octets);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers
});

fn versioned(status: StatusCode, version: Version, body: Body) -> Response<Body> {
    let mut response = with_headers(&VERSIONED_HEADERS, version, body);
    *response.status_mut() = status;
    response
}

/// Copying a table of headers costs half of what making it does.
fn with_headers(headers: &HeaderMap, version: Version, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.headers_mut() = headers.clone();
    if let Some(tag) = response.headers_mut().get_mut(ETAG) {
        *tag = headers::etag(version);
    }
    response
}
