//! Several endpoints: which is tried when.

use std::time::Duration;

use trandb_client::{Client, ClientBuilder, RetryPolicy};
use trandb_common::ErrorCode;

use crate::scripted::{Script, Step, foreign, found, problem, written};

fn three(script: &Script) -> Client {
    let names = ["http://a", "http://b", "http://c"];
    script.configure(|builder| names.iter().fold(builder, ClientBuilder::endpoint))
}

#[tokio::test(start_paused = true)]
async fn requests_stay_with_the_endpoint_that_answers() {
    let script = Script::new([found(), Step::NotSent, written(), found(), written()]);
    let client = three(&script);
    client.get("k").await.expect("at a");
    client.put("k", "v").await.expect("at b");
    client.get("k").await.expect("still at b");
    client.clone().put("k", "v").await.expect("clones too");
    assert_eq!(script.order(), "aabbb");
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_not_yet_tried_is_tried_at_once() {
    let script = Script::new([Step::NotSent, Step::NotSent, found()]);
    three(&script).get("k").await.expect("at c");
    assert_eq!(script.order(), "abc");
    assert_eq!(script.waits(), [Duration::ZERO; 2]);
}

#[tokio::test(start_paused = true)]
async fn when_all_are_down_the_rounds_are_bounded_and_wait() {
    let script = Script::new(std::iter::repeat_with(|| Step::NotSent).take(100));
    let error = three(&script).get("k").await.expect_err("all down");
    // Each once, then 5 retries.
    assert_eq!((script.order().as_str(), error.tries()), ("abcabcab", 8));
    assert!(
        script.waits()[2..]
            .iter()
            .all(|wait| *wait >= Duration::from_millis(50))
    );
    assert!(
        error.to_string().starts_with("http://b: "),
        "the last one: {error}"
    );
}

#[tokio::test(start_paused = true)]
async fn without_retries_every_endpoint_is_still_tried_once() {
    let script = Script::new(std::iter::repeat_with(|| Step::NotSent).take(100));
    let client = script.configure(|builder| {
        let both = builder.endpoint("http://a").endpoint("http://b");
        both.retries(RetryPolicy::none())
    });
    client.put("k", "v").await.expect_err("all down");
    assert_eq!(script.order(), "ab");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_cannot_serve_is_left_and_one_that_is_busy_is_not() {
    for (step, order) in [
        (Step::NotSent, "ab"),
        (problem(ErrorCode::NotReady), "ab"),
        (problem(ErrorCode::ShardUnavailable), "ab"),
        (problem(ErrorCode::LockTimeout), "aa"),
        (problem(ErrorCode::Overloaded), "aa"),
        (problem(ErrorCode::RequestTimeout), "aa"),
    ] {
        let script = Script::new([step, written()]);
        three(&script)
            .put("k", "v")
            .await
            .expect("the second answer");
        assert_eq!(script.order(), order);
    }
    for (step, order) in [
        (Step::MaybeSent, "ab"),
        (Step::Silence, "ab"),
        (foreign(502), "ab"),
        (problem(ErrorCode::LockTimeout), "aa"),
    ] {
        let script = Script::new([step, found()]);
        three(&script).get("k").await.expect("the second answer");
        assert_eq!(script.order(), order);
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_that_fails_moves_the_next_call_on() {
    for step in [Step::MaybeSent, Step::Silence, foreign(502)] {
        let script = Script::new([step, written()]);
        let client = three(&script);
        client.put("k", "v").await.expect_err("unknown");
        client.put("k", "v").await.expect("at b");
        assert_eq!(script.order(), "ab");
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_about_the_request_moves_nothing() {
    let script = Script::new([problem(ErrorCode::PreconditionFailed), found()]);
    let client = three(&script);
    client
        .put("k", "v")
        .if_absent()
        .await
        .expect_err("a conflict");
    client.get("k").await.expect("an answer");
    assert_eq!(script.order(), "aa");
}

#[tokio::test(start_paused = true)]
async fn many_failures_at_once_move_on_by_one() {
    let mut steps: Vec<_> = std::iter::repeat_with(|| Step::Silence).take(3).collect();
    steps.push(found());
    let script = Script::new(steps);
    let client = three(&script);
    let results =
        futures_util::future::join_all((0..3).map(|_| client.put("k", "v").into_future()));
    assert!(results.await.iter().all(Result::is_err));
    client.get("k").await.expect("an answer");
    assert_eq!(script.order(), "aaab");
}
