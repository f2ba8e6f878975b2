//! The command line itself.

use crate::{
    fake::{Fake, no_server},
    run::{command, trandb, trandb_at},
};

#[test]
fn help_lists_every_exit_code() {
    let help = trandb(&["--help"]).ok();
    for code in [0, 1, 2, 3, 4, 5, 6, 7, 130, 141] {
        let row = format!("\n{code:>5}  ");
        assert!(help.contains(&row), "{code} is missing in:\n{help}");
    }
}

#[test]
fn what_is_illegal_is_refused_before_anything_is_sent() {
    let fake = Fake::start();
    let long_key = "k".repeat(1025);
    let cases: &[(&[&str], &str)] = &[
        (&["get", ""], "a key has at least 1 byte"),
        (&["get", ".."], "are not keys"),
        (&["get", &long_key], "at most 1024 bytes"),
        (&["put", "a"], "required"),
        (&["put", "a", "v", "--file", "f"], "cannot be used"),
        (&["put", "a", "-v"], "unexpected argument"),
        (&["put", "a", "v", "--if-version", "7"], "not a version"),
        (
            &["put", "a", "v", "--if-absent", "--if-version", "e1-1"],
            "cannot be used",
        ),
        (&["get", "a", "--raw", "--json"], "cannot be used"),
        (&["list", "--limit", "0"], "0 is not in 1.."),
        (&["export", "--concurrency", "0"], "not in"),
        (&["import", "--concurrency", "65"], "not in"),
        (&["import", "--from-line", "0"], "not in"),
        (&["status", "--timeout", "10"], "looks like 500ms"),
        (&["status", "--timeout", "0s"], "longer than nothing"),
        (&["status", "--retries", "-1"], "unexpected argument"),
        (&["serve"], "unrecognized subcommand"),
        (&[], "Usage"),
    ];
    for (arguments, why) in cases {
        let stderr = trandb_at(&fake.url(), arguments).fails_with(2);
        assert!(stderr.contains(why), "{arguments:?}: {stderr}");
    }
    let stderr = trandb_at("127.0.0.1:8080", &["status"]).fails_with(2);
    assert!(stderr.contains("neither http://"), "{stderr}");
    assert_eq!(fake.requests(), [""; 0]);
}

#[test]
fn the_endpoint_may_come_from_the_environment() {
    let fake = Fake::with([("a", &b"1"[..])]);
    let output = command(&["get", "a"])
        .env("TRANDB_ENDPOINT", fake.url())
        .output();
    assert_eq!(output.expect("it runs").stdout, b"1");
}

#[test]
fn the_next_endpoint_is_asked_when_one_fails() {
    let fake = Fake::with([("a", &b"1"[..])]);
    let both = format!("{},{}", no_server(), fake.url());
    assert_eq!(trandb_at(&both, &["get", "a"]).ok(), "1");
}

#[test]
fn values_may_begin_with_a_dash() {
    let fake = Fake::start();
    trandb_at(&fake.url(), &["put", "negative", "-5"]).ok();
    trandb_at(&fake.url(), &["put", "--", "-key", "-value"]).ok();
    assert_eq!(fake.value("negative").as_deref(), Some(&b"-5"[..]));
    assert_eq!(fake.value("-key").as_deref(), Some(&b"-value"[..]));
}
