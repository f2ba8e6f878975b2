//! Clients and processes that end in the middle of a transaction over 16 shards: it happens whole
//! or not at all, and nobody waits for it afterwards.

use std::net::SocketAddr;

use trandb_integration_tests::{
    eventually,
    local::Served,
    process::{Process, Signal},
    wire::{self, Connection, Request},
};

const KEYS: usize = 8;

fn id(round: usize) -> String {
    format!("00000000-0000-4000-8000-{round:012}")
}

/// Writes the number of the round to every key.
fn transaction(round: usize) -> Request {
    let rows: Vec<_> = (0..KEYS)
        .map(|n| format!(r#"{{"op":"put","key":"k{n}","text":"{round}"}}"#))
        .collect();
    let body = format!(r#"{{"id":"{}","writes":[{}]}}"#, id(round), rows.join(","));
    Request::post("/transactions", body).header("content-type", "application/json")
}

/// The value that all keys have; none: none has any.
async fn the_value(address: SocketAddr) -> Option<String> {
    let mut values = Vec::new();
    for n in 0..KEYS {
        let found = wire::ask(address, &Request::get(format!("/keys/k{n}"))).await;
        values.push((found.status == 200).then(|| found.text()));
    }
    let first = values[0].clone();
    assert!(values.iter().all(|value| *value == first), "{values:?}");
    first
}

/// The connection ends with the first part of the request, with a longer one, …, with all of it.
#[tokio::test]
async fn a_client_that_is_gone_has_written_everything_or_nothing() {
    const ROUNDS: usize = 40;
    let served = Served::start(&["--shards", "16"]).await;
    let mut committed = 0;
    for round in 1..=ROUNDS {
        let wire = transaction(round).to_wire();
        let mut connection = Connection::open(served.address).await;
        connection.send(&wire[..wire.len() * round / ROUNDS]).await;
        connection.finish_sending().await;
        drop(connection);
        served.until_nothing_is_in_flight().await;
        let status = Request::get(format!("/transactions/{}", id(round)));
        // Decided, one way or the other: an abort is as final as a commit.
        let abort = Request::new("POST", format!("/transactions/{}/abort", id(round)));
        let answer = served.ask(&abort).await;
        answer.assert_status(200);
        let is_committed = answer.text().contains(r#""committed""#);
        assert_eq!(served.ask(&status).await.text(), answer.text());
        let value = the_value(served.address).await;
        assert_eq!(value == Some(round.to_string()), is_committed, "{value:?}");
        assert!(round == ROUNDS || !is_committed, "half of it was taken");
        committed += usize::from(is_committed);
    }
    assert!(committed <= 1, "{committed}");
    for n in 0..KEYS {
        let put = Request::put(format!("/keys/k{n}"), "free");
        served.ask(&put).await.assert_status(200);
    }
}

/// SIGTERM comes when half of the transaction has arrived: it is carried out, others are refused.
#[tokio::test]
async fn a_transaction_in_flight_finishes_before_the_process_ends() {
    let mut process = Process::start(&["--shards", "16", "--drain-timeout", "30s"]);
    let address = process.address();
    let wire = transaction(1).to_wire();
    let (first, rest) = wire.split_at(wire.len() - 10);
    let mut slow = Connection::open(address).await;
    slow.send(first).await;
    wire::ask(address, &Request::get("/livez"))
        .await
        .assert_status(200);
    process.signal(Signal::SIGTERM);
    eventually("others are refused", async || {
        // One that comes in the moment of the signal may be closed without an answer.
        let mut other = Connection::open(address).await;
        other.try_send(transaction(2).to_wire()).await.is_ok()
            && matches!(other.try_answer(false).await, Ok(Some(answer)) if answer.status == 503)
    })
    .await;
    let refusal = wire::ask(address, &transaction(3)).await;
    refusal.assert_problem(503, "not_ready");
    slow.send(rest).await;
    let answer = slow.answer().await;
    answer.assert_status(200);
    assert!(answer.text().contains(r#""outcome":"committed""#));
    assert_eq!(process.exit().await.code(), Some(0), "{}", process.log());
}
