//! `/openapi.json`: the interface, described for tools. Generated from the handlers.

use axum::Json;
use utoipa::OpenApi;

use super::{keys, listing, operation};

/// The description's root.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "TranDB",
        description = "An in-memory key-value database over HTTP. A status alone says what \
            happened to a write: after 2xx it happened, after 4xx, 503 and 507 it certainly did \
            not, after 504 it may have.",
        license(name = "Apache-2.0 OR MIT"),
    ),
    paths(
        keys::get,
        keys::put,
        keys::delete,
        listing::list,
        operation::livez,
        operation::readyz,
        operation::limits,
        document,
    ),
    tags(
        (name = "keys", description = "Keys and their values"),
        (name = "operation", description = "Health and limits"),
    ),
)]
pub struct Description;

#[utoipa::path(
    get, path = "/openapi.json", tag = "operation", operation_id = "openapi",
    summary = "This description",
    responses(
        (status = 200, description = "OpenAPI 3.1", body = Object),
        (status = 503, description = "not_ready: the server is about to end",
            content_type = "application/problem+json", body = trandb_common::Problem),
    ),
)]
pub(super) async fn document() -> Json<utoipa::openapi::OpenApi> {
    Json(Description::openapi())
}
