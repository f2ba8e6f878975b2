//! A process: what the binary is made of, but for sockets.

use std::{
    collections::BTreeMap,
    num::{NonZeroU8, NonZeroU16},
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicBool},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use tokio::{
    sync::{Notify, mpsc, oneshot},
    time::{Instant, sleep, timeout},
};
use trandb_client::{Endpoint, TransportError};
use trandb_cluster::{
    founding::Charter,
    group,
    node::{Config, Node},
    simulation::{Simulated, SimulatedListener, host_name, peer_address, seeded, spawn},
    system::Description,
};
use trandb_common::limits::LOCK_WAIT_MAX;
use trandb_engine::{Command, Forget, LogTime, ShardId};
use trandb_server::{
    App, Database, Shards, http::Phase, replicated::Replicated, transactions::Source,
};

use super::{
    ambush::{Ambush, Ambushed, Caught, Moment},
    plan::Plan,
};
use crate::{
    faults::{
        network::{Deliver, Upload},
        seam::Seam,
    },
    scenario::Scenario,
    world::{
        play::{Watch, settings},
        service::Service,
    },
};

/// The slowest clock when a run begins, in milliseconds since 1970.
const BEGIN_MS: u64 = 1_700_000_000_000;

/// How long a process that stops as planned waits for its requests, and then for its node.
const DRAIN: Duration = Duration::from_secs(1);
const STOP: Duration = Duration::from_secs(5);

/// What all processes are made of.
pub(super) struct Made {
    pub(super) scenario: Scenario,
    pub(super) plan: Plan,
    pub(super) watch: Watch,
    /// Set when processes do nothing wrong any more.
    pub(super) peace: Arc<AtomicBool>,
}

/// A request that a client hands to a process.
struct Asked {
    endpoint: Endpoint,
    request: Request<Bytes>,
    upload: Upload,
    answer: oneshot::Sender<Result<Response<Bytes>, TransportError>>,
}

/// A process that lives.
pub(super) struct Process {
    pub(super) life: u64,
    pub(super) node: Node<Simulated>,
    asked: mpsc::UnboundedSender<Asked>,
    pub(super) stop: Arc<Notify>,
}

/// What the processes, the clients and the run know of each other. One lock in one thread: nothing
/// waits for it, so that its order is the simulation's.
#[derive(Default)]
pub(super) struct World {
    /// By host.
    pub(super) processes: BTreeMap<usize, Process>,
    lives: u64,
    /// Those whose time has come.
    pub(super) armed: Vec<Ambush>,
    pub(super) caught: Vec<Caught>,
}

impl World {
    /// The nodes that live, by host.
    pub(super) fn nodes(&self) -> impl Iterator<Item = (usize, &Node<Simulated>)> + Clone {
        let processes = self.processes.iter();
        processes.map(|(host, process)| (*host, &process.node))
    }

    /// Whether an ambush waits for this moment; then whoever comes to it waits for what is returned.
    pub(super) fn caught(
        &mut self,
        moment: Moment,
        host: usize,
        shard: ShardId,
    ) -> Option<oneshot::Receiver<()>> {
        let place = self.armed.iter().position(|one| one.moment == moment)?;
        let ambush = self.armed.remove(place);
        let (go_on, waiting) = oneshot::channel();
        self.caught.push(Caught {
            ambush,
            host,
            shard,
            go_on,
        });
        Some(waiting)
    }
}

/// Shared by all.
#[derive(Clone, Default)]
pub(super) struct Shared(Arc<Mutex<World>>);

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where clients find the process of a host.
pub(super) fn endpoint(host: usize) -> String {
    format!("http://{}", host_name(host))
}

/// The clients' way to the processes.
pub(super) struct Queues(pub(super) Shared);

impl Deliver for Queues {
    async fn deliver(
        &self,
        to: &Endpoint,
        request: Request<Bytes>,
        upload: Upload,
    ) -> Result<Response<Bytes>, TransportError> {
        let (answer, answered) = oneshot::channel();
        let asked = Asked {
            endpoint: to.clone(),
            request,
            upload,
            answer,
        };
        let text = to.to_string();
        let sent = {
            let world = self.0.lock();
            let mut processes = world.processes.iter();
            let process = processes.find(|(host, _)| endpoint(**host) == text);
            process.is_some_and(|(_, process)| process.asked.send(asked).is_ok())
        };
        if !sent {
            return Err(TransportError::not_sent("nobody listens there"));
        }
        let ended = |_| Err(TransportError::maybe_sent("the process has ended"));
        answered.await.unwrap_or_else(ended)
    }
}

/// Runs on `host` until it is crashed, or stopped.
pub(super) async fn run(host: usize, made: Arc<Made>, world: Shared) -> turmoil::Result {
    let life = {
        let mut world = world.lock();
        world.lives += 1;
        world.lives
    };
    let seed = made.scenario.seed.0 ^ (life << 32);
    seeded(seed, live(host, life, made, world)).await
}

fn config(host: usize, life: u64, made: &Made) -> Config {
    let Made { scenario, plan, .. } = made;
    let rng = Mutex::new(scenario.seed.rng(&format!("node {life}")));
    Config {
        description: Description {
            slot: host_name(host),
            at: peer_address(host),
            client_at: host_name(host),
            zone: String::new(),
        },
        seeds: (1..=plan.hosts).map(peer_address).collect(),
        bootstrap_expect: plan.hosts,
        charter: Charter {
            shards: shards(scenario),
            replicas: NonZeroU8::new(plan.replicas).unwrap_or(NonZeroU8::MIN),
            version_epoch: scenario.setup.epoch,
            outcome_bytes: trandb_common::limits::OUTCOME_BYTES_MAX,
        },
        memory_limit: scenario.setup.memory_bytes_max,
        settings: group::Settings {
            log_much_bytes: plan.log_much_bytes,
            log_kept_bytes: plan.log_much_bytes / 4,
            ..group::Settings::default()
        },
        random: Arc::new(move || {
            let mut rng = rng.lock().unwrap_or_else(PoisonError::into_inner);
            rng.u128(1..)
        }),
    }
}

fn shards(scenario: &Scenario) -> NonZeroU16 {
    NonZeroU16::new(scenario.setup.shards).expect("a scenario has shards")
}

/// The ids and the time of this life.
fn source(host: usize, life: u64, service: u64, made: &Made) -> Source {
    let passed = turmoil::sim_elapsed().unwrap_or_default().as_millis();
    let passed = u64::try_from(passed).expect("a run ends");
    let clock = BEGIN_MS + made.plan.clocks_ms[host - 1] + passed;
    Source::new(made.scenario.setup.epoch ^ (4 * life + service), clock)
}

async fn live(host: usize, life: u64, made: Arc<Made>, world: Shared) -> turmoil::Result {
    let Made {
        scenario, watch, ..
    } = &*made;
    let listener = SimulatedListener::bind().await?;
    let node = Node::start(config(host, life, &made), Simulated, listener)?;
    let replicated = Replicated::new(node.clone(), shards(scenario));
    let open = replicated.open();
    spawn(async move {
        open.await.expect("all have the same number of shards");
    });
    let ambushed = Ambushed {
        inner: replicated,
        host,
        world: world.clone(),
    };
    let seam = Seam::new(
        ambushed,
        scenario.seam.clone(),
        scenario.seed.rng(&format!("seam {life}")),
        watch.tally.clone(),
        watch.trace.clone(),
    )
    .until(Arc::clone(&made.peace));
    let teller = seam.calm();
    let time = source(host, life, 2, &made);
    spawn(async move { tell_the_time(&teller, &time).await });
    // Whoever looks for what was left behind does not vanish.
    let swept = Database::new(seam.calm(), source(host, life, 1, &made));
    spawn(async move { swept.sweep_for_ever().await });
    let database = Database::new(seam, source(host, life, 0, &made));
    let app = App::new(database, settings(&scenario.setup));
    let (asked, queue) = mpsc::unbounded_channel();
    let stop = Arc::new(Notify::new());
    let process = Process {
        life,
        node: node.clone(),
        asked,
        stop: Arc::clone(&stop),
    };
    world.lock().processes.insert(host, process);
    serve(&app, queue, &stop).await;
    node.stop(Instant::now() + STOP).await;
    world.lock().processes.remove(&host);
    Ok(())
}

/// Tells every shard the time of this process, once. Log time jumps then, where this clock is ahead,
/// and not in the middle of what clients do: see [`Plan::clocks_ms`].
async fn tell_the_time<S: Shards>(shards: &S, time: &Source) {
    for shard in (0..shards.count().get()).map(ShardId) {
        loop {
            let tick = Command::Forget(Forget {
                finalized: Vec::new(),
                acknowledged: Vec::new(),
                now: time.now(),
            });
            let deadline = Instant::now() + LOCK_WAIT_MAX;
            if shards.execute(shard, &tick, deadline).await.is_ok() {
                break;
            }
            sleep(Duration::from_millis(50)).await;
        }
    }
}

/// The latest of all clocks when a run begins.
pub(super) fn latest_clock(plan: &Plan) -> LogTime {
    let ahead = plan.clocks_ms.iter().max().copied().unwrap_or(0);
    LogTime(BEGIN_MS + ahead)
}

/// Answers requests until it is told to stop, and those that it has then.
async fn serve<S: Shards>(app: &App<S>, mut queue: mpsc::UnboundedReceiver<Asked>, stop: &Notify) {
    let (busy, mut idle) = mpsc::channel::<()>(1);
    loop {
        let asked = tokio::select! {
            biased;
            () = stop.notified() => break,
            asked = queue.recv() => asked,
        };
        let Some(asked) = asked else { break };
        let (app, busy) = (app.clone(), busy.clone());
        spawn(async move {
            answer(app, asked).await;
            drop(busy);
        });
    }
    app.enter(Phase::Draining);
    queue.close();
    drop(busy);
    let _ = timeout(DRAIN, idle.recv()).await;
}

/// Who goes away takes the request's handler along, as over a socket.
async fn answer<S: Shards>(app: App<S>, asked: Asked) {
    let Asked {
        endpoint,
        request,
        upload,
        mut answer,
    } = asked;
    let service = Service(app);
    let answered = tokio::select! {
        biased;
        () = answer.closed() => return,
        answered = service.deliver(&endpoint, request, upload) => answered,
    };
    let _ = answer.send(answered);
}
