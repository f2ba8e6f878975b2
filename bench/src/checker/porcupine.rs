//! Porcupine's figures: run here where Go and its module are, else as they were written down.

use std::{
    collections::BTreeMap,
    fmt, fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, bail};
use serde::Serialize;

/// One history's figures.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Porcupine {
    pub(super) microseconds: f64,
    pub(super) steps: u64,
}

/// Where figures are from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Source {
    /// From this very run.
    Measured,
    /// From `porcupine-times.tsv`.
    WrittenDown,
    /// There are none.
    Absent,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Measured => "measured in this run",
            Self::WrittenDown => {
                "from porcupine-times.tsv, measured at another time (Go or its module is not here)"
            }
            Self::Absent => "no figures (neither Go with its module nor porcupine-times.tsv)",
        })
    }
}

/// Figures by file, and where they are from.
pub(super) fn figures(folder: &Path) -> anyhow::Result<(BTreeMap<String, Porcupine>, Source)> {
    if let Some(table) = run(folder) {
        return Ok((parse(&table)?, Source::Measured));
    }
    match fs::read_to_string(folder.join("porcupine-times.tsv")) {
        Ok(table) => Ok((parse(&table)?, Source::WrittenDown)),
        Err(_) => Ok((BTreeMap::new(), Source::Absent)),
    }
}

/// The table that the program in `bench/porcupine` prints; none if it cannot be built here.
fn run(folder: &Path) -> Option<String> {
    let folder = folder.canonicalize().ok()?;
    let output = Command::new("go")
        .args(["run", ".", "--"])
        .arg(folder)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/porcupine"))
        .stderr(Stdio::null())
        .output()
        .ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8(output.stdout).ok())?
}

/// File, microseconds and steps, under a line that says so.
fn parse(table: &str) -> anyhow::Result<BTreeMap<String, Porcupine>> {
    let rows = table.lines().skip(1).map(|line| {
        let [file, microseconds, steps] = line.split('\t').collect::<Vec<_>>()[..] else {
            bail!("not three columns: {line}");
        };
        let porcupine = Porcupine {
            microseconds: microseconds.parse().context("microseconds")?,
            steps: steps.parse().context("steps")?,
        };
        Ok((file.to_owned(), porcupine))
    });
    rows.collect()
}
