//! Plants bugs into the product's code, one at a time, and demands of the tests that they find each.
//!
//! A harness is worth the bugs that it finds. Every bug is a patch in `planted/bugs`, with the suite
//! that must find it ([`bug`]); the product's code stays free of them. They are planted into a copy
//! of the repository ([`tree`]), whose tests are built and run as anywhere else ([`suite`]).
//!
//! Invariants: nobody's files are touched; each suite must first pass without any bug; a bug counts
//! as found only when the test that is named for it has failed, and neither when the code does not
//! compile nor when a test hangs or crashes.
//!
//! What is not here: the tests. That every patch still fits the code is a test of this crate, below,
//! and so part of the ordinary run of tests.

mod bug;
mod report;
mod suite;
mod tree;

use std::{collections::BTreeMap, process::ExitCode, time::Instant};

use anyhow::{Context as _, bail, ensure};
use clap::Parser;

use crate::{
    bug::{Bug, Suite},
    report::{Report, Row},
    suite::{Built, Run, Seeds},
    tree::Tree,
};

/// Plants bugs into a copy of the code and fails unless the tests find every one.
#[derive(Debug, Parser)]
struct Arguments {
    /// The bugs, by name; all of them if none is named
    names: Vec<String>,
    /// Only every PARTS-th bug of those that need no simulated network, beginning where COMMIT says,
    /// so that each has its turn
    #[arg(long, value_name = "PARTS", requires = "commit")]
    one_of: Option<usize>,
    /// A commit's hash, in hexadecimal
    #[arg(long)]
    commit: Option<String>,
    /// How often to look for a bug whose suite draws its runs from a seed, each time with another
    #[arg(long, default_value_t = 5)]
    repeats: u32,
    /// Only name the bugs and what they are
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let bugs = chosen(bug::all()?, arguments)?;
    if arguments.list {
        for bug in &bugs {
            println!("{}: {}", bug.name, bug.what);
        }
        return Ok(());
    }
    let began = Instant::now();
    let tree = Tree::make()?;
    assert_sound(&tree, &bugs, arguments.repeats)?;
    let mut report = Report::default();
    for bug in &bugs {
        let row = look_for(&tree, bug, arguments.repeats)?;
        eprintln!("{}", row.line());
        report.add(row);
    }
    println!("{report}");
    println!("{} s in all", began.elapsed().as_secs());
    report.verdict()
}

/// The bugs that the arguments ask for.
fn chosen(mut bugs: Vec<Bug>, arguments: &Arguments) -> anyhow::Result<Vec<Bug>> {
    for name in &arguments.names {
        ensure!(
            bugs.iter().any(|bug| bug.name == *name),
            "there is no planted/bugs/{name}.patch"
        );
    }
    if !arguments.names.is_empty() {
        bugs.retain(|bug| arguments.names.contains(&bug.name));
    }
    if let (Some(parts), Some(commit)) = (arguments.one_of, &arguments.commit) {
        // These need a build of their own, which takes longer than all others together.
        bugs.retain(|bug| !bug.suite.is_in_a_simulated_network());
        let first = turn(commit, parts)?;
        bugs = bugs.into_iter().skip(first).step_by(parts.max(1)).collect();
    }
    Ok(bugs)
}

/// Which of `parts` has its turn at this commit.
fn turn(commit: &str, parts: usize) -> anyhow::Result<usize> {
    let hash = commit.get(..7).unwrap_or(commit);
    let hash = usize::from_str_radix(hash, 16)
        .with_context(|| format!("{commit:?} is no commit's hash"))?;
    ensure!(parts > 0, "--one-of takes at least 1");
    Ok(hash % parts)
}

/// Demands that every suite passes while no bug is planted: else its failures show nothing.
fn assert_sound(tree: &Tree, bugs: &[Bug], repeats: u32) -> anyhow::Result<()> {
    let mut suites: BTreeMap<&Suite, Option<u32>> = BTreeMap::new();
    for bug in bugs {
        let runs = suites.entry(&bug.suite).or_default();
        *runs = (*runs).max(bug.seeds);
    }
    for (suite, runs) in suites {
        let built = match Built::new(tree, suite)? {
            Ok(built) => built,
            Err(error) => bail!("{suite} does not compile:\n{error}"),
        };
        for seeds in Seeds::of(runs, repeats) {
            match built.run(suite, seeds)? {
                Run::Passed => {}
                other => bail!("{suite}, without any bug planted: {other}"),
            }
        }
        eprintln!("passes without any bug: {suite}");
    }
    Ok(())
}

/// Plants one bug, and lets its suite look for it.
fn look_for<'a>(tree: &Tree, bug: &'a Bug, repeats: u32) -> anyhow::Result<Row<'a>> {
    let began = Instant::now();
    let planted = tree.plant(bug)?;
    let runs = match Built::new(tree, &bug.suite)? {
        Ok(built) => Seeds::of(bug.seeds, repeats)
            .map(|seeds| built.run(&bug.suite, seeds))
            .collect::<Result<_, _>>()?,
        Err(error) => vec![Run::Unusable(format!("does not compile:\n{error}"))],
    };
    drop(planted);
    Ok(Row {
        bug,
        runs,
        took: began.elapsed(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rule that keeps the bugs alive: whoever changes the code that one of them changes learns
    /// of it at once.
    #[test]
    fn every_bug_fits_the_code_and_says_who_finds_it() {
        let bugs = bug::all().expect("every patch has its header");
        let violations: Vec<String> = bugs
            .iter()
            .filter_map(|bug| bug.applied(tree::root()).err())
            .map(|error| format!("{error:#}"))
            .collect();
        assert!(
            violations.is_empty(),
            "\n  {}\n\nTo mend it: make the same mistake in the code as it is now, and write the \
             difference into the patch below its header: `git diff` shows it.\n",
            violations.join("\n  ")
        );
        assert!(bugs.len() >= 20, "only {} bugs", bugs.len());
    }

    #[test]
    fn commits_have_their_turns() {
        let parts = |commit| turn(commit, 3).expect("a hash");
        assert_eq!(
            (parts("0000000aaaa"), parts("0000001"), parts("5")),
            (0, 1, 2)
        );
        assert!(turn("a commit", 3).is_err());
        assert!(turn("1", 0).is_err());
    }
}
