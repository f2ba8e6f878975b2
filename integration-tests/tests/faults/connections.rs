//! Too many connections, and connections that hold on to something.

use trandb_common::Key;
use trandb_engine::AttemptId;
use trandb_integration_tests::{
    eventually,
    local::Served,
    wire::{Connection, Request},
};

#[tokio::test]
async fn connections_beyond_the_limit_are_told_and_service_resumes() {
    let served = Served::start(&["--connections-max", "2"]).await;
    let livez = Request::get("/livez");
    let mut first = Connection::open(served.address).await;
    let mut second = Connection::open(served.address).await;
    // Answered: so both have been accepted.
    first.ask(&livez).await.assert_status(200);
    second.ask(&livez).await.assert_status(200);

    let mut third = Connection::open(served.address).await;
    // Told without having asked.
    let refusal = third.answer().await;
    refusal.assert_problem(503, "overloaded");
    assert_eq!(refusal.header("retry-after"), Some("1"));
    assert_eq!(refusal.header("connection"), Some("close"));
    assert!(refusal.problem().retryable);
    third.closed().await;
    first.ask(&livez).await.assert_status(200);

    drop(second);
    eventually("a connection that ends makes room", async || {
        served.ask(&livez).await.status == 200
    })
    .await;
}

#[tokio::test]
async fn many_refusals_at_once_leave_the_server_at_work() {
    let served = Served::start(&["--connections-max", "1"]).await;
    let mut only = Connection::open(served.address).await;
    only.ask(&Request::get("/livez")).await.assert_status(200);
    let mut others = Vec::new();
    for _ in 0..200 {
        others.push(Connection::open(served.address).await);
    }
    let mut told = 0;
    for other in &mut others {
        // Beyond a number of them, connections are closed without a word.
        if let Ok(Some(answer)) = other.try_answer(false).await {
            answer.assert_problem(503, "overloaded");
            told += 1;
        }
    }
    assert!(told >= 64, "only {told} were told why");
    only.ask(&Request::get("/livez")).await.assert_status(200);
}

#[tokio::test]
async fn a_client_that_goes_away_gives_its_place_back() {
    let served = Served::start(&["--connections-max", "1"]).await;
    for beginning in [
        "",
        "GET /li",
        "PUT /keys/a HTTP/1.1\r\nhost: h\r\ncontent-length: 9\r\n\r\nx",
    ] {
        eventually("the place is free", async || {
            served.ask(&Request::get("/livez")).await.status == 200
        })
        .await;
        let mut connection = Connection::open(served.address).await;
        let _ = connection.try_send(beginning).await;
    }
    eventually("the place is free", async || {
        served.ask(&Request::get("/livez")).await.status == 200
    })
    .await;
}

/// A client may say that it has nothing more to ask before it has its answers.
#[tokio::test]
async fn a_client_that_has_finished_sending_gets_its_answers() {
    const ATTEMPT: AttemptId = AttemptId(7);
    let served = Served::start(&[]).await;
    let app = &served.server.app;
    let key = Key::new("a").expect("legal");
    let (shard, shards) = (app.database().shard_of(&key), app.database().shards());
    let locked = shards.lock(shard, ATTEMPT, &[], &[key]).await;
    locked.expect("free");
    let mut connection = Connection::open(served.address).await;
    connection
        .send(Request::put("/keys/a", "value").to_wire())
        .await;
    connection.finish_sending().await;
    eventually("the write waits for its key", async || {
        app.in_flight().bytes() == 5
    })
    .await;
    shards.unlock(shard, ATTEMPT).await;
    connection.answer().await.assert_status(200);
    connection.closed().await;
}
