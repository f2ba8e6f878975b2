//! From the command line to the end of the process.

use std::{
    future::{Future, pending},
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    num::NonZeroUsize,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use clap::Parser as _;
use tokio::{
    net::TcpListener,
    runtime::{self, Runtime},
    signal::unix,
    time::Instant,
};
use tracing::{info, warn};
use trandb_cluster::{
    founding::Charter,
    group,
    node::{self, Gone, Node},
    peer::network::Tcp,
    system::Description,
};
use trandb_common::wire::Limits;
use trandb_server::{
    App, Config, Database, Local, Shards,
    config::{Command, CommandLine, Membership, Sizes},
    connection,
    http::Settings,
    local::{new_epoch, outcome_bytes, wall_clock},
    logging,
    memory::Memory,
    replicated::Replicated,
    transactions::Source,
};

pub(super) fn main() -> ExitCode {
    let line = CommandLine::parse();
    let done = match line.command {
        Some(Command::Healthcheck) => healthcheck(line.config.listen),
        None => run(&line.config),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("trandb-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(config: &Config) -> anyhow::Result<()> {
    logging::start(&config.log, config.log_format)?;
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        warn!(%error, "the limit of open files stays as it is");
    }
    runtime(config.threads)
        .context("the runtime could not be started")?
        .block_on(serve(config))
}

/// On one core a second thread would only be in the way of the first.
fn runtime(threads: Option<u16>) -> std::io::Result<Runtime> {
    let cores = || std::thread::available_parallelism().map_or(2, NonZeroUsize::get);
    let threads = threads.map_or_else(cores, usize::from);
    let mut builder = match threads {
        1 => runtime::Builder::new_current_thread(),
        _ => runtime::Builder::new_multi_thread(),
    };
    if threads > 1 {
        builder.worker_threads(threads);
    }
    builder.enable_all().build()
}

async fn serve(config: &Config) -> anyhow::Result<()> {
    let sizes = config.sizes()?;
    match config.cluster.membership(config.listen)? {
        None => {
            let memory = Arc::new(Memory::new(sizes.memory_limit));
            let shards = Local::new(config.shards(), new_epoch(), memory);
            serve_shards(config, sizes, shards, pending(), pending()).await
        }
        Some(membership) => serve_as_member(config, sizes, membership).await,
    }
}

async fn serve_as_member(
    config: &Config,
    sizes: Sizes,
    membership: Membership,
) -> anyhow::Result<()> {
    let peer_listen = membership.peer_listen;
    let listener = TcpListener::bind(peer_listen)
        .await
        .with_context(|| format!("cannot listen for peers on {peer_listen}"))?;
    info!(address = %listener.local_addr()?, name = membership.name, "listening for peers");
    let name = membership.name.clone();
    let node = Node::start(node_config(config, sizes, membership), Tcp, listener)?;
    let shards = Replicated::new(node.clone(), config.shards());
    let open = shards.open();
    let opened = async move {
        match open.await {
            Ok(is_open) => {
                if is_open {
                    info!("the shards can be reached");
                }
                pending().await
            }
            Err(error) => anyhow::Error::from(error),
        }
    };
    let superseded = async {
        match node.gone().await {
            Gone::Succeeded(by) => anyhow::anyhow!(
                "node {by} has come to the place of this one: was another server started with \
                 --name {name}?"
            ),
            Gone::Removed => pending().await,
        }
    };
    let removed = async {
        match node.gone().await {
            Gone::Succeeded(_) => pending().await,
            Gone::Removed => info!("ends, since it was removed from the cluster"),
        }
    };
    let fatal = async {
        tokio::select! {
            error = opened => error,
            error = superseded => error,
        }
    };
    let served = serve_shards(config, sizes, shards, removed, fatal).await;
    node.stop(Instant::now() + config.drain_timeout).await;
    served
}

fn node_config(config: &Config, sizes: Sizes, membership: Membership) -> node::Config {
    node::Config {
        description: Description {
            slot: membership.name,
            at: membership.peer_address,
            client_at: membership.address,
            zone: membership.zone,
        },
        seeds: membership.peers,
        // Never so many: it joins.
        bootstrap_expect: membership.bootstrap_expect.map_or(usize::MAX, usize::from),
        charter: Charter {
            shards: config.shards(),
            replicas: membership.replicas,
            version_epoch: new_epoch(),
            outcome_bytes: outcome_bytes(sizes.memory_limit, config.shards()),
        },
        memory_limit: sizes.memory_limit,
        settings: group::Settings::default(),
        random: Arc::new(random),
    }
}

/// A number that nobody has drawn before.
fn random() -> u128 {
    let low = getrandom::u64().unwrap_or_else(|_| u64::from(std::process::id()));
    u128::from(new_epoch()) << 64 | u128::from(low)
}

/// Serves until a signal comes or it is `over`, or `fatal` an error.
async fn serve_shards<S: Shards>(
    config: &Config,
    sizes: Sizes,
    shards: S,
    over: impl Future<Output = ()>,
    fatal: impl Future<Output = anyhow::Error>,
) -> anyhow::Result<()> {
    let limits = Limits::new(
        sizes.memory_limit,
        sizes.in_flight_limit,
        config.connections_max as usize,
    );
    let source = Source::new(new_epoch(), wall_clock());
    let app = App::new(
        Database::new(shards, source),
        Settings {
            limits,
            body_timeout: config.body_timeout,
        },
    );

    let mut signals = Signals::new()?;
    // Bound only now: whoever can connect is answered.
    let listener = TcpListener::bind(config.listen).await.with_context(|| {
        let listen = config.listen;
        format!("cannot listen on {listen}; --listen says where else")
    })?;
    let address = listener.local_addr()?;
    info!(
        %address,
        shards = config.shards(),
        memory_limit = sizes.memory_limit,
        in_flight_limit = sizes.in_flight_limit,
        version = env!("CARGO_PKG_VERSION"),
        "ready"
    );
    let stop = async {
        tokio::select! {
            signal = signals.next() => info!(signal, "signal received"),
            () = over => {}
        }
        tokio::spawn(async move {
            let signal = signals.next().await;
            warn!(signal, "second signal: ending without draining");
            std::process::exit(1);
        });
    };
    let swept = app.clone();
    tokio::spawn(async move { swept.database().sweep_for_ever().await });
    let cut_off = tokio::select! {
        cut_off = connection::serve(listener, app, config.into(), stop) => cut_off,
        error = fatal => return Err(error),
    };
    match cut_off {
        0 => info!("ended"),
        cut_off => warn!(
            cut_off,
            "ended with requests unfinished: the drain timeout is over"
        ),
    }
    Ok(())
}

/// The signals that ask the process to end.
struct Signals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: unix::signal(unix::SignalKind::terminate())?,
            interrupt: unix::signal(unix::SignalKind::interrupt())?,
        })
    }

    /// The name of the next one.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Asks `/livez` of the server that listens at `listen`.
fn healthcheck(listen: SocketAddr) -> anyhow::Result<()> {
    const TIMEOUT: Duration = Duration::from_secs(3);
    let address = SocketAddr::new(reachable(listen.ip()), listen.port());
    let answer = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.take(16 * 1024).read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    let answer = answer().with_context(|| format!("no answer from {address}"))?;
    let status = answer.lines().next().unwrap_or_default();
    anyhow::ensure!(
        status.starts_with("HTTP/1.1 200 "),
        "{address} answered {status:?}"
    );
    Ok(())
}

/// An address that stands for all is listened on, not connected to.
fn reachable(listen: IpAddr) -> IpAddr {
    match listen {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        other => other,
    }
}
