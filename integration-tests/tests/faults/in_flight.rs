//! Bytes on their way: bounded, and given back whatever happens.

use trandb_integration_tests::{
    eventually,
    local::Served,
    wire::{Connection, Request},
};

/// More than half of the limit.
const HALF: usize = 4_000_000;

#[tokio::test]
async fn bodies_beyond_the_limit_are_refused_until_others_are_done() {
    let served = Served::start(&["--in-flight-limit", "7MiB"]).await;
    let mut slow = Connection::open(served.address).await;
    let request = Request::put("/keys/slow", vec![b'x'; HALF + 1]);
    let bytes = request.to_wire();
    let (most, last) = bytes.split_at(bytes.len() - 1);
    slow.send(most).await;
    let in_flight = served.server.app.in_flight();
    eventually("the slow body is in flight", async || {
        in_flight.bytes() == HALF as u64
    })
    .await;

    let other = Request::put("/keys/other", vec![b'x'; HALF]);
    let refusal = served.ask(&other).await;
    refusal.assert_problem(503, "overloaded");
    assert_eq!(refusal.header("retry-after"), Some("1"));
    served
        .ask(&Request::get("/keys/other"))
        .await
        .assert_problem(404, "key_not_found");
    served
        .ask(&Request::put("/keys/small", "fits"))
        .await
        .assert_status(200);

    slow.send(last).await;
    slow.answer().await.assert_status(200);
    served.until_nothing_is_in_flight().await;
    served.ask(&other).await.assert_status(200);
}

#[tokio::test]
async fn a_reader_that_does_not_read_is_cut_off_and_gives_back_what_it_held() {
    const VALUE: usize = 4 << 20;
    let flags = ["--write-timeout", "200ms", "--in-flight-limit", "7MiB"];
    let served = Served::start(&flags).await;
    served
        .ask(&Request::put("/keys/large", vec![b'x'; VALUE]))
        .await
        .assert_status(200);
    let in_flight = served.server.app.in_flight();

    let mut lazy = Connection::open(served.address).await;
    // More than the kernel keeps for a connection, so that some of it must wait for the reader.
    lazy.send(Request::get("/keys/large").to_wire().repeat(8))
        .await;
    eventually("a large answer is in flight", async || {
        in_flight.bytes() >= VALUE as u64
    })
    .await;
    served.until_nothing_is_in_flight().await;
    served
        .ask(&Request::get("/keys/large"))
        .await
        .assert_status(200);
    served.until_nothing_is_in_flight().await;
    let mut answers = 0;
    while let Ok(Some(answer)) = lazy.try_answer(false).await {
        answer.assert_status(200);
        answers += 1;
    }
    assert!(answers < 8, "the connection was never cut off");
}

#[tokio::test]
async fn large_answers_beyond_the_limit_are_refused_until_others_are_read() {
    const VALUE: usize = 4 << 20;
    let served = Served::start(&["--in-flight-limit", "7MiB"]).await;
    served
        .ask(&Request::put("/keys/large", vec![b'x'; VALUE]))
        .await
        .assert_status(200);
    let in_flight = served.server.app.in_flight();
    let mut lazy = Connection::open(served.address).await;
    lazy.send(Request::get("/keys/large").to_wire().repeat(8))
        .await;
    eventually("a large answer waits for its reader", async || {
        let before = in_flight.bytes();
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        before >= VALUE as u64 && in_flight.bytes() >= VALUE as u64
    })
    .await;
    let head = served.ask(&Request::head("/keys/large")).await;
    head.assert_status(200);
    let refusal = served.ask(&Request::get("/keys/large")).await;
    refusal.assert_problem(503, "overloaded");
    for _ in 0..8 {
        assert_eq!(lazy.answer().await.body.len(), VALUE);
    }
    served
        .ask(&Request::get("/keys/large"))
        .await
        .assert_status(200);
}
