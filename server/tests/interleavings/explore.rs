//! Runs a scenario under many schedules, and says how to repeat what failed.

use std::{
    env,
    hash::{BuildHasher as _, RandomState},
    panic,
    str::FromStr,
};

use shuttle::{
    Config, Runner,
    scheduler::{DfsScheduler, PctScheduler, RandomScheduler, ReplayScheduler, Scheduler},
};

/// How many schedules of a scenario are tried, if `TRANDB_SCHEDULES` does not say.
const SCHEDULES: usize = 10_000;

/// The changes of priority that PCT tries to place: most faults need no more.
const PCT_DEPTH: usize = 3;

/// For the checker's search, which runs on a task's stack.
const STACK_BYTES: usize = 1 << 20;

/// Far more than a scenario takes: a task that goes round for ever fails.
const STEPS_MAX: usize = 100_000;

/// Runs `scenario` under schedules drawn from one seed: three of four at random, the rest by PCT
/// (Burckhardt et al. 2010).
///
/// # Panics
///
/// With the first schedule under which `scenario` panics or blocks for ever.
pub(crate) fn explore(scenario: fn()) {
    if let Some(schedule) = setting::<String>("TRANDB_SCHEDULE") {
        run(ReplayScheduler::new_from_encoded(schedule.trim()), scenario);
        return;
    }
    let seed = setting("TRANDB_SEED").unwrap_or_else(fresh_seed);
    let schedules = setting("TRANDB_SCHEDULES").unwrap_or(SCHEDULES);
    let name = std::thread::current().name().unwrap_or_default().to_owned();
    let repeat =
        format!("TRANDB_SEED={seed} TRANDB_SCHEDULES={schedules} just interleavings {name}");
    println!("{schedules} schedules; again: {repeat}");
    let outcome = panic::catch_unwind(|| {
        run(
            RandomScheduler::new_from_seed(seed, schedules - schedules / 4),
            scenario,
        );
        run(
            PctScheduler::new_from_seed(seed, PCT_DEPTH, schedules / 4),
            scenario,
        );
    });
    if let Err(failure) = outcome {
        eprintln!(
            "all of it again: {repeat}\n\
             the failing schedule alone: TRANDB_SCHEDULE=(as printed above) just interleavings {name}"
        );
        panic::resume_unwind(failure);
    }
}

/// Runs a small `scenario`, which draws nothing at random, under every schedule that there is, and
/// returns how many that were.
pub(crate) fn exhaust(scenario: impl Fn() + Send + Sync + 'static) -> usize {
    run(DfsScheduler::new(None, false), scenario)
}

fn run(scheduler: impl Scheduler + 'static, scenario: impl Fn() + Send + Sync + 'static) -> usize {
    let mut config = Config::new();
    config.stack_size = STACK_BYTES;
    config.max_steps = shuttle::MaxSteps::FailAfter(STEPS_MAX);
    // What it warns of is said in `server/src/sync`.
    config.silence_warnings = true;
    Runner::new(scheduler, config).run(scenario)
}

fn setting<T: FromStr>(name: &str) -> Option<T> {
    let text = env::var(name).ok()?;
    let value = text
        .parse()
        .unwrap_or_else(|_| panic!("{name} cannot be {text:?}"));
    Some(value)
}

/// The standard library seeds its hash tables by chance.
fn fresh_seed() -> u64 {
    RandomState::new().hash_one(())
}
