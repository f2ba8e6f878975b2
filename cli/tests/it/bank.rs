//! The bank: the proof succeeds where transactions are atomic, and fails where they are not.

use trandb_common::{ErrorCode, Problem};

use crate::{
    export::interrupt,
    fake::{Fake, answer_with, no_server},
    run::{Ran, command_at, trandb_at},
};

const SMALL: [&str; 5] = ["bank", "--accounts", "5", "--clients", "3"];

fn bank(fake: &Fake, more: &[&str]) -> Ran {
    trandb_at(&fake.url(), &[&SMALL[..], more].concat())
}

#[test]
fn the_total_stays_and_nothing_else_does() {
    let fake = Fake::with([("other", &b"1"[..])]);
    let printed = bank(&fake, &["--transfers", "50"]).ok();
    for part in [
        "transfers             50  in ",
        "by 3 clients",
        "of 5 accounts at one moment",
        "total              5,000  in every audit and at the end",
    ] {
        assert!(printed.contains(part), "{part} in {printed}");
    }
    let left: Vec<_> = fake.entries().into_keys().collect();
    assert_eq!(left, ["other"]);
}

#[test]
fn with_json_and_keep_the_accounts_stay_and_hold_the_total() {
    let fake = Fake::start();
    let printed = bank(
        &fake,
        &["--transfers", "20", "--json", "--keep", "--balance", "7"],
    )
    .ok();
    let report: serde_json::Value = serde_json::from_str(&printed).expect("JSON");
    assert_eq!(report["transfers"], 20);
    assert_eq!(report["constant"], true);
    assert_eq!(report["total_at_the_end"], 35);
    let entries = fake.entries();
    let balances = entries
        .values()
        .map(|value| std::str::from_utf8(value).expect("text"));
    let sum: u64 = balances
        .map(|text| text.parse::<u64>().expect("a number"))
        .sum();
    assert_eq!((entries.len(), sum), (5, 35));
}

#[test]
fn transactions_that_are_torn_are_found_out() {
    let fake = Fake::start();
    fake.tear_transactions(7);
    let ran = bank(&fake, &["--duration", "1m"]);
    let printed = String::from_utf8(ran.stdout.clone()).expect("UTF-8");
    assert!(printed.contains("total              5,000  "), "{printed}");
    let stderr = ran.fails_with(8);
    assert!(stderr.contains("money was lost or made"), "{stderr}");
}

#[test]
fn keys_that_are_there_are_not_touched_unless_that_is_asked_for() {
    let fake = Fake::with([("bank/999", &b"mine"[..])]);
    let stderr = bank(&fake, &["--transfers", "1"]).fails_with(4);
    assert!(
        stderr.contains("\"bank/999\" is there already") && stderr.contains("--replace"),
        "{stderr}"
    );
    assert_eq!(fake.entries().len(), 1);
    bank(&fake, &["--transfers", "1", "--prefix", "other/"]).ok();
    assert_eq!(fake.entries().len(), 1);
    bank(&fake, &["--transfers", "1", "--replace"]).ok();
    assert_eq!(fake.entries().len(), 0);
}

#[test]
fn bad_arguments_are_2() {
    for arguments in [
        &["bank", "--accounts", "1"][..],
        &["bank", "--accounts", "501"],
        &["bank", "--clients", "0"],
        &["bank", "--duration", "10"],
        &["bank", "--duration", "1s", "--transfers", "1"],
    ] {
        trandb_at(&no_server(), arguments).fails_with(2);
    }
    let long = "x".repeat(1024);
    let stderr = trandb_at(&no_server(), &["bank", "--prefix", &long]).fails_with(4);
    assert!(stderr.contains("at most 1024 bytes"), "{stderr}");
}

#[test]
fn no_server_is_5() {
    let stderr = trandb_at(&no_server(), &["bank", "--retries", "0"]).fails_with(5);
    assert!(stderr.contains("is the server running there?"), "{stderr}");
}

/// Runs the bank until it transfers, and then does `what`.
fn in_the_middle(fake: &Fake, what: impl FnOnce(&std::process::Child)) -> Ran {
    let arguments = [&SMALL[..], &["--duration", "10m", "--retries", "0"]].concat();
    let child = command_at(&fake.url(), &arguments)
        .spawn()
        .expect("it runs");
    while fake.requests().len() < 20 {
        std::thread::yield_now();
    }
    what(&child);
    child.wait_with_output().expect("it ends").into()
}

#[test]
fn a_server_that_refuses_in_the_middle_ends_it_and_says_what_stays() {
    let fake = Fake::start();
    let full = Problem::new(ErrorCode::MemoryFull, "as told");
    let ran = in_the_middle(&fake, |_| fake.answer_transactions(answer_with(&full)));
    let stderr = ran.fails_with(4);
    assert!(stderr.contains("memory_full"), "{stderr}");
    assert!(
        stderr.contains("the accounts stay under \"bank/\": --replace"),
        "{stderr}"
    );
    assert_eq!(fake.entries().len(), 5);
}

#[test]
fn ctrl_c_ends_it_with_the_proof_and_without_the_accounts() {
    let fake = Fake::start();
    let ran = in_the_middle(&fake, interrupt);
    let printed = String::from_utf8(ran.stdout.clone()).expect("UTF-8");
    assert!(
        printed.contains("in every audit and at the end"),
        "{printed}"
    );
    let stderr = ran.fails_with(130);
    assert_eq!(stderr, "error: interrupted\n");
    assert_eq!(fake.entries().len(), 0);
}
