//! Waiting for locks: at most one second, to the millisecond, and no longer than needed.
//!
//! Time is paused: it moves only when everybody waits, so these durations are exact.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use trandb_common::{Key, limits::LOCK_WAIT_MAX};
use trandb_engine::{AttemptId, ShardId};
use trandb_integration_tests::{
    local::{InProcess, Served},
    wire::{Connection, Request},
};

const ATTEMPT: AttemptId = AttemptId(7);

fn requests() -> Vec<Request> {
    vec![
        Request::get("/keys/a"),
        Request::head("/keys/a"),
        Request::put("/keys/a", "later"),
        Request::delete("/keys/a"),
    ]
}

fn key(text: &str) -> Key {
    Key::new(text).expect("legal")
}

fn shard_of(server: &InProcess, text: &str) -> ShardId {
    server.app.database().shard_of(&key(text))
}

async fn with_a_value() -> InProcess {
    let server = InProcess::new(&[]);
    server
        .ask(&Request::put("/keys/a", "before"))
        .await
        .assert_status(200);
    server
}

#[tokio::test(start_paused = true)]
async fn an_occupied_shard_is_waited_for_one_second() {
    let server = with_a_value().await;
    let shard = shard_of(&server, "a");
    let occupied = server.app.database().shards().occupy(shard).await;
    let mut requests = requests();
    requests.push(Request::get("/keys"));
    for request in requests {
        let begun = Instant::now();
        let answer = server.ask(&request).await;
        assert_eq!(answer.status, 503, "{}", request.method);
        assert_eq!(begun.elapsed(), LOCK_WAIT_MAX, "{}", request.method);
    }
    drop(occupied);
    assert_eq!(server.ask(&Request::get("/keys/a")).await.text(), "before");
}

#[tokio::test(start_paused = true)]
async fn a_locked_key_is_waited_for_one_second() {
    let server = with_a_value().await;
    let shards = server.app.database().shards();
    let shard = shard_of(&server, "a");
    shards
        .lock(shard, ATTEMPT, &[], &[key("a")])
        .await
        .expect("free");
    for request in requests() {
        let begun = Instant::now();
        let answer = server.ask(&request).await;
        assert_eq!(answer.status, 503, "{}", request.method);
        assert_eq!(begun.elapsed(), LOCK_WAIT_MAX, "{}", request.method);
    }
    shards.unlock(shard, ATTEMPT).await;
    assert_eq!(server.ask(&Request::get("/keys/a")).await.text(), "before");
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_locked_for_reading_can_be_read_and_not_written() {
    let server = with_a_value().await;
    let shard = shard_of(&server, "a");
    let shards = server.app.database().shards();
    shards
        .lock(shard, ATTEMPT, &[key("a")], &[])
        .await
        .expect("free");
    let begun = Instant::now();
    server
        .ask(&Request::get("/keys/a"))
        .await
        .assert_status(200);
    assert_eq!(begun.elapsed(), Duration::ZERO);
    server
        .ask(&Request::put("/keys/a", "x"))
        .await
        .assert_problem(503, "lock_timeout");
    assert_eq!(begun.elapsed(), LOCK_WAIT_MAX);
}

#[tokio::test(start_paused = true)]
async fn who_waits_goes_on_when_the_shard_is_free() {
    let server = with_a_value().await;
    let shard = shard_of(&server, "a");
    for request in requests() {
        let occupied = server.app.database().shards().occupy(shard).await;
        let begun = Instant::now();
        let release = async {
            sleep(Duration::from_millis(999)).await;
            drop(occupied);
        };
        let (answer, ()) = tokio::join!(server.ask(&request), release);
        assert!(answer.status < 300, "{}: {answer:?}", request.method);
        assert_eq!(
            begun.elapsed(),
            Duration::from_millis(999),
            "{}",
            request.method
        );
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_goes_on_when_the_key_is_free() {
    let server = with_a_value().await;
    let shard = shard_of(&server, "a");
    let shards = server.app.database().shards();
    for request in requests() {
        shards
            .lock(shard, ATTEMPT, &[], &[key("a")])
            .await
            .expect("free");
        let begun = Instant::now();
        let release = async {
            sleep(Duration::from_millis(999)).await;
            shards.unlock(shard, ATTEMPT).await;
        };
        let (answer, ()) = tokio::join!(server.ask(&request), release);
        assert!(answer.status < 300, "{}: {answer:?}", request.method);
        assert_eq!(
            begun.elapsed(),
            Duration::from_millis(999),
            "{}",
            request.method
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_changes_hands_is_waited_for_one_second_in_all() {
    let server = with_a_value().await;
    let shard = shard_of(&server, "a");
    let shards = server.app.database().shards();
    shards
        .lock(shard, AttemptId(0), &[], &[key("a")])
        .await
        .expect("free");
    let hand_over = async {
        for holder in 0..4 {
            sleep(Duration::from_millis(400)).await;
            shards.unlock(shard, AttemptId(holder)).await;
            let taken = shards
                .lock(shard, AttemptId(holder + 1), &[], &[key("a")])
                .await;
            taken.expect("nobody comes in between on one thread");
        }
    };
    let put = async {
        let begun = Instant::now();
        server
            .ask(&Request::put("/keys/a", "x"))
            .await
            .assert_problem(503, "lock_timeout");
        assert_eq!(begun.elapsed(), LOCK_WAIT_MAX);
    };
    tokio::join!(put, hand_over);
}

#[tokio::test(start_paused = true)]
async fn other_keys_and_other_shards_are_not_waited_for() {
    let server = with_a_value().await;
    let shards = server.app.database().shards();
    let shard = shard_of(&server, "a");
    let numbers = || (0..1000).map(|number| number.to_string());
    let same = numbers()
        .find(|key| shard_of(&server, key) == shard)
        .expect("one of 1000");
    let other = numbers()
        .find(|key| shard_of(&server, key) != shard)
        .expect("one of 1000");
    let begun = Instant::now();
    shards
        .lock(shard, ATTEMPT, &[], &[key("a")])
        .await
        .expect("free");
    server
        .ask(&Request::put(format!("/keys/{same}"), "x"))
        .await
        .assert_status(200);
    server.ask(&Request::get("/keys")).await.assert_status(200);
    let _occupied = shards.occupy(shard).await;
    server
        .ask(&Request::put(format!("/keys/{other}"), "x"))
        .await
        .assert_status(200);
    server
        .ask(&Request::get(format!("/keys/{other}")))
        .await
        .assert_status(200);
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_write_that_is_given_up_while_it_waits_does_not_happen() {
    let server = with_a_value().await;
    let shard = shard_of(&server, "a");
    let shards = server.app.database().shards();
    shards
        .lock(shard, ATTEMPT, &[], &[key("a")])
        .await
        .expect("free");
    let write = Request::put("/keys/a", "given up");
    let given_up = tokio::time::timeout(Duration::from_millis(500), server.ask(&write)).await;
    assert!(given_up.is_err(), "{given_up:?}");
    assert_eq!(server.app.in_flight().bytes(), 0);
    shards.unlock(shard, ATTEMPT).await;
    sleep(LOCK_WAIT_MAX).await;
    assert_eq!(server.ask(&Request::get("/keys/a")).await.text(), "before");
}

/// If a lock were held while a body comes, these would be answered with 503.
#[tokio::test]
async fn nobody_waits_for_a_client_that_is_slow() {
    let served = Served::start(&["--shards", "1"]).await;
    let mut slow = Connection::open(served.address).await;
    let bytes = Request::put("/keys/a", vec![b's'; 100_000]).to_wire();
    let (most, last) = bytes.split_at(bytes.len() - 1);
    slow.send(most).await;
    let in_flight = served.server.app.in_flight();
    trandb_integration_tests::eventually("the slow body is on its way", async || {
        in_flight.bytes() == 99_999
    })
    .await;
    for round in 0..20 {
        let value = format!("round {round}");
        served
            .ask(&Request::put("/keys/a", &value))
            .await
            .assert_status(200);
        let read = served.ask(&Request::get("/keys/a")).await;
        assert_eq!((read.status, read.text()), (200, value));
        served.ask(&Request::get("/keys")).await.assert_status(200);
        served
            .ask(&Request::delete("/keys/a"))
            .await
            .assert_status(204);
    }
    slow.send(last).await;
    slow.answer().await.assert_status(200);
    assert_eq!(
        served.ask(&Request::get("/keys/a")).await.body.len(),
        100_000
    );
}
