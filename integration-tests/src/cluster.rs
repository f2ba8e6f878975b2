//! A cluster of real binaries on the loopback address.

use std::net::{SocketAddr, TcpListener};

use crate::{
    eventually,
    process::{Process, Signal},
    wire::{self, Request},
};

/// Some servers that are one cluster. They are killed with this value.
#[derive(Debug)]
pub struct Cluster {
    members: Vec<Member>,
}

/// A place in the cluster.
#[derive(Debug)]
struct Member {
    flags: Vec<String>,
    address: SocketAddr,
    /// None while nobody is there.
    process: Option<Process>,
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
        let member = |number: usize| Member {
            flags: [
                ("--name", format!("n{}", number + 1)),
                ("--listen", clients[number].to_string()),
                ("--peer-listen", peers[number].to_string()),
                ("--peers", all.clone()),
                ("--bootstrap-expect", count.to_string()),
            ]
            .into_iter()
            .flat_map(|(flag, value)| [flag.to_owned(), value])
            .collect(),
            address: clients[number],
            process: None,
        };
        let mut cluster = Self {
            members: (0..count).map(member).collect(),
        };
        for number in 0..count {
            cluster.start_member(number);
        }
        cluster.ready().await;
        cluster
    }

    /// How many places it has.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Where clients reach its nodes, as URLs.
    pub fn endpoints(&self) -> Vec<String> {
        let members = self.members.iter();
        members
            .map(|member| format!("http://{}", member.address))
            .collect()
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

async fn is_ready(address: SocketAddr) -> bool {
    wire::ask(address, &Request::get("/readyz")).await.status == 200
}
