//! `/openapi.json`: the interface, described for tools.
//!
//! Operations, parameters and successes are generated from the handlers. What they have in common
//! is added here: refusals, by their codes (`REFUSALS`), what may be asked next (`LINKS`),
//! HEAD beside every GET, and `X-Request-Id`.
//!
//! Tests: `integration-tests/tests/contract/described.rs` holds every recorded answer against the
//! description; `just contract` asks what the description says may be asked.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use axum::Json;
use serde_json::{Map, Value, json};
use trandb_common::{ErrorCode, PROBLEM_CONTENT_TYPE, limits::VALUE_BYTES_MAX};
use utoipa::OpenApi;

use super::{administration, keys, listing, operation, transactions};

/// What the handlers say.
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
        transactions::commit,
        transactions::status,
        transactions::abort,
        operation::livez,
        operation::readyz,
        operation::limits,
        operation::cluster,
        administration::remove,
        administration::transfer,
        document,
    ),
    components(schemas(trandb_common::Problem)),
    tags(
        (name = "keys", description = "Keys and their values"),
        (name = "transactions", description = "Many keys at one moment"),
        (name = "operation", description = "Health and limits"),
    ),
)]
struct Handlers;

/// By operation: the codes that it refuses a request with.
const REFUSALS: [(&str, &[ErrorCode]); 14] = {
    use ErrorCode as E;
    [
        (
            "get",
            &[
                E::InvalidKey,
                E::InvalidUtf8,
                E::InvalidHeader,
                E::InvalidQuery,
                E::KeyNotFound,
                E::PreconditionFailed,
                E::KeyTooLongInPath,
                E::LockTimeout,
                E::Overloaded,
                E::NotReady,
                E::ShardUnavailable,
            ],
        ),
        (
            "put",
            &[
                E::InvalidKey,
                E::InvalidUtf8,
                E::InvalidHeader,
                E::InvalidQuery,
                E::MalformedBody,
                E::RequestTimeout,
                E::PreconditionFailed,
                E::ValueTooLarge,
                E::KeyTooLongInPath,
                E::UnsupportedMediaType,
                E::IdReused,
                E::LockTimeout,
                E::Overloaded,
                E::NotReady,
                E::ShardUnavailable,
                E::OutcomeUnknown,
                E::MemoryFull,
            ],
        ),
        (
            "delete",
            &[
                E::InvalidKey,
                E::InvalidUtf8,
                E::InvalidHeader,
                E::InvalidQuery,
                E::PreconditionFailed,
                E::KeyTooLongInPath,
                E::UnsupportedMediaType,
                E::IdReused,
                E::LockTimeout,
                E::Overloaded,
                E::NotReady,
                E::ShardUnavailable,
                E::OutcomeUnknown,
            ],
        ),
        (
            "list",
            &[
                E::InvalidQuery,
                E::LockTimeout,
                E::Overloaded,
                E::NotReady,
                E::ShardUnavailable,
            ],
        ),
        (
            "commit",
            &[
                E::InvalidKey,
                E::MalformedBody,
                E::DuplicateKey,
                E::EmptyTransaction,
                E::KeyTooLongInBody,
                E::RequestTimeout,
                E::Conflict,
                E::ValueTooLarge,
                E::TransactionTooLarge,
                E::UnsupportedMediaType,
                E::IdReused,
                E::LockTimeout,
                E::Overloaded,
                E::NotReady,
                E::ShardUnavailable,
                E::OutcomeUnknown,
                E::MemoryFull,
            ],
        ),
        (
            "transaction_status",
            &[
                E::TransactionNotFound,
                E::LockTimeout,
                E::Overloaded,
                E::NotReady,
                E::ShardUnavailable,
            ],
        ),
        (
            "abort_transaction",
            &[
                E::TransactionNotFound,
                E::LockTimeout,
                E::Overloaded,
                E::NotReady,
                E::ShardUnavailable,
                E::OutcomeUnknown,
            ],
        ),
        ("livez", &[E::Overloaded]),
        ("readyz", &[E::Overloaded, E::NotReady]),
        ("limits", &[E::Overloaded, E::NotReady]),
        ("cluster", &[E::Overloaded]),
        (
            "remove_member",
            &[
                E::InvalidQuery,
                E::MemberNotFound,
                E::ClusterConflict,
                E::Overloaded,
                E::NotReady,
                E::OutcomeUnknown,
            ],
        ),
        (
            "transfer",
            &[
                E::InvalidQuery,
                E::MemberNotFound,
                E::ClusterConflict,
                E::Overloaded,
                E::NotReady,
                E::OutcomeUnknown,
            ],
        ),
        ("openapi", &[E::Overloaded, E::NotReady]),
    ]
};

type Link = (
    &'static str,
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
);

/// What may be asked after an answer of 200: which operation's answer, the name of the link, which
/// operation is asked, with which parameters.
const LINKS: [Link; 8] = {
    const KEY: (&str, &str) = ("key", "$request.path.key");
    const IF_MATCH: (&str, &str) = ("If-Match", "$response.header.ETag");
    const IF_NONE_MATCH: (&str, &str) = ("If-None-Match", "$response.header.ETag");
    [
        ("put", "read", "get", &[KEY]),
        ("put", "readIfChanged", "get", &[KEY, IF_NONE_MATCH]),
        ("put", "replace", "put", &[KEY, IF_MATCH]),
        ("put", "remove", "delete", &[KEY, IF_MATCH]),
        ("put", "removeAnyway", "delete", &[KEY]),
        ("get", "readIfChanged", "get", &[KEY, IF_NONE_MATCH]),
        ("get", "replace", "put", &[KEY, IF_MATCH]),
        ("get", "remove", "delete", &[KEY, IF_MATCH]),
    ]
};

/// A list of entity tags, as RFC 9110 lets them be written.
const TAGS: &str = concat!(
    "^[ \\t,]*(W/)?\"[!#-~]*\"",
    "([ \\t]*,[ \\t,]*(W/)?\"[!#-~]*\")*[ \\t,]*$",
);

/// A version as a strong entity tag.
const ETAG: &str = "^\"[!#-~]+\"$";

#[utoipa::path(
    get, path = "/openapi.json", tag = "operation", operation_id = "openapi",
    summary = "This description",
    responses((status = 200, description = "OpenAPI 3.1", body = Object)),
)]
pub(super) async fn document() -> Json<&'static Value> {
    static DOCUMENT: LazyLock<Value> = LazyLock::new(describe);
    Json(&DOCUMENT)
}

/// Puts together what the handlers say and what they have in common.
fn describe() -> Value {
    // Texts and numbers that are known beforehand: writing them down cannot fail.
    let mut document = serde_json::to_value(Handlers::openapi()).unwrap_or_default();
    for path in members(&mut document, "paths") {
        for operation in path.as_object_mut().into_iter().flat_map(Map::values_mut) {
            complete(operation);
        }
        if let Some(get) = path.get("get") {
            path["head"] = head_beside(get);
        }
    }
    document
}

/// Adds to an operation what its handler does not say.
fn complete(operation: &mut Value) {
    let id = operation["operationId"].as_str().unwrap_or_default();
    let (id, refusals) = (id.to_owned(), refusals_of(id));
    let mut parameters = operation["parameters"].take();
    for parameter in parameters.as_array_mut().into_iter().flatten() {
        complete_parameter(parameter);
    }
    let given = parameters.as_array().cloned().unwrap_or_default();
    operation["parameters"] = given.into_iter().chain([request_id_parameter()]).collect();
    if let Some(body) = operation.get_mut("requestBody") {
        complete_value(body);
        // No body is a value, too: one of no bytes.
        body["required"] = (id != "put").into();
    }
    for response in members(operation, "responses") {
        complete_value(response);
        for (name, header) in named_members(response, "headers") {
            header["required"] = true.into();
            match name.as_str() {
                "ETag" => header["schema"]["pattern"] = ETAG.into(),
                "Cache-Control" => header["schema"] = json!({ "const": "no-store" }),
                "X-Content-Type-Options" => header["schema"] = json!({ "const": "nosniff" }),
                _ => {}
            }
        }
    }
    for (status, refusal) in refusals {
        operation["responses"][status.to_string()] = refusal;
    }
    for response in members(operation, "responses") {
        response["headers"]["X-Request-Id"] = request_id_header();
    }
    for (_, name, next, parameters) in LINKS.iter().filter(|(from, ..)| *from == id) {
        let parameters: BTreeMap<_, _> = parameters.iter().copied().collect();
        operation["responses"]["200"]["links"][name] =
            json!({ "operationId": next, "parameters": parameters });
    }
}

/// An optional parameter is there or not; there is no way to write `null`.
fn complete_parameter(parameter: &mut Value) {
    let schema = &mut parameter["schema"];
    if let Some(only) = schema["type"].get(0).cloned() {
        schema["type"] = only;
    }
    if matches!(
        parameter["name"].as_str(),
        Some("If-Match" | "If-None-Match")
    ) {
        parameter["schema"] =
            json!({ "anyOf": [{ "const": "*" }, { "type": "string", "pattern": TAGS }] });
    }
}

/// A value is any bytes.
fn complete_value(carrier: &mut Value) {
    if let Some(content) = carrier.pointer_mut("/content/application~1octet-stream") {
        let schema = json!({ "type": "string", "format": "binary", "maxLength": VALUE_BYTES_MAX });
        *content = json!({ "schema": schema });
    }
}

/// The refusals of an operation by their status, each with the codes that it may have.
fn refusals_of(operation: &str) -> BTreeMap<u16, Value> {
    let mut codes: BTreeMap<u16, Vec<ErrorCode>> = BTreeMap::new();
    for (_, refusals) in REFUSALS.iter().filter(|(id, _)| *id == operation) {
        for code in *refusals {
            codes.entry(code.status()).or_default().push(*code);
        }
    }
    let refusals = codes.into_iter();
    refusals
        .map(|(status, codes)| (status, refusal(status, &codes)))
        .collect()
}

fn refusal(status: u16, codes: &[ErrorCode]) -> Value {
    let names: Vec<_> = codes.iter().map(|code| code.as_str()).collect();
    let lines = codes
        .iter()
        .map(|code| format!("`{code}`: {}.", code.title()));
    let mut headers = json!({
        "Cache-Control": {
            "description": "`no-store`",
            "required": true,
            "schema": { "const": "no-store" },
        },
    });
    let fields = json!({
        "status": { "const": status },
        "code": { "enum": names },
        "outcome": { "const": codes.first().map(|code| code.outcome()) },
        "retryable": { "enum": codes.iter().map(|code| code.retryable()).collect::<BTreeSet<_>>() },
    });
    let mut required = Vec::new();
    match status {
        412 => {
            required.push("current_version");
            headers["ETag"] = json!({
                "description": "The version of the key's value, if there is one",
                "schema": { "type": "string", "pattern": ETAG },
            });
        }
        413 | 414 | 507 => required.push("limit"),
        503 => {
            required.push("retry_after_ms");
            headers["Retry-After"] = json!({
                "description": "Seconds to wait before the same request is sent again",
                "required": true,
                "schema": { "type": "integer", "minimum": 1 },
            });
        }
        _ => {}
    }
    let problem = json!({ "$ref": "#/components/schemas/Problem" });
    let narrowed = json!({ "properties": fields, "required": required });
    json!({
        "description": lines.collect::<Vec<_>>().join("\n"),
        "headers": headers,
        "content": { PROBLEM_CONTENT_TYPE: { "schema": { "allOf": [problem, narrowed] } } },
    })
}

/// The HEAD that every GET brings along: the same answers without their bodies.
fn head_beside(get: &Value) -> Value {
    let mut head = get.clone();
    head["operationId"] = format!("{}Head", get["operationId"].as_str().unwrap_or_default()).into();
    head["summary"] = format!(
        "{}: the headers alone",
        get["summary"].as_str().unwrap_or_default()
    )
    .into();
    for response in members(&mut head, "responses") {
        if let Some(fields) = response.as_object_mut() {
            fields.remove("content");
            fields.remove("links");
        }
    }
    head
}

/// What may come with every request.
fn request_id_parameter() -> Value {
    json!({
        "name": "X-Request-Id",
        "in": "header",
        "description": "A name for this request: up to 128 visible ASCII characters, which come \
            back with the answer",
        "schema": { "type": "string" },
    })
}

/// And what then goes with every answer.
fn request_id_header() -> Value {
    json!({ "description": "As it came with the request", "schema": { "type": "string" } })
}

/// The values of a field that is an object; none where it is missing.
fn members<'a>(of: &'a mut Value, field: &str) -> impl Iterator<Item = &'a mut Value> {
    named_members(of, field).map(|(_, value)| value)
}

/// The same with their names.
fn named_members<'a>(
    of: &'a mut Value,
    field: &str,
) -> impl Iterator<Item = (&'a String, &'a mut Value)> {
    let object = of.get_mut(field).and_then(Value::as_object_mut);
    object.into_iter().flatten()
}
