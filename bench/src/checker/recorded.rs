//! Recorded histories: microseconds and model steps of each, beside Porcupine's.

use std::{collections::BTreeMap, fs, num::NonZeroUsize, path::Path, time::Instant};

use anyhow::{Context, bail, ensure};
use comfy_table::{Table, presets::ASCII_MARKDOWN};
use serde::Serialize;
use trandb_checker::{
    Verdict,
    decode::{self, Decode},
    history::{Events, Format, Operations},
    linearizability::{
        Counts, Model, Operation, Options, check_counted,
        models::{Kv, Registers},
    },
};

use super::porcupine::{self, Porcupine, Source};
use crate::stats::Quartiles;

/// Checks of each history, of which the median is told; as many as Porcupine's figures have.
const CHECKS: usize = 51;

/// Over the set as a whole, Porcupine's time divided by ours.
const RATIO_MIN: f64 = 10.0;

/// For each file. Below 1 it may be noise, below this it is slower.
const RATIO_OF_FILE_MIN: f64 = 0.8;

/// One history's figures.
#[derive(Debug, Serialize)]
struct Row {
    file: String,
    legal: bool,
    /// Median and quartiles of the microseconds of one check by one thread.
    microseconds: Quartiles,
    /// Microseconds of a check that also explains what is illegal; none if it is legal.
    explained: Option<f64>,
    steps: u64,
    porcupine: Option<Porcupine>,
}

/// All of them.
#[derive(Debug, Serialize)]
pub(super) struct Recorded {
    rows: Vec<Row>,
    /// Where Porcupine's figures are from.
    porcupine_source: Source,
}

impl Recorded {
    /// Sum of Porcupine's times and of ours for the same files.
    fn totals(&self) -> (f64, f64) {
        let both = self.rows.iter().filter_map(|row| {
            let porcupine = row.porcupine.as_ref()?;
            Some((porcupine.microseconds, row.microseconds.median))
        });
        both.fold((0.0, 0.0), |sum, pair| (sum.0 + pair.0, sum.1 + pair.1))
    }

    fn worst(&self) -> Option<(&str, f64)> {
        let ratios = self
            .rows
            .iter()
            .filter_map(|row| Some((row.file.as_str(), row.ratio()?)));
        ratios.min_by(|(_, one), (_, other)| one.total_cmp(other))
    }

    pub(super) fn has_reached_goals(&self) -> bool {
        let (theirs, ours) = self.totals();
        let worst = self
            .worst()
            .is_none_or(|(_, ratio)| ratio >= RATIO_OF_FILE_MIN);
        worst && (theirs == 0.0 || theirs / ours >= RATIO_MIN)
    }

    pub(super) fn to_text(&self) -> String {
        let mut table = Table::new();
        table.load_preset(ASCII_MARKDOWN).set_header([
            "history",
            "verdict",
            "µs",
            "quartiles",
            "µs, explained",
            "steps",
            "Porcupine µs",
            "its steps",
            "ratio",
        ]);
        for row in &self.rows {
            let or_none = |text: Option<String>| text.unwrap_or_else(|| "–".into());
            let Quartiles {
                lower,
                median,
                upper,
            } = row.microseconds;
            table.add_row([
                row.file.clone(),
                if row.legal { "legal" } else { "illegal" }.into(),
                format!("{median:.1}"),
                format!("{lower:.1} – {upper:.1}"),
                or_none(row.explained.map(|explained| format!("{explained:.0}"))),
                row.steps.to_string(),
                or_none(
                    row.porcupine
                        .as_ref()
                        .map(|p| format!("{:.1}", p.microseconds)),
                ),
                or_none(row.porcupine.as_ref().map(|p| p.steps.to_string())),
                or_none(row.ratio().map(|ratio| format!("{ratio:.1}"))),
            ]);
        }
        format!("{table}\n{}\n", self.summary())
    }

    fn summary(&self) -> String {
        let (theirs, ours) = self.totals();
        let Some((file, worst)) = self.worst() else {
            return format!("Porcupine: {}", self.porcupine_source);
        };
        format!(
            "All together: {ours:.0} µs, Porcupine {theirs:.0} µs, {:.0} times faster (goal: {RATIO_MIN}). \
             Least gain: {worst:.1} with {file} (goal: not slower).\nPorcupine: {}",
            theirs / ours,
            self.porcupine_source,
        )
    }
}

impl Row {
    fn ratio(&self) -> Option<f64> {
        Some(self.porcupine.as_ref()?.microseconds / self.microseconds.median)
    }
}

/// Measures the histories in `folder` that Porcupine can read too.
pub(super) fn measure(folder: &Path) -> anyhow::Result<Recorded> {
    let verdicts = fs::read_to_string(folder.join("verdicts.tsv")).context("verdicts.tsv")?;
    let files: Vec<_> = verdicts.lines().filter_map(Entry::parse).collect();
    ensure!(
        !files.is_empty(),
        "verdicts.tsv names no history that Porcupine can read"
    );
    let (porcupine, porcupine_source) = porcupine::figures(folder)?;
    let rows = files.iter().map(|entry| row(folder, entry, &porcupine));
    Ok(Recorded {
        rows: rows.collect::<anyhow::Result<_>>()?,
        porcupine_source,
    })
}

/// A line of `verdicts.tsv`.
#[derive(Debug, PartialEq)]
struct Entry<'a> {
    file: &'a str,
    is_kv: bool,
    legal: bool,
}

impl<'a> Entry<'a> {
    /// None for what Porcupine's own formats do not have.
    fn parse(line: &'a str) -> Option<Self> {
        let mut columns = line.split('\t');
        let (file, _, verdict) = (columns.next()?, columns.next()?, columns.next()?);
        let is_kv = file.starts_with("porcupine/kv/");
        (is_kv || file.starts_with("porcupine/jepsen/")).then_some(Self {
            file,
            is_kv,
            legal: verdict.trim() == "linearizable",
        })
    }
}

fn row(folder: &Path, entry: &Entry<'_>, all: &BTreeMap<String, Porcupine>) -> anyhow::Result<Row> {
    let path = folder.join(entry.file);
    let porcupine = all.get(entry.file).cloned();
    let measured = if entry.is_kv {
        let absent = decode::initial_of_keys(Format::Porcupine);
        timed(
            &path,
            &decode::Kv,
            &Kv {
                absent,
                ..Kv::default()
            },
        )
    } else {
        let initial = decode::initial_of_registers(Format::Log);
        let decoder = decode::Register {
            initial: initial.clone(),
            cas: true,
            format: Format::Log,
        };
        timed(&path, &decoder, &Registers { initial })
    };
    let (verdict, counts, microseconds, explained) =
        measured.with_context(|| entry.file.to_owned())?;
    if verdict.is_ok() != entry.legal || matches!(verdict, Verdict::Unknown(_)) {
        bail!("{}: the verdict is {verdict:?}", entry.file);
    }
    Ok(Row {
        file: entry.file.into(),
        legal: entry.legal,
        microseconds,
        explained: explained.filter(|_| !entry.legal),
        steps: counts.steps,
        porcupine,
    })
}

type Timed = (Verdict, Counts, Quartiles, Option<f64>);

fn timed<D: Decode, M: Model<Op = D::Op>>(
    path: &Path,
    decoder: &D,
    model: &M,
) -> anyhow::Result<Timed> {
    let events = Events::new(fs::File::open(path)?, None)?;
    let operations = decode::operations(decoder, Operations::new(events))?;
    // Porcupine's figures are those of one thread, and of its verdict alone.
    let plain = Options {
        threads: NonZeroUsize::MIN,
        explain: false,
        ..Options::default()
    };
    let (verdict, counts) = check_counted(model, &operations, &plain);
    let microseconds = median(model, &operations, &plain)?;
    let explained = median(
        model,
        &operations,
        &Options {
            explain: true,
            ..plain
        },
    )?;
    Ok((verdict, counts, microseconds, Some(explained.median)))
}

fn median<M: Model>(
    model: &M,
    operations: &[Operation<M::Op>],
    options: &Options<'_>,
) -> anyhow::Result<Quartiles> {
    let samples = (0..CHECKS).map(|_| {
        let began = Instant::now();
        let verdict = check_counted(model, operations, options);
        let took = began.elapsed();
        drop(verdict);
        took.as_secs_f64() * 1e6
    });
    Quartiles::of(samples).context("no samples")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_porcupine_can_read_is_taken_from_the_list_of_verdicts() {
        let line = "porcupine/jepsen/etcd_002.log\tcas-register\tlinearizable";
        let entry = Entry {
            file: "porcupine/jepsen/etcd_002.log",
            is_kv: false,
            legal: true,
        };
        assert_eq!(Entry::parse(line), Some(entry));
        let line = "porcupine/kv/c10-bad.txt\tkv\tnot-linearizable";
        let entry = Entry {
            file: "porcupine/kv/c10-bad.txt",
            is_kv: true,
            legal: false,
        };
        assert_eq!(Entry::parse(line), Some(entry));
        assert_eq!(
            Entry::parse("knossos/x.edn\tcas-register\tlinearizable"),
            None
        );
        assert_eq!(Entry::parse("porcupine/kv/x"), None);
    }

    #[test]
    fn goals_are_judged_by_the_sum_and_by_the_slowest() {
        let row = |ours, theirs| Row {
            file: "x".into(),
            legal: true,
            microseconds: Quartiles::exact(ours),
            explained: None,
            steps: 1,
            porcupine: Some(Porcupine {
                microseconds: theirs,
                steps: 1,
            }),
        };
        let reached = |rows| {
            Recorded {
                rows,
                porcupine_source: Source::Measured,
            }
            .has_reached_goals()
        };
        assert!(reached(vec![row(1.0, 1.0), row(1.0, 100.0)]));
        assert!(
            !reached(vec![row(1.0, 1.0), row(1.0, 10.0)]),
            "5.5 times as fast"
        );
        assert!(
            !reached(vec![row(1.0, 0.5), row(1.0, 100.0)]),
            "one is slower"
        );
    }
}
