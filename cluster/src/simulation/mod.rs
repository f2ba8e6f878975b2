//! What simulations of nodes share, whichever crate they test: built with `--cfg simulation` alone
//! (`just cluster-sim`), never part of what users run.
//!
//! ```text
//! Simulated    connections of turmoil's network, in the place of TCP
//! spawn        tasks whose random numbers come from a seed
//! fault        what goes wrong, and when, drawn from a seed
//! invariants   what must hold of nodes after every tick
//! series       many seeds, one after another
//! ```
//!
//! What is not here: what clients do, and what must hold of what they saw.

use std::{io, net::SocketAddr, time::Duration};

use openraft_rt::deterministic_rng::DeterministicRng;
use openraft_rt_tokio::TokioRuntime;
use turmoil::{Builder, net};

use crate::{
    peer::network::{Accept, Network},
    task,
};

mod fault;
mod invariants;
mod series;

pub use fault::{Fault, Kind, OnProcesses, draw};
pub use invariants::{
    Digests, Invariants, Leaders, News, apart, apart_but_for_equality, leader_host,
};
pub use series::{each_seed, number};

/// A step of the simulated time.
pub const TICK: Duration = Duration::from_millis(2);

/// Where every host listens for its peers.
pub const PORT: u16 = 8081;

/// Longest time of a message when nothing is in its way.
pub const LATENCY_MAX: Duration = Duration::from_millis(10);

/// The host's name in the simulated network; hosts count from 1.
pub fn host_name(host: usize) -> String {
    format!("n{host}")
}

/// Where a host listens for its peers.
pub fn peer_address(host: usize) -> String {
    format!("{}:{PORT}", host_name(host))
}

/// Makes the ids of tasks go on where they would in any other run.
///
/// They are counted for the whole process, and when a process of the simulation ends its tasks are
/// dropped in an order that depends on the remainders of their ids: tokio keeps the tasks of a runtime
/// in so many lists.
fn align_tasks() {
    const LISTS: u64 = 4;
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.expect("a runtime without anything can always be made");
    runtime.block_on(async {
        let id = || tokio::spawn(async {}).id().to_string();
        while !id().parse().is_ok_and(|id: u64| id.is_multiple_of(LISTS)) {}
    });
}

/// A network in which everything follows from `seed`. One at a time in a process.
pub fn network(seed: u64) -> Builder {
    align_tasks();
    let mut builder = Builder::new();
    builder
        .simulation_duration(Duration::from_hours(1))
        .tick_duration(TICK)
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(LATENCY_MAX)
        .tcp_capacity(4_096)
        .rng_seed(seed);
    builder
}

/// Runs a process whose random numbers, and those of its tasks, come from `seed`.
pub async fn seeded<T>(seed: u64, life: impl Future<Output = T>) -> T {
    DeterministicRng::<TokioRuntime>::scope(seed, life).await
}

/// As `tokio::spawn`, with random numbers of its own seed; within [`seeded`].
pub fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    task::spawn(task);
}

/// Connections of the simulated network.
#[derive(Debug, Clone, Copy, Default)]
pub struct Simulated;

impl Network for Simulated {
    type Stream = net::TcpStream;

    async fn connect(&self, at: &str) -> io::Result<Self::Stream> {
        net::TcpStream::connect(at).await
    }
}

/// Takes connections of the simulated network.
pub struct SimulatedListener(net::TcpListener);

impl SimulatedListener {
    /// Of the host that calls, at [`PORT`].
    ///
    /// # Errors
    ///
    /// Somebody listens there already.
    pub async fn bind() -> io::Result<Self> {
        net::TcpListener::bind(("0.0.0.0", PORT)).await.map(Self)
    }
}

impl Accept for SimulatedListener {
    type Stream = net::TcpStream;

    async fn accept(&mut self) -> io::Result<(Self::Stream, SocketAddr)> {
        self.0.accept().await
    }
}
