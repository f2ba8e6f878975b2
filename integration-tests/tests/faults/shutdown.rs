//! The end of the process: asked for once, twice, and with requests that never end.

use std::net::SocketAddr;

use tokio::net::TcpStream;
use trandb_integration_tests::{
    eventually,
    process::{Process, Signal},
    wire::{self, Answer, Connection, Request},
};

/// A PUT of ten bytes whose second half has not been sent yet.
async fn slow_put(address: SocketAddr) -> Connection {
    let mut slow = Connection::open(address).await;
    slow.send("PUT /keys/slow HTTP/1.1\r\nhost: h\r\ncontent-length: 10\r\n\r\nfirst")
        .await;
    // An answer on another connection does not prove that this one has been read, but nothing is
    // lost either: a request that the server has not begun would be refused, and the test fail.
    wire::ask(address, &Request::get("/livez"))
        .await
        .assert_status(200);
    slow
}

async fn readiness(address: SocketAddr) -> Option<Answer> {
    // No connection at all is an answer, too: the process has ended.
    TcpStream::connect(address).await.ok()?;
    let mut connection = Connection::open(address).await;
    connection
        .try_send(Request::get("/readyz").to_wire())
        .await
        .ok()?;
    connection.try_answer(false).await.ok()?
}

async fn until_not_ready(address: SocketAddr) {
    eventually("readiness is off", async || {
        readiness(address)
            .await
            .is_none_or(|answer| answer.status == 503)
    })
    .await;
}

#[tokio::test]
async fn a_request_in_flight_finishes_and_new_ones_are_refused() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut process = Process::start(&["--drain-timeout", "30s"]);
        let address = process.address();
        let mut idle = Connection::open(address).await;
        idle.ask(&Request::get("/livez")).await.assert_status(200);
        let mut slow = slow_put(address).await;

        process.signal(signal);
        // A connection without a request is closed at once.
        idle.closed().await;
        until_not_ready(address).await;
        let refusal = wire::ask(address, &Request::put("/keys/new", "x")).await;
        refusal.assert_problem(503, "not_ready");
        assert_eq!(refusal.header("retry-after"), Some("1"));
        wire::ask(address, &Request::get("/keys"))
            .await
            .assert_problem(503, "not_ready");
        wire::ask(address, &Request::get("/livez"))
            .await
            .assert_status(200);

        slow.send("other").await;
        let answer = slow.answer().await;
        answer.assert_status(200);
        assert!(!answer.version().is_empty());
        assert_eq!(process.exit().await.code(), Some(0), "{}", process.log());
        TcpStream::connect(address)
            .await
            .expect_err("nobody listens any more");
    }
}

#[tokio::test]
async fn readiness_turns_first_and_service_goes_on_for_the_delay() {
    let mut process = Process::start(&["--drain-delay", "3s"]);
    let address = process.address();
    let mut kept = Connection::open(address).await;
    kept.ask(&Request::put("/keys/a", "x"))
        .await
        .assert_status(200);
    process.signal(Signal::SIGTERM);
    eventually("readiness is off", async || {
        kept.ask(&Request::get("/readyz")).await.status == 503
    })
    .await;
    kept.ask(&Request::get("/readyz"))
        .await
        .assert_problem(503, "not_ready");
    // The balancer needs time to notice: old connections and new ones are served.
    kept.ask(&Request::put("/keys/b", "y"))
        .await
        .assert_status(200);
    wire::ask(address, &Request::get("/keys/b"))
        .await
        .assert_status(200);
    assert_eq!(process.exit().await.code(), Some(0), "{}", process.log());
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    for (first, second) in [
        (Signal::SIGTERM, Signal::SIGTERM),
        (Signal::SIGINT, Signal::SIGINT),
        (Signal::SIGTERM, Signal::SIGINT),
    ] {
        // Longer than the test is patient: only the second signal can end it.
        let mut process = Process::start(&["--drain-timeout", "10m"]);
        let mut slow = slow_put(process.address()).await;
        process.signal(first);
        until_not_ready(process.address()).await;
        process.signal(second);
        assert_eq!(process.exit().await.code(), Some(1), "{}", process.log());
        assert!(process.log().contains("second signal"), "{}", process.log());
        slow.closed().await;
    }
}

#[tokio::test]
async fn a_body_that_never_ends_does_not_keep_the_process() {
    let mut process = Process::start(&["--drain-timeout", "300ms", "--body-timeout", "10m"]);
    let mut slow = slow_put(process.address()).await;
    process.signal(Signal::SIGTERM);
    assert_eq!(process.exit().await.code(), Some(0), "{}", process.log());
    assert!(process.log().contains("\"cut_off\":1"), "{}", process.log());
    slow.closed().await;
}
