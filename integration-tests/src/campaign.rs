//! Many runs, one after another, until one of them is wrong.

use std::{env, fs};

use crate::{
    counts::Counts,
    report::{Failure, Found, replay},
    scenario::{Scenario, shrink},
    seed::{Seed, Seeds},
    validate::validate,
    world::Run,
};

/// Runs a scenario of each seed, and judges it; a failing one is made as small as can be, unless
/// `TRANDB_SHRINK` is `no`.
///
/// `test` is the name of the test, for the command that shows a failure again. If one seed was
/// asked for, its scenario and the trace of its run are printed; if a stored scenario was
/// (`TRANDB_SCENARIO`, a file), that alone is run.
///
/// # Errors
///
/// The first failure.
pub fn search(
    test: &str,
    seeds: &Seeds,
    draw: impl Fn(Seed) -> Scenario,
    run: impl Fn(&Scenario) -> Run,
) -> Result<Counts, Box<Found>> {
    let smallest = |failure: &Failure| {
        if env::var("TRANDB_SHRINK").is_ok_and(|shrink| shrink == "no") {
            return None;
        }
        smallest(failure, &run, || true)
    };
    search_with(test, seeds, draw, &run, smallest)
}

/// The smallest run found that fails in the same way; `go_on` is asked before each that is tried.
pub fn smallest(
    failure: &Failure,
    run: &impl Fn(&Scenario) -> Run,
    go_on: impl Fn() -> bool,
) -> Option<Box<Failure>> {
    // What fails otherwise is another failure.
    let failing = |smaller: &Scenario| {
        let smaller = validate(&run(smaller)).err();
        smaller.filter(|smaller| smaller.anomaly() == failure.anomaly())
    };
    failing(&shrink(&failure.scenario, |smaller| {
        go_on() && failing(smaller).is_some()
    }))
}

/// [`search`] in a world where nothing repeats, or where a run takes too long to be made smaller: a
/// failing run is shown as it was.
///
/// # Errors
///
/// The first failure.
pub fn search_once(
    test: &str,
    seeds: &Seeds,
    draw: impl Fn(Seed) -> Scenario,
    run: impl Fn(&Scenario) -> Run,
) -> Result<Counts, Box<Found>> {
    let run = |scenario: &Scenario| {
        // Whatever ends the whole program is told from this line.
        println!("{test}: seed {}", scenario.seed);
        run(scenario)
    };
    search_with(test, seeds, draw, &run, |_| None)
}

fn search_with(
    test: &str,
    seeds: &Seeds,
    draw: impl Fn(Seed) -> Scenario,
    run: &impl Fn(&Scenario) -> Run,
    smallest: impl Fn(&Failure) -> Option<Box<Failure>>,
) -> Result<Counts, Box<Found>> {
    let mut counts = Counts::default();
    let stored = stored_scenario();
    let scenarios: Box<dyn Iterator<Item = Scenario>> = match &stored {
        Some(stored) => Box::new(std::iter::once(stored.clone())),
        None => Box::new(seeds.iter().map(draw)),
    };
    println!("{test}: {seeds}; alone: {}", replay(test, seeds.base));
    for (number, scenario) in (1..).zip(scenarios) {
        let outcome = run(&scenario);
        if seeds.pasted || stored.is_some() {
            println!("{scenario}\n{}{}", outcome.trace, outcome.counts);
        }
        counts.merge(&outcome.counts);
        if let Err(failure) = validate(&outcome) {
            let seed = scenario.seed;
            println!("{test}: found after {number} seeds: seed {seed}");
            let smallest = smallest(&failure).map(|smallest| *smallest);
            let found = Found::new(test, number, *failure, smallest);
            return Err(Box::new(found.saved()));
        }
    }
    println!("{test}: {counts}");
    Ok(counts)
}

fn stored_scenario() -> Option<Scenario> {
    let path = env::var_os("TRANDB_SCENARIO")?;
    let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let scenario = serde_json::from_slice(&bytes);
    Some(scenario.unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}
