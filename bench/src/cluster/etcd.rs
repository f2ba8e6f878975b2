//! Three nodes of etcd, whose clients are at the leader.
//!
//! Their data lies in memory where there is such a place, and nothing is flushed: the comparison is
//! one of what consensus costs. Tests: none; `trandb-bench cluster` runs it where etcd is installed.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::ensure;

use super::nodes::{CORES, NODES, free_addresses, get};
use crate::{
    process::{Process, pause},
    protocol::{Dialect, find},
    servers::Server,
};

/// What they are called in tables.
pub(super) const NAME: &str = "etcd, 3 nodes";

const LEADER_MAX: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(50);

/// Where the nodes are, and what they know of each other: the same after a restart.
pub(super) struct Places {
    clients: Vec<SocketAddr>,
    peers: Vec<SocketAddr>,
    directory: PathBuf,
}

impl Places {
    /// On free ports, with the data below `directory`.
    pub(super) fn new(directory: &Path) -> anyhow::Result<Self> {
        let mut clients = free_addresses(2 * NODES)?;
        let peers = clients.split_off(NODES);
        Ok(Self {
            clients,
            peers,
            directory: directory.to_owned(),
        })
    }

    /// Starts all nodes and waits for a leader.
    pub(super) fn start(&self, program: &Path) -> anyhow::Result<Server> {
        // A node listens for clients only when it has a leader, for which it needs the others: the
        // ports of peers are there at once.
        let processes = (0..NODES).map(|number| {
            let command = self.command(program, number);
            Process::start_on(&CORES, "etcd", command, self.peers[number])
        });
        let processes = processes.collect::<anyhow::Result<Vec<_>>>()?;
        let leader = self.leader()?;
        Server::of(NAME, processes, vec![leader], Dialect::EtcdGrpc)
    }

    fn command(&self, program: &Path, number: usize) -> Command {
        let url = |address: &SocketAddr| format!("http://{address}");
        let name = |number: usize| format!("e{}", number + 1);
        let (client, peer) = (url(&self.clients[number]), url(&self.peers[number]));
        let all: Vec<String> = (0..NODES)
            .map(|other| format!("{}={}", name(other), url(&self.peers[other])))
            .collect();
        let mut command = Command::new(program);
        command
            .args(["--name", &name(number)])
            .arg("--data-dir")
            .arg(self.directory.join(name(number)))
            .args(["--listen-client-urls", &client])
            .args(["--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer])
            .args(["--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &all.join(",")])
            .args(["--log-level", "error", "--unsafe-no-fsync"]);
        command
    }

    fn leader(&self) -> anyhow::Result<SocketAddr> {
        let start = Instant::now();
        loop {
            for &address in &self.clients {
                let leads = b"\netcd_server_is_leader 1\n";
                if get(address, "/metrics").is_ok_and(|(_, body)| find(&body, leads).is_some()) {
                    return Ok(address);
                }
            }
            let in_time = start.elapsed() < LEADER_MAX;
            ensure!(in_time, "no etcd leads after {LEADER_MAX:?}");
            pause(LOOK);
        }
    }
}
