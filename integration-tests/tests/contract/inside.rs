//! Answers that need a hand inside the server: locks that are held, bytes that are on their way,
//! and the end of its life.

use tokio::time::Instant;
use trandb_common::{Key, limits::LOCK_WAIT_MAX};
use trandb_engine::{AttemptId, ShardId};
use trandb_integration_tests::{
    contract::{self, FLAGS, Played, Script, Target, assert_recorded},
    local::InProcess,
    wire::{Body, Request},
};
use trandb_server::http::Phase;

#[tokio::test(start_paused = true)]
async fn while_a_lock_is_held() {
    assert_recorded("lock-timeout", &locked().await.transcript);
}

#[tokio::test(start_paused = true)]
async fn while_a_shard_is_occupied() {
    assert_recorded("shard-lock-timeout", &occupied().await.transcript);
}

#[tokio::test]
async fn while_much_is_on_its_way() {
    assert_recorded("in-flight-limit", &in_flight().await.transcript);
}

#[tokio::test]
async fn before_the_end() {
    assert_recorded(
        "leaving",
        &at_phase("leaving", Phase::Leaving).await.transcript,
    );
    assert_recorded(
        "draining",
        &at_phase("draining", Phase::Draining).await.transcript,
    );
}

/// What happens while an undecided attempt holds a key. Time is paused: a second costs nothing.
pub(crate) async fn locked() -> Played {
    let server = server_with_a_value().await;
    let key = Key::new("a").expect("legal");
    let shards = server.app.database().shards();
    let attempt = AttemptId(1);
    shards
        .lock(ShardId(0), attempt, &[], &[key])
        .await
        .expect("a free key");
    let begun = Instant::now();
    let played = play(&server, "lock-timeout", requests()).await;
    // Each of the five that need the lock has waited; a listing shows what is there.
    assert_eq!(begun.elapsed().as_secs(), 5 * LOCK_WAIT_MAX.as_secs());
    played
}

/// What happens while a whole shard is kept by somebody.
pub(crate) async fn occupied() -> Played {
    let server = server_with_a_value().await;
    let _occupied = server.app.database().shards().occupy(ShardId(0)).await;
    let begun = Instant::now();
    let played = play(&server, "shard-lock-timeout", requests()).await;
    assert_eq!(begun.elapsed().as_secs(), 6 * LOCK_WAIT_MAX.as_secs());
    played
}

/// What happens while others leave room for 1,000 bytes on their way.
pub(crate) async fn in_flight() -> Played {
    let server = InProcess::new(FLAGS);
    let in_flight = server.app.in_flight();
    let _others = in_flight.take(in_flight.limit() - 1000).expect("room");
    let of = |bytes| vec![b'x'; bytes];
    let requests = vec![
        Request::put("/keys/a", of(1000)).about("as much as may be on its way"),
        Request::get("/keys/a").about("out as well as in"),
        Request::put("/keys/a", of(1001)).about("a byte more"),
        Request::new("PUT", "/keys/a")
            .body(Body::Chunked(vec![of(600), of(600)]))
            .about("more, not announced"),
        Request::head("/keys/a").about("the value is what it was"),
    ];
    play(&server, "in-flight-limit", requests).await
}

/// What happens in a later phase of the server's life.
pub(crate) async fn at_phase(name: &'static str, phase: Phase) -> Played {
    let server = server_with_a_value().await;
    server.app.enter(phase);
    let mut requests = requests();
    for target in ["/livez", "/readyz", "/limits", "/openapi.json", "/nowhere"] {
        requests.push(Request::head(target).about("beside keys"));
    }
    requests.push(Request::get("/readyz").about("in words"));
    requests.push(Request::get("/readyz?verbose").about("with what it depends on"));
    play(&server, name, requests).await
}

async fn server_with_a_value() -> InProcess {
    let server = InProcess::new(FLAGS);
    server
        .ask(&Request::put("/keys/a", "value"))
        .await
        .assert_status(200);
    server
}

fn requests() -> Vec<Request> {
    vec![
        Request::get("/keys/a").about("reading"),
        Request::head("/keys/a").about("looking"),
        Request::put("/keys/a", "other").about("writing"),
        Request::put("/keys/a", "other")
            .header("if-none-match", "*")
            .about("a failing condition"),
        Request::delete("/keys/a").about("deleting"),
        Request::get("/keys").about("listing"),
    ]
}

async fn play(server: &InProcess, name: &'static str, requests: Vec<Request>) -> Played {
    let script = Script {
        name,
        flags: FLAGS,
        sockets_only: false,
        requests,
    };
    contract::play(&script, &Target::InProcess(server)).await
}
