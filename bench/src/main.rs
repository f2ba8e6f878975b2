//! The command `trandb-bench`: arguments in, a table or JSON out.
//!
//! Not here: any measuring; this file converts and calls. Exit status: 0 all goals reached or
//! undecided, 1 a goal missed, an answer wrong or the run impossible.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use trandb_bench::{
    baseline::Baseline,
    checker, cluster,
    compare::Settings,
    goals,
    load::{self, Load, Pace},
    process,
    protocol::Dialect,
    report::{LoadReport, Report},
    servers::Starter,
    shards, transactions,
    workload::{Mix, Order},
};

/// Measures `TranDB`: ratios to other servers in adjacent windows, every answer checked.
#[derive(Parser)]
#[command(version, about, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Without a command, the goals are measured.
    #[command(flatten)]
    goals: Measure,
}

#[derive(Subcommand)]
enum Command {
    /// Measure the goals that need nothing installed
    ///
    /// TranDB against constant answers of axum and hyper and against one lock over one map, and
    /// its instructions per request if valgrind is there.
    Goals(Measure),
    /// Measure against Redis, memcached, nginx, webdis and etcd, as far as they are installed
    ///
    /// Debian packages: redis-server memcached nginx-light webdis etcd-server
    #[command(args_conflicts_with_subcommands = true)]
    Peers {
        #[command(subcommand)]
        command: Option<PeersCommand>,
        #[command(flatten)]
        measure: Measure,
    },
    /// Measure three nodes on this machine: against etcd's if it is installed, against a single one
    ///
    /// Debian package: etcd-server
    Cluster(ClusterArguments),
    /// Measure 1, 4, 16, 64 and 256 shards, in process and over HTTP
    ///
    /// The default number of shards is chosen from this table.
    Shards(Measure),
    /// Measure transactions of 1 to 8 keys beside PUTs of the same bytes, and under contention
    ///
    /// Keys in one shard and in several; 0, 1 and 50 % of the transactions at hot keys; JSON and
    /// CBOR; what the server remembers of transactions with ids.
    Transactions(Measure),
    /// Measure the checkers on recorded and on generated histories
    ///
    /// Porcupine is run beside them where Go and its module are installed.
    Checker(checker::Arguments),
    /// Send a load to a running server and print latencies
    ///
    /// All keys are put first, unless --no-fill says that they are there already.
    Load(LoadArguments),
    /// Run one of the servers to compare with, in the foreground
    Baseline {
        /// Which one
        kind: Baseline,
        /// Where it listens
        #[arg(long, default_value = "127.0.0.1:8090")]
        listen: SocketAddr,
    },
}

#[derive(Subcommand)]
enum PeersCommand {
    /// The same as the command `cluster`
    Cluster(ClusterArguments),
}

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
struct ClusterArguments {
    #[command(subcommand)]
    command: Option<ClusterCommand>,
    #[command(flatten)]
    measure: Measure,
}

#[derive(Subcommand)]
enum ClusterCommand {
    /// Kill leaders under load, and measure how long their shards cannot be written
    ///
    /// --connections is the number of clients; each writes a key every 5 ms or when it can.
    Failover {
        /// How many, one after another
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
        kills: u16,
        #[command(flatten)]
        measure: Measure,
    },
    /// Replace each node in turn under load, and measure how long writes wait
    ///
    /// --connections is the number of clients; each writes a key every 5 ms or when it can.
    Replacement {
        /// What each node holds, in MiB
        #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u64).range(1..=65_536))]
        megabytes: u64,
        #[command(flatten)]
        measure: Measure,
    },
}

#[derive(Args)]
struct Measure {
    /// The server binary [default: trandb-server beside this program]
    #[arg(long)]
    server: Option<PathBuf>,
    /// Pairs of windows, TranDB's and its peer's
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pairs: u16,
    /// Length of a window in milliseconds
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(50..=60_000))]
    window_ms: u64,
    #[command(flatten)]
    shape: Shape,
    /// Measure only what has this text in its name, as the table shows it
    #[arg(long)]
    only: Option<String>,
    /// Print the results as JSON
    #[arg(long)]
    json: bool,
}

/// What the goals are stated for, unless it is changed.
#[derive(Args)]
struct Shape {
    /// Keep-alive connections
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    connections: u16,
    /// Different keys, of 16 bytes each
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    keys: u64,
    /// Bytes of a value, at most 4 MiB
    #[arg(long, default_value_t = 128)]
    #[arg(value_parser = clap::value_parser!(u32).range(0..=4_194_304))]
    value_size: u32,
}

#[derive(Args)]
struct LoadArguments {
    /// Where the server listens
    #[arg(default_value = "127.0.0.1:8080")]
    address: SocketAddr,
    /// What it speaks
    #[arg(long, default_value = "trandb")]
    protocol: Dialect,
    /// Open loop: requests per second, whatever the server does [default: closed loop]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    rate: Option<u32>,
    /// How long, in seconds; at most 600
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Requests in flight on one connection
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pipeline: u16,
    /// Share of PUTs in per cent; the others are GETs
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=100))]
    writes: u8,
    #[command(flatten)]
    shape: Shape,
    /// Do not put all keys first
    #[arg(long)]
    no_fill: bool,
    /// Names the random sequence of keys
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print the results as JSON
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let Arguments { command, goals } = Arguments::parse();
    match run(command.unwrap_or(Command::Goals(goals))) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("trandb-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all went well.
fn run(command: Command) -> anyhow::Result<bool> {
    match command {
        Command::Baseline { kind, listen } => serve(kind, listen).map(|()| true),
        Command::Checker(arguments) => checker::run(&arguments),
        Command::Load(arguments) => load(&arguments),
        Command::Goals(arguments) => measure(arguments, goals::own),
        Command::Peers {
            command: None,
            measure: arguments,
        } => measure(arguments, goals::peers),
        Command::Peers {
            command: Some(PeersCommand::Cluster(arguments)),
            ..
        }
        | Command::Cluster(arguments) => measure_cluster(arguments),
        Command::Shards(arguments) => measure(arguments, shards::sweep),
        Command::Transactions(arguments) => measure(arguments, transactions::all),
    }
}

fn measure_cluster(arguments: ClusterArguments) -> anyhow::Result<bool> {
    match arguments.command {
        None => measure(arguments.measure, cluster::all),
        Some(ClusterCommand::Failover {
            kills,
            measure: arguments,
        }) => measure(arguments, |starter, settings| {
            cluster::failover(starter, settings, kills.into())
        }),
        Some(ClusterCommand::Replacement {
            megabytes,
            measure: arguments,
        }) => measure(arguments, |starter, settings| {
            cluster::replacement(starter, settings, megabytes)
        }),
    }
}

fn measure(
    arguments: Measure,
    rows: impl FnOnce(&Starter, &Settings) -> anyhow::Result<Report>,
) -> anyhow::Result<bool> {
    process::end_children_on_signals()?;
    let settings = Settings {
        pairs: arguments.pairs.into(),
        window: Duration::from_millis(arguments.window_ms),
        connections: arguments.shape.connections.into(),
        keys: arguments.shape.keys,
        value_size: usize::try_from(arguments.shape.value_size)?,
        only: arguments.only,
    };
    let report = rows(&Starter::new(arguments.server)?, &settings)?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        println!("{}", report.to_text());
    }
    Ok(report.has_passed())
}

fn load(arguments: &LoadArguments) -> anyhow::Result<bool> {
    let protocol = arguments
        .protocol
        .protocol(usize::try_from(arguments.shape.value_size)?);
    let keys = arguments.shape.keys;
    let timed = Load {
        connections: arguments.shape.connections.into(),
        depth: arguments.pipeline.into(),
        pace: arguments.rate.map_or(Pace::Closed, Pace::Open),
        duration: Duration::from_secs(arguments.seconds),
        mix: Mix {
            keys,
            writes_percent: arguments.writes,
            order: Order::Random,
            requests: None,
        },
        seed: arguments.seed,
    };
    if !arguments.no_fill && arguments.protocol != Dialect::Constant {
        let fill = Load {
            mix: Mix::load(keys),
            pace: Pace::Closed,
            duration: load::DURATION_MAX,
            ..timed
        };
        load::run(arguments.address, &*protocol, &fill)
            .and_then(load::Outcome::all_right)
            .context("while putting all keys")?;
    }
    let outcome = load::run(arguments.address, &*protocol, &timed)?;
    let report = LoadReport::from(&outcome);
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        println!("{}", report.to_text());
    }
    Ok(outcome.wrong == 0)
}

fn serve(kind: Baseline, listen: SocketAddr) -> anyhow::Result<()> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let listener = tokio::net::TcpListener::bind(listen)
            .await
            .with_context(|| format!("cannot listen on {listen}"))?;
        kind.serve(listener).await
    })
}
