//! Every exit code, with its text and its JSON.

use trandb_common::{ErrorCode, Problem};
use wiremock::ResponseTemplate;

use crate::{
    fake::{Fake, no_server, server_that_hangs_up},
    run::{trandb_at, trandb_fed},
};

fn refusing(method: &str, code: ErrorCode) -> Fake {
    let fake = Fake::with([("a", &b"1"[..])]);
    fake.fail(method, "a", &Problem::new(code, "as told"));
    fake
}

#[test]
fn a_key_without_a_value_is_1() {
    let fake = Fake::start();
    let ran = trandb_at(&fake.url(), &["get", "a\nb"]);
    assert_eq!(ran.stdout, b"");
    assert_eq!(ran.fails_with(1), "error: the key \"a\\nb\" has no value\n");
}

#[test]
fn a_condition_that_does_not_hold_is_3_and_says_what_holds() {
    let fake = Fake::with([("a", &b"1"[..])]);
    let url = fake.url();
    let version = fake.version("a").expect("it has one").to_string();
    for arguments in [
        &["put", "a", "2", "--if-absent"][..],
        &["put", "a", "2", "--if-version", "e1-ff"],
        &["delete", "a", "--if-version", "e1-ff"],
    ] {
        let stderr = trandb_at(&url, arguments).fails_with(3);
        let hint = format!("hint: the key has the version {version} now");
        assert!(stderr.contains(&hint), "{stderr}");
    }
    let stderr = trandb_at(&url, &["put", "b", "2", "--if-version", &version]).fails_with(3);
    assert!(
        stderr.contains("hint: the key has no value now"),
        "{stderr}"
    );
    assert_eq!(fake.value("a").as_deref(), Some(&b"1"[..]));
}

#[test]
fn what_the_server_refuses_for_good_is_4() {
    for code in [ErrorCode::MemoryFull, ErrorCode::InvalidHeader] {
        let fake = refusing("PUT", code);
        let stderr = trandb_at(&fake.url(), &["put", "a", "2"]).fails_with(4);
        assert!(stderr.contains(code.as_str()), "{stderr}");
    }
}

#[test]
fn a_server_that_asks_to_come_back_is_5() {
    let fake = refusing("PUT", ErrorCode::LockTimeout);
    let arguments = ["put", "a", "2", "--retries", "0"];
    let stderr = trandb_at(&fake.url(), &arguments).fails_with(5);
    assert!(stderr.contains("lock_timeout"), "{stderr}");
    assert_eq!(fake.requests().len(), 1);
    // The server's Retry-After is obeyed between the two.
    trandb_at(&fake.url(), &["put", "a", "2", "--retries", "1"]).fails_with(5);
    assert_eq!(fake.requests().len(), 1 + 2);
}

#[test]
fn no_server_is_5() {
    let url = no_server();
    for arguments in [
        &["get", "a"][..],
        &["put", "a", "1"],
        &["list"],
        &["export"],
        &["limits"],
        &["status"],
    ] {
        let stderr = trandb_at(&url, &[arguments, &["--retries", "0"]].concat()).fails_with(5);
        assert!(
            stderr.contains("hint: is the server running there?"),
            "{stderr}"
        );
    }
}

#[test]
fn a_write_without_an_answer_is_6() {
    let stderr = trandb_at(&server_that_hangs_up(), &["put", "a", "1"]).fails_with(6);
    assert!(stderr.contains("not known"), "{stderr}");
    let stderr = trandb_at(&server_that_hangs_up(), &["delete", "a"]).fails_with(6);
    assert!(stderr.contains("not known"), "{stderr}");
    let fake = refusing("PUT", ErrorCode::OutcomeUnknown);
    trandb_at(&fake.url(), &["put", "a", "1"]).fails_with(6);
}

#[test]
fn an_error_of_a_proxy_says_nothing_of_a_write_and_lets_a_read_be_tried_again() {
    let fake = Fake::start();
    for method in ["GET", "PUT"] {
        let page = ResponseTemplate::new(502).set_body_raw("<h1>bad gateway</h1>", "text/html");
        fake.answer(method, "a", page);
    }
    trandb_at(&fake.url(), &["put", "a", "1"]).fails_with(6);
    trandb_at(&fake.url(), &["get", "a", "--retries", "0"]).fails_with(5);
}

#[test]
fn a_read_without_an_answer_is_5() {
    trandb_at(&server_that_hangs_up(), &["get", "a", "--retries", "0"]).fails_with(5);
}

#[test]
fn a_local_file_is_7() {
    let fake = Fake::start();
    let stderr = trandb_at(&fake.url(), &["put", "a", "--file", "no/such/file"]).fails_with(7);
    assert!(stderr.contains("cannot read no/such/file"), "{stderr}");
    trandb_at(&fake.url(), &["import", "--input", "no/such/file"]).fails_with(7);
    trandb_at(&fake.url(), &["export", "--output", "no/such/file"]).fails_with(7);
    assert_eq!(fake.requests(), [""; 0]);
}

#[test]
fn with_json_the_error_is_the_servers_problem_and_the_exit_code() {
    let fake = Fake::start();
    let problem = Problem::new(ErrorCode::ValueTooLarge, "as told").with_limit(1, Some(2));
    fake.fail("PUT", "a", &problem);
    let stderr = trandb_at(&fake.url(), &["put", "a", "1", "--json"]).fails_with(4);
    assert_eq!(stderr.matches('\n').count(), 1, "{stderr}");
    let error: serde_json::Value = serde_json::from_str(&stderr).expect("JSON");
    assert_eq!(error["exit_code"], 4);
    let back: Problem = serde_json::from_str(&stderr).expect("a problem");
    assert_eq!(back, problem);
}

#[test]
fn with_json_an_error_without_an_answer_has_the_same_fields() {
    let arguments = ["put", "a", "1", "--json", "--retries", "0"];
    for (url, code, outcome, retryable, exit_code) in [
        (no_server(), "unreachable", "not_committed", true, 5),
        (
            server_that_hangs_up(),
            "outcome_unknown",
            "unknown",
            false,
            6,
        ),
    ] {
        let stderr = trandb_at(&url, &arguments).fails_with(exit_code);
        let error: serde_json::Value = serde_json::from_str(&stderr).expect("JSON");
        assert_eq!(error["code"], code);
        assert_eq!(error["outcome"], outcome);
        assert_eq!(error["retryable"], retryable);
        assert_eq!(error["exit_code"], exit_code);
        assert!(
            error["detail"].is_string() && error["cause"].is_string(),
            "{error}"
        );
    }
}

#[test]
fn control_characters_of_a_server_or_a_file_reach_no_terminal() {
    let fake = Fake::start();
    let problem = Problem::new(
        ErrorCode::InvalidKey,
        "clear\u{1b}[2J and\u{9b}31m red\u{7}",
    );
    fake.fail("PUT", "a", &problem);
    let line = "{\"key\":\"a\",\"clear\\u001b[2J\u{9b}\":1}";
    let controls = |c: char| c.is_control() && c != '\n';
    for arguments in [
        &["put", "a", "1"][..],
        &["put", "a", "1", "--json"],
        &["import"],
        &["import", "--json"],
    ] {
        let stderr = trandb_fed(&fake.url(), arguments, line.as_bytes()).fails_with(4);
        assert!(stderr.contains("clear"), "{stderr}");
        assert!(!stderr.contains(controls), "{stderr:?}");
    }
}
