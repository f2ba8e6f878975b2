//! `/openapi.json` against the server: what is described is there, what is there is described.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use trandb_common::limits::{KEY_BYTES_MAX, LIST_LIMIT_MAX};
use trandb_integration_tests::{
    contract::FLAGS,
    local::InProcess,
    wire::{Answer, Body, Request},
};

use crate::codes::all_exchanges;

/// What a path may be asked with; CONNECT is about the server, not a path.
const METHODS: [&str; 9] = [
    "GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "TRACE", "QUERY",
];

#[tokio::test]
async fn every_described_operation_is_there_and_no_other() {
    let server = InProcess::new(FLAGS);
    let operations = operations(&description(&server).await);
    assert!(operations.contains_key("/keys/{key}"), "{operations:?}");
    for (path, described) in operations {
        let id = "00000000-0000-4000-8000-000000000000";
        let target = path.replace("{key}", "k").replace("{id}", id);
        let allowed: BTreeSet<&str> = METHODS
            .into_iter()
            .filter(|method| described.contains_key(*method))
            .collect();
        for method in METHODS {
            server
                .ask(&Request::put("/keys/k", "value"))
                .await
                .assert_status(200);
            // So that its status can be asked for.
            let transaction = format!(r#"{{"id":"{id}","reads":[{{"key":"k"}}]}}"#);
            server
                .ask(
                    &Request::post("/transactions", transaction)
                        .header("content-type", "application/json"),
                )
                .await
                .assert_status(200);
            let request = Request::new(method, target.as_str()).body(Body::Sized(vec![b'x']));
            let answer = server.ask(&request).await;
            if allowed.contains(method) {
                let there = !matches!(answer.status, 404 | 405);
                assert!(there, "{method} {path} is described: {answer:?}");
            } else {
                assert_eq!(
                    answer.status, 405,
                    "{method} {path} is not described: {answer:?}"
                );
                let said = answer.header("allow").expect("405 says what is allowed");
                let said: BTreeSet<&str> = said.split(", ").collect();
                assert_eq!(said, allowed, "{method} {path}");
            }
        }
    }
}

#[tokio::test]
async fn every_answer_of_the_scripts_is_described() {
    let description = description(&InProcess::new(FLAGS)).await;
    let mut compared = 0;
    for exchange in all_exchanges().await {
        let (request, status) = (&exchange.request, exchange.answer.status);
        let path = path_of(&request.target);
        let operation = &description["paths"][&path][request.method.to_lowercase()];
        let about = format!("{} {path} {status}: {}", request.method, request.about);
        let is_described = METHODS.contains(&request.method) && operation.is_object();
        if !is_described {
            assert!(matches!(status, 404 | 405 | 503), "not described: {about}");
            continue;
        }
        let described = &operation["responses"][status.to_string()];
        assert!(!described.is_null(), "not described: {about}");
        compare(&exchange.answer, described, &about);
        compared += 1;
    }
    assert!(compared > 200, "only {compared} answers compared");
}

/// Holds an answer against the description of its status.
fn compare(answer: &Answer, described: &Value, about: &str) {
    /// Of HTTP itself, not of an operation.
    const FRAMING: [&str; 3] = ["connection", "content-length", "content-type"];
    let no_headers = serde_json::Map::new();
    let headers = described["headers"].as_object().unwrap_or(&no_headers);
    for (name, header) in headers {
        let came = answer.header(&name.to_lowercase());
        assert!(
            came.is_some() || header["required"] != true,
            "{name} is missing: {about}"
        );
        if let Some(Value::String(always)) = header["schema"].get("const") {
            assert_eq!(came, Some(always.as_str()), "{name}: {about}");
        }
    }
    for (name, _) in &answer.headers {
        let is_described = headers.keys().any(|known| known.eq_ignore_ascii_case(name));
        assert!(
            is_described || FRAMING.contains(&name.as_str()),
            "{name} is new: {about}"
        );
    }
    if answer.body.is_empty() {
        return;
    }
    let media_type = answer.header("content-type").expect("a body has a type");
    let essence = media_type.split(';').next().unwrap_or_default();
    let content = &described["content"][essence];
    assert!(!content.is_null(), "{essence} is not described: {about}");
    if essence == "application/problem+json" {
        let narrowed = &content["schema"]["allOf"][1];
        let problem: Value = serde_json::from_slice(&answer.body).expect("JSON");
        let codes = narrowed["properties"]["code"]["enum"].as_array();
        assert!(
            codes.expect("codes").contains(&problem["code"]),
            "{problem}: {about}"
        );
        for field in narrowed["required"].as_array().expect("fields") {
            let name = field.as_str().expect("a name");
            assert!(problem.get(name).is_some(), "{name} is missing: {about}");
        }
    }
}

/// They stand in attributes, which take no constants.
#[tokio::test]
async fn the_limits_in_the_description_are_those_of_the_contract() {
    let description = description(&InProcess::new(FLAGS)).await;
    let schema = |method: &str, path: &str, name: &str| {
        let parameters = description["paths"][path][method]["parameters"].as_array();
        let named = |parameter: &&Value| parameter["name"] == name;
        parameters
            .expect("parameters")
            .iter()
            .find(named)
            .expect(name)["schema"]
            .clone()
    };
    for method in ["get", "head", "put", "delete"] {
        assert_eq!(
            schema(method, "/keys/{key}", "key")["maxLength"],
            KEY_BYTES_MAX,
            "{method}"
        );
    }
    for name in ["prefix", "after"] {
        assert_eq!(
            schema("get", "/keys", name)["maxLength"],
            KEY_BYTES_MAX,
            "{name}"
        );
    }
    assert_eq!(schema("get", "/keys", "limit")["maximum"], LIST_LIMIT_MAX);
}

#[tokio::test]
async fn the_description_is_whole() {
    let description = description(&InProcess::new(FLAGS)).await;
    let version = description["openapi"].as_str().expect("a version");
    assert!(version.starts_with("3.1."), "{version}");
    for field in [
        "/info/title",
        "/info/version",
        "/info/license/name",
        "/paths",
    ] {
        assert!(description.pointer(field).is_some(), "{field} is missing");
    }
    let mut references = Vec::new();
    collect_references(&description, &mut references);
    assert!(
        !references.is_empty(),
        "the description refers to no schema"
    );
    for reference in references {
        let pointer = reference.strip_prefix('#').expect("within the document");
        assert!(
            description.pointer(pointer).is_some(),
            "{reference} leads nowhere"
        );
    }
    let mut ids = BTreeSet::new();
    for (path, operations) in description["paths"].as_object().expect("paths") {
        for (method, operation) in operations.as_object().expect("operations") {
            let id = operation["operationId"].as_str().expect("an id");
            assert!(ids.insert(id.to_owned()), "{id} stands twice");
            let in_path = operation["parameters"].as_array().into_iter().flatten();
            let named: Vec<_> = in_path
                .filter(|parameter| parameter["in"] == "path")
                .map(|parameter| format!("{{{}}}", parameter["name"].as_str().expect("a name")))
                .collect();
            assert_eq!(named.len(), path.matches('{').count(), "{method} {path}");
            assert!(
                named.iter().all(|name| path.contains(name)),
                "{method} {path}: {named:?}"
            );
            for (status, response) in operation["responses"].as_object().expect("responses") {
                assert!(
                    response["description"].is_string(),
                    "{method} {path} {status}"
                );
            }
        }
    }
}

#[tokio::test]
async fn the_description_is_as_recorded() {
    let description = description(&InProcess::new(FLAGS)).await;
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("recorded");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_json_snapshot!("openapi", description));
}

async fn description(server: &InProcess) -> Value {
    let answer = server.ask(&Request::get("/openapi.json")).await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    serde_json::from_slice(&answer.body).expect("JSON")
}

/// By path and method in upper case: the statuses that are described.
fn operations(description: &Value) -> BTreeMap<String, BTreeMap<String, BTreeSet<String>>> {
    let paths = description["paths"].as_object().expect("paths").iter();
    paths
        .map(|(path, operations)| {
            let operations = operations.as_object().expect("operations").iter();
            let operations = operations.map(|(method, operation)| {
                let statuses = operation["responses"]
                    .as_object()
                    .expect("responses")
                    .keys();
                (method.to_uppercase(), statuses.cloned().collect())
            });
            (path.clone(), operations.collect())
        })
        .collect()
}

/// The path of the description that a target belongs to; itself if to none.
fn path_of(target: &str) -> String {
    let path = target.split('?').next().unwrap_or_default();
    match path.strip_prefix("/keys/") {
        Some(key) if !key.contains('/') => return "/keys/{key}".to_owned(),
        _ => {}
    }
    let segments: Vec<&str> = path.split('/').collect();
    match segments.as_slice() {
        ["", "transactions", _] => "/transactions/{id}".to_owned(),
        ["", "transactions", _, "abort"] => "/transactions/{id}/abort".to_owned(),
        _ => path.to_owned(),
    }
}

fn collect_references(value: &Value, references: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(reference)) = fields.get("$ref") {
                references.push(reference.clone());
            }
            for value in fields.values() {
                collect_references(value, references);
            }
        }
        Value::Array(values) => {
            for value in values {
                collect_references(value, references);
            }
        }
        _ => {}
    }
}
