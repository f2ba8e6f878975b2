//! A cluster of real nodes: [`Nodes`], whatever they run in, and [`Cluster`], whose nodes are
//! processes on the loopback address.

use std::{
    future::Future,
    net::{SocketAddr, TcpListener},
};

use crate::{
    eventually,
    process::{Process, Signal},
    wire::{self, Request},
};

/// What happens to one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// It is killed, and started anew after a while.
    Kill,
    /// It stands still for a while, and then goes on as if no time had passed.
    Pause,
    /// It ends as planned, and is started anew.
    Stop,
    /// It is a member no longer, ends, and is started anew as another member.
    Remove,
    /// The other nodes and it do not reach each other for a while; clients reach all of them.
    Cut,
}

/// The nodes of a cluster, and what can happen to them.
pub trait Nodes {
    /// What can happen to one of them; what is named twice happens twice as often.
    fn failures(&self) -> &'static [Failure];

    /// How many there are.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where clients reach them, as URLs.
    fn endpoints(&self) -> Vec<String>;

    /// Lets it happen to the node of this place.
    fn fail(&mut self, number: usize, failure: Failure) -> impl Future<Output = ()>;

    /// Ends it.
    fn recover(&mut self, number: usize, failure: Failure) -> impl Future<Output = ()>;

    /// Waits until every node is ready.
    fn ready(&mut self) -> impl Future<Output = ()>;
}

/// Some servers that are one cluster. They are killed with this value.
#[derive(Debug)]
pub struct Cluster {
    members: Vec<Member>,
    /// Where the founders listen for their peers, as a flag says it.
    peers: String,
}

/// A place in the cluster.
#[derive(Debug)]
struct Member {
    flags: Vec<String>,
    address: SocketAddr,
    /// None while nobody is there.
    process: Option<Process>,
}

impl Member {
    fn new(number: usize, address: SocketAddr, peer_address: SocketAddr, peers: &str) -> Self {
        let flags = [
            ("--name", format!("n{}", number + 1)),
            ("--listen", address.to_string()),
            ("--peer-listen", peer_address.to_string()),
            ("--peers", peers.to_owned()),
        ];
        Self {
            flags: flags
                .into_iter()
                .flat_map(|(flag, value)| [flag.to_owned(), value])
                .collect(),
            address,
            process: None,
        }
    }
}

impl Cluster {
    /// Starts `count` nodes, and waits until each is ready.
    pub async fn start(count: usize) -> Self {
        // All at once, so that no port is given twice. Another program could still take one before
        // a node does; then that node says so and the test fails.
        let ports: Vec<TcpListener> = (0..2 * count)
            .map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port"))
            .collect();
        let addresses: Vec<SocketAddr> = ports
            .iter()
            .map(|port| port.local_addr().expect("bound"))
            .collect();
        drop(ports);
        let (clients, peers) = addresses.split_at(count);
        let all: Vec<String> = peers.iter().map(ToString::to_string).collect();
        let all = all.join(",");
        let member = |number: usize| {
            let mut member = Member::new(number, clients[number], peers[number], &all);
            let expect = ["--bootstrap-expect".to_owned(), count.to_string()];
            member.flags.extend(expect);
            member
        };
        let mut cluster = Self {
            members: (0..count).map(member).collect(),
            peers: all.clone(),
        };
        for number in 0..count {
            cluster.start_member(number);
        }
        cluster.ready().await;
        cluster
    }

    /// Adds a node, and waits until it is ready. Its number.
    pub async fn add(&mut self) -> usize {
        let ports = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
        let [address, peers] = ports
            .each_ref()
            .map(|port| port.local_addr().expect("bound"));
        drop(ports);
        let number = self.members.len();
        let member = Member::new(number, address, peers, &self.peers);
        self.members.push(member);
        self.ready().await;
        number
    }

    /// Takes a node out of the cluster, as asked at another one, and waits until it has ended.
    pub async fn remove(&mut self, number: usize) {
        let other = (number + 1) % self.members.len();
        let request = Request::post(format!("/cluster/remove?member=n{}", number + 1), "");
        eventually("a leader takes the member out", async || {
            let status = wire::ask(self.address(other), &request).await.status;
            // Not found: it was taken out by a request that was not answered.
            status == 202 || status == 404
        })
        .await;
        let (status, log) = self.ended(number).await;
        assert!(status.success(), "a removed node: {status}: {log}");
    }

    /// Where clients reach this node.
    pub fn address(&self, number: usize) -> SocketAddr {
        self.members[number].address
    }

    /// What a node of this place is started with.
    pub fn flags(&self, number: usize) -> Vec<&str> {
        let flags = self.members[number].flags.iter();
        flags.map(String::as_str).collect()
    }

    /// Starts a node at its place.
    pub fn start_member(&mut self, number: usize) {
        let process = Process::start(&self.flags(number));
        self.members[number].process = Some(process);
    }

    /// Kills a node: nothing of it is left.
    pub fn kill(&mut self, number: usize) {
        self.members[number].process = None;
    }

    /// Sends a signal to a node, if it runs.
    pub fn signal(&self, number: usize, signal: Signal) {
        if let Some(process) = &self.members[number].process {
            process.signal(signal);
        }
    }

    /// Ends a node as planned, and waits until it has ended.
    pub async fn stop(&mut self, number: usize) -> std::process::ExitStatus {
        let mut process = self.members[number].process.take().expect("it runs");
        process.signal(Signal::SIGTERM);
        process.exit().await
    }

    /// Waits until a node ends by itself: how it did, and what it has logged.
    pub async fn ended(&mut self, number: usize) -> (std::process::ExitStatus, String) {
        let mut process = self.members[number].process.take().expect("it runs");
        let status = process.exit().await;
        (status, process.log())
    }

    /// Waits until every node is ready; starts those that are not there.
    pub async fn ready(&mut self) {
        for number in 0..self.members.len() {
            if self.members[number].process.is_none() {
                self.start_member(number);
            }
        }
        for member in &self.members {
            let what = format!("the node at {} is ready", member.address);
            eventually(&what, async || is_ready(member.address).await).await;
        }
    }

    /// What all nodes have logged.
    pub fn log(&self) -> String {
        let processes = self.members.iter().filter_map(|m| m.process.as_ref());
        processes.map(Process::log).collect()
    }
}

impl Nodes for Cluster {
    fn failures(&self) -> &'static [Failure] {
        const KINDS: &[Failure] = &[
            Failure::Kill,
            Failure::Kill,
            Failure::Pause,
            Failure::Pause,
            Failure::Stop,
            Failure::Remove,
        ];
        KINDS
    }

    fn len(&self) -> usize {
        self.members.len()
    }

    fn endpoints(&self) -> Vec<String> {
        let members = self.members.iter();
        members
            .map(|member| format!("http://{}", member.address))
            .collect()
    }

    async fn fail(&mut self, number: usize, failure: Failure) {
        match failure {
            Failure::Kill => self.kill(number),
            Failure::Pause => self.signal(number, Signal::SIGSTOP),
            Failure::Stop => {
                let status = self.stop(number).await;
                let log = self.log();
                assert!(status.success(), "a planned stop: {status}: {log}");
            }
            Failure::Remove => self.remove(number).await,
            Failure::Cut => unreachable!("processes of one host always reach each other"),
        }
    }

    async fn recover(&mut self, number: usize, failure: Failure) {
        match failure {
            Failure::Kill | Failure::Stop | Failure::Remove => self.start_member(number),
            Failure::Pause => self.signal(number, Signal::SIGCONT),
            Failure::Cut => unreachable!("it never happens"),
        }
    }

    async fn ready(&mut self) {
        Self::ready(self).await;
    }
}

async fn is_ready(address: SocketAddr) -> bool {
    wire::ask(address, &Request::get("/readyz")).await.status == 200
}
