//! What operators and tools ask: health, limits, the description of the interface.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Request, State},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::{MethodRouter, get},
};
use http::{Method, Uri};
use trandb_common::{ErrorCode, path, wire::Limits};

use super::{Inner, Phase, draining, listing, openapi, problem::Rejection};
use crate::Shards;

/// Everything but single keys.
pub(super) fn router<S: Shards>(inner: Arc<Inner<S>>) -> Router {
    Router::new()
        .route(path::KEYS, only_get(get(listing::list)))
        .route("/livez", only_get(get(livez)))
        .route("/readyz", only_get(get(readyz)))
        .route("/limits", only_get(get(limits)))
        .route("/openapi.json", only_get(get(openapi::document)))
        .fallback(route_not_found)
        .layer(middleware::from_fn_with_state(
            Arc::clone(&inner),
            refuse_when_draining,
        ))
        .with_state(inner)
}

/// GET, HEAD, and a proper refusal of everything else.
fn only_get<S: Clone + Send + Sync + 'static>(route: MethodRouter<S>) -> MethodRouter<S> {
    route.fallback(async || Rejection::method_not_allowed("GET, HEAD"))
}

async fn route_not_found(uri: Uri) -> Rejection {
    let detail = if uri.path().starts_with("/keys/") {
        "A key is one segment of the path: a `/` in it is written %2F."
    } else {
        "The interface is described at /openapi.json."
    };
    Rejection::new(ErrorCode::RouteNotFound, detail)
}

/// Health is asked for to the end, everything else is data or about data.
async fn refuse_when_draining<S: Shards>(
    State(inner): State<Arc<Inner<S>>>,
    request: Request,
    next: Next,
) -> Response {
    let health = matches!(request.uri().path(), "/livez" | "/readyz");
    if inner.is_past(Phase::Draining) && !health && request.method() != Method::OPTIONS {
        return draining().into();
    }
    next.run(request).await
}

#[utoipa::path(
    get, path = "/livez", tag = "operation", operation_id = "livez",
    summary = "Is the process alive",
    description = "Depends on nothing but the process itself: restart it if this fails.",
    responses((status = 200, description = "Yes", content_type = "text/plain", body = String)),
)]
pub(super) async fn livez() -> &'static str {
    "ok\n"
}

#[utoipa::path(
    get, path = "/readyz", tag = "operation", operation_id = "readyz",
    summary = "Should requests be sent here",
    responses(
        (status = 200, description = "Yes", content_type = "text/plain", body = String),
        (status = 503, description = "not_ready: the server is about to end",
            content_type = "application/problem+json", body = trandb_common::Problem),
    ),
)]
pub(super) async fn readyz<S: Shards>(State(inner): State<Arc<Inner<S>>>) -> Response {
    if inner.is_past(Phase::Leaving) {
        draining().into()
    } else {
        "ok\n".into_response()
    }
}

#[utoipa::path(
    get, path = "/limits", tag = "operation", operation_id = "limits",
    summary = "The limits of this server",
    responses(
        (status = 200, description = "All limits", body = Limits),
        (status = 503, description = "not_ready: the server is about to end",
            content_type = "application/problem+json", body = trandb_common::Problem),
    ),
)]
pub(super) async fn limits<S: Shards>(State(inner): State<Arc<Inner<S>>>) -> Json<Limits> {
    Json(inner.settings.limits.clone())
}
