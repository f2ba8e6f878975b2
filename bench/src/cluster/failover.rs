//! Kills leaders under load, one after another, and measures how long their shards cannot be
//! written.
//!
//! Two clients write nothing but keys of the shard whose leader is killed next, the others keys of
//! all shards. The gap is the time from the kill to the first acknowledgement of a write of that
//! shard that was sent afterwards; a stall is how long any client waited for an acknowledgement, with
//! all of its attempts. After each kill the node is started again, under the same name, and ready
//! before the next.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};

use super::{
    client::{Acknowledged, Clients, Habits},
    nodes::{Nodes, keys_of},
};
use crate::{
    compare::{Row, Settings},
    load::{self, Load},
    process::pause,
    protocol::Dialect,
    report::Report,
    servers::Starter,
    stats::{Goal, Quartiles},
    workload::Mix,
};

/// Clients that write to the shard whose leader dies, besides the others.
const PROBES: usize = 2;

/// Between two writes of a client, so that the machine is busy and not overloaded.
const PAUSE: Duration = Duration::from_millis(5);

/// Between the moment when all nodes are ready and the next kill.
const QUIET: Duration = Duration::from_millis(500);

/// Nothing acknowledged for so long: the cluster is broken.
const GAP_MAX: Duration = Duration::from_secs(30);

/// So many `kills`, with `clients` besides the probes.
pub fn failover(starter: &Starter, settings: &Settings, kills: usize) -> anyhow::Result<Report> {
    let mut report = Report::new(settings.clone());
    let mut nodes = Nodes::start(starter, &[])?;
    let shards = nodes.shards()?;
    let (keys, value_size) = (settings.keys, settings.value_size);
    once(&nodes, settings, Mix::load(keys))?;

    let habits = Habits {
        addresses: nodes.addresses(),
        value_size,
        pause: PAUSE,
    };
    let of_shard = (0..shards.get()).map(|shard| keys_of(shard, shards, 0).next());
    let of_shard: Vec<u64> = of_shard.flatten().collect();
    let victim = Arc::new(AtomicU64::new(0));
    let key = {
        let victim = Arc::clone(&victim);
        move |client: usize, random: u64| match client {
            0..PROBES => victim.load(Ordering::Relaxed),
            _ => random % keys,
        }
    };
    let mut clients = Clients::start(settings.connections + PROBES, &habits, key);
    let (mut gaps, mut stalls, mut back) = (Vec::new(), Vec::new(), Vec::new());
    for kill in 0..kills {
        let shard = u16::try_from(kill % usize::from(shards.get()))?;
        let key = of_shard[usize::from(shard)];
        victim.store(key, Ordering::Relaxed);
        clients.go_back();
        pause(QUIET);
        clients.acknowledged()?;
        let leader = nodes.leader(shard)?;
        let killed = Instant::now();
        nodes.kill(leader);
        let gone = Instant::now();
        let mut writes = Vec::new();
        let is_first = |write: &Acknowledged| write.key == key && write.sent >= gone;
        let first = loop {
            let new = clients.acknowledged()?;
            let first = new
                .iter()
                .filter(|write| is_first(write))
                .map(|w| w.at)
                .min();
            writes.extend(new);
            if let Some(first) = first {
                break first;
            }
            ensure!(
                killed.elapsed() < GAP_MAX,
                "shard {shard} has no leader any more"
            );
            pause(PAUSE);
        };
        gaps.push((first - killed).as_secs_f64());
        nodes.start_one(leader)?;
        nodes.wait_until_ready()?;
        back.push(killed.elapsed().as_secs_f64());
        pause(QUIET);
        writes.extend(clients.acknowledged()?);
        let stall = writes.iter().map(Acknowledged::wait).max();
        stalls.push(stall.context("no writes at all")?.as_secs_f64());
        eprintln!(
            "kill {}: {:.3} s until shard {shard} was written, longest stall {:.3} s",
            kill + 1,
            gaps[kill],
            stalls[kill],
        );
    }
    clients.stop()?;
    let reads = Mix {
        writes_percent: 0,
        ..Mix::load(keys)
    };
    once(&nodes, settings, reads).context("while reading everything back")?;

    let what = format!("{kills} kills of a leader");
    add(
        &mut report,
        &format!("{what}: seconds until a write of its shard"),
        &mut gaps,
        [Goal::AtMost(1.0), Goal::None, Goal::None],
    )?;
    add(
        &mut report,
        &format!("{what}: longest stall of any client, seconds"),
        &mut stalls,
        [Goal::None, Goal::None, Goal::AtMost(2.0)],
    )?;
    add(
        &mut report,
        &format!("{what}: seconds until all nodes are ready again"),
        &mut back,
        [Goal::None; 3],
    )?;
    Ok(report)
}

/// Rows for the half, nine tenths and the largest of `figures`, with a goal each.
pub(super) fn add(
    report: &mut Report,
    name: &str,
    figures: &mut [f64],
    goals: [Goal; 3],
) -> anyhow::Result<()> {
    figures.sort_by(f64::total_cmp);
    let last = figures
        .len()
        .checked_sub(1)
        .context("nothing was measured")?;
    let places = [("p50", last / 2), ("p90", last * 9 / 10), ("max", last)];
    for ((place, index), goal) in places.into_iter().zip(goals) {
        let figure = Quartiles::exact(figures[index]);
        report.add(Row::figure(&format!("{name}, {place}"), goal, figure, None));
    }
    Ok(())
}

/// A counted load on all nodes.
fn once(nodes: &Nodes, settings: &Settings, mix: Mix) -> anyhow::Result<()> {
    let load = Load {
        duration: load::DURATION_MAX,
        ..settings.load(mix, 1)
    };
    let protocol = Dialect::Trandb.protocol(settings.value_size);
    load::run_at(&nodes.addresses(), &*protocol, &load)?.all_right()?;
    Ok(())
}
