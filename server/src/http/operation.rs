//! What operators and tools ask: health, limits, the description of the interface.

use std::{fmt, sync::Arc};

use axum::{
    Json, Router,
    extract::{Request, State},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::{MethodRouter, get, post},
};
use http::{Method, Uri};
use trandb_common::{
    ErrorCode, Problem, path,
    wire::{Limits, cluster::ClusterStatus},
};

use super::{Inner, Phase, administration, draining, listing, openapi, problem::Rejection};
use crate::Shards;

/// Everything but single keys.
pub(super) fn router<S: Shards>(inner: Arc<Inner<S>>) -> Router {
    Router::new()
        .route(path::KEYS, only_get(get(listing::list)))
        .route("/livez", only_get(get(livez)))
        .route("/readyz", only_get(get(readyz)))
        .route("/limits", only_get(get(limits)))
        .route("/cluster", only_get(get(cluster)))
        .route("/cluster/remove", only_post(post(administration::remove)))
        .route(
            "/cluster/transfer",
            only_post(post(administration::transfer)),
        )
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

/// POST, and a proper refusal of everything else.
fn only_post<S: Clone + Send + Sync + 'static>(route: MethodRouter<S>) -> MethodRouter<S> {
    route.fallback(async || Rejection::method_not_allowed("POST"))
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
    let health = matches!(request.uri().path(), "/livez" | "/readyz" | "/cluster");
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
    params(("verbose" = Option<String>, Query, description = "List the checks, whatever its value")),
    responses(
        (status = 200, description = "Yes", content_type = "text/plain", body = String),
    ),
)]
pub(super) async fn readyz<S: Shards>(State(inner): State<Arc<Inner<S>>>, uri: Uri) -> Response {
    let parameters = uri.query().unwrap_or_default().split('&');
    let mut names = parameters.map(|pair| pair.split('=').next().unwrap_or_default());
    let verbose = names.any(|name| name == "verbose");
    let serving = !inner.is_past(Phase::Leaving);
    let cluster = inner.database.shards().cluster();
    let mut checks = vec![Check {
        name: "serving",
        holds: serving,
    }];
    if cluster.clustered {
        checks.push(Check {
            name: "cluster",
            holds: cluster.ready,
        });
    }
    let refusal = || if serving { not_joined() } else { draining() };
    match (checks.iter().all(|check| check.holds), verbose) {
        (true, false) => "ok\n".into_response(),
        (true, true) => {
            let checks = checks.iter().map(|check| format!("{check}\n"));
            checks.collect::<String>().into_response()
        }
        (false, false) => refusal().into(),
        (false, true) => {
            let checks: Vec<_> = checks.iter().map(Check::to_string).collect();
            let checks = format!("Checks: {}.", checks.join(", "));
            refusal().with_detail(&checks).into()
        }
    }
}

fn not_joined() -> Rejection {
    Problem::new(
        ErrorCode::NotReady,
        "The node has not found its cluster, or is not yet a voter in all of its groups: see \
         /cluster.",
    )
    .into()
}

/// Something without which no requests should be sent here.
struct Check {
    name: &'static str,
    holds: bool,
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = if self.holds { "ok" } else { "failed" };
        write!(f, "{}: {found}", self.name)
    }
}

#[utoipa::path(
    get, path = "/limits", tag = "operation", operation_id = "limits",
    summary = "The limits of this server",
    responses(
        (status = 200, description = "All limits", body = Limits),
    ),
)]
pub(super) async fn limits<S: Shards>(State(inner): State<Arc<Inner<S>>>) -> Json<Limits> {
    Json(inner.settings.limits.clone())
}

#[utoipa::path(
    get, path = "/cluster", tag = "operation", operation_id = "cluster",
    summary = "The cluster, as this node sees it",
    responses(
        (status = 200, description = "Members and replicas", body = ClusterStatus),
    ),
)]
pub(super) async fn cluster<S: Shards>(State(inner): State<Arc<Inner<S>>>) -> Json<ClusterStatus> {
    Json(inner.database.shards().cluster())
}
