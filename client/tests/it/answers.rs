//! What each answer means, over a scripted transport.

use std::error::Error as _;

use bytes::Bytes;
use http::{Method, StatusCode};
use trandb_client::{Client, Error, InvalidKey, Key, Outcome, Problem, RetryPolicy};
use trandb_common::{ErrorCode, limits::VALUE_BYTES_MAX};

use crate::scripted::{
    Script, Step, answer, described, foreign, found, problem, response, version, written,
};

/// What the client makes of `step` when nothing is sent again.
fn client(step: Step) -> (Script, Client) {
    let script = Script::new([step]);
    let client = script.configure(|builder| {
        let builder = builder.endpoint("http://a");
        builder.retries(RetryPolicy::none())
    });
    (script, client)
}

async fn put(step: Step) -> Error {
    let (script, client) = client(step);
    let error = client.put("k", "v").await.expect_err("an error");
    assert_eq!((script.sent().len(), error.tries()), (1, 1), "{error}");
    error
}

async fn get(step: Step) -> Error {
    let (_, client) = client(step);
    client.get("k").await.expect_err("an error")
}

#[tokio::test]
async fn get_gives_bytes_and_version() {
    let (script, client) = client(answer(200, &["etag: \"e3-1f4\""], &b"\0\xff"[..]));
    let entry = client.get("a/b").await.expect("answer").expect("a value");
    assert_eq!(entry.value, &b"\0\xff"[..]);
    assert_eq!(entry.version, version("e3-1f4"));
    let sent = &script.sent()[0].request;
    assert_eq!(
        (sent.method(), sent.uri().to_string()),
        (&Method::GET, "/keys/a%2Fb".into())
    );
    assert!(sent.body().is_empty());
}

#[tokio::test]
async fn a_key_without_a_value_is_no_error() {
    let (_, client) = client(problem(ErrorCode::KeyNotFound));
    assert_eq!(client.get("k").await.expect("answer"), None);
}

#[tokio::test]
async fn any_other_404_is_an_error() {
    let error = get(problem(ErrorCode::RouteNotFound)).await;
    assert_eq!(error.code(), Some("route_not_found"));
    let error = get(foreign(404)).await;
    assert_eq!(error.status(), Some(StatusCode::NOT_FOUND));
    assert_eq!((error.code(), error.is_retryable()), (None, false));
}

#[tokio::test]
async fn a_value_must_come_with_its_version() {
    for headers in [
        &[][..],
        &["etag: e1-1"],
        &["etag: W/\"e1-1\""],
        &["etag: \"5f3-abc\""],
        &["etag: \""],
    ] {
        let error = get(answer(200, headers, "v")).await;
        assert_eq!(error.status(), Some(StatusCode::OK), "{headers:?}");
        assert!(error.to_string().contains("no version"), "{error}");
        assert!(!error.is_retryable(), "{headers:?}");
    }
}

#[tokio::test]
async fn a_value_larger_than_any_is_an_error() {
    let etag = &["etag: \"e1-1\""];
    let (_, client) = client(answer(200, etag, vec![0; VALUE_BYTES_MAX]));
    assert!(client.get("k").await.expect("answer").is_some());
    let error = get(answer(200, etag, vec![0; VALUE_BYTES_MAX + 1])).await;
    assert!(error.to_string().contains("4 MiB"), "{error}");
}

#[tokio::test]
async fn stat_gives_version_and_size() {
    let (script, client) = client(answer(200, &["etag: \"e1-1\"", "content-length: 5"], ""));
    let stat = client.stat("k").await.expect("answer").expect("a value");
    assert_eq!((stat.version, stat.size), (version("e1-1"), 5));
    assert_eq!(script.sent()[0].request.method(), Method::HEAD);
}

#[tokio::test]
async fn stat_knows_an_absent_key_by_the_type_of_the_404() {
    for content_type in [
        "content-type: application/problem+json",
        "content-type: Application/Problem+JSON; charset=utf-8",
    ] {
        let (_, client) = client(answer(404, &[content_type], ""));
        assert_eq!(client.stat("k").await.expect("answer"), None);
    }
    for step in [
        answer(404, &[], ""),
        answer(404, &["content-type: text/html"], ""),
        answer(200, &["etag: \"e1-1\""], ""),
        answer(200, &["etag: \"e1-1\"", "content-length: many"], ""),
        answer(200, &["content-length: 5"], ""),
    ] {
        let (_, client) = client(step);
        let error = client.stat("k").await.expect_err("an error");
        assert_eq!(error.outcome(), Outcome::NotCommitted, "{error}");
    }
}

#[tokio::test]
async fn put_sends_the_bytes_and_gives_the_version() {
    let (script, client) = client(written());
    let made = client.put("k", &b"\0\xff"[..]).await.expect("written");
    assert_eq!(made, version("e1-2"));
    let sent = &script.sent()[0].request;
    assert_eq!(
        (sent.method(), sent.body()),
        (&Method::PUT, &Bytes::from_static(b"\0\xff"))
    );
    assert_eq!(sent.headers()["content-type"], "application/octet-stream");
    assert_eq!(sent.headers().len(), 1, "{:?}", sent.headers());
}

#[tokio::test]
async fn conditions_travel_as_headers_and_the_last_one_counts() {
    let script = Script::new([written(), written(), written(), answer(204, &[], "")]);
    let client = script.client();
    let v = version("e1-1");
    client.put("k", "v").if_version(v).await.expect("written");
    client.put("k", "v").if_absent().await.expect("written");
    let last = client.put("k", "v").if_absent().if_version(v);
    last.await.expect("written");
    client.delete("k").if_version(v).await.expect("deleted");
    let conditions: Vec<_> = script
        .sent()
        .iter()
        .map(|sent| {
            let headers = sent.request.headers();
            let text = |name| {
                headers
                    .get(name)
                    .map(|value| value.to_str().expect("text").to_owned())
            };
            (text("if-match"), text("if-none-match"))
        })
        .collect();
    let matches = (Some("\"e1-1\"".to_owned()), None);
    assert_eq!(
        conditions,
        [
            matches.clone(),
            (None, Some("*".to_owned())),
            matches.clone(),
            matches
        ]
    );
}

#[tokio::test]
async fn a_success_without_a_version_is_never_called_not_committed() {
    for step in [
        answer(200, &[], ""),
        answer(200, &["etag: W/\"e1-1\""], ""),
        answer(
            200,
            &["etag: \"garbage\""],
            "<html>Welcome to the hotel</html>",
        ),
        answer(201, &["etag: \"e1-1\""], ""),
        answer(204, &[], ""),
    ] {
        let error = put(step).await;
        assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
        assert!(!error.is_retryable(), "{error}");
        assert!(error.to_string().contains("the write happened"), "{error}");
        assert!(error.status().expect("status").is_success());
    }
}

#[tokio::test]
async fn delete_takes_204_alone() {
    let (script, deleting) = client(answer(204, &[], ""));
    deleting.delete("k").await.expect("deleted");
    assert_eq!(script.sent()[0].request.method(), Method::DELETE);
    let (_, deleting) = client(answer(200, &[], "deleted"));
    let error = deleting.delete("k").await.expect_err("not the contract");
    assert_eq!(error.outcome(), Outcome::Unknown);
}

#[tokio::test]
async fn every_error_of_the_contract_is_told_as_the_server_tells_it() {
    for code in ErrorCode::ALL {
        let error = put(problem(code)).await;
        assert_eq!(error.outcome(), code.outcome(), "{code}");
        assert_eq!(error.code(), Some(code.as_str()));
        assert_eq!(
            error.status().map(|s| s.as_u16()),
            Some(code.status()),
            "{code}"
        );
        assert_eq!(error.problem(), Some(&Problem::new(code, "scripted")));
        let certain = code.outcome() == Outcome::NotCommitted;
        assert_eq!(error.is_retryable(), certain && code.retryable(), "{code}");
        let text = error.to_string();
        assert!(
            text.starts_with(&format!("{} {code}: scripted; ", code.status())),
            "{text}"
        );
        assert_eq!(text.contains("the write did not happen"), certain, "{text}");
        assert_eq!(
            text.contains("may be sent again"),
            error.is_retryable(),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_conflict_tells_the_version_now() {
    let failed = || Problem::new(ErrorCode::PreconditionFailed, "d");
    let now = version("e1-9");
    let error = put(described(&failed().with_current_version(Some(now)))).await;
    assert!(error.is_conflict());
    assert_eq!(error.current_version(), Some(now));
    let error = put(described(&failed().with_current_version(None))).await;
    assert!(error.is_conflict());
    assert_eq!(error.current_version(), None);
    assert!(put(problem(ErrorCode::Conflict)).await.is_conflict());
    assert!(!put(problem(ErrorCode::LockTimeout)).await.is_conflict());
    assert!(!put(foreign(412)).await.is_conflict(), "a proxy's 412");
}

#[tokio::test]
async fn after_an_error_that_is_not_trandbs_the_write_is_unknown() {
    let wrong_status = {
        let mut problem = Problem::new(ErrorCode::LockTimeout, "d");
        problem.status = 507;
        let body = serde_json::to_vec(&problem).expect("JSON");
        answer(503, &["content-type: application/problem+json"], body)
    };
    let cut = answer(
        503,
        &["content-type: application/problem+json"],
        "{\"type\":",
    );
    let of_another_api = answer(
        503,
        &["content-type: application/problem+json"],
        r#"{"type":"about:blank","title":"Unavailable","status":503}"#,
    );
    let json = answer(503, &["content-type: application/json"], {
        serde_json::to_vec(&Problem::new(ErrorCode::LockTimeout, "d")).expect("JSON")
    });
    let statuses = [301, 307, 400, 404, 408, 413, 429, 500, 502, 503, 504, 507];
    let steps = [wrong_status, cut, of_another_api, json]
        .into_iter()
        .chain(statuses.map(foreign));
    for step in steps {
        let error = put(step).await;
        assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
        assert!(!error.is_retryable(), "{error}");
        assert!(error.problem().is_none());
        assert!(error.to_string().contains("is not known"), "{error}");
    }
}

#[tokio::test]
async fn a_code_of_a_newer_server_is_understood() {
    let mut newer = Problem::new(ErrorCode::LockTimeout, "d");
    newer.code = "lease_lost".into();
    let error = put(described(&newer)).await;
    assert_eq!(error.code(), Some("lease_lost"));
    assert!(error.is_retryable());
    assert_eq!(error.outcome(), Outcome::NotCommitted);
}

#[tokio::test]
async fn a_read_never_commits_anything() {
    for step in [
        foreign(502),
        Step::MaybeSent,
        problem(ErrorCode::OutcomeUnknown),
    ] {
        let error = get(step).await;
        assert_eq!(error.outcome(), Outcome::NotCommitted, "{error}");
        assert!(error.is_retryable(), "{error}");
        assert!(!error.to_string().contains("the write"), "{error}");
    }
}

#[tokio::test]
async fn control_characters_of_an_answer_do_not_reach_a_terminal() {
    let error = put(described(&Problem::new(
        ErrorCode::InvalidKey,
        "a\u{1b}[2Jb",
    )))
    .await;
    let text = error.to_string();
    assert!(text.contains(r"a\u{1b}[2Jb"), "{text}");
    assert!(!text.contains('\u{1b}'));
}

#[tokio::test]
async fn what_the_server_says_and_what_it_means_are_one_sentence() {
    let problem = Problem::new(ErrorCode::MemoryFull, "Nothing was changed.");
    let error = put(described(&problem)).await;
    assert_eq!(
        error.to_string(),
        "507 memory_full: Nothing was changed; the write did not happen"
    );
}

#[tokio::test]
async fn the_reason_of_a_failed_connection_is_in_the_chain_and_once() {
    let error = put(Step::NotSent).await;
    assert!(error.is_connect());
    assert_eq!(
        error.to_string(),
        "http://a: no connection to the server; the write did not happen and may be sent again"
    );
    let source = error.source().expect("a source");
    assert_eq!(source.to_string(), "scripted refusal");
}

#[tokio::test]
async fn illegal_keys_are_refused_before_anything_is_sent() {
    let script = Script::new([]);
    let client = script.client();
    let long = "x".repeat(1025);
    for (key, code) in [
        ("", "invalid_key"),
        (".", "invalid_key"),
        ("..", "invalid_key"),
        (long.as_str(), "key_too_long"),
    ] {
        let errors = [
            client.get(key).await.map(|_| ()).expect_err("illegal"),
            client.stat(key).await.map(|_| ()).expect_err("illegal"),
            client.put(key, "v").await.map(|_| ()).expect_err("illegal"),
            client.delete(key).await.expect_err("illegal"),
            client
                .list("")
                .after(key)
                .await
                .map(|_| ())
                .expect_err("illegal"),
        ];
        for error in errors {
            assert_eq!(error.code(), Some(code), "{key:?}");
            assert_eq!(error.outcome(), Outcome::NotCommitted);
            assert_eq!((error.is_retryable(), error.tries()), (false, 0));
            assert!(
                error.to_string().starts_with("nothing was sent: "),
                "{error}"
            );
        }
    }
    let error = client.get(&b"\xff"[..]).await.expect_err("not UTF-8");
    assert_eq!(error.code(), Some("invalid_utf8"));
    assert!(script.sent().is_empty());
}

#[tokio::test]
async fn oversize_values_are_refused_before_anything_is_sent() {
    let script = Script::new([written()]);
    let client = script.client();
    let error = client.put("k", vec![0; VALUE_BYTES_MAX + 1]).await;
    let error = error.expect_err("too large");
    assert_eq!(error.code(), Some("value_too_large"));
    assert_eq!(error.outcome(), Outcome::NotCommitted);
    assert!(script.sent().is_empty());
    let largest = client.put("k", vec![0; VALUE_BYTES_MAX]).await;
    largest.expect("4 MiB are legal");
    assert_eq!(script.sent()[0].request.body().len(), VALUE_BYTES_MAX);
}

#[tokio::test]
async fn keys_come_in_all_shapes() {
    let key = Key::new("k").expect("legal");
    let script = Script::new(std::iter::repeat_with(found).take(5));
    let client = script.client();
    client.get(&key).await.expect("answer");
    client.get(key).await.expect("answer");
    client.get(String::from("k")).await.expect("answer");
    client.get(&String::from("k")).await.expect("answer");
    client.get(&b"k"[..]).await.expect("answer");
    assert!(
        script
            .sent()
            .iter()
            .all(|sent| sent.request.uri() == "/keys/k")
    );
    let _: InvalidKey = Key::new("").expect_err("empty");
}

#[tokio::test]
async fn limits_are_those_of_the_server() {
    let body = br#"{"key_bytes_max":1024,"value_bytes_max":4194304,"lock_wait_ms_max":1000,
        "list_limit_default":100,"list_limit_max":1000,"memory_bytes_max":7,
        "in_flight_bytes_max":8,"connections_max":9,"added_later":true}"#;
    let (script, asking) = client(answer(200, &[], &body[..]));
    let limits = asking.limits().await.expect("limits");
    assert_eq!((limits.memory_bytes_max, limits.connections_max), (7, 9));
    assert_eq!(script.sent()[0].request.uri(), "/limits");
    let (_, asking) = client(answer(200, &[], "<html>"));
    let error = asking.limits().await.expect_err("not JSON");
    assert!(error.source().is_some(), "{error}");
}

#[tokio::test]
async fn the_cluster_is_told_as_the_server_sees_it() {
    let body = br#"{"clustered":true,"ready":true,"cluster":"c0ffee","node":4,"map_version":2,
        "members":[],"groups":[],"added_later":true}"#;
    let (script, asking) = client(answer(200, &[], &body[..]));
    let cluster = asking.cluster().await.expect("a cluster");
    assert_eq!((cluster.clustered, cluster.node), (true, Some(4)));
    assert_eq!(script.sent()[0].request.uri(), "/cluster");
    let (_, asking) = client(answer(200, &[], "<html>"));
    let error = asking.cluster().await.expect_err("not JSON");
    assert!(error.source().is_some(), "{error}");
}

#[tokio::test]
async fn readiness_is_asked_once() {
    for (step, ready) in [
        (answer(200, &[], "ready"), true),
        (problem(ErrorCode::NotReady), false),
        (foreign(503), false),
    ] {
        let script = Script::new([step]);
        let client = script.configure(|builder| builder.endpoint("http://a").endpoint("http://b"));
        assert_eq!(client.is_ready().await.expect("an answer"), ready);
        assert_eq!(script.sent()[0].request.uri(), "/readyz");
    }
    for step in [foreign(404), Step::NotSent, Step::MaybeSent] {
        let script = Script::new([step]);
        let error = script.client().is_ready().await.expect_err("no answer");
        assert_eq!(error.tries(), 1);
    }
}

#[test]
fn a_client_is_not_made_of_nonsense() {
    let error = Client::connect("localhost:8080").expect_err("no scheme");
    assert_eq!(error.outcome(), Outcome::NotCommitted);
    let reason = error.source().expect("a reason").to_string();
    assert!(reason.contains("http://"), "{reason}");
    let no_time = Client::builder().timeout(std::time::Duration::ZERO).build();
    assert!(no_time.is_err());
}

#[test]
fn a_response_of_the_script_carries_its_headers() {
    let made = response(200, &["etag: \"x\""], "");
    assert_eq!(made.headers()["etag"], "\"x\"");
}
