//! What each layer runs. Those that are programs of their own first have everything built, which
//! takes none of their time.

use std::{
    fmt::Write as _,
    fs,
    path::PathBuf,
    process::Command,
    sync::{Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use trandb_integration_tests::{
    scenario::Scenario,
    seed::Seed,
    world::{real::hurried, run_real, run_simulated},
};

use crate::{
    Proof,
    child::{self, End, GLANCE},
    fuzz_stats::FuzzStats,
    plan::{Layer, each},
    report::{Finding, Outcome},
    runs::{World, search},
};

/// Cases of each property in one round of the layer `step`.
const CASES: u64 = 20_000;

/// Schedules of each scenario in one round of the interleavings.
const SCHEDULES: u64 = 1_000;

/// Examples of each operation that schemathesis asks.
const EXAMPLES: u64 = 50;

/// A program that takes longer, whatever its part of the time, hangs.
const HANGS: Duration = Duration::from_mins(15);

/// The same for compiling.
const BUILDING: Duration = Duration::from_mins(30);

/// Printed lines that are shown of a program that failed.
const LINES_SHOWN: usize = 30;

/// A command with its arguments and its environment, as one would type it.
#[derive(Debug, Clone)]
struct Line {
    environment: Vec<(&'static str, String)>,
    words: Vec<String>,
}

impl Line {
    fn new(text: &str) -> Self {
        Self {
            environment: Vec::new(),
            words: text.split(' ').map(str::to_owned).collect(),
        }
    }

    fn with(mut self, name: &'static str, value: u64) -> Self {
        self.environment.push((name, value.to_string()));
        self
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for (name, value) in &self.environment {
            let _ = write!(text, "{name}={value} ");
        }
        text + &self.words.join(" ")
    }

    fn run(&self, proof: &Proof, log: &str, limit: Duration, waiting: &dyn Fn()) -> Ran {
        let mut command = Command::new(&self.words[0]);
        command
            .args(&self.words[1..])
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(&proof.root);
        let log = proof.folder.join(log);
        match child::run(&mut command, &log, limit, &proof.stop, waiting) {
            Ok((end, output)) => Ran { end, output, log },
            Err(error) => Ran {
                end: End::Failed(format!("cannot be started: {error}")),
                output: String::new(),
                log,
            },
        }
    }
}

/// What came of a command.
struct Ran {
    end: End,
    output: String,
    log: PathBuf,
}

impl Ran {
    /// None where it has passed, or where nobody waited for it.
    fn finding(&self, name: &str, replay: String) -> Option<Finding> {
        let what = match &self.end {
            End::Passed | End::Stopped => return None,
            End::Failed(status) => format!("{name} failed ({status})"),
            End::Hung => format!("hang: {name} was not at its end in its time"),
        };
        let lines: Vec<&str> = self.output.lines().collect();
        let shown = lines.len().saturating_sub(LINES_SHOWN);
        Some(Finding {
            what,
            reason: lines[shown..].join("\n"),
            replay,
            saved: self.log.display().to_string(),
        })
    }
}

/// Builds what the layer needs.
///
/// # Errors
///
/// Why the layer cannot run: a tool is missing, or something does not build.
pub(crate) fn prepare(proof: &Proof, layer: Layer) -> Result<(), String> {
    let there = |command: &str, why: &str| {
        let limit = Duration::from_mins(1);
        let ran = Line::new(command).run(proof, "tool.txt", limit, &|| {});
        let there = ran.end == End::Passed;
        there.then_some(()).ok_or_else(|| why.to_owned())
    };
    let build: &[&str] = match layer {
        Layer::Simulation | Layer::Sockets => &[],
        Layer::Step => &["cargo test --profile checked -p trandb-common -p trandb-engine --no-run"],
        Layer::Interleavings => {
            there("just --version", "just is missing: .ci/install-tools")?;
            &["just interleavings --list"]
        }
        Layer::Fuzz => {
            there(
                "cargo fuzz --version",
                "cargo-fuzz is missing: .ci/install-tools",
            )?;
            there("just --version", "just is missing: .ci/install-tools")?;
            &["cargo fuzz build --sanitizer none"]
        }
        Layer::Contract => {
            let tool = proof.target.join("schemathesis/bin/schemathesis");
            if !tool.exists() {
                return Err("schemathesis is missing: .ci/install-tools".to_owned());
            }
            &["cargo test --workspace --test contract --no-run"]
        }
        Layer::Containers => {
            there("docker info", "no Docker answers: see `docker info`")?;
            &[
                "just image",
                "cargo test --workspace --test containers --no-run",
            ]
        }
    };
    for line in build {
        let tick = || proof.progress.tick(|| format!("building: {line}"));
        let ran = Line::new(line).run(proof, "building.txt", BUILDING, &tick);
        if ran.end != End::Passed {
            let kept = proof
                .folder
                .join(format!("{layer:?}-building.txt").to_lowercase());
            let _ = fs::rename(&ran.log, &kept);
            return Err(format!("`{line}` failed: {}", kept.display()));
        }
    }
    Ok(())
}

/// Lets a layer look for failures for so many seconds.
pub(crate) fn look(proof: &Proof, layer: Layer, seconds: u64) -> Outcome {
    match layer {
        Layer::Simulation => search(proof, simulation(), seconds),
        Layer::Sockets => search(proof, sockets(), seconds),
        Layer::Step => {
            let line = "cargo test --profile checked -p trandb-common -p trandb-engine";
            let round = |seed: Seed| {
                let line = Line::new(line).with("PROPTEST_RNG_SEED", seed.0);
                line.with("PROPTEST_CASES", CASES)
            };
            let unit = format!("tests passed, each property with {CASES} cases");
            rounds(proof, "step", seconds, round, passed, unit)
        }
        Layer::Interleavings => {
            let round = |seed: Seed| {
                let line = Line::new("just interleavings --nocapture");
                let line = line.with("TRANDB_SEED", seed.0);
                line.with("TRANDB_SCHEDULES", SCHEDULES)
            };
            let unit = "schedules".to_owned();
            rounds(proof, "interleavings", seconds, round, schedules, unit)
        }
        Layer::Fuzz => fuzz(proof, seconds),
        Layer::Contract => {
            let round = |seed: Seed| Line::new(&format!("just contract {} {EXAMPLES}", seed.0));
            rounds(
                proof,
                "contract",
                0,
                round,
                generated,
                "requests".to_owned(),
            )
        }
        Layer::Containers => {
            let line = "cargo test --workspace --test containers -- --ignored";
            let round = |_| Line::new(line);
            rounds(
                proof,
                "containers",
                0,
                round,
                passed,
                "tests passed".to_owned(),
            )
        }
    }
}

fn simulation() -> World {
    World {
        name: "simulation",
        workers: workers(),
        draw: |workload, seed| Scenario::of(workload, seed),
        run: run_simulated,
        test: |workload| format!("seeds::{}", workload.name.replace('-', "_")),
        repeats: true,
    }
}

fn sockets() -> World {
    World {
        name: "sockets",
        workers: 1,
        // The test draws the workload too, and so does its command.
        draw: |_, seed| hurried(Scenario::draw(seed)),
        run: run_real,
        test: |_| "sockets::histories_over_sockets_are_legal".to_owned(),
        repeats: false,
    }
}

/// As many as the machine can run at the same time.
pub(crate) fn workers() -> usize {
    thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Runs a command with one seed after another, at least once, until its time is over or it fails.
fn rounds(
    proof: &Proof,
    name: &str,
    seconds: u64,
    round: impl Fn(Seed) -> Line,
    count: fn(&str) -> u64,
    unit: String,
) -> Outcome {
    let began = Instant::now();
    let base = proof.seed_of(name);
    let mut outcome = Outcome::default();
    let (mut number, mut executions) = (0, 0);
    loop {
        let line = round(base.nth(number));
        number += 1;
        let tick = || {
            let told = || format!("{name}: round {number}, {executions} {unit}");
            proof.progress.tick(told);
        };
        let ran = line.run(proof, &format!("{name}-{number}.txt"), HANGS, &tick);
        executions += count(&ran.output);
        outcome.findings.extend(ran.finding(name, line.text()));
        let over = began.elapsed() >= Duration::from_secs(seconds);
        if over || ran.end != End::Passed {
            break;
        }
        // Only what failed is worth keeping, and the last.
        let _ = fs::remove_file(&ran.log);
    }
    outcome.seeds = format!("{number} from {base} on");
    outcome.executions = Some((executions, unit));
    outcome
}

/// Fuzzes every target for its part of the time, as many at once as there are cores.
fn fuzz(proof: &Proof, seconds: u64) -> Outcome {
    let base = proof.seed_of("fuzz");
    let list = Line::new("cargo fuzz list").run(proof, "targets.txt", HANGS, &|| {});
    let targets: Vec<&str> = list.output.split_whitespace().collect();
    if list.end != End::Passed || targets.is_empty() {
        return Outcome::not_run("`cargo fuzz list` names no target".to_owned());
    }
    let seconds = each(seconds, workers(), targets.len());
    let left = Mutex::new(targets.iter().enumerate());
    let (sender, ended) = mpsc::channel();
    let mut outcome = Outcome::default();
    let (mut executions, mut count) = (0, 0);
    thread::scope(|scope| {
        for _ in 0..workers() {
            let (sender, left) = (sender.clone(), &left);
            scope.spawn(move || {
                let next = || left.lock().unwrap_or_else(PoisonError::into_inner).next();
                while let Some((number, target)) = next() {
                    if sender
                        .send(fuzz_one(proof, target, base.nth(number as u64), seconds))
                        .is_err()
                    {
                        return;
                    }
                }
            });
        }
        drop(sender);
        loop {
            match ended.recv_timeout(GLANCE) {
                Ok((executed, finding)) => {
                    count += 1;
                    executions += executed;
                    outcome.findings.extend(finding);
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
            let of = targets.len();
            proof
                .progress
                .tick(|| format!("fuzz: {count} of {of} targets, {executions} inputs"));
        }
    });
    outcome.seeds = format!("{count} from {base} on, {seconds} s each");
    outcome.executions = Some((executions, "inputs".to_owned()));
    outcome
}

fn fuzz_one(proof: &Proof, target: &str, seed: Seed, seconds: u64) -> (u64, Option<Finding>) {
    if proof.stop.load(std::sync::atomic::Ordering::Relaxed) {
        return (0, None);
    }
    // A number of 32 bits; 0 would be chance.
    let number = (seed.0 & u64::from(u32::MAX)).max(1);
    let line = Line::new(&format!(
        "just _fuzz-target {target} {seconds} -seed={number}"
    ));
    let limit = Duration::from_secs(seconds) + HANGS;
    let ran = line.run(proof, &format!("fuzz-{target}.txt"), limit, &|| {});
    let stats = FuzzStats::parse(&ran.output);
    let replay = match &stats.artifact {
        Some(input) => format!("cargo fuzz run --sanitizer none {target} {input}"),
        None => line.text(),
    };
    (
        stats.executed,
        ran.finding(&format!("fuzz {target}"), replay),
    )
}

/// Tests that have passed, as the test harness says.
fn passed(output: &str) -> u64 {
    numbers(output, "test result: ok. ")
}

/// Schedules that were tried, as the interleavings say.
fn schedules(output: &str) -> u64 {
    let number = |before: &str| before.rsplit([' ', '\n']).next()?.parse::<u64>().ok();
    let said = output.split(" schedules; again:");
    said.filter_map(number).sum()
}

/// Requests, as schemathesis says.
fn generated(output: &str) -> u64 {
    let line = output.lines().find(|line| line.contains(" generated, "));
    let number = line.and_then(|line| line.trim().split(' ').next());
    number.map_or(0, |number| number.replace(',', "").parse().unwrap_or(0))
}

/// The sum of the numbers that follow `mark`.
fn numbers(output: &str, mark: &str) -> u64 {
    let numbers = output.split(mark).skip(1).filter_map(|rest| {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        rest[..digits].parse::<u64>().ok()
    });
    numbers.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_programs_print_is_counted() {
        let tests = "test result: ok. 12 passed; 0 failed\nx\ntest result: ok. 3 passed;";
        assert_eq!(passed(tests), 15);
        assert_eq!(passed("test result: FAILED. 1 passed; 1 failed"), 0);
        let tried = "test a::b ... 2000 schedules; again: X\n2000 schedules; again: Y\nok";
        assert_eq!(schedules(tried), 4_000);
        assert_eq!(
            generated("Test cases:\n  1,234 generated, 1,234 passed"),
            1_234
        );
        assert_eq!(generated(""), 0);
    }
}
