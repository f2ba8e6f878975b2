//! The same seed is the same run: without that no seed is worth printing.

use std::{env, process::Command};

use trandb_integration_tests::{seed::Seed, traffic, world::nodes::run_on_nodes};

use crate::seeds::{WORKLOADS, drawn};

const SEEDS: u64 = 3;

/// Set in the process that only prints its trace, to the number of the run.
const PRINT: &str = "TRANDB_PRINT_TRACE";

/// Between the trace and what the test harness prints around it.
const MARK: &str = "=== trace ===\n";

fn trace(number: u64) -> String {
    let name = WORKLOADS[number as usize % WORKLOADS.len()];
    let (scenario, plan) = drawn(traffic::named(name), Seed(77).nth(number));
    run_on_nodes(&scenario, &plan).trace
}

#[test]
fn the_same_seed_is_the_same_run_in_this_process_and_in_another() {
    if let Ok(number) = env::var(PRINT) {
        let number = number.parse().expect("a number");
        print!("{MARK}{}{MARK}", trace(number));
        return;
    }
    for number in 0..SEEDS {
        let first = trace(number);
        assert_same(&first, &trace(number), "in this process");
        assert_same(&first, &elsewhere(number), "in another process");
    }
}

/// The trace as a process finds it that has done nothing else.
fn elsewhere(number: u64) -> String {
    let test = "determinism::the_same_seed_is_the_same_run_in_this_process_and_in_another";
    let output = Command::new(env::current_exe().expect("a program"))
        .args(["--exact", test, "--nocapture"])
        .env(PRINT, number.to_string())
        .output()
        .expect("this program can be run again");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let trace = printed.split(MARK).nth(1);
    trace.expect("it prints its trace").to_owned()
}

fn assert_same(one: &str, other: &str, place: &str) {
    let mut pairs = one.lines().zip(other.lines()).enumerate();
    if let Some((number, (one, other))) = pairs.find(|(_, (one, other))| one != other) {
        panic!("{place}: line {number} is\n  {one}\nand then\n  {other}");
    }
    assert_eq!(one.len(), other.len(), "{place}: one trace is longer");
}
