//! Requests that go to the leaders of their keys' shards.

use std::{num::NonZeroU16, time::Duration};

use serde_json::json;
use tokio::{task::yield_now, time::advance};
use trandb_client::{Client, Key, Outcome};
use trandb_common::ErrorCode;

use crate::scripted::{Script, Step, answer, found, problem, written};

/// Two shards: the node at `b` leads the first, the one at `c` the second.
fn told() -> Step {
    let member = |node: u64, address: &str| {
        json!({"name": address, "node": node, "address": address, "peer_address": "", "zone": "",
            "state": "up", "leads": 1})
    };
    let group = |shard: u16, leader: u64| {
        json!({"shard": shard, "epoch": 0, "role": "follower", "term": 1, "leader": leader,
            "voters": [1, 2], "changing": false, "lag": 0, "lagging": {}, "ready": true})
    };
    let status = json!({"clustered": true, "ready": true, "cluster": "x", "node": 1,
        "map_version": 1, "members": [member(1, "b"), member(2, "c")],
        "groups": [group(0, 1), group(1, 2)]});
    answer(200, &["content-type: application/json"], status.to_string())
}

fn alone() -> Step {
    let status = json!({"clustered": false, "ready": true, "cluster": null, "node": null,
        "map_version": 0, "members": [], "groups": []});
    answer(200, &["content-type: application/json"], status.to_string())
}

fn key_of(shard: u16) -> Key {
    let shards = NonZeroU16::new(2).expect("not 0");
    let keys = (0..).map(|number| Key::new(&format!("k{number}")).expect("legal"));
    keys.into_iter()
        .find(|key| key.shard(shards) == shard)
        .expect("there are many")
}

/// A client that has asked `a` once, and what follows.
async fn client(told: Step, steps: impl IntoIterator<Item = Step>) -> (Script, Client) {
    let script = Script::new([found(), told].into_iter().chain(steps));
    let client = script.configure(|builder| builder.endpoint("http://a").prefer_leaders());
    client.get("k").await.expect("at a, since nothing is known");
    yield_now().await;
    assert_eq!(script.sent()[1].request.uri(), "/cluster");
    (script, client)
}

#[tokio::test(start_paused = true)]
async fn what_concerns_a_key_goes_to_the_leader_of_its_shard() {
    let page = answer(
        200,
        &["content-type: application/json"],
        r#"{"keys":[],"next":null}"#,
    );
    let (script, client) = client(told(), [found(), found(), written(), page]).await;
    client.get(key_of(0)).await.expect("at b");
    client.get(key_of(1)).await.expect("at c");
    client.put(key_of(0), "v").await.expect("at b");
    client.list("").await.expect("at a: it concerns all shards");
    assert_eq!(script.order(), "aabcba");
}

#[tokio::test(start_paused = true)]
async fn where_there_is_no_cluster_everything_stays_as_it_is() {
    let (script, client) = client(alone(), [found(), found()]).await;
    client.get(key_of(0)).await.expect("at a");
    client.get(key_of(1)).await.expect("at a");
    assert_eq!(script.order(), "aaaa");
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_does_not_serve_is_passed_by_at_once_and_asked_for_anew() {
    for gone in [
        Step::NotSent,
        problem(ErrorCode::NotReady),
        problem(ErrorCode::ShardUnavailable),
    ] {
        let rest = [
            gone,
            written(),
            written(),
            found(),
            written(),
            told(),
            written(),
        ];
        let (script, client) = client(told(), rest).await;
        client.put(key_of(0), "v").await.expect("at a instead of b");
        assert_eq!(
            (script.order().as_str(), script.waits()[2]),
            ("aaba", Duration::ZERO)
        );
        client.put(key_of(0), "v").await.expect("at a");
        client
            .get(key_of(1))
            .await
            .expect("at c, which is not forgotten");
        assert_eq!(script.order(), "aabaac");
        advance(Duration::from_secs(1)).await;
        client.put(key_of(0), "v").await.expect("at a");
        yield_now().await;
        client.put(key_of(0), "v").await.expect("at b again");
        assert_eq!(script.order(), "aabaacaab");
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_that_the_leader_does_not_answer_is_not_sent_again() {
    let (script, client) = client(told(), [Step::MaybeSent]).await;
    let error = client.put(key_of(0), "v").await.expect_err("no answer");
    assert_eq!(error.outcome(), Outcome::Unknown);
    assert_eq!(script.order(), "aab");
}

#[tokio::test(start_paused = true)]
async fn it_is_asked_for_anew_every_few_seconds() {
    let (script, client) = client(told(), [found(), found(), alone(), found()]).await;
    client.get(key_of(0)).await.expect("at b");
    advance(Duration::from_secs(6)).await;
    client.get(key_of(0)).await.expect("at b still");
    yield_now().await;
    client
        .get(key_of(0))
        .await
        .expect("at a: the cluster is gone");
    assert_eq!(script.order(), "aabbaa");
    assert_eq!(script.steps_left(), 0);
}
