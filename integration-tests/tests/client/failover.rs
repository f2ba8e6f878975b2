//! Two servers, one of which goes away. They share nothing, so a value shows which one took it.

use trandb_client::{Client, Outcome, RetryPolicy};
use trandb_integration_tests::{
    local::Served,
    process::Process,
    wire::{self, Request},
};
use trandb_server::http::Phase;

#[tokio::test]
async fn a_server_that_drains_is_left_for_the_other() {
    let (first, second) = (Served::start(&[]).await, Served::start(&[]).await);
    let client = Client::builder()
        .endpoint(format!("http://{}", first.address))
        .endpoint(format!("http://{}", second.address))
        .retries(RetryPolicy::none())
        .build()
        .expect("legal settings");
    client
        .put("before", "x")
        .await
        .expect("written at the first");
    first
        .ask(&Request::get("/keys/before"))
        .await
        .assert_status(200);

    first.server.app.enter(Phase::Draining);
    // The refusal says that nothing was written, so that even a write may be sent again.
    client
        .put("after", "x")
        .await
        .expect("written at the second");
    second
        .ask(&Request::get("/keys/after"))
        .await
        .assert_status(200);
    assert_eq!(
        client.get("before").await.expect("an answer"),
        None,
        "asked at the second"
    );
    assert!(client.is_ready().await.expect("an answer"), "the second is");
}

#[tokio::test]
async fn a_server_that_is_killed_is_left_for_the_other() {
    let (first, second) = (Process::start(&[]), Process::start(&[]));
    let client = Client::builder()
        .endpoint(format!("http://{}", first.address()))
        .endpoint(format!("http://{}", second.address()))
        .retries(RetryPolicy::none())
        .build()
        .expect("legal settings");
    client
        .put("before", "x")
        .await
        .expect("written at the first");
    drop(first);
    assert_eq!(
        client.get("before").await.expect("an answer"),
        None,
        "asked at the second"
    );
    client
        .put("after", "x")
        .await
        .expect("written at the second");
    let read = Request::get("/keys/after");
    wire::ask(second.address(), &read).await.assert_status(200);

    drop(second);
    let error = client.get("after").await.expect_err("nobody is there");
    assert!(error.is_retryable(), "{error}");
    let error = client.put("after", "y").await.expect_err("nobody is there");
    assert!(error.is_connect(), "{error}");
    assert_eq!(error.outcome(), Outcome::NotCommitted);
}
