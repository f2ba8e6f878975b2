//! One lock for everything would be enough to be right, and fifty times slower. Time is paused: a
//! request that needs none of the locks that are held takes none of it.

use std::time::Duration;

use tokio::time::Instant;
use trandb_common::{Key, limits::LOCK_WAIT_MAX};
use trandb_engine::ShardId;
use trandb_integration_tests::{local::InProcess, wire::Request};

#[tokio::test(start_paused = true)]
async fn readers_of_a_shard_do_not_wait_for_each_other() {
    let server = InProcess::new(&["--shards", "1"]);
    server
        .ask(&Request::put("/keys/a", "value"))
        .await
        .assert_status(200);
    let _reading = server.app.database().shards().share(ShardId(0)).await;
    let begun = Instant::now();
    for request in [
        Request::get("/keys/a"),
        Request::head("/keys/a"),
        Request::get("/keys"),
    ] {
        server.ask(&request).await.assert_status(200);
    }
    assert_eq!(begun.elapsed(), Duration::ZERO);
    // So the shard was held indeed.
    server
        .ask(&Request::put("/keys/a", "x"))
        .await
        .assert_problem(503, "lock_timeout");
    assert_eq!(begun.elapsed(), LOCK_WAIT_MAX);
}

#[tokio::test(start_paused = true)]
async fn shards_do_not_wait_for_each_other() {
    let server = InProcess::new(&["--shards", "16"]);
    let database = server.app.database();
    let _occupied = database.shards().occupy(ShardId(0)).await;
    let begun = Instant::now();
    let mut reached = std::collections::BTreeSet::new();
    for number in 0..1000 {
        let key = Key::new(&number.to_string()).expect("legal");
        let shard = database.shard_of(&key);
        if shard == ShardId(0) {
            continue;
        }
        reached.insert(shard);
        server
            .ask(&Request::put(format!("/keys/{number}"), "x"))
            .await
            .assert_status(200);
        server
            .ask(&Request::get(format!("/keys/{number}")))
            .await
            .assert_status(200);
    }
    assert_eq!(reached.len(), 15, "{reached:?}");
    assert_eq!(begun.elapsed(), Duration::ZERO);
}
