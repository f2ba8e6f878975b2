//! Generated histories, from 10,000 operations on: how time and memory grow.

use std::time::Instant;

use anyhow::{Context, ensure};
use comfy_table::{Table, presets::ASCII_MARKDOWN};
use serde::Serialize;
use trandb_checker::{
    decode,
    generate::{self, Parameters},
    history::{Event, Events, Field, Format, Interval, Kind, Operations, Value, write},
    linearizability::{Options, check, models},
    serializability::{self, RegisterOp, Transaction},
};

use super::peak_mib;

/// The goal for the longest histories: seconds of one check.
const SECONDS_MAX: f64 = 5.0;

/// The goal for the memory of the whole process, in MiB.
const MIB_MAX: u64 = 1024;

/// The goals are stated for these lengths.
const REGISTER_OPERATIONS: usize = 1_000_000;
const TRANSACTIONS: usize = 100_000;

const KEYS: usize = 1_000;
const PROCESSES: usize = 50;

/// One history's figures.
#[derive(Debug, Serialize)]
pub(super) struct Generated {
    kind: &'static str,
    operations: usize,
    /// From a file in memory to operations; none where it is not measured.
    read_seconds: Option<f64>,
    check_seconds: f64,
    /// The most that the process had held by then.
    peak_mib: u64,
    /// Whether the goals are stated for it.
    has_goal: bool,
}

impl Generated {
    pub(super) fn has_reached_goals(&self) -> bool {
        !self.has_goal || (self.check_seconds < SECONDS_MAX && self.peak_mib < MIB_MAX)
    }
}

/// Histories of each kind, each ten times longer than the one before. Longer ones come later, so
/// that the peak of memory is theirs.
pub(super) fn measure(operations_max: usize) -> anyhow::Result<Vec<Generated>> {
    let lengths = || std::iter::successors(Some(10_000), |length| Some(length * 10));
    let mut figures = Vec::new();
    for length in lengths().take_while(|length| *length <= operations_max) {
        if length <= operations_max / 10 {
            figures.push(transactions(length)?);
        }
        figures.push(registers(length)?);
    }
    // The longest transactions hold more than any goal allows.
    for length in lengths().take_while(|length| *length <= operations_max) {
        if length > operations_max / 10 {
            figures.push(transactions(length)?);
        }
    }
    Ok(figures)
}

pub(super) fn to_text(figures: &[Generated]) -> String {
    let mut table = Table::new();
    table.load_preset(ASCII_MARKDOWN).set_header([
        "generated history",
        "operations",
        "read, s",
        "check, s",
        "check, µs each",
        "peak, MiB",
        "goal",
    ]);
    for row in figures {
        table.add_row([
            row.kind.into(),
            row.operations.to_string(),
            row.read_seconds
                .map_or_else(|| "–".into(), |seconds| format!("{seconds:.3}")),
            format!("{:.3}", row.check_seconds),
            format!("{:.3}", row.check_seconds * 1e6 / row.operations as f64),
            row.peak_mib.to_string(),
            match (row.has_goal, row.has_reached_goals()) {
                (false, _) => "–",
                (true, true) => "reached",
                (true, false) => "missed",
            }
            .into(),
        ]);
    }
    format!(
        "{table}\nGoal: a check in under {SECONDS_MAX} s, the process under {MIB_MAX} MiB. \
         Registers: unique values, {KEYS} keys, {PROCESSES} processes. Transactions: four keys \
         each, with versions, {PROCESSES} processes.\n",
    )
}

/// Reads and writes of registers, read from our own format.
fn registers(length: usize) -> anyhow::Result<Generated> {
    let file = register_file(length)?;
    let began = Instant::now();
    let events = Events::new(file.as_slice(), Some(Format::JsonLines))?;
    let initial = decode::initial_of_registers(Format::JsonLines);
    let decoder = decode::Register {
        initial: initial.clone(),
        cas: false,
        format: Format::JsonLines,
    };
    let operations = decode::operations(&decoder, Operations::new(events))?;
    let read_seconds = began.elapsed().as_secs_f64();
    drop(file);
    ensure!(
        operations.len() == length,
        "{} operations were read",
        operations.len()
    );
    let began = Instant::now();
    let verdict = check(
        &models::Registers { initial },
        &operations,
        &Options::default(),
    );
    let check_seconds = began.elapsed().as_secs_f64();
    ensure!(verdict.is_ok(), "a legal history: {verdict:?}");
    Ok(Generated {
        kind: "registers",
        operations: length,
        read_seconds: Some(read_seconds),
        check_seconds,
        peak_mib: peak_mib()?,
        has_goal: length == REGISTER_OPERATIONS,
    })
}

/// A history in our own format.
fn register_file(length: usize) -> anyhow::Result<Vec<u8>> {
    let history = generate::registers(&Parameters {
        transactions: length,
        keys: KEYS,
        writes_per_key: usize::MAX,
        ops: 1,
        processes: PROCESSES,
        ..Parameters::default()
    });
    let mut events = Vec::with_capacity(2 * length);
    for transaction in &history {
        let Interval { call, ret } = transaction.interval.context("generated with times")?;
        events.push((call, transaction, Kind::Invoke));
        events.push((ret, transaction, Kind::Ok));
    }
    events.sort_unstable_by_key(|(tick, ..)| *tick);
    let mut writer = write::Writer::new(Vec::new());
    for (_, transaction, kind) in events {
        writer.event(&event(transaction, kind)?)?;
    }
    Ok(writer.finish()?)
}

fn event(transaction: &Transaction<RegisterOp>, kind: Kind) -> anyhow::Result<Event> {
    let (f, key, value) = match transaction.ops.first().context("one operation each")? {
        RegisterOp::Write { key, value, .. } => ("write", key, value.clone()),
        RegisterOp::Read { key, value, .. } => {
            let found = value.clone().filter(|_| kind == Kind::Ok);
            ("read", key, found.unwrap_or(Value::Nil))
        }
    };
    Ok(Event {
        line: 0,
        process: transaction.process,
        kind,
        f: f.into(),
        value,
        fields: vec![(Field::Key, key.clone())],
    })
}

/// Transactions on registers, with versions.
fn transactions(length: usize) -> anyhow::Result<Generated> {
    let history = generate::registers(&Parameters {
        transactions: length,
        keys: KEYS,
        writes_per_key: usize::MAX,
        ops: 4,
        processes: PROCESSES,
        ..Parameters::default()
    });
    let began = Instant::now();
    let verdict = serializability::check_registers(&history, &serializability::Options::default())?;
    let check_seconds = began.elapsed().as_secs_f64();
    ensure!(verdict.is_ok(), "a legal history: {verdict:?}");
    Ok(Generated {
        kind: "transactions",
        operations: length,
        read_seconds: None,
        check_seconds,
        peak_mib: peak_mib()?,
        has_goal: length == TRANSACTIONS,
    })
}
