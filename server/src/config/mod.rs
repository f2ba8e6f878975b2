//! Configuration: flags, or `TRANDB_*` variables, or the defaults.

mod cluster;

use std::{fmt, net::SocketAddr, num::NonZeroU16, str::FromStr, time::Duration};

use bytesize::ByteSize;
use clap::{Args, Parser, Subcommand, ValueEnum};
use trandb_common::limits::{LIST_BYTES_MAX, VALUE_BYTES_MAX};
use trandb_engine::Shard;

pub use self::cluster::{ClusterFlags, Membership};
use crate::memory;

/// The command line of `trandb-server`.
#[derive(Debug, Parser)]
#[command(
    name = "trandb-server",
    version,
    about = "An in-memory key-value database over HTTP",
    long_about = "An in-memory key-value database over HTTP.\n\n\
        Without any flag it listens on 127.0.0.1:8080 and keeps everything in this process: what \
        it holds is lost when it ends. Every flag can be given as the variable named beside it; \
        flags win. With --peers it is one node of a cluster.\n\nTry:\n  curl -X PUT --data-binary hello http://127.0.0.1:8080/keys/greeting\n  \
        curl http://127.0.0.1:8080/keys/greeting",
    after_help = "SIGTERM and SIGINT drain: readiness turns 503, requests in flight finish, the \
        exit code is 0. A second signal ends the process at once."
)]
pub struct CommandLine {
    /// What to do; without it, serve.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How to serve.
    #[command(flatten)]
    pub config: Config,
}

/// What else the binary does.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum Command {
    /// Ask the server at the listen address whether it is alive: exit code 0 if so, 1 otherwise
    Healthcheck,
}

/// How a server runs.
#[derive(Debug, Clone, Args)]
pub struct Config {
    /// Address and port to serve on; port 0 takes a free one
    #[arg(
        long,
        global = true,
        env = "TRANDB_LISTEN",
        value_name = "ADDRESS:PORT",
        default_value = "127.0.0.1:8080",
        value_parser = socket_address
    )]
    pub listen: SocketAddr,

    /// Number of shards that the keys are spread over; the same at all nodes of a cluster [default:
    /// 16; in a cluster 4]
    #[arg(long, env = "TRANDB_SHARDS", value_name = "NUMBER")]
    pub shards: Option<NonZeroU16>,

    /// Number of threads that serve [default: one for each core]
    #[arg(long, env = "TRANDB_THREADS", value_name = "NUMBER",
        value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,

    /// Memory for keys and values, as a size (512MiB) or a share (75%) of what the control group
    /// or the machine has; 5MiB or more; beyond it writes are answered with 507
    #[arg(
        long,
        env = "TRANDB_MEMORY_LIMIT",
        value_name = "SIZE|PERCENT",
        default_value = "75%"
    )]
    pub memory_limit: MemoryLimit,

    /// Bytes of bodies that may be on their way at a time, in and out; 7MiB or more; beyond it
    /// requests are answered with 503 [default: an eighth of the memory limit, from 16MiB to 1GiB]
    #[arg(long, env = "TRANDB_IN_FLIGHT_LIMIT", value_name = "SIZE", value_parser = size)]
    pub in_flight_limit: Option<ByteSize>,

    /// Connections that are served at a time; further ones are answered with 503
    #[arg(long, env = "TRANDB_CONNECTIONS_MAX", value_name = "NUMBER", default_value = "4096",
        value_parser = clap::value_parser!(u32).range(1..))]
    pub connections_max: u32,

    /// Time for a client to send the head of a request, and longest idle time of a connection
    #[arg(long, env = "TRANDB_HEADER_TIMEOUT", value_name = "DURATION", default_value = "30s",
        value_parser = timeout)]
    pub header_timeout: Duration,

    /// Time for a client to send a body
    #[arg(long, env = "TRANDB_BODY_TIMEOUT", value_name = "DURATION", default_value = "30s",
        value_parser = timeout)]
    pub body_timeout: Duration,

    /// Longest time without progress in sending an answer
    #[arg(long, env = "TRANDB_WRITE_TIMEOUT", value_name = "DURATION", default_value = "30s",
        value_parser = timeout)]
    pub write_timeout: Duration,

    /// After a signal: how long to go on serving with readiness at 503, so that load balancers
    /// notice
    #[arg(long, env = "TRANDB_DRAIN_DELAY", value_name = "DURATION", default_value = "0s",
        value_parser = duration)]
    pub drain_delay: Duration,

    /// After that: how long requests in flight may take to finish
    #[arg(long, env = "TRANDB_DRAIN_TIMEOUT", value_name = "DURATION", default_value = "8s",
        value_parser = duration)]
    pub drain_timeout: Duration,

    /// What to log: error, warn, info, debug, trace, or a filter such as `trandb_server=debug`; what
    /// the Raft library says of itself is left out unless it is asked for
    #[arg(
        long,
        env = "TRANDB_LOG",
        value_name = "FILTER",
        default_value = "info,openraft=off"
    )]
    pub log: String,

    /// How to log; auto is text on a terminal and json otherwise
    #[arg(
        long,
        env = "TRANDB_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "auto"
    )]
    pub log_format: LogFormat,

    /// How to be one of several.
    #[command(flatten)]
    pub cluster: ClusterFlags,
}

/// Chosen by measurement, see `docs/performance.md`.
pub const SHARDS_DEFAULT: NonZeroU16 = NonZeroU16::new(16).expect("not 0");

/// The same for a node of a cluster, where each shard has a log of its own: the fewer there are, the
/// more commands go together.
pub const CLUSTER_SHARDS_DEFAULT: NonZeroU16 = NonZeroU16::new(4).expect("not 0");

impl Config {
    /// Into how many shards the keys are spread.
    pub fn shards(&self) -> NonZeroU16 {
        let default = if self.cluster.is_empty() {
            SHARDS_DEFAULT
        } else {
            CLUSTER_SHARDS_DEFAULT
        };
        self.shards.unwrap_or(default)
    }
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    Auto,
    /// One line of text an event.
    Text,
    /// One JSON object an event.
    Json,
}

/// How much may be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryLimit {
    /// So many bytes.
    Bytes(u64),
    /// A share of what there is, 1 to 100.
    Percent(u8),
}

impl FromStr for MemoryLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some(percent) = text.strip_suffix('%') else {
            return size(text).map(|size| Self::Bytes(size.0));
        };
        match percent.trim().parse() {
            Ok(percent @ 1..=100) => Ok(Self::Percent(percent)),
            _ => Err("a share is 1% to 100%".into()),
        }
    }
}

impl fmt::Display for MemoryLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => ByteSize(*bytes).fmt(f),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

impl MemoryLimit {
    /// The limit in bytes, where there are `total` bytes of memory.
    pub fn bytes_of(self, total: u64) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Percent(percent) => total / 100 * u64::from(percent),
        }
    }
}

/// Least memory limit: with less there is a legal value that is refused for ever.
pub const MEMORY_LIMIT_MIN: ByteSize = ByteSize::mib(5);

/// Least limit of bytes in flight: with less there is an answer or a value that is refused for
/// ever, although its refusal says that it may be sent again.
pub const IN_FLIGHT_LIMIT_MIN: ByteSize = ByteSize::mib(7);

const _: () = assert!(Shard::GROWTH_MAX <= MEMORY_LIMIT_MIN.0);
const _: () = assert!(LIST_BYTES_MAX as u64 <= IN_FLIGHT_LIMIT_MIN.0);
const _: () = assert!(VALUE_BYTES_MAX as u64 <= IN_FLIGHT_LIMIT_MIN.0);

/// What the sizes of a configuration come to on this machine. In bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// For keys and values.
    pub memory_limit: u64,
    /// For bodies on their way.
    pub in_flight_limit: u64,
}

impl Config {
    /// The sizes on this machine.
    ///
    /// # Errors
    ///
    /// A limit is too small to serve with, or it is a share of the memory there is, and the system
    /// does not say how much that is. The message says what to do.
    pub fn sizes(&self) -> anyhow::Result<Sizes> {
        match self.memory_limit {
            MemoryLimit::Bytes(_) => self.sizes_with(0),
            MemoryLimit::Percent(_) => self.sizes_with(memory::total()?),
        }
    }

    fn sizes_with(&self, total: u64) -> anyhow::Result<Sizes> {
        let memory_limit = self.memory_limit.bytes_of(total);
        anyhow::ensure!(
            memory_limit >= MEMORY_LIMIT_MIN.0,
            "--memory-limit {} comes to {memory_limit} bytes, which is not enough for the largest \
             value and its key: give it 5MiB or more",
            self.memory_limit
        );
        let default = (memory_limit / 8).clamp(16 << 20, 1 << 30);
        let in_flight_limit = self.in_flight_limit.map_or(default, |size| size.0);
        anyhow::ensure!(
            in_flight_limit >= IN_FLIGHT_LIMIT_MIN.0,
            "--in-flight-limit comes to {in_flight_limit} bytes, which is not enough for the \
             largest value or answer: give it 7MiB or more, or leave it out"
        );
        Ok(Sizes {
            memory_limit,
            in_flight_limit,
        })
    }
}

/// The library's own message is about its way of reading.
fn size(text: &str) -> Result<ByteSize, String> {
    text.parse()
        .map_err(|_| "a size looks like 512MiB or 2GiB".into())
}

/// Longest of all times that may be asked for: a deadline can always be computed.
const DURATION_MAX: Duration = Duration::from_hours(24);

fn duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if duration > DURATION_MAX {
        return Err("a day is the longest".into());
    }
    Ok(duration)
}

/// Shortest time-out: with less, clients on the same machine would be refused.
const TIMEOUT_MIN: Duration = Duration::from_millis(10);

/// A time-out of nothing would refuse everything, and is easily meant as none at all.
fn timeout(text: &str) -> Result<Duration, String> {
    let timeout = duration(text)?;
    if timeout.is_zero() {
        return Err(
            "a time-out cannot be zero, nor switched off: a day (24h) is the longest".into(),
        );
    }
    if timeout < TIMEOUT_MIN {
        return Err("nobody is that fast: 10ms is the shortest".into());
    }
    Ok(timeout)
}

fn socket_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        "an address is numbers and a port, such as 127.0.0.1:8080 or [::1]:8080; 0.0.0.0 is every \
         address of this machine; names are not looked up"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(arguments: &[&str]) -> Result<Config, clap::Error> {
        let arguments = std::iter::once(&"trandb-server").chain(arguments);
        CommandLine::try_parse_from(arguments).map(|line| line.config)
    }

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn every_flag_has_a_variable_of_its_name() {
        for argument in CommandLine::command().get_arguments() {
            let Some(flag) = argument
                .get_long()
                .filter(|flag| !["help", "version"].contains(flag))
            else {
                continue;
            };
            let variable = argument
                .get_env()
                .map(|name| name.to_string_lossy().into_owned());
            let expected = format!("TRANDB_{}", flag.to_uppercase().replace('-', "_"));
            assert_eq!(variable, Some(expected), "--{flag}");
        }
    }

    #[test]
    fn sizes_are_shares_or_bytes() {
        let sizes = |arguments: &[&str]| sizes(arguments).expect("large enough");
        assert_eq!(sizes(&["--memory-limit", "50%"]).memory_limit, 500 << 20);
        assert_eq!(sizes(&["--memory-limit", "64MiB"]).memory_limit, 64 << 20);
        assert_eq!(
            sizes(&["--memory-limit", "64MiB"]).in_flight_limit,
            16 << 20,
            "at least"
        );
        assert_eq!(
            sizes(&["--in-flight-limit", "7MiB"]).in_flight_limit,
            7 << 20
        );
        assert_eq!(sizes(&["--memory-limit", "5MiB"]).memory_limit, 5 << 20);
    }

    /// Of a machine with 1,000 MiB.
    fn sizes(arguments: &[&str]) -> anyhow::Result<Sizes> {
        parse(arguments).expect("legal").sizes_with(1000 << 20)
    }

    #[test]
    fn limits_under_which_a_legal_request_would_never_be_served_are_refused_with_a_remedy() {
        for (flag, value, remedy) in [
            ("--memory-limit", "0", "5MiB or more"),
            ("--memory-limit", "512", "5MiB or more"),
            ("--memory-limit", "5242879B", "5MiB or more"),
            ("--in-flight-limit", "0", "7MiB or more"),
            ("--in-flight-limit", "4MiB", "7MiB or more"),
            ("--in-flight-limit", "7340031B", "7MiB or more"),
        ] {
            let error = sizes(&[flag, value]).expect_err(value).to_string();
            assert!(error.contains(flag), "{error}");
            assert!(error.contains(remedy), "{error}");
        }
        // A share of too little comes to too little.
        let share = parse(&["--memory-limit", "1%"]).expect("legal");
        let error = share.sizes_with(100 << 20).expect_err("1 MiB").to_string();
        assert!(error.contains("1% comes to 1048576 bytes"), "{error}");
    }

    #[test]
    fn what_is_no_address_is_refused_with_one_that_is() {
        for flag in ["--listen", "--peer-listen"] {
            let error = parse(&[flag, "localhost:8080"]).expect_err("a name");
            assert!(
                error.to_string().contains("such as 127.0.0.1:8080"),
                "{error}"
            );
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for illegal in [
            &["--memory-limit", "0%"][..],
            &["--memory-limit", "101%"],
            &["--memory-limit", "much"],
            &["--shards", "0"],
            &["--shards", "70000"],
            &["--listen", "localhost"],
            &["--connections-max", "0"],
            &["--body-timeout", "5"],
            &["--body-timeout", "0s"],
            &["--header-timeout", "0s"],
            &["--write-timeout", "0s"],
            &["--write-timeout", "9ms"],
            &["--body-timeout", "25h"],
            &["--drain-delay", "500000000000y"],
            &["--log-format", "xml"],
            &["--unknown"],
        ] {
            assert!(parse(illegal).is_err(), "{illegal:?}");
        }
    }
}
