//! Transactions: what they cost beside plain PUTs, what contention does to them, and what the
//! server remembers of them.
//!
//! Each comparison has two servers of the same build: one is sent transactions, the other PUTs
//! of one value that has the bytes of all values of the transaction. Compared is the CPU time of the
//! server per request. Before the windows every transaction of the run is sent once, and read back
//! after them; answers are checked as everywhere.
//!
//! Contention is the share of transactions that draw their keys from a Zipf distribution ([`plan`]).
//! On one core a transaction over several shards seldom gives way to another in the middle, so the
//! rows of the hot mix are measured with a server on both cores, too. There a shard may come to the
//! limit of attempts that it remembers, and answer 503: what counts is what is committed.
//!
//! Tests: of the parts.

mod memory;
pub mod plan;

use std::num::NonZeroU16;

use anyhow::Context;

use self::plan::{HOT_TRANSACTIONS, Plan, Spread};
use crate::{
    compare::{Comparison, Ratio, Settings, Side},
    load::{self, Load},
    protocol::{
        Dialect, Protocol,
        transactions::{Format, Transactions},
    },
    report::Report,
    servers::{Server, Starter},
    shards::default_shards,
    stats::Goal,
    workload::{Mix, Order, Values},
};

const WIDTHS: [usize; 4] = [1, 2, 4, 8];
const CONTENTION_PERCENT: [u8; 3] = [0, 1, 50];

/// The share of hot transactions where nothing else is said about contention.
const HOT_PERCENT: u8 = 50;

/// Connections of the two sides of the goal for the hot mix.
const MANY: usize = 64;
const FEW: usize = 8;

/// Everything about transactions.
pub fn all(starter: &Starter, settings: &Settings) -> anyhow::Result<Report> {
    let mut report = Report::new(settings.clone());
    let bench = Bench::start(starter, settings)?;
    for spread in [Spread::OneShard, Spread::SeveralShards] {
        for width in WIDTHS {
            if width == 1 && spread == Spread::SeveralShards {
                continue;
            }
            for percent in CONTENTION_PERCENT {
                let shape = Shape {
                    width,
                    spread,
                    format: Format::Json,
                };
                bench.beside_puts(&mut report, shape, percent)?;
            }
        }
        let cbor = Shape {
            width: 2,
            spread,
            format: Format::Cbor,
        };
        bench.beside_puts(&mut report, cbor, 0)?;
    }
    bench.hot(&mut report)?;
    memory::measure(starter, settings, &mut report)?;
    Ok(report)
}

/// What is asked of transactions, for the table of all goals.
pub fn goals(starter: &Starter, settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    let bench = Bench::start(starter, settings)?;
    for spread in [Spread::OneShard, Spread::SeveralShards] {
        bench.beside_puts(report, two_keys(spread), 0)?;
    }
    bench.hot(report)
}

/// The codec of two-key transactions, and how many of them are cold, where
/// there are so many `shards`.
pub fn two_key_codec(
    keys: u64,
    spread: Spread,
    shards: NonZeroU16,
    settings: &Settings,
) -> anyhow::Result<(Transactions, u64)> {
    let plan = Plan::new(keys, 2, spread, shards)?;
    let values = Values::new(settings.value_size);
    let codec = Transactions::new(Format::Json, values, &plan.transactions)?;
    Ok((codec, plan.cold))
}

fn two_keys(spread: Spread) -> Shape {
    Shape {
        width: 2,
        spread,
        format: Format::Json,
    }
}

/// What the transactions of a row have in common.
#[derive(Clone, Copy)]
struct Shape {
    width: usize,
    spread: Spread,
    format: Format,
}

impl Shape {
    fn name(self) -> String {
        let keys = match (self.width, self.spread) {
            (1, _) => "1 key".to_owned(),
            (width, Spread::OneShard) => format!("{width} keys in one shard"),
            (width, Spread::SeveralShards) => format!("{width} keys in {width} shards"),
        };
        match self.format {
            Format::Json => keys,
            Format::Cbor => format!("{keys}, CBOR"),
        }
    }

    /// The goal for CPU time, as a multiple of a PUT of the same bytes.
    fn goal(self) -> Goal {
        match (self.width, self.spread) {
            (2, Spread::OneShard) => Goal::AtMost(1.5),
            (2, Spread::SeveralShards) => Goal::AtMost(3.0),
            _ => Goal::None,
        }
    }
}

struct Bench<'a> {
    settings: &'a Settings,
    starter: &'a Starter,
    transacting: Server,
    putting: Server,
}

impl<'a> Bench<'a> {
    fn start(starter: &'a Starter, settings: &'a Settings) -> anyhow::Result<Self> {
        Ok(Self {
            settings,
            starter,
            transacting: starter.trandb(&[])?,
            putting: starter.trandb(&[])?,
        })
    }

    /// Transactions against PUTs of the same bytes.
    fn beside_puts(&self, report: &mut Report, shape: Shape, percent: u8) -> anyhow::Result<()> {
        let settings = self.settings;
        let name = format!(
            "{}, {percent} % hot vs a PUT of the same bytes",
            shape.name()
        );
        if settings.leaves_out(&name) {
            return Ok(());
        }
        let run = Run::new(shape, settings)?;
        let larger = Settings {
            value_size: settings.value_size * shape.width,
            ..settings.clone()
        };
        larger.fill(&self.putting)?;
        let puts = Dialect::Trandb.protocol(larger.value_size);
        let comparison = Comparison {
            name: &name,
            goal: if percent == 0 {
                shape.goal()
            } else {
                Goal::None
            },
            ratio: Ratio::Cpu,
            ours: run.side(&self.transacting, settings.load(run.mix(percent), 1)),
            peer: Side {
                server: &self.putting,
                protocol: &*puts,
                load: settings.load(Mix::puts(settings.keys), 1),
                may_be_put_off: false,
            },
        };
        let row = run.around(&self.transacting, settings, || comparison.run(settings));
        report.add(row.context(name.clone())?);
        Ok(())
    }

    /// Many clients against few at the same hot keys: whether throughput collapses.
    fn hot(&self, report: &mut Report) -> anyhow::Result<()> {
        let settings = self.settings;
        for (is_alone, cores) in [(true, "one core"), (false, "both cores")] {
            for spread in [Spread::OneShard, Spread::SeveralShards] {
                let shape = two_keys(spread);
                let name = format!(
                    "{}, {HOT_PERCENT} % hot, server on {cores}: {MANY} clients vs {FEW}",
                    shape.name()
                );
                if settings.leaves_out(&name) {
                    continue;
                }
                let both;
                let server = if is_alone {
                    &self.transacting
                } else {
                    both = self.starter.trandb_on_both_cores()?;
                    &both
                };
                let run = Run::new(shape, settings)?;
                let load = |connections| Load {
                    connections,
                    ..settings.load(run.mix(HOT_PERCENT), 1)
                };
                let comparison = Comparison {
                    name: &name,
                    goal: Goal::AtLeast(0.5),
                    ratio: Ratio::Throughput,
                    ours: run.side(server, load(MANY)).or_put_off(),
                    peer: run.side(server, load(FEW)).or_put_off(),
                };
                let row = run.around(server, settings, || comparison.run(settings));
                report.add(row.context(name.clone())?);
            }
        }
        Ok(())
    }
}

/// The transactions of a row, prepared.
struct Run {
    codec: Transactions,
    cold: u64,
}

impl Run {
    fn new(shape: Shape, settings: &Settings) -> anyhow::Result<Self> {
        let plan = Plan::new(settings.keys, shape.width, shape.spread, default_shards()?)?;
        let values = Values::new(settings.value_size);
        Ok(Self {
            codec: Transactions::new(shape.format, values, &plan.transactions)?,
            cold: plan.cold,
        })
    }

    /// Writes, so many per cent of them hot.
    fn mix(&self, percent: u8) -> Mix {
        Mix {
            order: Order::Contended {
                hot: HOT_TRANSACTIONS,
                percent,
            },
            ..Mix::puts(self.cold)
        }
    }

    fn side<'a>(&'a self, server: &'a Server, load: Load) -> Side<'a> {
        Side {
            server,
            protocol: &self.codec,
            load,
            may_be_put_off: false,
        }
    }

    /// Writes everything, does what is to be measured, and reads everything back.
    fn around<T>(
        &self,
        server: &Server,
        settings: &Settings,
        measure: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let everything = Mix::load(self.cold + HOT_TRANSACTIONS);
        once(server, &self.codec, settings, everything)?;
        let measured = measure()?;
        let reads = Mix {
            writes_percent: 0,
            ..everything
        };
        once(server, &self.codec, settings, reads).context("while reading everything back")?;
        Ok(measured)
    }
}

/// A counted load without a time limit of its own.
pub(crate) fn once(
    server: &Server,
    protocol: &dyn Protocol,
    settings: &Settings,
    mix: Mix,
) -> anyhow::Result<load::Outcome> {
    let load = Load {
        duration: load::DURATION_MAX,
        ..settings.load(mix, 1)
    };
    load::run_at(server.addresses(), protocol, &load)?.all_right()
}
