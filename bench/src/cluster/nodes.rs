//! Three nodes of `TranDB` on the loopback interface, which can be killed and started again.
//!
//! Tests: none; whatever starts nodes runs it.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    num::NonZeroU16,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use trandb_common::wire::cluster::{ClusterStatus, GroupStatus};

use crate::{
    process::{CLIENT_CORE, Process, SERVER_CORE, pause},
    protocol::Dialect,
    servers::{Server, Starter},
};

/// How many nodes a cluster has here.
pub(super) const NODES: usize = 3;

/// Every node, and the generator's thread, may use these.
pub(super) const CORES: [usize; 2] = [SERVER_CORE, CLIENT_CORE];

const READY_MAX: Duration = Duration::from_mins(1);
const ANSWER_MAX: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(20);

/// The nodes, killed when dropped.
pub(super) struct Nodes {
    program: PathBuf,
    members: Vec<Member>,
}

struct Member {
    name: String,
    flags: Vec<String>,
    address: SocketAddr,
    /// None: nobody is there.
    process: Option<Process>,
}

impl Nodes {
    /// Starts all, with additional flags, and waits until they are ready.
    pub(super) fn start(starter: &Starter, flags: &[&str]) -> anyhow::Result<Self> {
        let addresses = free_addresses(2 * NODES)?;
        let (clients, peers) = addresses.split_at(NODES);
        let seeds: Vec<String> = peers.iter().map(ToString::to_string).collect();
        let seeds = seeds.join(",");
        let member = |number: usize| {
            let name = format!("n{}", number + 1);
            let own = [
                ("--name", name.clone()),
                ("--listen", clients[number].to_string()),
                ("--peer-listen", peers[number].to_string()),
                ("--peers", seeds.clone()),
                ("--bootstrap-expect", NODES.to_string()),
                // Three nodes on two cores: more threads would only take turns.
                ("--threads", "1".to_owned()),
            ];
            let own = own
                .into_iter()
                .flat_map(|(flag, value)| [flag.to_owned(), value]);
            Member {
                flags: own.chain(flags.iter().map(ToString::to_string)).collect(),
                address: clients[number],
                process: None,
                name,
            }
        };
        let mut nodes = Self {
            program: starter.trandb_path().to_owned(),
            members: (0..NODES).map(member).collect(),
        };
        for number in 0..NODES {
            nodes.start_one(number)?;
        }
        nodes.wait_until_ready()?;
        Ok(nodes)
    }

    /// Where clients connect.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.members.iter().map(|member| member.address).collect()
    }

    /// Starts the node of this number, which does not run.
    pub(super) fn start_one(&mut self, number: usize) -> anyhow::Result<()> {
        let member = &mut self.members[number];
        ensure!(member.process.is_none(), "{} runs already", member.name);
        let mut command = Command::new(&self.program);
        command.args(&member.flags);
        let name = format!("TranDB {}", member.name);
        member.process = Some(Process::start_on(&CORES, &name, command, member.address)?);
        Ok(())
    }

    /// Kills the node of this number with SIGKILL, and waits until it is gone.
    pub(super) fn kill(&mut self, number: usize) {
        self.members[number].process = None;
    }

    /// Waits until every node is a voter in all groups.
    pub(super) fn wait_until_ready(&self) -> anyhow::Result<()> {
        let start = Instant::now();
        for member in &self.members {
            while !matches!(get(member.address, "/readyz"), Ok((200, _))) {
                if start.elapsed() > READY_MAX {
                    bail!("{} is not ready after {READY_MAX:?}", member.name);
                }
                pause(LOOK);
            }
        }
        Ok(())
    }

    /// How many shards there are.
    pub(super) fn shards(&self) -> anyhow::Result<NonZeroU16> {
        let status = status(self.members[0].address)?;
        let shards = status.groups.iter().filter(|group| group.shard.is_some());
        let shards = NonZeroU16::new(u16::try_from(shards.count())?);
        shards.context("a cluster without shards")
    }

    /// The number of the node that leads `shard`, as the cluster says.
    pub(super) fn leader(&self, shard: u16) -> anyhow::Result<usize> {
        let start = Instant::now();
        loop {
            for member in self
                .members
                .iter()
                .filter(|member| member.process.is_some())
            {
                if let Some(leader) = self.leader_as_seen_at(member.address, shard)? {
                    return Ok(leader);
                }
            }
            ensure!(start.elapsed() < READY_MAX, "nobody leads shard {shard}");
            pause(LOOK);
        }
    }

    fn leader_as_seen_at(&self, address: SocketAddr, shard: u16) -> anyhow::Result<Option<usize>> {
        let status = status(address)?;
        let mut groups = status.groups.iter();
        let group = groups.find(|group| group.shard == Some(shard));
        let Some(leader) = group.and_then(|group| group.leader) else {
            return Ok(None);
        };
        let mut members = status.members.iter();
        let name = members.find(|member| member.node == leader);
        Ok(name.and_then(|leader| {
            let mut own = self.members.iter();
            own.position(|member| member.name == leader.name)
        }))
    }

    /// All of them, as one server.
    pub(super) fn into_server(self) -> anyhow::Result<Server> {
        let addresses = self.addresses();
        let processes = self.members.into_iter().filter_map(|member| member.process);
        Server::of(
            "TranDB, 3 nodes",
            processes.collect(),
            addresses,
            Dialect::Trandb,
        )
    }
}

/// Where the leader of each shard takes clients, as the node at `address` has it.
pub(super) fn leaders(address: SocketAddr) -> anyhow::Result<Vec<SocketAddr>> {
    let status = status(address)?;
    let mut shards: Vec<_> = status.groups.iter().filter(|g| g.shard.is_some()).collect();
    shards.sort_unstable_by_key(|group| group.shard);
    let leader = |group: &&GroupStatus| {
        let mut members = status.members.iter();
        let leader = members.find(|member| Some(member.node) == group.leader);
        let address = &leader.context("a shard without a leader")?.address;
        Ok(address.parse()?)
    };
    shards.iter().map(leader).collect()
}

/// How the node at `address` sees its cluster.
fn status(address: SocketAddr) -> anyhow::Result<ClusterStatus> {
    let (_, body) = get(address, "/cluster")?;
    serde_json::from_slice(&body).with_context(|| format!("/cluster of {address}"))
}

/// Different free ports of the loopback interface.
pub(super) fn free_addresses(count: usize) -> anyhow::Result<Vec<SocketAddr>> {
    // All at once, so that none is given twice.
    let ports = (0..count).map(|_| TcpListener::bind("127.0.0.1:0"));
    let ports = ports.collect::<Result<Vec<_>, _>>()?;
    let addresses = ports.iter().map(TcpListener::local_addr);
    Ok(addresses.collect::<Result<_, _>>()?)
}

/// Status and body of a GET over a connection of its own.
pub(super) fn get(address: SocketAddr, path: &str) -> anyhow::Result<(u16, Vec<u8>)> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_MAX)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    read_answer(&answer).with_context(|| format!("{path} of {address}"))
}

fn read_answer(answer: &[u8]) -> anyhow::Result<(u16, Vec<u8>)> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut head = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head_bytes) = head.parse(answer)? else {
        bail!("an answer that ends in its head");
    };
    Ok((head.code.unwrap_or_default(), answer[head_bytes..].to_vec()))
}

/// The key numbers from `from` on that `shard` of `shards` holds.
pub(super) fn keys_of(shard: u16, shards: NonZeroU16, from: u64) -> impl Iterator<Item = u64> {
    (from..).filter(move |&number| {
        let text = crate::workload::key_text(number);
        let key = trandb_common::Key::try_from(&text[..]);
        key.is_ok_and(|key| trandb_engine::route(&key, shards).0 == shard)
    })
}
