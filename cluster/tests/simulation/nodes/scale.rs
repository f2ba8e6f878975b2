//! How cost grows with nodes and shards: the figures of `docs/scale.md`. No test: nothing is judged but
//! that the cluster gets ready.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    num::{NonZeroU8, NonZeroU16},
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::mpsc,
    time::{Instant, sleep},
};
use trandb_cluster::{
    founding::Charter,
    group::Settings,
    node::{Config, Node, Router},
    peer::network::{Accept, Network},
    simulation::{Simulated, SimulatedListener, apart, host_name, network, peer_address, seeded},
    system::Description,
};
use trandb_common::{Key, Value};
use trandb_engine::{Command, Condition, route};

/// Founders; the others join.
const FOUNDERS: usize = 3;

/// Values of this size are written.
const VALUE_BYTES: usize = 100;

/// How many writes, one after another, at one node after another.
const WRITES: usize = 500;

/// How long is looked at, when nothing happens.
const IDLE: Duration = Duration::from_secs(5);

/// What all nodes have handed to their connections.
#[derive(Debug, Default)]
struct Sent {
    times: AtomicU64,
    bytes: AtomicU64,
}

impl Sent {
    fn now(&self) -> (u64, u64) {
        let [times, bytes] = [&self.times, &self.bytes].map(|one| one.load(Ordering::Relaxed));
        (times, bytes)
    }
}

/// The simulated network with a count of what is sent.
#[derive(Clone)]
struct Counted(Arc<Sent>);

struct CountedListener(SimulatedListener, Arc<Sent>);

struct CountedStream<S>(S, Arc<Sent>);

type Stream = <Simulated as Network>::Stream;

impl Network for Counted {
    type Stream = CountedStream<Stream>;

    async fn connect(&self, at: &str) -> io::Result<Self::Stream> {
        let stream = Simulated.connect(at).await?;
        Ok(CountedStream(stream, Arc::clone(&self.0)))
    }
}

impl Accept for CountedListener {
    type Stream = CountedStream<Stream>;

    async fn accept(&mut self) -> io::Result<(Self::Stream, SocketAddr)> {
        let (stream, from) = self.0.accept().await?;
        Ok((CountedStream(stream, Arc::clone(&self.1)), from))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for CountedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for CountedStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.0).poll_write(context, bytes);
        if let Poll::Ready(Ok(written)) = &polled {
            self.1.times.fetch_add(1, Ordering::Relaxed);
            self.1.bytes.fetch_add(*written as u64, Ordering::Relaxed);
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

/// The nodes by host, and where each takes the numbers of what it is to write: only within its own
/// runtime its time passes as it should.
type Nodes = Arc<Mutex<BTreeMap<usize, (Node<Counted>, mpsc::UnboundedSender<usize>)>>>;

fn config(host: usize, shards: u16) -> Config {
    let rng = Mutex::new(fastrand::Rng::with_seed(host as u64));
    Config {
        description: Description {
            slot: host_name(host),
            at: peer_address(host),
            client_at: String::new(),
            zone: String::new(),
        },
        seeds: (1..=FOUNDERS).map(peer_address).collect(),
        bootstrap_expect: if host <= FOUNDERS {
            FOUNDERS
        } else {
            usize::MAX
        },
        charter: Charter {
            shards: NonZeroU16::new(shards).expect("some"),
            replicas: NonZeroU8::new(3).expect("some"),
            version_epoch: 1,
            outcome_bytes: 1_000_000,
        },
        memory_limit: u64::MAX,
        settings: Settings::default(),
        random: Arc::new(move || {
            let mut rng = rng.lock().unwrap_or_else(PoisonError::into_inner);
            rng.u128(1..)
        }),
    }
}

struct Figures {
    founded: Duration,
    grown: Duration,
    idle_sends: f64,
    idle_bytes: f64,
    sends_a_write: f64,
    bytes_a_write: f64,
}

#[allow(clippy::cast_precision_loss)] // Figures for people.
fn measure(hosts: usize, shards: u16) -> Figures {
    let sent = Arc::new(Sent::default());
    let nodes = Nodes::default();
    let mut sim = network(1).build();
    let joins = Arc::new(AtomicU64::new(0));
    let written = Arc::new(AtomicU64::new(0));
    for host in 1..=hosts {
        let (sent, nodes, joins) = (Arc::clone(&sent), Arc::clone(&nodes), Arc::clone(&joins));
        let written = Arc::clone(&written);
        sim.host(host_name(host), move || {
            let (sent, nodes, joins) = (Arc::clone(&sent), Arc::clone(&nodes), Arc::clone(&joins));
            let written = Arc::clone(&written);
            let live = async move {
                while host > FOUNDERS && joins.load(Ordering::Relaxed) == 0 {
                    sleep(Duration::from_millis(10)).await;
                }
                let listener = CountedListener(SimulatedListener::bind().await?, Arc::clone(&sent));
                let node = Node::start(config(host, shards), Counted(sent), listener)?;
                let (asked, mut numbers) = mpsc::unbounded_channel();
                nodes
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .insert(host, (node.clone(), asked));
                let router = node.joined().await.expect("nobody stops it");
                while let Some(number) = numbers.recv().await {
                    write(&router, number).await;
                    written.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            };
            seeded(host as u64, live)
        });
    }
    let until_equal = |sim: &mut turmoil::Sim<'_>, expected: usize| {
        let began = sim.elapsed();
        loop {
            for _ in 0..20 {
                let _ = sim.step().expect("no process fails");
            }
            let nodes = nodes.lock().unwrap_or_else(PoisonError::into_inner);
            let all = nodes.iter().map(|(host, (node, _))| (*host, node));
            match apart(all, expected) {
                None => return sim.elapsed().saturating_sub(began),
                Some(apart) => assert!(
                    sim.elapsed().saturating_sub(began) < Duration::from_mins(10),
                    "{hosts} nodes do not agree: {apart}"
                ),
            }
        }
    };
    let founded = until_equal(&mut sim, FOUNDERS);
    joins.store(1, Ordering::Relaxed);
    let grown = until_equal(&mut sim, hosts);
    let run = |sim: &mut turmoil::Sim<'_>, time: Duration| {
        let end = sim.elapsed() + time;
        while sim.elapsed() < end {
            let _ = sim.step().expect("no process fails");
        }
    };
    // Leaders are spread, and what is given up is given up.
    run(&mut sim, Duration::from_secs(10 + u64::from(shards)));
    let before = sent.now();
    run(&mut sim, IDLE);
    let idle = (sent.now().0 - before.0, sent.now().1 - before.1);
    let (before, began) = (sent.now(), sim.elapsed());
    for number in 0..WRITES {
        let host = 1 + number % hosts;
        let nodes = nodes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        nodes[&host].1.send(number).expect("it takes numbers");
        while written.load(Ordering::Relaxed) <= number as u64 {
            let _ = sim.step().expect("no process fails");
        }
    }
    let busy = (sent.now().0 - before.0, sent.now().1 - before.1);
    let share = (sim.elapsed().saturating_sub(began)).as_secs_f64() / IDLE.as_secs_f64();
    nodes.lock().unwrap_or_else(PoisonError::into_inner).clear();
    let each = |count: u64| count as f64 / IDLE.as_secs_f64() / hosts as f64;
    let of_one = |busy: u64, idle: u64| (busy as f64 - idle as f64 * share) / WRITES as f64;
    Figures {
        founded,
        grown,
        idle_sends: each(idle.0),
        idle_bytes: each(idle.1),
        sends_a_write: of_one(busy.0, idle.0),
        bytes_a_write: of_one(busy.1, idle.1),
    }
}

async fn write(router: &Router<Counted>, number: usize) {
    let key = Key::new(&format!("key {number}")).expect("legal");
    let command = Command::Put {
        key: key.clone(),
        value: Value::try_from(vec![b'x'; VALUE_BYTES]).expect("legal"),
        condition: Condition::default(),
    };
    let shard = route(&key, router.count());
    let deadline = Instant::now() + Duration::from_secs(10);
    let reply = router.execute(shard, &command, deadline).await;
    let _ = reply.expect("nothing is in the way");
}

#[test]
#[ignore = "some minutes: it measures, see docs/scale.md"]
fn cost_by_nodes_and_shards() {
    println!("nodes  shards  founded  grown  a node when idle:          a write:");
    println!("                 s        s      sends/s      bytes/s      sends   bytes");
    for (hosts, shards) in [
        (3, 4),
        (3, 16),
        (3, 64),
        (5, 16),
        (10, 16),
        (10, 64),
        (20, 64),
        (30, 64),
    ] {
        let figures = measure(hosts, shards);
        println!(
            "{hosts:5}  {shards:6}  {:7.2}  {:5.1}  {:7.0}  {:11.0}  {:9.1}  {:6.0}",
            figures.founded.as_secs_f64(),
            figures.grown.as_secs_f64(),
            figures.idle_sends,
            figures.idle_bytes,
            figures.sends_a_write,
            figures.bytes_a_write,
        );
    }
}
