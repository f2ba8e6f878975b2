//! Transactions from scripts and from JSON.

use std::{fs, time::Duration};

use trandb_common::{ErrorCode, Problem};
use wiremock::ResponseTemplate;

use crate::{
    export::interrupt,
    fake::{Fake, answer_with, no_server, server_that_hangs_up},
    run::{Ran, command_at, trandb_at, trandb_fed},
};

const ID: &str = "0199c2f4-5d1e-7c3a-9a41-2f60c1f0a7d2";

fn filled() -> Fake {
    Fake::with([("a", &b"1"[..]), ("b", b"2\n\x1b[2J")])
}

fn txn(fake: &Fake, script: &str) -> Ran {
    trandb_fed(&fake.url(), &["txn"], script.as_bytes())
}

#[test]
fn everything_happens_and_is_printed() {
    let fake = filled();
    let version = fake.version("a").expect("it has one");
    let script = format!(
        "# all of it\ncheck a {version}\ncheck c absent\nget b\nget c\nput a \"one two\"\n\
         put c 3\ndelete b\n"
    );
    let printed = trandb_fed(&fake.url(), &["txn", "--id", ID], script.as_bytes()).ok();
    let expected = format!(
        "committed {ID}\n\
         get     e1-2  b  2\\n\\u{{1b}}[2J\n\
         get     -     c\n\
         put     e1-3  a\n\
         put     e1-4  c\n\
         delete  -     b\n"
    );
    assert_eq!(printed, expected);
    assert_eq!(fake.value("a").as_deref(), Some(&b"one two"[..]));
    assert_eq!(fake.value("b"), None);
    assert_eq!(fake.value("c").as_deref(), Some(&b"3"[..]));
}

#[test]
fn with_json_the_result_is_an_object() {
    let fake = filled();
    let script = "get a\nget c\nput c 3";
    let arguments = ["txn", "--json", "--id", ID];
    let printed = trandb_fed(&fake.url(), &arguments, script.as_bytes()).ok();
    let expected = format!(
        "{{\"id\":\"{ID}\",\"outcome\":\"committed\",\"versions\":{{\"c\":\"e1-3\"}},\
         \"reads\":[{{\"key\":\"a\",\"version\":\"e1-1\",\"text\":\"1\"}},\
         {{\"key\":\"c\",\"version\":null}}]}}\n"
    );
    assert_eq!(printed, expected);
}

#[test]
fn the_body_of_the_interface_is_understood_as_well() {
    let fake = filled();
    let body = format!(
        r#"  {{"id":"{ID}","checks":[{{"key":"c","version":null}}],"reads":[{{"key":"a"}}],
            "writes":[{{"op":"put","key":"c","value":"/w=="}},{{"op":"delete","key":"a"}}]}}"#
    );
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("body");
    fs::write(&file, body).expect("written");
    let file = file.to_str().expect("UTF-8");
    let printed = trandb_at(&fake.url(), &["txn", "--input", file]).ok();
    assert!(
        printed.starts_with(&format!("committed {ID}\n")),
        "{printed}"
    );
    assert_eq!(fake.value("a"), None);
    assert_eq!(fake.value("c").as_deref(), Some(&[0xff][..]));
}

#[test]
fn a_check_that_fails_is_3_names_what_holds_and_nothing_is_written() {
    let fake = filled();
    let ran = txn(
        &fake,
        "check a e9-9\ncheck b absent\ncheck c e1-1\nput a 2\nput c 2",
    );
    assert_eq!(ran.stdout, b"");
    let stderr = ran.fails_with(3);
    for part in [
        "\"a\" is e1-1, the check says e9-9",
        "\"b\" is e1-2, the check says absent",
        "\"c\" is absent, the check says e1-1",
    ] {
        assert!(stderr.contains(part), "{part} in {stderr}");
    }
    assert_eq!(fake.value("a").as_deref(), Some(&b"1"[..]));
    assert_eq!(fake.value("c"), None);
    let ran = trandb_fed(&fake.url(), &["txn", "--json"], b"check a absent");
    let error: serde_json::Value = serde_json::from_str(&ran.fails_with(3)).expect("JSON");
    assert_eq!(error["failed"][0]["actual"], "e1-1");
    assert_eq!(
        (&error["code"], &error["exit_code"]),
        (&"conflict".into(), &3.into())
    );
}

#[test]
fn what_is_not_understood_is_4_with_its_line_and_nothing_is_sent() {
    let fake = filled();
    for (script, parts) in [
        (
            "put a 1\nput b",
            &["line 2: 1 word behind \"put\"", "put KEY VALUE"][..],
        ),
        ("", &["there is no operation", "get KEY"]),
        ("{\"writes\":[{\"op\":\"put\"}]}", &["missing field `key`"]),
        (
            "{\"writes\":[{\"op\":\"delete\",\"key\":\"\"}]}",
            &["writes[0]", "at least 1 byte"],
        ),
        ("{\"timeout_ms\":1}", &["--timeout"]),
    ] {
        let stderr = txn(&fake, script).fails_with(4);
        for part in parts {
            assert!(stderr.contains(part), "{script}: {part} in {stderr}");
        }
    }
    let stderr = trandb_fed(&fake.url(), &["txn"], b"put a \xff").fails_with(4);
    assert!(
        stderr.contains("not UTF-8") && stderr.contains("@FILE"),
        "{stderr}"
    );
    trandb_at(&fake.url(), &["txn", "--input", "no/such/file"]).fails_with(7);
    txn(&fake, "put a @no/such/file").fails_with(7);
    assert_eq!(fake.requests(), [""; 0]);
}

#[test]
fn no_server_is_5_and_one_that_never_answers_is_6_with_the_id_to_go_on_with() {
    let arguments = ["txn", "--retries", "0", "--id", ID];
    trandb_fed(&no_server(), &arguments, b"put a 1").fails_with(5);
    let arguments = ["txn", "--timeout", "300ms", "--id", ID];
    let stderr = trandb_fed(&server_that_hangs_up(), &arguments, b"put a 1").fails_with(6);
    assert!(stderr.contains(&format!("with --id {ID}")), "{stderr}");
}

#[test]
fn what_the_server_says_of_the_outcome_is_the_exit_code() {
    for (code, exit) in [(ErrorCode::IdReused, 4), (ErrorCode::LockTimeout, 5)] {
        let fake = filled();
        fake.answer_transactions(answer_with(&Problem::new(code, "as told")));
        let arguments = ["txn", "--retries", "0"];
        let stderr = trandb_fed(&fake.url(), &arguments, b"put a 2").fails_with(exit);
        assert!(stderr.contains(code.as_str()), "{stderr}");
    }
}

#[test]
fn ctrl_c_has_the_transaction_aborted_and_says_so() {
    let fake = filled();
    let slow = ResponseTemplate::new(200).set_delay(Duration::from_mins(1));
    fake.answer_transactions(slow);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("script");
    fs::write(&file, "put a 2").expect("written");
    let file = file.to_str().expect("UTF-8");
    let mut command = command_at(&fake.url(), &["txn", "--input", file]);
    let child = command.spawn().expect("it runs");
    while fake.requests().is_empty() {
        std::thread::yield_now();
    }
    interrupt(&child);
    let stderr = Ran::from(child.wait_with_output().expect("it ends")).fails_with(130);
    assert!(
        stderr.contains("interrupted: nothing was written"),
        "{stderr}"
    );
    assert!(
        fake.requests()[1].ends_with("/abort "),
        "{:?}",
        fake.requests()
    );
}
