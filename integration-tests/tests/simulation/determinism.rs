//! The same seed, the same run: looked at before anything else, since no failure of a simulation
//! could be shown again without.

use std::{env, process::Command, sync::LazyLock};

use trandb_integration_tests::{scenario::Scenario, seed::Seed, world::run_simulated};

const SEEDS: u64 = 20;

/// Set in the process that only prints its traces.
const PRINT: &str = "TRANDB_PRINT_TRACES";

/// Between the traces and what the test harness prints around them.
const MARK: &str = "=== traces ===\n";

/// Fails unless runs repeat, in this process and in a fresh one. Done once.
pub(crate) fn required() {
    static REPEATS: LazyLock<Result<(), String>> = LazyLock::new(compare);
    if let Err(difference) = &*REPEATS {
        panic!("{difference}");
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    if env::var_os(PRINT).is_some() {
        print!("{MARK}{}{MARK}", traces().concat());
        return;
    }
    required();
}

fn traces() -> Vec<String> {
    let seeds = (0..SEEDS).map(|n| Seed(77).nth(n));
    seeds
        .map(|seed| {
            let scenario = Scenario::draw(seed);
            format!("{scenario}{}", run_simulated(&scenario).trace)
        })
        .collect()
}

fn compare() -> Result<(), String> {
    let first = traces();
    for (number, (first, second)) in first.iter().zip(traces()).enumerate() {
        differs(first, &second).map_or(Ok(()), |line| {
            Err(format!("run {number}, in one process: {line}"))
        })?;
    }
    let output = Command::new(env::current_exe().expect("a program"))
        .args([
            "--exact",
            "determinism::the_same_seed_gives_the_same_trace",
            "--nocapture",
        ])
        .env(PRINT, "1")
        .output()
        .expect("this program can be run again");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let fresh = printed.split(MARK).nth(1);
    let fresh = fresh.ok_or_else(|| format!("the fresh process printed no traces: {printed}"))?;
    differs(&first.concat(), fresh)
        .map_or(Ok(()), |line| Err(format!("in a fresh process: {line}")))
}

/// The first line that differs.
fn differs(one: &str, other: &str) -> Option<String> {
    if one == other {
        return None;
    }
    let mut pairs = one.lines().zip(other.lines()).enumerate();
    let line = pairs.find(|(_, (one, other))| one != other);
    Some(line.map_or_else(
        || "one trace is longer than the other".to_owned(),
        |(number, (one, other))| format!("line {number} is\n  {one}\nand then\n  {other}"),
    ))
}
