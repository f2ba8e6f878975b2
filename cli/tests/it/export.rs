//! Export: its lines, what happens beside it, and the way back through import.

use std::{
    io::{BufRead, BufReader},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use trandb_common::{ErrorCode, Problem};

use crate::{
    fake::Fake,
    run::{Ran, command_at, trandb_at, trandb_fed},
};

#[test]
fn an_export_imported_elsewhere_is_the_same_store() {
    let bytes: Vec<u8> = (0..=255).collect();
    let large = vec![b'x'; 300_000];
    let long_key = "é".repeat(512);
    let entries = [
        ("a", &b"Ada"[..]),
        ("empty", b""),
        ("bytes", &bytes),
        ("large", &large),
        (
            "line\nbreak\r\t\"quotes\"\\",
            b"{\"key\":\"x\",\"text\":\"y\"}\n",
        ),
        (
            "nul\0 esc\u{1b} csi\u{9b} del\u{7f} \u{202e}",
            "\u{1}\u{2}\u{3}".as_bytes(),
        ),
        ("🦀/ %2F+?#", "日本\u{2028}".as_bytes()),
        ("...", b"."),
        (&long_key, b"long key"),
    ];
    let (from, to) = (Fake::with(entries), Fake::start());

    let exported = trandb_at(&from.url(), &["export"]).ok();
    assert_eq!(exported.lines().count(), entries.len());
    trandb_fed(&to.url(), &["import"], exported.as_bytes()).ok();
    assert_eq!(to.entries(), from.entries());
    assert_eq!(trandb_at(&to.url(), &["export"]).ok(), exported);
}

#[test]
fn lines_are_in_the_order_of_keys_however_slowly_some_values_come() {
    let names: Vec<String> = (0..300).map(|i| format!("k/{i:03}")).collect();
    let fake = Fake::with(names.iter().map(|name| (name.as_str(), name.as_bytes())));
    fake.delay("k/000", Duration::from_millis(200));
    fake.delay("k/100", Duration::from_millis(100));
    let ran = trandb_at(&fake.url(), &["export", "k/"]);
    assert!(
        ran.stderr.starts_with("exported 300 keys: 1.46 KiB in "),
        "{}",
        ran.stderr
    );
    let expected: Vec<String> = names
        .iter()
        .map(|name| format!("{{\"key\":\"{name}\",\"text\":\"{name}\"}}"))
        .collect();
    assert_eq!(ran.ok().lines().collect::<Vec<_>>(), expected);
}

#[test]
fn a_key_that_vanishes_is_left_out_and_counted() {
    let fake = Fake::with([("a", &b"1"[..]), ("b", b"2"), ("c", b"3")]);
    fake.fail(
        "GET",
        "b",
        &Problem::new(ErrorCode::KeyNotFound, "deleted meanwhile"),
    );
    let ran = trandb_at(&fake.url(), &["export"]);
    let summary = "exported 2 keys, 1 deleted meanwhile: 2 B in ";
    assert!(ran.stderr.starts_with(summary), "{}", ran.stderr);
    assert_eq!(
        ran.ok(),
        "{\"key\":\"a\",\"text\":\"1\"}\n{\"key\":\"c\",\"text\":\"3\"}\n"
    );

    let ran = trandb_at(&fake.url(), &["export", "--json"]);
    let summary: serde_json::Value = serde_json::from_str(&ran.stderr).expect("JSON");
    assert_eq!(
        (&summary["exported"], &summary["vanished"]),
        (&2.into(), &1.into())
    );
}

#[test]
fn a_failure_in_the_middle_says_how_far_it_came() {
    let fake = Fake::with([("a", &b"1"[..]), ("b", b"2"), ("c", b"3")]);
    fake.fail(
        "GET",
        "b",
        &Problem::new(ErrorCode::InvalidHeader, "as told"),
    );
    let ran = trandb_at(&fake.url(), &["export"]);
    assert_eq!(ran.stdout, b"{\"key\":\"a\",\"text\":\"1\"}\n");
    let stderr = ran.fails_with(4);
    assert!(
        stderr.contains("hint: 1 key exported, up to \"a\""),
        "{stderr}"
    );
    assert!(
        !stderr.contains("exported 1"),
        "no summary of a success: {stderr}"
    );
}

#[test]
fn ctrl_c_ends_it_with_whole_lines() {
    let fake = Fake::with([("a", &b"1"[..]), ("b", b"2")]);
    fake.delay("b", Duration::from_mins(1));
    let mut command = command_at(&fake.url(), &["export", "--timeout", "60s"]);
    let child = command.spawn().expect("it runs");
    while !fake
        .requests()
        .iter()
        .any(|request| request.contains("/keys/b"))
    {
        std::thread::yield_now();
    }
    // The first key's answer came before the second was asked for, or soon comes: both ends are
    // legal, half a line is not.
    interrupt(&child);
    let ran = Ran::from(child.wait_with_output().expect("it ends"));
    let lines: Vec<_> = BufReader::new(&ran.stdout[..]).lines().collect();
    assert!(
        ran.stdout.is_empty() || ran.stdout.ends_with(b"\n"),
        "{lines:?}"
    );
    let stderr = ran.fails_with(130);
    assert!(
        stderr.starts_with("error: interrupted\n  hint: "),
        "{stderr}"
    );
}

pub(crate) fn interrupt(child: &std::process::Child) {
    let pid = i32::try_from(child.id()).expect("a process id");
    kill(Pid::from_raw(pid), Signal::SIGINT).expect("it runs");
}
