//! Three nodes of `TranDB` on this machine: against three of etcd, against a single node of our own,
//! and what happens when nodes die.
//!
//! All nodes of a side share both cores with the generator: nobody has a core to itself, so a
//! ratio says what a request costs a whole cluster. Clients of `TranDB` are divided among its nodes,
//! so that two thirds of the requests are passed on, or go to the leaders of their keys' shards, as
//! our client does when it is asked to; those of etcd are all at its leader, which is its best. The
//! side that is not measured runs on and costs what it costs idle.
//!
//! Not here: how a comparison is made (`compare`). Tests: of the parts; `just bench cluster` runs
//! it all.

mod client;
mod etcd;
mod failover;
mod nodes;
mod replacement;

use std::{num::NonZeroU16, time::Duration};

use anyhow::Context;

use self::nodes::Nodes;
use crate::{
    compare::{Comparison, Ratio, Row, Settings, Side},
    goals::compare,
    process::pause,
    report::Report,
    servers::{Peer, Server, Starter},
    stats::{Goal, Quartiles},
    transactions::{self, plan::Spread},
    workload::{Mix, Order},
};

pub use self::{failover::failover, replacement::replacement};

/// Numbers of clients that are measured, each with a connection of its own.
const CLIENTS: [usize; 2] = [64, 256];

/// In the order in which they are measured.
const OPERATIONS: [&str; 2] = ["reads", "writes"];

fn name(operation: &str, peer: &str, clients: usize, at_leaders: bool) -> String {
    let at = if at_leaders { " at the leaders" } else { "" };
    format!("{operation} vs {peer}, {clients} clients{at}")
}

/// Everything but deaths of nodes.
pub fn all(starter: &Starter, settings: &Settings) -> anyhow::Result<Report> {
    let settings = &Settings {
        connections: CLIENTS[0],
        ..settings.clone()
    };
    let mut report = Report::new(settings.clone());
    let nodes = Nodes::start(starter, &[])?;
    let shards = nodes.shards()?;
    let mut cluster = nodes.into_server()?;
    idle(&cluster, settings, &mut report)?;
    settings.fill(&cluster)?;
    against_etcd(starter, settings, &mut cluster, &mut report)?;
    let single = starter.trandb_on_both_cores()?;
    settings.fill(&single)?;
    both(
        settings,
        (&mut cluster, &single),
        &mut report,
        |operation| match operation {
            "writes" => Goal::AtLeast(0.3),
            _ => Goal::None,
        },
    )?;
    two_shards(settings, shards, [&cluster, &single], &mut report)?;
    Ok(report)
}

/// etcd 3.4 reads at a quarter of its speed after a burst of writes: it is started again between
/// loading and reading, and writes are measured last.
fn against_etcd(
    starter: &Starter,
    settings: &Settings,
    cluster: &mut Server,
    report: &mut Report,
) -> anyhow::Result<()> {
    let is_left_out = |(operation, clients, at_leaders)| {
        settings.leaves_out(&name(operation, etcd::NAME, clients, at_leaders))
    };
    if rows().all(is_left_out) {
        return Ok(());
    }
    let Some(program) = Peer::Etcd.find() else {
        let (program, package) = Peer::Etcd.program_and_package();
        report.miss(format!("{program}: not found (Debian: {package})"));
        return Ok(());
    };
    let places = etcd::Places::new(starter.scratch_path())?;
    let loaded = places.start(&program)?;
    settings.fill(&loaded)?;
    loaded.stop()?;
    let etcd = places.start(&program)?;
    both(settings, (cluster, &etcd), report, |operation| {
        Goal::AtLeast(if operation == "writes" { 2.0 } else { 1.5 })
    })
}

/// What is measured against each peer: an operation, a number of clients, and whether they go to the
/// leaders.
fn rows() -> impl Iterator<Item = (&'static str, usize, bool)> {
    OPERATIONS.into_iter().flat_map(|operation| {
        let clients = CLIENTS.into_iter();
        clients
            .flat_map(move |count| [false, true].map(|at_leaders| (operation, count, at_leaders)))
    })
}

/// Reads and writes of few and many clients, who go anywhere or to the leaders.
fn both(
    settings: &Settings,
    (ours, peer): (&mut Server, &Server),
    report: &mut Report,
    goal: impl Fn(&str) -> Goal,
) -> anyhow::Result<()> {
    for (operation, connections, at_leaders) in rows() {
        let mix = match operation {
            "writes" => Mix::puts(settings.keys),
            _ => Mix::gets(settings.keys),
        };
        let settings = Settings {
            connections,
            ..settings.clone()
        };
        let leaders = at_leaders.then(|| nodes::leaders(ours.address()));
        ours.set_leaders(leaders.transpose()?);
        let name = name(operation, peer.name(), connections, at_leaders);
        let load = settings.load(mix, 1);
        let compared = compare(
            report,
            &settings,
            &name,
            goal(operation),
            [&*ours, peer],
            load,
        );
        ours.set_leaders(None);
        compared?;
    }
    Ok(())
}

/// Transactions of two keys in two of the cluster's `shards`, against those of a single node, which
/// has at least as many.
fn two_shards(
    settings: &Settings,
    shards: NonZeroU16,
    [cluster, single]: [&Server; 2],
    report: &mut Report,
) -> anyhow::Result<()> {
    let name = format!(
        "transactions of 2 keys in 2 shards vs {}, {} clients",
        single.name(),
        settings.connections
    );
    if settings.leaves_out(&name) {
        return Ok(());
    }
    let (codec, count) =
        transactions::two_key_codec(settings.keys, Spread::SeveralShards, shards, settings)?;
    let mix = Mix {
        order: Order::Ascending,
        ..Mix::puts(count)
    };
    let load = settings.load(mix, 1);
    let side = |server| Side {
        server,
        protocol: &codec,
        load,
        may_be_put_off: false,
    };
    let comparison = Comparison {
        name: &name,
        goal: Goal::None,
        ratio: Ratio::Throughput,
        ours: side(cluster),
        peer: side(single),
    };
    for server in [cluster, single] {
        transactions::once(server, &codec, settings, Mix::load(count))?;
    }
    report.add(comparison.run(settings).with_context(|| name.clone())?);
    for server in [cluster, single] {
        let reads = Mix {
            writes_percent: 0,
            ..Mix::load(count)
        };
        let read = transactions::once(server, &codec, settings, reads);
        read.context("while reading everything back")?;
    }
    Ok(())
}

/// What a cluster without clients uses.
fn idle(cluster: &Server, settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    const WINDOW: Duration = Duration::from_secs(5);
    const WINDOWS: usize = 4;
    let name = "idle: share of one core, three nodes together";
    if settings.leaves_out(name) {
        return Ok(());
    }
    // What starting has left to do.
    pause(WINDOW);
    let mut shares = Vec::new();
    for _ in 0..WINDOWS {
        let before = cluster.cpu()?;
        pause(WINDOW);
        let used = cluster.cpu()?.saturating_sub(before);
        shares.push(used.as_secs_f64() / WINDOW.as_secs_f64());
    }
    let figure = Quartiles::of(shares).context("no window")?;
    report.add(Row::figure(name, Goal::AtMost(0.1), figure, None));
    Ok(())
}
