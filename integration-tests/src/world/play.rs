//! Plays a scenario: clients, what disturbs them, and at the end a look at what is left. The same
//! in every world.

use std::{sync::Arc, time::Duration};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use trandb_client::{Client, RetryPolicy, Value};
use trandb_common::{Key, limits::LOCK_WAIT_MAX, wire::Limits};
use trandb_engine::{Command, Condition, LogTime, Shard, ShardId};
use trandb_server::{
    App, Database, Local, Shards as _, http::Settings, memory::Memory, transactions::Source,
};

use super::{Counted, End, Quiet, service::Service};
use crate::{
    PATIENCE,
    counts::Tally,
    faults::{
        network::{Deliver, Line, Network, Passage},
        seam::{OverLocal, Seam},
    },
    recorder::{Actor, Answered, Asked, By, Recorder},
    scenario::{Scenario, Setup},
    seed::Seed,
    trace::Trace,
};

/// The longest run: far beyond the sum of all waits of a client.
const TIME_MAX: Duration = Duration::from_hours(2);

/// What is watched in a run. Each part is a handle.
#[derive(Debug, Clone)]
pub(super) struct Watch {
    pub(super) recorder: Recorder,
    pub(super) tally: Tally,
    pub(super) trace: Trace,
}

impl Watch {
    pub(super) fn begin() -> Self {
        Self::begin_with(Trace::begin())
    }

    pub(super) fn begin_with(trace: Trace) -> Self {
        Self {
            recorder: Recorder::new(trace.clone()),
            tally: Tally::default(),
            trace,
        }
    }
}

/// The ids and the time of a run's service, of which there may be several. `time` is now.
fn source(setup: &Setup, service: u64, time: Duration) -> Source {
    let time = u64::try_from(time.as_millis()).expect("a run ends");
    Source::new(setup.epoch ^ service, time)
}

/// So much later every attempt that is undecided has been so for too long.
const IN_DOUBT: Duration = Duration::from_secs(20);

/// So much later no outcome is kept.
const FORGOTTEN: Duration = Duration::from_hours(1);

/// The longest run of which no outcome is forgotten while it goes on.
const STATUS_TIME_MAX: Duration = Duration::from_mins(9);

/// Far more sweeps than it takes to drop all outcomes of a run.
const SWEEPS_MAX: usize = 200;

/// What the service is told.
pub(super) fn settings(setup: &Setup) -> Settings {
    Settings {
        limits: Limits::new(setup.memory_bytes_max, setup.in_flight_bytes_max, 1_000),
        body_timeout: Duration::from_millis(setup.body_timeout_ms),
    }
}

/// The service of a scenario.
pub(super) struct Stage<S> {
    pub(super) app: App<Seam<S>>,
    pub(super) watch: Watch,
    seam: Seam<S>,
    memory: Arc<Memory>,
    begun: Instant,
}

impl<S: OverLocal> Stage<S> {
    /// Sets the service up, over what `shards` makes of TranDB's own.
    pub(super) fn new(scenario: &Scenario, shards: impl Fn(Local) -> S) -> Self {
        let watch = Watch::begin();
        let setup = &scenario.setup;
        let memory = Arc::new(Memory::new(setup.memory_bytes_max));
        let count = setup.shards.try_into().expect("a scenario has shards");
        let seam = Seam::new(
            shards(Local::new(count, setup.epoch, Arc::clone(&memory))),
            scenario.seam.clone(),
            scenario.seed.rng("seam"),
            watch.tally.clone(),
            watch.trace.clone(),
        );
        Self {
            app: App::new(
                Database::new(seam.clone(), source(setup, 0, Duration::ZERO)),
                settings(setup),
            ),
            watch,
            seam,
            memory,
            begun: Instant::now(),
        }
    }

    /// Plays the scenario to its end: clients speak to the service by `way`, and `over` is ready
    /// when it is done with all that they left behind.
    pub(super) async fn play<D: Deliver>(
        &self,
        scenario: &Scenario,
        endpoint: &str,
        way: D,
        over: impl AsyncFnOnce(),
    ) -> End {
        let playing = async {
            let swept = self.database(&scenario.setup, 1, Duration::ZERO);
            let sweeping = tokio::spawn(async move { swept.sweep_for_ever().await });
            self.play_clients(scenario, endpoint, way).await;
            over().await;
            sweeping.abort();
            self.audit(scenario).await
        };
        match timeout(TIME_MAX, playing).await {
            Ok(quiet) => End::Quiet(quiet),
            Err(_) => End::Stalled,
        }
    }

    /// The same shards without faults, where it is so much later.
    fn database(&self, setup: &Setup, service: u64, later: Duration) -> Database<Seam<S>> {
        let time = self.begun.elapsed() + later;
        Database::new(self.seam.calm(), source(setup, service, time))
    }

    async fn play_clients<D: Deliver>(&self, scenario: &Scenario, endpoint: &str, way: D) {
        let Watch { tally, trace, .. } = &self.watch;
        let disturb = |tasks: &mut JoinSet<()>| {
            for (number, disturbance) in scenario.disturbances.iter().cloned().enumerate() {
                let (seam, tally, trace) = (self.seam.clone(), tally.clone(), trace.clone());
                tasks.spawn(async move {
                    let local = seam.inner().local();
                    disturbance
                        .happen(number as u128, local, &tally, &trace)
                        .await;
                });
            }
        };
        play_clients(&self.watch, scenario, &[endpoint.to_owned()], way, disturb).await;
    }

    /// Looks at what is there, by the answers of a service over the same shards that has neither
    /// limits nor faults, and then takes it away.
    async fn audit(&self, scenario: &Scenario) -> Quiet {
        let Watch {
            recorder,
            tally,
            trace,
        } = &self.watch;
        let setup = Setup::ample(scenario.setup.shards, scenario.setup.epoch);
        let mut counted = Counted {
            in_flight: self.app.in_flight().bytes(),
            ..Counted::default()
        };
        let took = self.begun.elapsed();
        let database = self.database(&setup, 2, IN_DOUBT);
        // Once more for what the first round may have found busy.
        database.sweep().await;
        database.sweep().await;
        let app = App::new(database, settings(&setup));
        let way = Service(app);
        let network = Network::new(way, recorder.clone(), tally.clone(), trace.clone());
        let (by, line) = (By::Auditor, network.line(By::Auditor));
        let endpoints = [SIMULATED.to_owned()];
        let client = client(scenario.seed, usize::MAX, 10_000, &endpoints, line.clone());
        let mut auditor = Actor::new(client, line, by, recorder.clone(), tally.clone());

        let mut quiet = Quiet {
            complaints: self.left_behind().await,
            ..Quiet::default()
        };
        if scenario.is_transactional() {
            look_at_all(&mut auditor, scenario).await;
        }
        if took < STATUS_TIME_MAX {
            ask_for_outcomes(&mut auditor, recorder).await;
        }
        self.forget(&setup).await;
        counted.stored = self.memory.used();
        look(&mut auditor, scenario, &mut quiet).await;
        counted.emptied = self.memory.used();
        quiet.counted = Some(counted);
        quiet
    }

    /// What coordinators have left behind, in words.
    async fn left_behind(&self) -> Vec<String> {
        let mut words = Vec::new();
        let shards = self.seam.calm();
        for shard in (0..shards.count().get()).map(ShardId) {
            let deadline = Instant::now() + LOCK_WAIT_MAX;
            let ever = LogTime(u64::MAX);
            let left = shards.left_behind(shard, ever, 256, deadline).await;
            match left {
                Ok(left) => {
                    let in_doubt = left.in_doubt.iter();
                    words.extend(in_doubt.map(|doubt| format!("shard {}: {doubt:?}", shard.0)));
                    let unfinalized = left.unfinalized.iter();
                    words.extend(unfinalized.map(|one| format!("shard {}: {one:?}", shard.0)));
                }
                Err(error) => words.push(format!("shard {}: {error}", shard.0)),
            }
        }
        words
    }

    /// Lets time pass until no outcome is kept.
    async fn forget(&self, setup: &Setup) {
        let database = self.database(setup, 3, FORGOTTEN);
        let mut kept = u64::MAX;
        for _ in 0..SWEEPS_MAX {
            database.sweep().await;
            let now = self.memory.used();
            if std::mem::replace(&mut kept, now) == now {
                return;
            }
        }
    }
}

/// An endpoint that nobody looks up.
pub(super) const SIMULATED: &str = "http://simulated";

/// Lets all clients take their steps, beside what `others` adds, until nothing is on its way.
pub(super) async fn play_clients<D: Deliver>(
    watch: &Watch,
    scenario: &Scenario,
    endpoints: &[String],
    way: D,
    others: impl FnOnce(&mut JoinSet<()>),
) {
    let Watch {
        recorder,
        tally,
        trace,
    } = watch;
    let network = Network::new(way, recorder.clone(), tally.clone(), trace.clone());
    let mut tasks = JoinSet::new();
    for (number, plan) in scenario.schedule.clients.iter().enumerate() {
        let line = network.line(By::Client(number));
        let client = client(
            scenario.seed,
            number,
            plan.timeout_ms,
            endpoints,
            line.clone(),
        );
        let by = By::Client(number);
        let actor = Actor::new(client, line, by, recorder.clone(), tally.clone());
        let mut actor = actor.with_ids(plan.writes_with_ids);
        let steps = plan.steps.clone();
        tasks.spawn(async move {
            for step in &steps {
                actor.take(step).await;
            }
        });
    }
    others(&mut tasks);
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            std::panic::resume_unwind(error.into_panic());
        }
    }
    network.settle().await;
}

fn client<D: Deliver>(
    seed: Seed,
    number: usize,
    timeout_ms: u64,
    endpoints: &[String],
    line: Line<D>,
) -> Client {
    let mut rng = seed.rng(&format!("client {number}"));
    let retries = match rng.u32(..4) {
        0 => RetryPolicy::none(),
        _ => RetryPolicy::default(),
    };
    let mut first = endpoints.to_vec();
    first.rotate_left(number % endpoints.len());
    let mut builder = first
        .iter()
        .fold(Client::builder(), trandb_client::ClientBuilder::endpoint);
    // Of a cluster's clients every other one asks the leaders.
    if endpoints.len() > 1 && number % 2 == 1 {
        builder = builder.prefer_leaders();
    }
    builder
        .transport(line)
        .timeout(Duration::from_millis(timeout_ms))
        .try_timeout(Duration::from_millis(timeout_ms.div_ceil(2)))
        .retries(retries)
        .jitter_seed(rng.u64(..))
        .build()
        .expect("a client can be made of this")
}

/// Looks at what a cluster holds when all is well again, and then takes it away.
pub(super) async fn audit<D: Deliver>(
    watch: &Watch,
    scenario: &Scenario,
    endpoints: &[String],
    way: D,
) -> Quiet {
    let Watch {
        recorder,
        tally,
        trace,
    } = watch;
    let network = Network::new(way, recorder.clone(), tally.clone(), trace.clone());
    let (by, line) = (By::Auditor, network.line(By::Auditor));
    let client = client(scenario.seed, usize::MAX, 10_000, endpoints, line.clone());
    let mut auditor = Actor::new(client, line, by, recorder.clone(), tally.clone());
    let mut quiet = Quiet::default();
    // What coordinators that are gone have left locked is resolved after some seconds.
    let deadline = Instant::now() + PATIENCE;
    loop {
        match look_at_all(&mut auditor, scenario).await {
            Answered::Values(_) => break,
            other if Instant::now() > deadline => {
                quiet.complaints.push(format!("all keys together: {other}"));
                break;
            }
            _ => sleep(Duration::from_millis(200)).await,
        }
    }
    ask_for_outcomes(&mut auditor, recorder).await;
    look(&mut auditor, scenario, &mut quiet).await;
    quiet
}

/// Reads all keys at one moment.
async fn look_at_all<D: Deliver>(auditor: &mut Actor<D>, scenario: &Scenario) -> Answered {
    let keys = scenario.schedule.keys().into_iter().collect();
    auditor
        .call(Asked::GetMany { keys }, Passage::default())
        .await
}

/// Asks what became of every transaction.
async fn ask_for_outcomes<D: Deliver>(auditor: &mut Actor<D>, recorder: &Recorder) {
    for id in recorder.transactions() {
        auditor.call(Asked::Status { id }, Passage::default()).await;
    }
}

/// Looks at every key, and then deletes it.
async fn look<D: Deliver>(auditor: &mut Actor<D>, scenario: &Scenario, quiet: &mut Quiet) {
    let calm = Passage::default;
    let keys = scenario.schedule.keys();
    for key in &keys {
        let asked = Asked::Get { key: key.clone() };
        match auditor.call(asked, calm()).await {
            Answered::Value(None) => {}
            Answered::Value(Some(_)) => {
                let asked = Asked::Stat { key: key.clone() };
                match auditor.call(asked, calm()).await {
                    Answered::Stat(Some((_, size))) => quiet.content_bytes += needed(key, size),
                    other => quiet.complaints.push(format!("stat {key}: {other}")),
                }
            }
            other => quiet.complaints.push(format!("get {key}: {other}")),
        }
    }
    auditor.list("", 1_000, &calm()).await;
    for key in &keys {
        let key = key.clone();
        let asked = Asked::Delete { key, given: None };
        match auditor.call(asked.clone(), calm()).await {
            Answered::Deleted => {}
            other => quiet.complaints.push(format!("{asked}: {other}")),
        }
    }
}

/// What a key with a value of so many bytes counts for, by the engine.
fn needed(key: &str, size: u64) -> u64 {
    let size = usize::try_from(size).expect("values fit in memory");
    let command = Command::Put {
        key: Key::new(key).expect("a workload's keys are legal"),
        value: Value::copy_from(&vec![0; size]).expect("it was a value"),
        condition: Condition::default(),
    };
    Shard::new(1).growth(&command)
}
