//! Runs all layers of the tests for a given time, and reports what came of it (`just prove`).
//!
//! - [`plan`]: how much of the time each layer has;
//! - [`layers`]: what each of them runs: [`runs`] in this process, [`child`] programs of their own;
//! - [`report`] and [`page`]: what came of it, as text and as HTML; [`progress`] meanwhile.
//!
//! Invariants: what was not run is never told as passed; whatever hangs is ended or left, and is a
//! finding; the report is written however it ends. One seed, printed first and last, decides what
//! every layer draws; how far each comes in its time is the machine's.
//!
//! What is not here: what is right or wrong. Tests are below and in each file.

mod child;
mod fuzz_stats;
mod layers;
mod page;
mod plan;
mod progress;
mod report;
mod runs;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Instant, SystemTime},
};

use anyhow::Context as _;
use clap::Parser;
use trandb_integration_tests::seed::{Seed, commit};

use crate::{
    plan::{Share, divide},
    progress::Progress,
    report::{Outcome, Report},
};

/// Runs all layers of the tests for a given time; fails if any of them finds something.
#[derive(Debug, Parser)]
struct Arguments {
    /// How long, in seconds, without what has to be built first
    #[arg(value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    seconds: u64,
    /// What all layers draw from; a fresh one where none is given
    seed: Option<String>,
}

/// What all layers share.
struct Proof {
    seed: Seed,
    /// The repository.
    root: PathBuf,
    /// Where cargo builds.
    target: PathBuf,
    /// Where findings are kept.
    folder: PathBuf,
    progress: Progress,
    /// Set when somebody wants it to end.
    stop: Arc<AtomicBool>,
}

impl Proof {
    /// Where a layer begins.
    fn seed_of(&self, layer: &str) -> Seed {
        Seed(self.seed.rng(layer).u64(1..1 << 40))
    }
}

fn main() -> ExitCode {
    match prove(&Arguments::parse()) {
        Ok(report) => exit_code(&report),
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// 0 says that the whole time was used and nothing was found.
fn exit_code(report: &Report) -> ExitCode {
    let code = match (report.findings(), report.stopped) {
        (0, false) => 0,
        (0, true) => 130,
        _ => 1,
    };
    ExitCode::from(code)
}

fn prove(arguments: &Arguments) -> anyhow::Result<Report> {
    let seed = match &arguments.seed {
        Some(text) => text
            .parse()
            .map_err(|error| anyhow::anyhow!("{text:?}: {error}"))?,
        None => Seed(fastrand::u64(1..1 << 40)),
    };
    let seconds = arguments.seconds;
    let again = format!("just prove {seconds} {seed}");
    println!("seed {seed}; again: {again}");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("a workspace")?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = root.join(target.unwrap_or_else(|| "target".into()));
    let parent = target.join("prove");
    let proof = Proof {
        seed,
        root: root.to_owned(),
        folder: parent.join(seed.to_string()),
        target,
        progress: Progress::new(seconds),
        stop: Arc::default(),
    };
    fs::create_dir_all(&proof.folder).with_context(|| proof.folder.display().to_string())?;
    stop_on_signals(proof.stop.clone())?;
    let began = now();
    let layers = divide(seconds)
        .iter()
        .map(|share| (share.name, run(&proof, share)))
        .collect();
    proof.progress.end();
    let report = Report {
        again: again.clone(),
        circumstances: vec![
            format!("commit {}", commit_with_changes(root)),
            format!(
                "{} cores, {} {}",
                layers::workers(),
                std::env::consts::OS,
                std::env::consts::ARCH
            ),
            format!("{seconds} s asked for, from {began} to {}", now()),
        ],
        stopped: proof.stop.load(Ordering::Relaxed),
        layers,
    };
    let (text, html) = (page::text(&report.blocks()), page::html(&report.blocks()));
    for folder in [&parent, &proof.folder] {
        fs::write(folder.join("report.txt"), &text)?;
        fs::write(folder.join("report.html"), &html)?;
    }
    println!("{text}\n{}/report.html", parent.display());
    println!("seed {seed}; again: {again}");
    Ok(report)
}

/// Builds what a layer needs, and runs it.
fn run(proof: &Proof, share: &Share) -> Outcome {
    let name = share.name;
    let seconds = match &share.seconds {
        _ if proof.stop.load(Ordering::Relaxed) => {
            return Outcome::not_run("it was ended before".to_owned());
        }
        Ok(seconds) => *seconds,
        Err(reason) => return Outcome::not_run(reason.clone()),
    };
    let began = Instant::now();
    if let Err(reason) = layers::prepare(proof, share.layer) {
        proof.progress.event(&format!("{name}: not run: {reason}"));
        return Outcome::not_run(reason);
    }
    let built = began.elapsed();
    proof
        .progress
        .event(&format!("{name}: for about {seconds} s"));
    let began = Instant::now();
    let outcome = layers::look(proof, share.layer, seconds);
    for finding in &outcome.findings {
        proof.progress.event(&format!(
            "{name}: FOUND: {}: {}",
            finding.what, finding.replay
        ));
    }
    Outcome {
        built,
        took: began.elapsed(),
        ..outcome
    }
}

/// Ctrl-C or SIGTERM: what runs is ended, and the report says how far it has come.
fn stop_on_signals(stop: Arc<AtomicBool>) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    thread::spawn(move || {
        runtime.block_on(async {
            let (Ok(mut interrupt), Ok(mut terminate)) = (
                signal(SignalKind::interrupt()),
                signal(SignalKind::terminate()),
            ) else {
                return;
            };
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            stop.store(true, Ordering::Relaxed);
        });
    });
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a report says when it was made")]
fn now() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}

fn commit_with_changes(root: &Path) -> String {
    let commit = commit().unwrap_or_else(|| "unknown: git names none".to_owned());
    let mut status = Command::new("git");
    let status = status
        .args(["status", "--porcelain"])
        .current_dir(root)
        .output();
    match status {
        Ok(output) if output.stdout.is_empty() => commit,
        _ => format!("{commit}, and changes that are not committed"),
    }
}

#[cfg(test)]
mod tests {
    use trandb_integration_tests::{
        recorder::Answered,
        scenario::Scenario,
        traffic,
        world::{Run, run_simulated},
    };

    use super::*;
    use crate::runs::World;

    /// As if the store had lost every value that it has acknowledged.
    fn forgetful(scenario: &Scenario) -> Run {
        let mut run = run_simulated(scenario);
        for operation in &mut run.history.operations {
            if let Answered::Value(value) = &mut operation.answered {
                *value = None;
            }
        }
        run
    }

    /// A report of scenarios that run like this; what is saved goes into `folder`.
    fn reported(run: fn(&Scenario) -> Run, seconds: u64, folder: &Path) -> Report {
        let proof = Proof {
            seed: Seed(7),
            root: folder.to_owned(),
            target: folder.to_owned(),
            folder: folder.to_owned(),
            progress: Progress::new(1),
            stop: Arc::default(),
        };
        let world = World {
            name: "simulation",
            workers: 2,
            draw: |_, seed| Scenario::of(traffic::named("registers"), seed),
            run,
            test: |_| "seeds::registers".to_owned(),
            repeats: true,
        };
        Report {
            layers: vec![("simulation", runs::search(&proof, world, seconds))],
            ..Report::default()
        }
    }

    #[test]
    fn a_finding_reaches_both_pages_and_the_exit_code() {
        let folder = tempfile::tempdir().expect("a folder");
        let report = reported(forgetful, 600, folder.path());
        assert_eq!(exit_code(&report), ExitCode::from(1));
        let finding = &report.layers[0].1.findings[0];
        assert_eq!(finding.what, "not-linearizable");
        let seed = finding.replay.split(' ').next().expect("a word");
        assert!(seed.starts_with("TRANDB_SEED="), "{}", finding.replay);
        let scenario = Path::new(&finding.saved).join("smallest/scenario.json");
        assert!(scenario.exists(), "{}", scenario.display());
        for page in [page::text(&report.blocks()), page::html(&report.blocks())] {
            for part in ["FOUND", "not-linearizable", seed, &finding.saved] {
                assert!(page.contains(part), "{part} is missing in {page}");
            }
        }
    }

    #[test]
    fn a_panic_of_the_harness_is_a_finding_too() {
        let folder = tempfile::tempdir().expect("a folder");
        let report = reported(|_| panic!("broken on purpose"), 600, folder.path());
        let finding = &report.layers[0].1.findings[0];
        assert!(finding.reason.contains("broken on purpose"), "{finding:?}");
        assert_eq!(exit_code(&report), ExitCode::from(1));
    }

    #[test]
    fn what_is_right_is_counted_and_not_found() {
        let folder = tempfile::tempdir().expect("a folder");
        let report = reported(run_simulated, 1, folder.path());
        let outcome = &report.layers[0].1;
        assert!(outcome.findings.is_empty(), "{:?}", outcome.findings);
        assert!(outcome.counts.operations() > 0);
        assert_eq!(outcome.judged, Some(outcome.counts.runs));
        assert_eq!(exit_code(&report), ExitCode::SUCCESS);
        let stopped = Report {
            stopped: true,
            ..report
        };
        assert_eq!(exit_code(&stopped), ExitCode::from(130));
    }
}
