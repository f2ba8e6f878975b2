//! The shards by themselves: two threads on two cores, nine reads to one write, no HTTP.
//!
//! Over HTTP the sockets cost so much that one global lock looks nearly as good; here it does
//! not. Compared are the server's own database over its local shards and the obvious thing, one
//! `tokio::sync::RwLock` over one map, each under the same loop: each thread has a
//! single-threaded runtime, keys are random, every write makes a new value, every read is
//! checked. [`sweep`] measures several numbers of shards, in process and over HTTP.
//! Tests: at the end of this file.

use std::{
    collections::HashMap,
    num::NonZeroU16,
    sync::{Arc, Barrier},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use clap::Parser;
use tokio::sync::RwLock;
use trandb_common::{Key, Value};
use trandb_engine::Condition;
use trandb_server::{
    Database, Local, config::CommandLine, local::new_epoch, memory::Memory, transactions::Source,
};

use crate::{
    compare::{Comparison, Ratio, Row, Settings, Side},
    process::{CLIENT_CORE, SERVER_CORE, pin},
    report::Report,
    servers::Starter,
    stats::{Goal, Quartiles},
    workload::{Mix, Operation, Requests, Values, key_text},
};

const COUNTS: [u16; 5] = [1, 4, 16, 64, 256];
const WRITES_PERCENT: u8 = 10;
const CORES: [usize; 2] = [SERVER_CORE, CLIENT_CORE];

/// Operations between two looks at the clock.
const BATCH: usize = 200;

/// What is measured: a map behind locks of some kind.
trait Store: Send + Sync {
    fn get(&self, key: &Key) -> impl Future<Output = anyhow::Result<Option<Value>>>;
    fn put(&self, key: Key, value: Value) -> impl Future<Output = anyhow::Result<()>>;
}

impl Store for Database<Local> {
    async fn get(&self, key: &Key) -> anyhow::Result<Option<Value>> {
        let found = Self::get(self, key)
            .await
            .map_err(|error| anyhow::anyhow!("{error:?}"))?;
        Ok(found.map(|found| found.value))
    }

    async fn put(&self, key: Key, value: Value) -> anyhow::Result<()> {
        let written = Self::put(self, key, value, Condition::default()).await;
        written
            .map(|_| ())
            .map_err(|error| anyhow::anyhow!("{error:?}"))
    }
}

/// One lock over everything.
type Global = RwLock<HashMap<Key, Value>>;

impl Store for Global {
    async fn get(&self, key: &Key) -> anyhow::Result<Option<Value>> {
        Ok(self.read().await.get(key).cloned())
    }

    async fn put(&self, key: Key, value: Value) -> anyhow::Result<()> {
        self.write().await.insert(key, value);
        Ok(())
    }
}

/// The number of shards that the server has without flags.
pub fn default_shards() -> anyhow::Result<NonZeroU16> {
    let line = CommandLine::try_parse_from(["trandb-server"]);
    Ok(line
        .context("the server's default configuration")?
        .config
        .shards())
}

/// Adds the comparison of `count` shards with one global lock, both in this process.
pub fn in_process(
    count: NonZeroU16,
    goal: Goal,
    settings: &Settings,
    report: &mut Report,
) -> anyhow::Result<()> {
    let name = format!("in process, {count} shards vs one RwLock<HashMap>");
    if settings.leaves_out(&name) {
        return Ok(());
    }
    let memory = Arc::new(Memory::new(u64::MAX));
    let shards = Database::new(
        Local::new(count, new_epoch(), memory),
        Source::new(new_epoch(), 0),
    );
    let global = Global::default();
    fill(&shards, settings)?;
    fill(&global, settings)?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..settings.pairs.div_ceil(2) {
        ours.push(per_second(&shards, settings)?);
        theirs.push(per_second(&global, settings)?);
        theirs.push(per_second(&global, settings)?);
        ours.push(per_second(&shards, settings)?);
    }
    let ratios = ours.iter().zip(&theirs).map(|(ours, theirs)| ours / theirs);
    let figure = Quartiles::of(ratios).context("no windows")?;
    let median = |rates: Vec<f64>| Quartiles::of(rates).map_or(f64::NAN, |rates| rates.median);
    let (ours, theirs) = (median(ours) / 1e6, median(theirs) / 1e6);
    let note = format!("{ours:.2} / {theirs:.2} million operations/s");
    report.add(Row::figure(&name, goal, figure, Some(note)));
    Ok(())
}

/// Several numbers of shards: in process against one global lock, over HTTP against the default.
pub fn sweep(starter: &Starter, settings: &Settings) -> anyhow::Result<Report> {
    let mut report = Report::new(settings.clone());
    for count in COUNTS.into_iter().filter_map(NonZeroU16::new) {
        in_process(count, Goal::None, settings, &mut report)?;
    }
    let default = starter.trandb(&[])?;
    settings.fill(&default)?;
    let protocol = default.dialect.protocol(settings.value_size);
    let mix = Mix {
        writes_percent: WRITES_PERCENT,
        ..Mix::gets(settings.keys)
    };
    for count in COUNTS {
        let name = format!("over HTTP, {count} shards vs {}", default_shards()?);
        if settings.leaves_out(&name) {
            continue;
        }
        let other = starter.trandb(&["--shards", &count.to_string()])?;
        settings.fill(&other)?;
        let side = |server| Side {
            server,
            protocol: &*protocol,
            load: settings.load(mix, 1),
            may_be_put_off: false,
        };
        let comparison = Comparison {
            name: &name,
            goal: Goal::None,
            ratio: Ratio::Throughput,
            ours: side(&other),
            peer: side(&default),
        };
        report.add(comparison.run(settings)?);
    }
    Ok(report)
}

fn fill(store: &impl Store, settings: &Settings) -> anyhow::Result<()> {
    let data = Data::new(settings)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    runtime.block_on(async {
        for request in Requests::new(Mix::load(settings.keys), 1) {
            store
                .put(data.key(request.key)?, data.value(request.key)?)
                .await?;
        }
        Ok(())
    })
}

/// Operations per second of both threads together, over one window.
fn per_second(store: &impl Store, settings: &Settings) -> anyhow::Result<f64> {
    let start = &Barrier::new(CORES.len());
    let rates = std::thread::scope(|scope| {
        let threads =
            CORES.map(|core| scope.spawn(move || one_thread(store, settings, core, start)));
        threads.map(|thread| {
            thread
                .join()
                .map_err(|_| anyhow::anyhow!("a thread panicked"))?
        })
    });
    rates.into_iter().sum()
}

/// Operations per second of one thread.
fn one_thread(
    store: &impl Store,
    settings: &Settings,
    core: usize,
    start: &Barrier,
) -> anyhow::Result<f64> {
    let data = Data::new(settings);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    let pinned = pin(&[core]);
    // Nothing may return before the barrier, or the other thread would wait for ever.
    start.wait();
    let (data, runtime, ()) = (data?, runtime?, pinned?);
    let mix = Mix {
        writes_percent: WRITES_PERCENT,
        ..Mix::gets(settings.keys)
    };
    let mut requests = Requests::new(mix, core as u64);
    let begin = Instant::now();
    let mut done = 0;
    while begin.elapsed() < settings.window {
        runtime.block_on(async {
            for request in requests.by_ref().take(BATCH) {
                operate(store, &data, request.operation, request.key).await?;
            }
            anyhow::Ok(())
        })?;
        done += BATCH;
    }
    Ok(done as f64 / begin.elapsed().max(Duration::from_nanos(1)).as_secs_f64())
}

async fn operate(
    store: &impl Store,
    data: &Data,
    operation: Operation,
    number: u64,
) -> anyhow::Result<()> {
    let key = data.prepared(number)?;
    match operation {
        Operation::Put => store.put(key.clone(), data.value(number)?).await,
        Operation::Get => {
            let value = store.get(key).await?;
            let is_right = value.is_some_and(|value| data.values.is_value(number, value.as_ref()));
            ensure!(is_right, "a wrong value of key {number}");
            Ok(())
        }
    }
}

/// Keys made beforehand, so that a loop measures the store and not the making of text.
struct Data {
    keys: Vec<Key>,
    values: Values,
}

impl Data {
    fn new(settings: &Settings) -> anyhow::Result<Self> {
        let keys = (0..settings.keys).map(|number| Ok(Key::try_from(&key_text(number)[..])?));
        let keys = keys.collect::<anyhow::Result<_>>()?;
        Ok(Self {
            keys,
            values: Values::new(settings.value_size),
        })
    }

    fn prepared(&self, number: u64) -> anyhow::Result<&Key> {
        self.keys
            .get(usize::try_from(number)?)
            .context("no such key")
    }

    fn key(&self, number: u64) -> anyhow::Result<Key> {
        self.prepared(number).cloned()
    }

    fn value(&self, number: u64) -> anyhow::Result<Value> {
        let mut bytes = Vec::with_capacity(self.values.size());
        self.values.write(number, &mut bytes);
        Ok(Value::try_from(&bytes[..])?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings {
            pairs: 2,
            window: Duration::from_millis(5),
            connections: 1,
            keys: 50,
            value_size: 128,
            only: None,
        }
    }

    #[test]
    fn both_stores_are_measured_and_compared() {
        let mut report = Report::new(settings());
        let count = NonZeroU16::new(4).unwrap();
        in_process(count, Goal::None, &settings(), &mut report).unwrap();
        assert_eq!(report.rows.len(), 1);
        assert!(report.rows[0].figure.median > 0.0, "{report:?}");
    }

    #[test]
    fn a_store_without_the_keys_is_not_measured() {
        let error = per_second(&Global::default(), &settings()).unwrap_err();
        assert!(
            error.to_string().starts_with("a wrong value of key"),
            "{error}"
        );
    }

    #[test]
    fn the_default_number_of_shards_is_the_servers() {
        assert!(default_shards().is_ok());
    }
}
