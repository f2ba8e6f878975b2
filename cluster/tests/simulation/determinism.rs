//! The same seed is the same run: without that no seed is worth printing.

use std::process::Command;

use super::{plan::Plan, run::run};

const SEEDS: std::ops::Range<u64> = 0..4;

/// What the run of one seed is known by.
fn trace(seed: u64) -> String {
    let outcome = run(&Plan::of(seed));
    format!("{:016x} {:?}", outcome.trace, outcome.counts)
}

#[test]
fn the_same_seed_is_the_same_run_in_this_process_and_in_another() {
    if let Some(seed) = std::env::var_os("TRANDB_TRACE_OF") {
        let seed = seed.to_string_lossy().parse().expect("a number");
        println!("trace {}", trace(seed));
        return;
    }
    for seed in SEEDS {
        let first = trace(seed);
        assert_eq!(trace(seed), first, "seed {seed}, in this process");
        assert_eq!(elsewhere(seed), first, "seed {seed}, in another process");
    }
}

/// The trace as a process finds it that has done nothing else.
fn elsewhere(seed: u64) -> String {
    let test = "determinism::the_same_seed_is_the_same_run_in_this_process_and_in_another";
    let output = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", test, "--nocapture"])
        .env("TRANDB_TRACE_OF", seed.to_string())
        .output()
        .expect("this test runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (_, found) = text.split_once("trace ").expect("it prints its trace");
    found.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn another_seed_is_another_run() {
    let of = |seed| run(&Plan::calm(seed, 3)).trace;
    assert_ne!(of(1), of(2));
}
