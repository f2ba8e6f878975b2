//! The simulated world: clients straight into the service, on one thread, in virtual time.
//!
//! Nothing in it asks the wall clock, the system's randomness or the order of a hash table, and
//! nothing runs at the same time as anything else: the same scenario gives the same run, byte for
//! byte. What would break that: `tokio::select!` without `biased`, threads, sockets, real time.
//!
//! Time passes only when everybody waits, in steps of a millisecond (tokio's timers). Between two
//! steps tasks run in the order in which they were woken.

use std::{
    cell::RefCell,
    panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook},
    sync::Once,
};

use trandb_server::Local;

use super::{
    End, Run,
    play::{SIMULATED, Stage},
    service::Service,
};
use crate::{faults::seam::OverLocal, scenario::Scenario};

/// Runs a scenario over TranDB's own shards.
pub fn run_simulated(scenario: &Scenario) -> Run {
    run_simulated_on(scenario, |local| local)
}

/// Runs a scenario over what `shards` makes of TranDB's own: for stores that are broken on
/// purpose.
pub fn run_simulated_on<S: OverLocal>(scenario: &Scenario, shards: impl Fn(Local) -> S) -> Run {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without sockets can always be made");
    let stage = {
        let _entered = runtime.enter();
        Stage::new(scenario, shards)
    };
    let way = Service(stage.app.clone());
    let playing = stage.play(scenario, SIMULATED, way, async || {});
    let end = match watched(|| runtime.block_on(playing)) {
        Ok(end) => end,
        Err(panic) => End::Panicked(panic),
    };
    Run::new(scenario, &stage.watch, end)
}

thread_local! {
    /// What panicked in a run on this thread; none while there is no run.
    static PANICS: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// Runs `play`; of a panic in it, or in a task of it, says where and why. A panic in a run is a finding: it is told
/// once, with the run, and not by every run that makes it smaller.
pub(super) fn watched<T>(play: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let otherwise = take_hook();
        set_hook(Box::new(move |panic| {
            let noted = PANICS.with_borrow_mut(|panics| {
                let noted = panics.as_mut();
                noted.map(|panics| panics.push(panic.to_string())).is_some()
            });
            if !noted {
                otherwise(panic);
            }
        }));
    });
    PANICS.set(Some(Vec::new()));
    let played = catch_unwind(AssertUnwindSafe(play));
    let panics = PANICS.take().unwrap_or_default();
    // A task that nobody waits for may have panicked as well.
    match played {
        Ok(played) if panics.is_empty() => Ok(played),
        _ => Err(panics.join("; ")),
    }
}
