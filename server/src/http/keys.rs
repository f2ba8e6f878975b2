//! `/keys/{key}`: GET, HEAD, PUT, DELETE.

use std::sync::{Arc, LazyLock};

use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri,
    header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, EXPECT, X_CONTENT_TYPE_OPTIONS},
    request,
};
use trandb_common::{ErrorCode, Key, Version, path};
use trandb_engine::{Condition, Found};

use super::{Body, Inner, RequestBody, headers, problem::Rejection, upload};
use crate::{Shards, database};

/// What a key takes.
pub(super) const METHODS: &str = "GET, HEAD, PUT, DELETE";

/// What is asked of one key. A future that waits for a body holds this instead of a whole head.
pub(super) enum Asked {
    Get(Target),
    Head(Target),
    Put {
        target: Result<Target, Rejection>,
        expects_continue: bool,
    },
    Delete(Target),
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
        Method::PUT => Ok(Asked::Put {
            target: target().and_then(|target| supported().map(|()| target)),
            expects_continue: head.headers.contains_key(EXPECT),
        }),
        Method::DELETE => supported().and_then(|()| Ok(Asked::Delete(target()?))),
        _ => Err(Rejection::method_not_allowed(METHODS)),
    }
}

/// Does what is asked.
pub(super) async fn answer<S: Shards, B: RequestBody>(
    inner: &Inner<S>,
    asked: Asked,
    body: B,
) -> Result<Response<Body>, Rejection> {
    match asked {
        Asked::Get(target) => get(inner, target, false).await,
        Asked::Head(target) => get(inner, target, true).await,
        Asked::Put {
            target,
            expects_continue,
        } => {
            // In a box of its own, since it is large and everything would carry its room along.
            Box::pin(put(inner, target, expects_continue, body)).await
        }
        Asked::Delete(target) => delete(inner, target).await,
        Asked::Nothing(rejection) => Err(rejection),
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
    description = "A HEAD request is answered with the same headers and no body.",
    params(
        ("key" = String, Path, description = "1 to 1,024 bytes of UTF-8, percent-encoded"),
        ("If-None-Match" = Option<String>, Header, description = "Versions that are known already"),
        ("If-Match" = Option<String>, Header, description = "Versions that are wanted"),
    ),
    responses(
        (status = 200, description = "The value", content_type = "application/octet-stream",
            body = Vec<u8>, headers(("ETag" = String, description = "The value's version"))),
        (status = 304, description = "The value has one of the versions of If-None-Match"),
        (status = "4XX", description = "Refused: invalid_key, invalid_utf8, invalid_header, \
            invalid_query, key_not_found, precondition_failed, key_too_long",
            content_type = "application/problem+json", body = trandb_common::Problem),
        (status = 503, description = "lock_timeout, overloaded or not_ready",
            content_type = "application/problem+json", body = trandb_common::Problem),
    ),
)]
async fn get<S: Shards>(
    inner: &Inner<S>,
    Target { key, condition }: Target,
    head_only: bool,
) -> Result<Response<Body>, Rejection> {
    let found = inner.database.get(&key).await?;
    answer_read(inner, &key, found, &condition, head_only)
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
    request_body(content = Vec<u8>, content_type = "application/octet-stream",
        description = "0 to 4,194,304 bytes, kept as they are"),
    params(
        ("key" = String, Path, description = "1 to 1,024 bytes of UTF-8, percent-encoded"),
        ("If-Match" = Option<String>, Header, description = "Write only over one of these versions"),
        ("If-None-Match" = Option<String>, Header, description = "`*`: write only a key without a value"),
    ),
    responses(
        (status = 200, description = "The value was written",
            headers(("ETag" = String, description = "The value's version"))),
        (status = "4XX", description = "Refused, nothing was written: invalid_key, invalid_utf8, \
            invalid_header, invalid_query, malformed_body, request_timeout, precondition_failed, \
            value_too_large, key_too_long, unsupported_media_type",
            content_type = "application/problem+json", body = trandb_common::Problem),
        (status = 503, description = "lock_timeout, overloaded or not_ready; nothing was written",
            content_type = "application/problem+json", body = trandb_common::Problem),
        (status = 507, description = "memory_full; nothing was written",
            content_type = "application/problem+json", body = trandb_common::Problem),
    ),
)]
async fn put<S: Shards, B: RequestBody>(
    inner: &Inner<S>,
    target: Result<Target, Rejection>,
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
    let version = inner.database.put(key, upload.value, condition).await?;
    Ok(versioned(StatusCode::OK, version, Body::empty()))
}

#[utoipa::path(
    delete, path = "/keys/{key}", tag = "keys", operation_id = "delete",
    summary = "Take a value away",
    params(
        ("key" = String, Path, description = "1 to 1,024 bytes of UTF-8, percent-encoded"),
        ("If-Match" = Option<String>, Header, description = "Delete only one of these versions"),
        ("If-None-Match" = Option<String>, Header, description = "Delete none of these versions"),
    ),
    responses(
        (status = 204, description = "The key has no value, whether it had one before or not"),
        (status = "4XX", description = "Refused, nothing was changed: invalid_key, invalid_utf8, \
            invalid_header, invalid_query, precondition_failed, key_too_long, \
            unsupported_media_type",
            content_type = "application/problem+json", body = trandb_common::Problem),
        (status = 503, description = "lock_timeout or not_ready; nothing was changed",
            content_type = "application/problem+json", body = trandb_common::Problem),
    ),
)]
async fn delete<S: Shards>(
    inner: &Inner<S>,
    Target { key, condition }: Target,
) -> Result<Response<Body>, Rejection> {
    inner.database.delete(key, condition).await?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
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
