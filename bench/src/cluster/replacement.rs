//! Replaces a node that holds much under load, and measures how long writes have to wait.
//!
//! The node is killed and its shards have other leaders before anything is measured: from the start
//! of its successor until that is a voter of all groups, and a second longer.

use std::time::{Duration, Instant};

use anyhow::Context;

use super::{
    client::{Acknowledged, Clients, Habits},
    failover::add,
    nodes::{NODES, Nodes},
};
use crate::{
    compare::Settings,
    load::{self, Load},
    process::pause,
    protocol::Dialect,
    report::Report,
    servers::Starter,
    stats::Goal,
    workload::Mix,
};

/// Bytes of each value of the data that a node holds.
const LARGE_BYTES: usize = 64 * 1024;

/// Keys of the writes that are measured begin here: none of the data.
const SMALL_FROM: u64 = 1_000_000_000;

const PAUSE: Duration = Duration::from_millis(5);

/// Long enough for other leaders.
const AFTER_KILL: Duration = Duration::from_secs(3);

const AFTER_READY: Duration = Duration::from_secs(1);

/// Each of the nodes in turn, with so many megabytes (2^20 bytes).
pub fn replacement(
    starter: &Starter,
    settings: &Settings,
    megabytes: u64,
) -> anyhow::Result<Report> {
    let mut report = Report::new(settings.clone());
    let mut nodes = Nodes::start(starter, &[])?;
    let fill = Load {
        duration: load::DURATION_MAX,
        ..settings.load(Mix::load((megabytes << 20) / LARGE_BYTES as u64), 1)
    };
    let large = Dialect::Trandb.protocol(LARGE_BYTES);
    load::run_at(&nodes.addresses(), &*large, &fill)?.all_right()?;

    let keys = settings.keys;
    let (mut waits, mut ready) = (Vec::new(), Vec::new());
    for number in 0..NODES {
        let mut addresses = nodes.addresses();
        addresses.remove(number);
        let habits = Habits {
            addresses,
            value_size: settings.value_size,
            pause: PAUSE,
        };
        nodes.kill(number);
        let mut clients = Clients::start(settings.connections, &habits, move |_, random| {
            SMALL_FROM + random % keys
        });
        pause(AFTER_KILL);
        clients.acknowledged()?;
        let start = Instant::now();
        nodes.start_one(number)?;
        nodes.wait_until_ready()?;
        ready.push(start.elapsed().as_secs_f64());
        pause(AFTER_READY);
        let writes = clients.stop()?;
        let longest = writes.iter().map(Acknowledged::wait).max();
        let longest = longest.context("no writes at all")?.as_secs_f64();
        eprintln!(
            "node {}: ready after {:.2} s, longest wait of a write {longest:.3} s",
            number + 1,
            ready[number]
        );
        waits.push(longest);
    }
    let what = format!("a node of {megabytes} MiB replaced");
    add(
        &mut report,
        &format!("{what}: longest wait of a write, seconds"),
        &mut waits,
        [Goal::None, Goal::None, Goal::AtMost(0.2)],
    )?;
    add(
        &mut report,
        &format!("{what}: seconds until it is ready"),
        &mut ready,
        [Goal::None; 3],
    )?;
    let reads = Load {
        mix: Mix {
            writes_percent: 0,
            ..fill.mix
        },
        ..fill
    };
    let read = load::run_at(&nodes.addresses(), &*large, &reads)?.all_right();
    read.context("while reading everything back")?;
    Ok(report)
}
