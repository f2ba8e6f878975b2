//! Transactions: what is sent, what is remembered, and what is done when no answer comes.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request};
use trandb_client::{
    Client, Error, FailedCheck, Key, Operations, Outcome, Problem, RetryPolicy, TransactionBody,
    TransactionId, TransactionStatus, Write,
};
use trandb_common::{ErrorCode, wire::transaction as wire};

use crate::scripted::{Script, Sent, Step, answer, described, found, problem, version};

include!("memory.rs");

fn key(text: &str) -> Key {
    Key::new(text).expect("legal")
}

/// The body of a `POST /transactions`.
fn posted(sent: &Sent) -> wire::Request {
    assert_eq!(sent.request.uri().path(), "/transactions");
    assert_eq!(sent.request.headers()["content-type"], "application/cbor");
    minicbor_serde::from_slice(sent.request.body()).expect("CBOR")
}

fn committed(id: TransactionId) -> Step {
    let body = wire::Committed {
        id,
        outcome: wire::Decision::Committed,
        versions: [(key("a"), version("e1-9"))].into(),
        reads: Some(vec![]),
    };
    let body = minicbor_serde::to_vec(&body).expect("CBOR");
    answer(200, &["content-type: application/cbor"], body)
}

fn status(outcome: &str) -> Step {
    let body = format!(r#"{{"outcome":"{outcome}"}}"#);
    answer(200, &["content-type: application/json"], body)
}

fn conflict() -> Step {
    let mut problem = Problem::new(ErrorCode::Conflict, "scripted");
    problem.failed = Some(vec![FailedCheck {
        key: key("a"),
        expected: Some(version("e1-1")),
        actual: None,
    }]);
    described(&problem)
}

async fn copy_a_to_b(client: &Client) -> Result<(), Error> {
    client
        .transaction(|tx| async move {
            let value = tx.get("a").await?.unwrap_or_default();
            tx.put("b", value)
        })
        .await
}

#[tokio::test(start_paused = true)]
async fn what_was_read_is_checked_and_what_was_written_is_written() {
    let script = Script::new([found(), committed(TransactionId(0))]);
    copy_a_to_b(&script.client()).await.expect("committed");
    let body = posted(&script.sent()[1]).check().expect("legal");
    assert_eq!(body.operations().checks[0].key, key("a"));
    assert_eq!(body.operations().checks[0].version, Some(version("e1-1")));
    let written = body.operations().writes[0].value().expect("a put");
    assert_eq!(written.as_bytes(), b"value");
    assert_eq!(
        (
            body.operations().checks.len(),
            body.operations().writes.len()
        ),
        (1, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn after_a_conflict_everything_is_read_again_under_another_id() {
    let script = Script::new([found(), conflict(), found(), committed(TransactionId(0))]);
    copy_a_to_b(&script.client()).await.expect("committed");
    let sent = script.sent();
    assert_ne!(posted(&sent[1]).id, posted(&sent[3]).id);
    assert!(sent[2].at > sent[1].at, "there is a wait between");
}

/// The first try may have happened; that the others were refused says nothing of it.
#[tokio::test(start_paused = true)]
async fn refusals_after_a_try_without_an_answer_leave_the_outcome_to_the_server() {
    let tries = || {
        let refusals = (0..5).map(|_| problem(ErrorCode::Overloaded));
        [found(), Step::MaybeSent].into_iter().chain(refusals)
    };
    let happened = [status("committed"), committed(TransactionId(0))];
    let script = Script::new(tries().chain(happened));
    copy_a_to_b(&script.client()).await.expect("committed");

    let script = Script::new(tries().chain([status("not_committed")]));
    let error = copy_a_to_b(&script.client()).await.expect_err("aborted");
    assert_eq!(error.outcome(), Outcome::NotCommitted);
    assert!(error.transaction_id().is_some());
    assert_eq!(script.steps_left(), 0);
}

#[tokio::test(start_paused = true)]
async fn conflicts_end_after_so_many_tries_and_say_what_failed() {
    let tries = || [found(), conflict()];
    let script = Script::new(tries().into_iter().chain(tries()).chain(tries()));
    let runs = AtomicUsize::new(0);
    let error = script
        .client()
        .transaction(|tx| {
            runs.fetch_add(1, Ordering::Relaxed);
            async move {
                tx.get("a").await?;
                tx.delete("b")
            }
        })
        .retries(RetryPolicy::none().max_retries(2))
        .await
        .expect_err("conflicts");
    assert!(error.is_conflict());
    assert_eq!(error.failed_checks()[0].key, key("a"));
    assert_eq!(error.outcome(), Outcome::NotCommitted);
    assert_eq!(runs.into_inner(), 3);
}

#[tokio::test(start_paused = true)]
async fn after_its_time_no_new_try_is_begun() {
    let script = Script::new([found(), conflict()]);
    let ran = script
        .client()
        .transaction(|tx| async move {
            tx.get("a").await?;
            tx.delete("b")
        })
        .timeout(Duration::ZERO)
        .await;
    assert!(ran.expect_err("no time").is_conflict());
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_caller_s_sends_nothing_more() {
    let script = Script::new([found()]);
    let ran: Result<(), Error> = script
        .client()
        .transaction(|tx| async move {
            tx.get("a").await?;
            tx.put("b", "1")?;
            tx.put("..", "not a key")
        })
        .await;
    assert_eq!(ran.expect_err("refused").code(), Some("invalid_key"));
    assert_eq!(script.sent().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_to_commit_nothing() {
    let script = Script::new([found()]);
    let client = script.client();
    client.begin().commit().await.expect("nothing to do");
    let read_one = client.begin();
    read_one.get("a").await.expect("a value");
    let committed = read_one.commit().await.expect("one read is of one moment");
    assert_eq!(committed.id(), None);
    assert_eq!(script.sent().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn reads_of_several_keys_are_checked_though_nothing_is_written() {
    let script = Script::new([found(), found(), committed(TransactionId(0))]);
    let tx = script.client().begin();
    tx.get("a").await.expect("a value");
    tx.get("b").await.expect("a value");
    tx.commit().await.expect("committed");
    let body = posted(&script.sent()[2]).check().expect("legal");
    assert_eq!(
        (
            body.operations().checks.len(),
            body.operations().writes.len()
        ),
        (2, 0)
    );
}

#[tokio::test]
async fn a_transaction_reads_what_it_has_written_and_reads_nothing_twice() {
    let client = Client::builder()
        .transport(memory::Memory::default())
        .build();
    let client = client.expect("a client");
    client.put("a", "1").await.expect("written");
    let tx = client.begin();
    assert_eq!(tx.get("a").await.expect("read"), Some(Bytes::from("1")));
    client.put("a", "2").await.expect("written");
    assert_eq!(tx.get("a").await.expect("read"), Some(Bytes::from("1")));
    tx.put("a", "3").expect("legal");
    tx.delete("b").expect("legal");
    let seen = tx.get_many(["a", "b", "c"]).await.expect("read");
    assert_eq!(seen, [Some(Bytes::from("3")), None, None]);
    let error = tx.clone().commit().await.expect_err("somebody wrote");
    assert!(error.is_conflict());
    let error = tx.get("a").await.expect_err("it has ended");
    assert!(error.to_string().contains("has ended"), "{error}");
    assert_eq!(
        client.get("a").await.expect("read").expect("a value").value,
        "2"
    );
}

#[tokio::test]
async fn what_is_rolled_back_is_not_written() {
    let client = Client::builder()
        .transport(memory::Memory::default())
        .build();
    let client = client.expect("a client");
    let tx = client.begin();
    tx.put("a", "1").expect("legal");
    let other = tx.clone();
    tx.rollback();
    assert!(other.put("a", "2").is_err());
    assert!(other.commit().await.is_err());
    assert!(client.get("a").await.expect("read").is_none());
}

fn write_a() -> TransactionBody {
    let write = Write::Put {
        key: key("a"),
        value: "1".try_into().expect("legal"),
    };
    TransactionBody::new(Operations {
        writes: vec![write],
        ..Operations::default()
    })
    .expect("legal")
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_asked_for_again_under_the_same_id() {
    let script = Script::new([Step::MaybeSent, committed(TransactionId(0))]);
    let committed = script.client().commit(write_a()).await.expect("committed");
    assert_eq!(committed.version(&key("a")), Some(version("e1-9")));
    let sent = script.sent();
    assert_eq!(posted(&sent[0]), posted(&sent[1]));
}

/// Its own time is over; the client asks for the decision, and then for the answer.
#[tokio::test(start_paused = true)]
async fn without_any_answer_the_transaction_is_decided_by_an_abort() {
    for (outcome, then) in [("not_committed", 0), ("committed", 1)] {
        let again = (0..then).map(|_| committed(TransactionId(0)));
        let script = Script::new([Step::Silence, status(outcome)].into_iter().chain(again));
        let client = script.configure(|builder| {
            builder
                .timeout(Duration::from_secs(3))
                .retries(RetryPolicy::none())
        });
        let result = client.commit(write_a()).await;
        let sent = script.sent();
        let id = posted(&sent[0]).id.expect("an id");
        assert_eq!(sent[1].request.method(), Method::POST);
        assert_eq!(
            sent[1].request.uri().path(),
            format!("/transactions/{id}/abort")
        );
        match result {
            Ok(committed) => {
                assert_eq!(outcome, "committed");
                assert_eq!(committed.version(&key("a")), Some(version("e1-9")));
            }
            Err(error) => {
                assert_eq!(outcome, "not_committed");
                assert_eq!(error.outcome(), Outcome::NotCommitted);
                assert!(error.is_timeout() && error.is_retryable());
                assert_eq!(error.transaction_id(), Some(id));
                let text = error.to_string();
                assert!(
                    text.contains("was then aborted; the write did not happen"),
                    "{text}"
                );
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn unknown_it_is_only_when_nobody_can_be_reached() {
    let script = Script::new([Step::MaybeSent, Step::NotSent]);
    let client = script.configure(|builder| builder.retries(RetryPolicy::none()));
    let error = client.commit(write_a()).await.expect_err("no server");
    assert_eq!(error.outcome(), Outcome::Unknown);
    assert_eq!(error.transaction_id(), posted(&script.sent()[0]).id);
}

#[tokio::test(start_paused = true)]
async fn a_transaction_that_has_its_answer_is_acknowledged_with_the_next() {
    let script = Script::new([committed(TransactionId(0)), committed(TransactionId(0))]);
    let client = script.client();
    client.commit(write_a()).await.expect("committed");
    client.commit(write_a()).await.expect("committed");
    let sent = script.sent();
    let first = posted(&sent[0]);
    assert!(first.acknowledged.is_empty());
    let told = posted(&sent[1]).check_acknowledged().expect("legal");
    assert_eq!(told, [(first.id.expect("an id"), key("a"))]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_something_else_is_not_believed() {
    let client = Script::new([committed(TransactionId(0))]).client();
    let error = client.get_many(["a", "b"]).await.expect_err("no reads");
    assert!(error.to_string().contains("is not the answer"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn an_illegal_transaction_is_not_sent() {
    let client = Script::new([]).client();
    let error = client.get_many(["a", "b", "a"]).await.expect_err("twice");
    assert_eq!(error.code(), Some("duplicate_key"));
    let tx = client.begin();
    for n in 0..1025 {
        tx.put(format!("{n}"), "").expect("legal");
    }
    let error = tx.commit().await.expect_err("too many");
    assert_eq!(error.code(), Some("transaction_too_large"));
    assert_eq!(error.outcome(), Outcome::NotCommitted);
}

#[tokio::test(start_paused = true)]
async fn what_became_of_a_transaction_can_be_asked() {
    let script = Script::new([
        status("committed"),
        status("in_progress"),
        problem(ErrorCode::TransactionNotFound),
        problem(ErrorCode::RouteNotFound),
    ]);
    let client = script.client();
    let id = TransactionId(1);
    let ask = async || client.transaction_status(id).await;
    assert_eq!(
        ask().await.expect("known"),
        Some(TransactionStatus::Committed)
    );
    assert_eq!(
        ask().await.expect("known"),
        Some(TransactionStatus::InProgress)
    );
    assert_eq!(ask().await.expect("unknown"), None);
    assert_eq!(
        ask().await.expect_err("no such path").code(),
        Some("route_not_found")
    );
    assert_eq!(
        script.sent()[0].request.uri().path(),
        format!("/transactions/{id}")
    );
}

#[tokio::test(start_paused = true)]
async fn an_idempotent_write_is_sent_again_under_its_id() {
    let written = || answer(200, &["etag: \"e1-2\""], "");
    let script = Script::new([
        Step::MaybeSent,
        written(),
        problem(ErrorCode::OutcomeUnknown),
        answer(204, &[], ""),
    ]);
    let client = script.client();
    let new = client.put("a", "1").idempotent().await.expect("written");
    assert_eq!(new, version("e1-2"));
    client.delete("a").idempotent().await.expect("deleted");
    let id = |request: &Request<Bytes>| request.headers()["idempotency-key"].clone();
    let sent = script.sent();
    assert_eq!(id(&sent[0].request), id(&sent[1].request));
    assert_eq!(id(&sent[2].request), id(&sent[3].request));
    assert_ne!(id(&sent[0].request), id(&sent[2].request));
    let id = id(&sent[0].request);
    assert!(id.to_str().expect("text").parse::<TransactionId>().is_ok());
}
