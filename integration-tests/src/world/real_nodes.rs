//! A cluster of real nodes, processes or containers: clients over sockets to all of them, one of
//! which fails in the middle.
//!
//! Nothing repeats here; the history is the evidence. One node fails at a time, and the next only
//! when all are ready again: what a majority has acknowledged must not be lost by that. What is
//! drawn for the inside of a service (its limits, its seam) does not reach these processes.

use std::{cell::RefCell, time::Duration};

use tokio::{runtime::Runtime, time::sleep};
use trandb_client::HttpTransport;

use super::{
    End, Quiet, Run,
    play::{Watch, audit, play_clients},
    real::{Sockets, hurried},
};
use crate::{
    cluster::{Failure, Nodes},
    faults::seam::SeamFaults,
    scenario::{Scenario, Setup},
};

/// A cluster that scenarios are run on, one after another.
pub struct Stand<C> {
    runtime: Runtime,
    /// None when it has ended.
    cluster: RefCell<Option<C>>,
}

impl<C> Drop for Stand<C> {
    fn drop(&mut self) {
        // Its end may need the runtime.
        let _entered = self.runtime.enter();
        drop(self.cluster.take());
    }
}

impl<C: Nodes> Stand<C> {
    /// Starts a cluster.
    pub fn start(cluster: impl Future<Output = C>) -> Self {
        let runtime = Runtime::new().expect("the system has threads");
        let cluster = RefCell::new(Some(runtime.block_on(cluster)));
        Self { runtime, cluster }
    }
}

/// The scenario as far as it concerns such a cluster.
#[must_use]
pub fn adapted(scenario: Scenario) -> Scenario {
    /// An election takes longer than a call of a scenario over sockets.
    const TIMEOUT_MS: u64 = 3_000;
    let mut scenario = hurried(scenario);
    for client in &mut scenario.schedule.clients {
        client.timeout_ms = TIMEOUT_MS;
        for (number, step) in client.steps.iter_mut().enumerate() {
            // So that the calls meet the failure, and what comes after it.
            step.think_ms = if number % 4 == 0 { 60 } else { 2 };
        }
    }
    scenario.setup = Setup::ample(scenario.setup.shards, scenario.setup.epoch);
    scenario.disturbances.clear();
    scenario.seam = SeamFaults::default();
    scenario
}

/// Runs a scenario on the cluster of `stand`.
pub fn run_on_nodes<C: Nodes>(stand: &Stand<C>, scenario: &Scenario) -> Run {
    let watch = Watch::begin();
    let mut cluster = stand.cluster.borrow_mut();
    let cluster = cluster.as_mut().expect("it has not ended");
    let end = play(cluster, scenario, &watch);
    let end = stand.runtime.block_on(end);
    Run::new(scenario, &watch, End::Quiet(end))
}

async fn play(cluster: &mut impl Nodes, scenario: &Scenario, watch: &Watch) -> Quiet {
    let endpoints = cluster.endpoints();
    let clients = play_clients(watch, scenario, &endpoints, sockets(), |_| ());
    let ((), ()) = tokio::join!(clients, fail(cluster, scenario, watch));
    cluster.ready().await;
    audit(watch, scenario, &cluster.endpoints(), sockets()).await
}

fn sockets() -> Sockets {
    let http = HttpTransport::with_connect_timeout(Duration::from_secs(2));
    Sockets(http.expect("an HTTP client"))
}

async fn fail(cluster: &mut impl Nodes, scenario: &Scenario, watch: &Watch) {
    let mut rng = scenario.seed.rng("failure of a node");
    let kinds = cluster.failures();
    // Now and then nothing fails at all.
    let kind = rng.usize(..=kinds.len());
    let node = rng.usize(..cluster.len());
    let after = Duration::from_millis(rng.u64(..200));
    let pause = Duration::from_millis(rng.u64(..1_500));
    let Some(&failure) = kinds.get(kind) else {
        return;
    };
    sleep(after).await;
    watch.tally.count(match failure {
        Failure::Kill => "node killed",
        Failure::Pause => "node paused",
        Failure::Stop => "node stopped",
        Failure::Remove => "node removed",
        Failure::Cut => "node cut off",
    });
    let what = format_args!("{failure:?} of node {node} for {pause:?}");
    watch.trace.line("fault", what);
    cluster.fail(node, failure).await;
    if !matches!(failure, Failure::Stop | Failure::Remove) {
        sleep(pause).await;
    }
    cluster.recover(node, failure).await;
    let over = format_args!("{failure:?} is over");
    watch.trace.line("fault", over);
}
