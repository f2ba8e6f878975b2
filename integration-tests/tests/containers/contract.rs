//! The contract in full, from the image and from the binary in it: the scripts of the contract
//! suite, with the same records.

use reqwest::StatusCode;
use serde_json::Value;
use trandb_integration_tests::{
    contract::{self, Target, assert_recorded},
    process::Process,
};

use crate::node::Node;

#[tokio::test]
#[ignore = "needs Docker and the image: just integration-test"]
async fn the_image_answers_as_recorded() {
    for script in contract::scripts() {
        let node = Node::start_with_flags(script.flags).await;
        let address = node.address().parse().expect("an address");
        let played = contract::play(&script, &Target::Socket(address)).await;
        assert_recorded(script.name, &played.transcript);
    }
}

/// Without what Docker's network may hide or add.
#[tokio::test]
#[ignore = "needs the image's binary: just integration-test"]
async fn the_release_binary_answers_as_recorded() {
    for script in contract::scripts() {
        let process = Process::start_release(script.flags);
        let played = contract::play(&script, &Target::Socket(process.address())).await;
        assert_recorded(script.name, &played.transcript);
    }
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
