//! `/openapi.json` against the server: what is described is there, what is there is described.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use trandb_integration_tests::{
    contract::FLAGS,
    local::InProcess,
    wire::{Body, Request},
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
        let target = path.replace("{key}", "k");
        // GET is described to stand for HEAD.
        let allowed: BTreeSet<&str> = METHODS
            .into_iter()
            .filter(|method| {
                let described_as = if *method == "HEAD" { "GET" } else { method };
                described.contains_key(described_as)
            })
            .collect();
        for method in METHODS {
            server
                .ask(&Request::put("/keys/k", "value"))
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
    let operations = operations(&description(&InProcess::new(FLAGS)).await);
    let mut missing = BTreeSet::new();
    let mut compared = 0;
    for exchange in all_exchanges().await {
        let (request, status) = (&exchange.request, exchange.answer.status);
        let path = path_of(&request.target);
        let method = if request.method == "HEAD" {
            "GET"
        } else {
            request.method
        };
        let Some(responses) = operations.get(path.as_str()).and_then(|o| o.get(method)) else {
            assert!(
                matches!(status, 404 | 405 | 503),
                "{method} {path} is answered: {status}"
            );
            continue;
        };
        let class = format!("{}XX", status / 100);
        if !(responses.contains(&status.to_string()) || responses.contains(&class)) {
            missing.insert(format!("{method} {path} {status}"));
        }
        compared += 1;
    }
    assert!(missing.is_empty(), "not described: {missing:?}");
    assert!(compared > 200, "only {compared} answers compared");
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
        Some(key) if !key.contains('/') => "/keys/{key}".to_owned(),
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
