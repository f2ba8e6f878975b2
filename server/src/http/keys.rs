//! `/keys/{key}`: GET, HEAD, PUT, DELETE.

use std::sync::Arc;

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

/// Answers a request on the key that `segment` names.
pub(super) async fn handle<S: Shards, B: RequestBody>(
    inner: &Inner<S>,
    segment: &str,
    head: &request::Parts,
    body: B,
) -> Result<Response<Body>, Rejection> {
    match head.method {
        Method::GET => get(inner, checked(segment, &head.uri, &head.headers)?, false).await,
        Method::HEAD => get(inner, checked(segment, &head.uri, &head.headers)?, true).await,
        Method::PUT => {
            let target = checked(segment, &head.uri, &head.headers).and_then(|target| {
                headers::refuse_unsupported(&head.headers)?;
                Ok(target)
            });
            put(inner, target, head.headers.contains_key(EXPECT), body).await
        }
        Method::DELETE => {
            headers::refuse_unsupported(&head.headers)?;
            delete(inner, checked(segment, &head.uri, &head.headers)?).await
        }
        _ => Err(Rejection::method_not_allowed(METHODS)),
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
struct Target {
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
    let mut response = versioned(StatusCode::OK, version, body);
    let headers = response.headers_mut();
    if head_only {
        // A body says by itself how long it is.
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
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

/// An answer that names a version, and that no cache may keep.
fn versioned(status: StatusCode, version: Version, body: Body) -> Response<Body> {
    /// Those of a GET, so that the table of headers is made once.
    const HEADERS: usize = 6;
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = HeaderMap::with_capacity(HEADERS);
    let headers = response.headers_mut();
    headers.insert(ETAG, headers::etag(version));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
