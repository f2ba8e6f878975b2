//! The contract's main answers, once over a real network: that the static binary in the image is
//! the server that the contract suite has tested.

use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::node::{Node, problem};

#[tokio::test]
#[ignore = "needs Docker and the image: just integration-test"]
async fn a_value_lives_its_life() {
    let node = Node::start().await;

    let created = node.put("/keys/greeting", "hello").await;
    assert_eq!(created.status(), StatusCode::OK);
    let version = created.headers()["etag"].clone();

    let read = node.get("/keys/greeting").await;
    assert_eq!(read.status(), StatusCode::OK);
    assert_eq!(read.headers()["etag"], version);
    assert_eq!(read.headers()["content-type"], "application/octet-stream");
    assert_eq!(read.bytes().await.expect("a body"), "hello");

    let head = node
        .request(Method::HEAD, "/keys/greeting")
        .send()
        .await
        .expect("an answer");
    assert_eq!(head.status(), StatusCode::OK);
    assert_eq!(head.headers()["content-length"], "5");

    assert_eq!(
        node.delete("/keys/greeting").await.status(),
        StatusCode::NO_CONTENT
    );
    assert_eq!(
        node.delete("/keys/greeting").await.status(),
        StatusCode::NO_CONTENT
    );
    let absent = problem(node.get("/keys/greeting").await, StatusCode::NOT_FOUND).await;
    assert_eq!(absent["code"], "key_not_found");
}

#[tokio::test]
#[ignore = "needs Docker and the image: just integration-test"]
async fn a_stale_version_changes_nothing() {
    let node = Node::start().await;
    let first = node.put("/keys/counter", "1").await.headers()["etag"].clone();
    assert_eq!(
        node.put("/keys/counter", "2").await.status(),
        StatusCode::OK
    );

    let stale = node
        .request(Method::PUT, "/keys/counter")
        .header("if-match", first)
        .body("3");
    let refused = stale.send().await.expect("an answer");
    let refused = problem(refused, StatusCode::PRECONDITION_FAILED).await;

    assert_eq!(refused["code"], "precondition_failed");
    assert_eq!(refused["outcome"], "not_committed");
    assert_eq!(
        node.get("/keys/counter")
            .await
            .bytes()
            .await
            .expect("a body"),
        "2"
    );
}

#[tokio::test]
#[ignore = "needs Docker and the image: just integration-test"]
async fn any_bytes_and_any_key_pass_the_network_unchanged() {
    let node = Node::start().await;
    let largest: Vec<u8> = (0..4 * 1024 * 1024_u32).map(|i| (i % 251) as u8).collect();
    assert_eq!(
        node.put("/keys/a%2Fb%20%C3%BC+", largest.clone())
            .await
            .status(),
        StatusCode::OK
    );
    assert_eq!(node.put("/keys/empty", "").await.status(), StatusCode::OK);

    assert!(
        node.get("/keys/a%2Fb%20%C3%BC+")
            .await
            .bytes()
            .await
            .expect("a body")
            == largest
    );
    assert_eq!(
        node.get("/keys/empty").await.bytes().await.expect("a body"),
        ""
    );

    let listed = node
        .get("/keys?prefix=a%2F")
        .await
        .bytes()
        .await
        .expect("a body");
    let listed: Value = serde_json::from_slice(&listed).expect("a list is JSON");
    assert_eq!(listed["keys"][0]["key"], "a/b ü+");
    assert_eq!(listed["keys"][0]["size"], 4 * 1024 * 1024);
    assert_eq!(listed["keys"].as_array().map(Vec::len), Some(1));
}
