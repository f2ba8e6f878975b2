//! Import: order, errors by line, going on after them.

use std::{
    fs,
    time::{Duration, Instant},
};

use trandb_common::{ErrorCode, Problem};

use crate::{
    export::interrupt,
    fake::{Fake, no_server, server_that_hangs_up},
    run::{Ran, command_at, trandb_at, trandb_fed},
};

fn line(key: &str, text: &str) -> String {
    format!("{{\"key\":\"{key}\",\"text\":\"{text}\"}}\n")
}

fn lines(count: usize) -> String {
    (1..=count)
        .map(|i| line(&format!("k/{i:04}"), &i.to_string()))
        .collect()
}

#[test]
fn every_line_is_written_once() {
    let fake = Fake::start();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("lines");
    fs::write(&file, lines(2000)).expect("written");
    let file = file.to_str().expect("UTF-8");
    let ran = trandb_at(&fake.url(), &["import", "--input", file]);
    assert!(
        ran.stderr.starts_with("imported 2,000 keys: "),
        "{}",
        ran.stderr
    );
    assert_eq!(ran.ok(), "");
    assert_eq!(fake.entries().len(), 2000);
    assert_eq!(fake.requests().len(), 2000);
    assert_eq!(fake.value("k/1234").as_deref(), Some(&b"1234"[..]));
}

#[test]
fn of_lines_with_the_same_key_the_last_wins() {
    let fake = Fake::start();
    let text: String = (0..200).map(|i| line("same", &i.to_string())).collect();
    trandb_fed(&fake.url(), &["import"], text.as_bytes()).ok();
    assert_eq!(fake.value("same").as_deref(), Some(&b"199"[..]));
    assert_eq!(fake.requests().len(), 200);
}

#[test]
fn lines_with_the_same_key_wait_for_each_other() {
    let fake = Fake::start();
    let delay = Duration::from_millis(50);
    fake.delay("same", delay);
    let begun = Instant::now();
    let text = line("same", "1").repeat(6);
    trandb_fed(&fake.url(), &["import"], text.as_bytes()).ok();
    // However slow the machine is, one after the other takes no less.
    assert!(begun.elapsed() >= 6 * delay, "{:?}", begun.elapsed());
}

#[test]
fn a_line_that_is_none_ends_it_and_says_where_to_go_on() {
    let fake = Fake::start();
    let (before, after) = (lines(3), line("after", ""));
    let text = format!("{before}\n{{\"key\":\"bad\",\"vlaue\":\"\"}}\n{after}");
    let stderr = trandb_fed(&fake.url(), &["import"], text.as_bytes()).fails_with(4);
    assert!(stderr.starts_with("imported 3 keys: "), "{stderr}");
    assert!(
        stderr.contains("error: line 5: column 20: unknown field `vlaue`"),
        "{stderr}"
    );
    assert!(
        stderr.contains("hint: every line before 4 is done: --from-line 4"),
        "{stderr}"
    );
    assert_eq!(fake.entries().len(), 3);

    let mended = text.replace("vlaue", "value");
    let ran = trandb_fed(
        &fake.url(),
        &["import", "--from-line", "4"],
        mended.as_bytes(),
    );
    assert!(
        ran.stderr.starts_with("imported 2 keys: "),
        "{}",
        ran.stderr
    );
    assert_eq!(fake.entries().len(), 5);
    assert_eq!(fake.requests().len(), 5, "nothing is written twice");
}

#[test]
fn what_a_line_lacks_or_has_too_much_is_named() {
    let fake = Fake::start();
    for (text, why) in [
        ("{\"key\":\"a\"}\n", "neither `text` nor `value`"),
        (
            "{\"key\":\"a\",\"text\":\"\",\"value\":\"\"}\n",
            "both there",
        ),
        ("{\"key\":\"a\",\"value\":\"YQ\"}\n", "not base64"),
        ("{\"key\":\"a\",\"te", "ends in the middle"),
        ("{\"key\":\"..\",\"text\":\"\"}\n", "are not keys"),
        ("key,value\n", "expected value"),
        ("\u{feff}{}", "expected value"),
    ] {
        let stderr = trandb_fed(&fake.url(), &["import"], text.as_bytes()).fails_with(4);
        assert!(
            stderr.contains("error: line 1: ") && stderr.contains(why),
            "{stderr}"
        );
    }
    assert_eq!(fake.requests(), [""; 0]);
}

#[test]
fn a_file_cut_in_a_line_is_imported_up_to_there() {
    let fake = Fake::start();
    let text = lines(10);
    let stderr = trandb_fed(&fake.url(), &["import"], &text.as_bytes()[..text.len() - 5]);
    let stderr = stderr.fails_with(4);
    assert!(
        stderr.contains("line 10: the line ends in the middle"),
        "{stderr}"
    );
    assert_eq!(fake.entries().len(), 9);
}

#[test]
fn a_line_without_end_is_refused() {
    let fake = Fake::start();
    let text = [line("a", "1").into_bytes(), vec![b'x'; 8 * 1024 * 1024]].concat();
    let stderr = trandb_fed(&fake.url(), &["import"], &text).fails_with(4);
    assert!(
        stderr.contains("error: line 2: it is longer than"),
        "{stderr}"
    );
    assert_eq!(fake.entries().len(), 1);
}

#[test]
fn a_server_that_refuses_ends_it_with_the_line_and_the_reason() {
    let fake = Fake::start();
    fake.fail(
        "PUT",
        "k/0100",
        &Problem::new(ErrorCode::MemoryFull, "as told"),
    );
    let stderr = trandb_fed(&fake.url(), &["import"], lines(1000).as_bytes()).fails_with(4);
    assert!(
        stderr.contains("error: line 100: 507 memory_full"),
        "{stderr}"
    );
    assert!(
        stderr.contains("hint: every line before 100 is done: --from-line 100"),
        "{stderr}"
    );
    let written = fake.entries();
    assert!((99..1000).contains(&written.len()), "{}", written.len());
    assert!((1..100).all(|i| written.contains_key(&format!("k/{i:04}"))));
    let imported = format!("imported {} keys: ", written.len());
    assert!(stderr.starts_with(&imported), "{imported}: {stderr}");
}

#[test]
fn a_server_that_is_away_is_5_and_one_that_goes_away_is_6() {
    let text = lines(100);
    let arguments = ["import", "--retries", "0"];
    let stderr = trandb_fed(&no_server(), &arguments, text.as_bytes()).fails_with(5);
    assert!(stderr.starts_with("imported 0 keys: "), "{stderr}");
    assert!(stderr.contains("begin again with the first"), "{stderr}");
    trandb_fed(&server_that_hangs_up(), &arguments, text.as_bytes()).fails_with(6);
}

#[test]
fn an_unknown_outcome_is_reported_before_a_refusal() {
    let fake = Fake::start();
    fake.fail(
        "PUT",
        "k/0001",
        &Problem::new(ErrorCode::MemoryFull, "as told"),
    );
    fake.fail(
        "PUT",
        "k/0002",
        &Problem::new(ErrorCode::OutcomeUnknown, "as told"),
    );
    fake.delay("k/0002", Duration::from_millis(300));
    let ran = trandb_fed(&fake.url(), &["import", "--json"], lines(2).as_bytes());
    let stderr = ran.fails_with(6);
    let error = stderr.lines().last().expect("an error");
    let error: serde_json::Value = serde_json::from_str(error).expect("JSON");
    assert_eq!(
        (&error["line"], &error["outcome"]),
        (&2.into(), &"unknown".into())
    );
    let hint = error["hint"].as_str().expect("a hint");
    assert_eq!(hint, "begin again with the first line");
}

#[test]
fn with_if_absent_what_is_there_stays_and_is_counted() {
    let fake = Fake::with([("k/0002", &b"kept"[..])]);
    let ran = trandb_fed(&fake.url(), &["import", "--if-absent"], lines(3).as_bytes());
    let summary = "imported 2 keys, 1 kept its value: ";
    assert!(ran.stderr.starts_with(summary), "{}", ran.stderr);
    ran.ok();
    assert_eq!(fake.value("k/0002").as_deref(), Some(&b"kept"[..]));
    let ran = trandb_fed(
        &fake.url(),
        &["import", "--if-absent", "--json"],
        lines(3).as_bytes(),
    );
    let summary: serde_json::Value = serde_json::from_str(&ran.stderr).expect("JSON");
    assert_eq!(
        (&summary["imported"], &summary["kept"]),
        (&0.into(), &3.into())
    );
}

#[test]
fn nothing_to_import_is_no_error() {
    let fake = Fake::start();
    for text in ["", "\n\n"] {
        let ran = trandb_fed(&fake.url(), &["import"], text.as_bytes());
        assert!(
            ran.stderr.starts_with("imported 0 keys: "),
            "{}",
            ran.stderr
        );
        ran.ok();
    }
}

#[test]
fn lines_of_a_slow_pipe_do_not_wait_for_more() {
    use std::{io::Write, process::Stdio};
    let fake = Fake::start();
    let mut command = command_at(&fake.url(), &["import"]);
    let mut child = command.stdin(Stdio::piped()).spawn().expect("it runs");
    let mut stdin = child.stdin.take().expect("piped");
    stdin
        .write_all(line("a", "1").as_bytes())
        .expect("it reads");
    while fake.value("a").is_none() {
        std::thread::yield_now();
    }
    drop(stdin);
    Ran::from(child.wait_with_output().expect("it ends")).ok();
}

#[test]
fn ctrl_c_waits_for_what_is_on_its_way_and_says_where_to_go_on() {
    use std::{io::Write, process::Stdio};
    let fake = Fake::start();
    fake.delay("k/0003", Duration::from_millis(300));
    let mut command = command_at(&fake.url(), &["import"]);
    let mut child = command.stdin(Stdio::piped()).spawn().expect("it runs");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(lines(3).as_bytes()).expect("it reads");
    while fake.value("k/0003").is_none() {
        std::thread::yield_now();
    }
    // The third answer is still to come, and so is the end of the input.
    interrupt(&child);
    let stderr = Ran::from(child.wait_with_output().expect("it ends")).fails_with(130);
    assert!(stderr.starts_with("imported 3 keys: "), "{stderr}");
    assert!(stderr.contains("error: interrupted\n"), "{stderr}");
    assert!(stderr.contains("--from-line 4 goes on there"), "{stderr}");
}
