//! How each measured server is found and started.
//!
//! Not here: what is measured on it. Every server listens on a free port of the loopback
//! interface, keeps nothing on disk, uses one thread for its work, and runs on
//! [`crate::process::SERVER_CORE`]. Tests: at the end of this file; the peers themselves are
//! started by `trandb-bench peers`.

use std::{
    ffi::OsStr,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, bail};
use clap::ValueEnum;
use serde_json::json;

use crate::{
    baseline::Baseline,
    load::Targets,
    process::{CLIENT_CORE, Process, SERVER_CORE, free_address},
    protocol::{CONSTANT_BODY, Dialect},
};

/// Programs from elsewhere that `TranDB` is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// The key-value store that the goals name.
    Redis,
    /// The second one.
    Memcached,
    /// A web server that answers a constant.
    Nginx,
    /// HTTP in front of Redis.
    Webdis,
    /// A replicated store, here as a single node.
    Etcd,
}

impl Peer {
    /// The program, and the Debian package that brings it.
    pub fn program_and_package(self) -> (&'static str, &'static str) {
        match self {
            Self::Redis => ("redis-server", "redis-server"),
            Self::Memcached => ("memcached", "memcached"),
            Self::Nginx => ("nginx", "nginx-light"),
            Self::Webdis => ("webdis", "webdis"),
            Self::Etcd => ("etcd", "etcd-server"),
        }
    }

    /// What the peer speaks.
    pub fn dialect(self) -> Dialect {
        match self {
            Self::Redis => Dialect::Redis,
            Self::Memcached => Dialect::Memcached,
            Self::Nginx => Dialect::Constant,
            Self::Webdis => Dialect::Webdis,
            Self::Etcd => Dialect::Etcd,
        }
    }

    /// The program on this machine, if it is installed.
    pub fn find(self) -> Option<PathBuf> {
        find_program(self.program_and_package().0)
    }
}

/// Looks in `PATH`, and in the directories of Debian's servers that it often lacks.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from))
        .map(|directory| directory.join(name))
        .find(|program| program.is_file())
}

/// Running processes that are one server for who uses it: most are one, webdis has its Redis behind
/// it, a cluster has its nodes.
pub struct Server {
    name: String,
    /// The first is the one in front.
    processes: Vec<Process>,
    /// Where clients connect.
    addresses: Vec<SocketAddr>,
    /// The leaders of its shards, if clients go there.
    leaders: Option<Vec<SocketAddr>>,
    /// What it speaks.
    pub dialect: Dialect,
}

impl Server {
    /// A server of these processes, at least one, whose clients are divided among `addresses`, at
    /// least one.
    pub fn of(
        name: &str,
        processes: Vec<Process>,
        addresses: Vec<SocketAddr>,
        dialect: Dialect,
    ) -> anyhow::Result<Self> {
        if processes.is_empty() || addresses.is_empty() {
            bail!("{name} has no process or no address");
        }
        Ok(Self {
            name: name.to_owned(),
            processes,
            addresses,
            leaders: None,
            dialect,
        })
    }

    /// Has clients go to the leaders of their keys' shards, by the shards' numbers; none: to the next
    /// address, whatever their keys.
    pub fn set_leaders(&mut self, leaders: Option<Vec<SocketAddr>>) {
        self.leaders = leaders;
    }

    /// What it is called in tables.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it listens, or the first node of it.
    pub fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// Where clients connect, each to the next one.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where a load goes.
    pub fn targets(&self) -> Targets<'_> {
        match &self.leaders {
            Some(leaders) => Targets::Leaders(leaders),
            None => Targets::Anywhere(&self.addresses),
        }
    }

    /// CPU time used so far by all of its processes.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        self.processes.iter().map(Process::cpu).sum()
    }

    /// Resident memory in bytes, without what is behind it.
    pub fn resident_bytes(&self) -> anyhow::Result<u64> {
        self.processes[0].resident_bytes()
    }

    /// Ends it with SIGTERM and waits for it.
    pub fn stop(self) -> anyhow::Result<()> {
        self.processes.into_iter().try_for_each(Process::stop)
    }

    fn single(front: Process, dialect: Dialect) -> Self {
        Self {
            name: front.name().to_owned(),
            addresses: vec![front.address],
            processes: vec![front],
            leaders: None,
            dialect,
        }
    }
}

/// Starts servers; owns the directory of their configuration files.
pub struct Starter {
    trandb: PathBuf,
    scratch: tempfile::TempDir,
}

impl Starter {
    /// `trandb`: the server binary; by default the one beside this program.
    ///
    /// Errors: it is not there.
    pub fn new(trandb: Option<PathBuf>) -> anyhow::Result<Self> {
        let trandb = match trandb {
            Some(path) => path,
            None => std::env::current_exe()?.with_file_name("trandb-server"),
        };
        if !trandb.is_file() {
            bail!(
                "{} is not there: `cargo build --release -p trandb-server`, or name it by --server",
                trandb.display()
            );
        }
        // In memory where there is such a place, so that etcd does not wait for a disk.
        let shared_memory = Path::new("/dev/shm");
        let scratch = if shared_memory.is_dir() {
            tempfile::tempdir_in(shared_memory)
        } else {
            tempfile::tempdir()
        };
        Ok(Self {
            trandb,
            scratch: scratch.context("no directory for configuration files")?,
        })
    }

    /// A directory for what servers write, in memory where that is possible. It is gone with this
    /// value.
    pub fn scratch_path(&self) -> &Path {
        self.scratch.path()
    }

    /// The path of the server binary.
    pub fn trandb_path(&self) -> &Path {
        &self.trandb
    }

    /// `TranDB` with additional flags.
    pub fn trandb(&self, flags: &[&str]) -> anyhow::Result<Server> {
        self.trandb_on(&[SERVER_CORE], flags)
    }

    /// `TranDB` that shares the generator's core besides its own, so that two of its threads run
    /// at the same time.
    pub fn trandb_on_both_cores(&self) -> anyhow::Result<Server> {
        self.trandb_on(&[SERVER_CORE, CLIENT_CORE], &[])
    }

    fn trandb_on(&self, cores: &[usize], flags: &[&str]) -> anyhow::Result<Server> {
        let address = free_address()?;
        let mut command = Command::new(&self.trandb);
        command.arg("--listen").arg(address.to_string()).args(flags);
        let process = Process::start_on(cores, "TranDB", command, address)?;
        Ok(Server::single(process, Dialect::Trandb))
    }

    /// A peer; `None` when it is not installed.
    pub fn peer(&self, peer: Peer) -> anyhow::Result<Option<Server>> {
        let Some(program) = peer.find() else {
            return Ok(None);
        };
        let address = free_address()?;
        let mut behind = Vec::new();
        let mut command = Command::new(program);
        match peer {
            Peer::Redis => redis(&mut command, address, self.scratch.path()),
            Peer::Memcached => memcached(&mut command, address),
            Peer::Nginx => {
                let file = self.write("nginx.conf", &nginx(address, self.scratch.path()))?;
                command.arg("-c").arg(file);
            }
            Peer::Webdis => {
                let Some(redis) = self.peer(Peer::Redis)? else {
                    return Ok(None);
                };
                command.arg(self.write("webdis.json", &webdis(address, redis.address()))?);
                behind = redis.processes;
            }
            Peer::Etcd => etcd(&mut command, address, self.scratch.path())?,
        }
        let front = Process::start(peer.program_and_package().0, command, address)?;
        let mut server = Server::single(front, peer.dialect());
        server.processes.extend(behind);
        Ok(Some(server))
    }

    fn write(&self, name: &str, text: &str) -> anyhow::Result<PathBuf> {
        let path = self.scratch.path().join(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }
}

/// One of our own baselines: this very program in another process.
pub fn start_baseline(baseline: Baseline) -> anyhow::Result<Server> {
    let (name, dialect) = match baseline {
        Baseline::Axum => ("axum, a constant", Dialect::Constant),
        Baseline::Hyper => ("hyper, a constant", Dialect::Constant),
        Baseline::Plain => ("axum, one RwLock<HashMap>", Dialect::Trandb),
    };
    let address = free_address()?;
    let kind = baseline
        .to_possible_value()
        .context("a baseline without a name")?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args([
        "baseline",
        kind.get_name(),
        "--listen",
        &address.to_string(),
    ]);
    Ok(Server::single(
        Process::start(name, command, address)?,
        dialect,
    ))
}

fn redis(command: &mut Command, address: SocketAddr, directory: &Path) {
    command
        .args(["--bind", "127.0.0.1", "--port", &address.port().to_string()])
        .args(["--save", "", "--appendonly", "no", "--daemonize", "no"])
        .args([OsStr::new("--dir"), directory.as_os_str()]);
}

fn memcached(command: &mut Command, address: SocketAddr) {
    command
        .args([
            "-l",
            "127.0.0.1",
            "-U",
            "0",
            "-p",
            &address.port().to_string(),
        ])
        .args(["-t", "1", "-m", "4096"]);
    if nix::unistd::Uid::effective().is_root() {
        command.args(["-u", "root"]);
    }
}

fn nginx(address: SocketAddr, directory: &Path) -> String {
    let directory = directory.display();
    format!(
        "worker_processes 1;
daemon off;
master_process off;
pid {directory}/nginx.pid;
error_log stderr;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path {directory}/nginx-body;
    proxy_temp_path {directory}/nginx-proxy;
    fastcgi_temp_path {directory}/nginx-fastcgi;
    uwsgi_temp_path {directory}/nginx-uwsgi;
    scgi_temp_path {directory}/nginx-scgi;
    default_type text/plain;
    server {{
        listen {address};
        location / {{ return 200 \"{CONSTANT_BODY}\"; }}
    }}
}}
"
    )
}

fn webdis(address: SocketAddr, redis: SocketAddr) -> String {
    json!({
        "redis_host": "127.0.0.1",
        "redis_port": redis.port(),
        "http_host": "127.0.0.1",
        "http_port": address.port(),
        "threads": 1,
        "daemonize": false,
        "database": 0,
        "acl": [],
        "verbosity": 0,
        "logfile": "/dev/null",
    })
    .to_string()
}

/// The data directory outlives a restart, which the comparison needs.
fn etcd(command: &mut Command, address: SocketAddr, directory: &Path) -> anyhow::Result<()> {
    let client = format!("http://{address}");
    let peer = format!("http://{}", free_address()?);
    command
        .arg("--data-dir")
        .arg(directory.join("etcd"))
        .args([
            "--listen-client-urls",
            &client,
            "--advertise-client-urls",
            &client,
        ])
        .args([
            "--listen-peer-urls",
            &peer,
            "--initial-advertise-peer-urls",
            &peer,
        ])
        .args(["--initial-cluster", &format!("default={peer}")])
        .args(["--log-level", "error"]);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_by_name() {
        assert!(find_program("sh").is_some());
        assert_eq!(find_program("a-program-that-nobody-has"), None);
    }

    #[test]
    fn a_missing_server_binary_is_named() {
        let error = Starter::new(Some("/nonexistent/trandb-server".into()))
            .err()
            .unwrap();
        assert!(
            error
                .to_string()
                .contains("/nonexistent/trandb-server is not there")
        );
    }
}
