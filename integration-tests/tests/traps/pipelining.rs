//! Many requests at once over one connection.
//!
//! Two algorithms of TCP that wait for each other (Nagle's and delayed acknowledgement) cost a
//! stall of 40 ms. One in each round would be twice the bound here; without any, a round takes
//! well under a millisecond.

use std::time::{Duration, Instant};

use trandb_integration_tests::{
    process::Process,
    wire::{Connection, Request},
};

const ROUNDS: u32 = 200;
const TIME_MAX: Duration = Duration::from_millis(20 * ROUNDS as u64);

async fn server_with_values() -> (Process, Connection) {
    let process = Process::start(&[]);
    let mut connection = Connection::open(process.address()).await;
    for (key, bytes) in [("small", 128), ("middle", 20_000)] {
        let put = Request::put(format!("/keys/{key}"), vec![b'x'; bytes]);
        connection.ask(&put).await.assert_status(200);
    }
    (process, connection)
}

async fn read_answers(connection: &mut Connection, count: usize) {
    for _ in 0..count {
        connection.answer().await.assert_status(200);
    }
}

#[tokio::test]
async fn requests_that_come_together_are_answered_without_a_stall() {
    for key in ["small", "middle"] {
        let (_process, mut connection) = server_with_values().await;
        let requests = Request::get(format!("/keys/{key}")).to_wire().repeat(16);
        let begun = Instant::now();
        for _ in 0..ROUNDS {
            connection.send(&requests).await;
            read_answers(&mut connection, 16).await;
        }
        let time = begun.elapsed();
        println!("{ROUNDS} rounds of 16 {key} answers: {time:?}");
        assert!(time < TIME_MAX, "{ROUNDS} rounds took {time:?}");
    }
}

/// The second answer must not wait until the first one is acknowledged.
#[tokio::test]
async fn requests_that_come_one_behind_the_other_are_answered_without_a_stall() {
    let (_process, mut connection) = server_with_values().await;
    let request = Request::get("/keys/small").to_wire();
    let (beginning, end) = request.split_at(20);
    let begun = Instant::now();
    for _ in 0..ROUNDS {
        // The first is answered while the second is on its way.
        connection.send([&request, beginning].concat()).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
        connection.send(end).await;
        read_answers(&mut connection, 2).await;
    }
    let time = begun.elapsed();
    println!("{ROUNDS} rounds of two answers: {time:?}");
    assert!(time < TIME_MAX, "{ROUNDS} rounds took {time:?}");
}

/// Answers that are gathered go out when the next request is slow to come.
#[tokio::test]
async fn an_answer_does_not_wait_for_the_next_request() {
    let (_process, mut connection) = server_with_values().await;
    let get = Request::get("/keys/small").to_wire();
    for behind in ["G", "GET /keys/small HTTP/1.1\r\nhost: h\r\n"] {
        connection
            .send([&get, &get, behind.as_bytes()].concat())
            .await;
        read_answers(&mut connection, 2).await;
        connection.send(&get[behind.len().min(1)..]).await;
        let answer = connection.answer().await;
        if behind == "G" {
            answer.assert_status(200);
        }
    }
}
