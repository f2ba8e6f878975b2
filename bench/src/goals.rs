//! The goals for one node, and what is measured for each.
//!
//! [`own`] needs nothing installed (instructions are left out without valgrind), [`peers`] uses
//! whatever peers it finds and names the Debian package of those that it does not find.
//! Not here: how a comparison is made (`compare`). Tests: the parts have theirs; this file is the
//! list.

use std::{ffi::OsString, time::Duration};

use anyhow::Context;

use crate::{
    baseline::Baseline,
    compare::{Comparison, Ratio, Row, Settings, Side},
    instructions::{self, Subject},
    load::{self, Load},
    protocol::Dialect,
    report::Report,
    servers::{Peer, Server, Starter, find_program, start_baseline},
    shards::{self, default_shards},
    stats::{Goal, Quartiles},
    transactions::{self, plan::Spread},
    workload::Mix,
};

/// Requests in flight on one connection in the pipelined comparison.
const PIPELINE: usize = 16;

/// Keys of the comparison of memory.
const MEMORY_KEYS: u64 = 1_000_000;
const MEMORY_FILL_MAX: Duration = Duration::from_mins(5);

/// Goals that need nothing installed.
pub fn own(starter: &Starter, settings: &Settings) -> anyhow::Result<Report> {
    let mut report = Report::new(settings.clone());
    let trandb = starter.trandb(&[])?;
    settings.fill(&trandb)?;
    let get = settings.load(Mix::gets(settings.keys), 1);
    let put = settings.load(Mix::puts(settings.keys), 1);
    for (baseline, goal) in [
        (Baseline::Axum, Goal::AtLeast(0.95)),
        (Baseline::Hyper, Goal::None),
    ] {
        let peer = start_baseline(baseline)?;
        let name = format!("GET vs {}", peer.name());
        compare(&mut report, settings, &name, goal, [&trandb, &peer], get)?;
    }
    let plain = start_baseline(Baseline::Plain)?;
    settings.fill(&plain)?;
    for (operation, load) in [("GET", get), ("PUT", put)] {
        let name = format!("{operation} vs {}", plain.name());
        compare(
            &mut report,
            settings,
            &name,
            Goal::None,
            [&trandb, &plain],
            load,
        )?;
    }
    drop((trandb, plain));
    transactions::goals(starter, settings, &mut report)?;
    shards::in_process(
        default_shards()?,
        Goal::AtLeast(50.0),
        settings,
        &mut report,
    )?;
    count_instructions(starter, settings, &mut report)?;
    Ok(report)
}

/// Adds the comparison of two servers under one load, unless it is left out.
pub(crate) fn compare(
    report: &mut Report,
    settings: &Settings,
    name: &str,
    goal: Goal,
    [ours, peer]: [&Server; 2],
    load: Load,
) -> anyhow::Result<()> {
    if settings.leaves_out(name) {
        return Ok(());
    }
    let protocols = [ours, peer].map(|server| server.dialect.protocol(settings.value_size));
    let side = |server, protocol| Side {
        server,
        protocol,
        load,
        may_be_put_off: false,
    };
    let comparison = Comparison {
        name,
        goal,
        ratio: Ratio::Throughput,
        ours: side(ours, &*protocols[0]),
        peer: side(peer, &*protocols[1]),
    };
    report.add(comparison.run(settings).with_context(|| name.to_owned())?);
    Ok(())
}

fn count_instructions(
    starter: &Starter,
    settings: &Settings,
    report: &mut Report,
) -> anyhow::Result<()> {
    /// Keys of these runs: valgrind is too slow to put more.
    const KEYS: u64 = 100;
    /// More, so that each shard has some.
    const TRANSACTION_KEYS: u64 = 1_000;
    let Some(valgrind) = find_program("valgrind") else {
        report.miss("instructions per request: no valgrind (Debian: valgrind)".to_owned());
        return Ok(());
    };
    let trandb = [starter.trandb_path().into()];
    let this = std::env::current_exe()?.into_os_string();
    let baseline = |kind: &str| [this.clone(), "baseline".into(), kind.into()];
    let (axum, plain) = (baseline("axum"), baseline("plain"));
    let (get, put) = (Mix::gets(KEYS), Mix::puts(KEYS));
    let rows: [(&str, &[OsString], Dialect, Mix, Goal); 5] = [
        ("GET", &trandb, Dialect::Trandb, get, Goal::AtMost(11_500.0)),
        ("PUT", &trandb, Dialect::Trandb, put, Goal::AtMost(14_000.0)),
        (
            "GET of axum, a constant",
            &axum,
            Dialect::Constant,
            get,
            Goal::None,
        ),
        (
            "GET of axum, one RwLock<HashMap>",
            &plain,
            Dialect::Trandb,
            get,
            Goal::None,
        ),
        (
            "PUT of axum, one RwLock<HashMap>",
            &plain,
            Dialect::Trandb,
            put,
            Goal::None,
        ),
    ];
    for (what, command, dialect, mix, goal) in rows {
        let name = format!("user instructions per {what}");
        if settings.leaves_out(&name) {
            continue;
        }
        let subject = Subject {
            command,
            protocol: &*dialect.protocol(settings.value_size),
            is_filled: dialect != Dialect::Constant,
        };
        let count = instructions::per_request(&valgrind, &subject, mix, settings)?;
        report.add(Row::figure(&name, goal, Quartiles::exact(count), None));
    }
    for (spread, place) in [
        (Spread::OneShard, "one shard"),
        (Spread::SeveralShards, "two shards"),
    ] {
        let name = format!("user instructions per transaction of 2 keys in {place}");
        if settings.leaves_out(&name) {
            continue;
        }
        let (codec, cold) =
            transactions::two_key_codec(TRANSACTION_KEYS, spread, default_shards()?, settings)?;
        let subject = Subject {
            command: &trandb,
            protocol: &codec,
            is_filled: true,
        };
        let count = instructions::per_request(&valgrind, &subject, Mix::puts(cold), settings)?;
        report.add(Row::figure(
            &name,
            Goal::None,
            Quartiles::exact(count),
            None,
        ));
    }
    Ok(())
}

/// Goals and orientation against programs from elsewhere.
pub fn peers(starter: &Starter, settings: &Settings) -> anyhow::Result<Report> {
    let mut report = Report::new(settings.clone());
    let trandb = starter.trandb(&[])?;
    settings.fill(&trandb)?;
    let mut bench = Bench {
        starter,
        settings,
        trandb,
        report: &mut report,
    };
    bench.redis()?;
    bench.key_values(Peer::Memcached)?;
    bench.nginx()?;
    bench.key_values(Peer::Webdis)?;
    bench.etcd()?;
    drop(bench);
    memory(starter, settings, &mut report)?;
    Ok(report)
}

struct Bench<'a> {
    starter: &'a Starter,
    settings: &'a Settings,
    trandb: Server,
    report: &'a mut Report,
}

impl Bench<'_> {
    /// Starts a peer, or notes its absence.
    fn start(&mut self, peer: Peer) -> anyhow::Result<Option<Server>> {
        let server = self.starter.peer(peer)?;
        if server.is_none() {
            let (program, package) = peer.program_and_package();
            self.report
                .miss(format!("{program}: not found (Debian: {package})"));
        }
        Ok(server)
    }

    fn compare(&mut self, what: &str, peer: &Server, load: Load, goal: Goal) -> anyhow::Result<()> {
        let name = format!("{what} vs {}", peer.name());
        let servers = [&self.trandb, peer];
        compare(self.report, self.settings, &name, goal, servers, load)
    }

    fn gets(&self, depth: usize) -> Load {
        self.settings.load(Mix::gets(self.settings.keys), depth)
    }

    fn puts(&self) -> Load {
        self.settings.load(Mix::puts(self.settings.keys), 1)
    }

    fn redis(&mut self) -> anyhow::Result<()> {
        let Some(redis) = self.start(Peer::Redis)? else {
            return Ok(());
        };
        self.settings.fill(&redis)?;
        self.compare("GET", &redis, self.gets(1), Goal::AtLeast(0.85))?;
        self.compare("PUT", &redis, self.puts(), Goal::AtLeast(0.85))?;
        let name = format!("{PIPELINE} pipelined GETs");
        self.compare(&name, &redis, self.gets(PIPELINE), Goal::AtLeast(0.45))
    }

    fn nginx(&mut self) -> anyhow::Result<()> {
        let Some(nginx) = self.start(Peer::Nginx)? else {
            return Ok(());
        };
        self.compare("GET", &nginx, self.gets(1), Goal::AtLeast(0.90))
    }

    /// GET and PUT against a peer that no goal names.
    fn key_values(&mut self, peer: Peer) -> anyhow::Result<()> {
        let Some(server) = self.start(peer)? else {
            return Ok(());
        };
        self.settings.fill(&server)?;
        self.compare("GET", &server, self.gets(1), Goal::None)?;
        self.compare("PUT", &server, self.puts(), Goal::None)
    }

    /// etcd 3.4 reads at a quarter of its speed after a burst of writes: it is started again
    /// between loading and reading, and writes are measured last.
    fn etcd(&mut self) -> anyhow::Result<()> {
        let Some(loaded) = self.start(Peer::Etcd)? else {
            return Ok(());
        };
        self.settings.fill(&loaded)?;
        loaded.stop()?;
        let Some(etcd) = self.start(Peer::Etcd)? else {
            return Ok(());
        };
        self.compare("GET", &etcd, self.gets(1), Goal::None)?;
        self.compare("PUT", &etcd, self.puts(), Goal::None)
    }
}

/// Bytes that a key of 16 bytes and its value take, against Redis.
fn memory(starter: &Starter, settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    let name = "bytes per key vs redis-server";
    if settings.leaves_out(name) {
        return Ok(());
    }
    let Some(redis) = starter.peer(Peer::Redis)? else {
        return Ok(());
    };
    let theirs = bytes_per_key(&redis, settings)?;
    drop(redis);
    let ours = bytes_per_key(&starter.trandb(&[])?, settings)?;
    let note = format!("{ours:.0} / {theirs:.0} bytes of resident memory");
    let figure = Quartiles::exact(ours / theirs);
    report.add(Row::figure(name, Goal::AtMost(1.0), figure, Some(note)));
    Ok(())
}

/// Growth of the resident memory per key, after a warm-up that pays for connections and buffers.
fn bytes_per_key(server: &Server, settings: &Settings) -> anyhow::Result<f64> {
    let warm_up = Settings {
        keys: 1,
        ..settings.clone()
    }
    .load(Mix::load(1).only(10_000), 1);
    let mut fill = settings.load(Mix::load(MEMORY_KEYS), 1);
    fill.duration = MEMORY_FILL_MAX;
    let protocol = server.dialect.protocol(settings.value_size);
    load::run(server.address(), &*protocol, &warm_up)?.all_right()?;
    let before = server.resident_bytes()?;
    let outcome = load::run(server.address(), &*protocol, &fill)?.all_right()?;
    anyhow::ensure!(
        outcome.answers == MEMORY_KEYS,
        "only {} keys were put",
        outcome.answers
    );
    Ok(server.resident_bytes()?.saturating_sub(before) as f64 / MEMORY_KEYS as f64)
}
