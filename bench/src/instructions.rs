//! User instructions per request, counted by valgrind: the figure that repeats exactly and so
//! shows a creeping cost that no stopwatch would.
//!
//! The server runs twice under callgrind, with two numbers of requests over the connections of all
//! other goals; the difference of the two totals, divided by the difference of the numbers, is
//! free of starting, stopping and loading. How many requests the server finds at each wake-up
//! still varies a little, so two counts differ by about a hundredth.
//! Tests: at the end of this file.

use std::{ffi::OsString, path::Path, process::Command, time::Duration};

use anyhow::Context;

use crate::{
    compare::Settings,
    load::{self, Load},
    process::{Process, free_address},
    protocol::Protocol,
    workload::Mix,
};

const FEW: u64 = 1_000;
const MANY: u64 = 11_000;
const LOAD_MAX: Duration = Duration::from_mins(3);

/// A server that can be started under valgrind.
pub struct Subject<'a> {
    /// Its program and all its arguments but the address.
    pub command: &'a [OsString],
    /// How requests look.
    pub protocol: &'a dyn Protocol,
    /// Whether it stores anything: its keys are put first.
    pub is_filled: bool,
}

/// Instructions of `subject` per request of `mix`.
///
/// Errors: valgrind or the server does not start, or does not end after SIGTERM.
pub fn per_request(
    valgrind: &Path,
    subject: &Subject<'_>,
    mix: Mix,
    settings: &Settings,
) -> anyhow::Result<f64> {
    let total = |requests: u64| total(valgrind, subject, mix.only(requests), settings);
    let difference = total(MANY)?.saturating_sub(total(FEW)?);
    Ok(difference as f64 / (MANY - FEW) as f64)
}

/// Instructions of one whole life of the server.
fn total(
    valgrind: &Path,
    subject: &Subject<'_>,
    mix: Mix,
    settings: &Settings,
) -> anyhow::Result<u64> {
    let counts = tempfile::NamedTempFile::new()?;
    let address = free_address()?;
    let mut command = Command::new(valgrind);
    command
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={}", counts.path().display()))
        .args(subject.command)
        .args(["--listen", &address.to_string()]);
    let process = Process::start("callgrind", command, address)?;
    let fill = subject.is_filled.then(|| Mix::load(mix.keys));
    for mix in fill.into_iter().chain([mix]) {
        let load = Load {
            duration: LOAD_MAX,
            ..settings.load(mix, 1)
        };
        load::run(address, subject.protocol, &load)?.all_right()?;
    }
    process.stop()?;
    let text = std::fs::read_to_string(counts.path())?;
    totals(&text).with_context(|| format!("no totals in {} bytes of counts", text.len()))
}

/// The sum over all parts of a file of counts: callgrind writes one `totals:` line.
fn totals(counts: &str) -> Option<u64> {
    let line = counts
        .lines()
        .find_map(|line| line.strip_prefix("totals:"))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_totals_line_is_found() {
        let counts = "version: 1\nevents: Ir\nsummary: 12\n\nfn=(1)\n1 2\n\ntotals: 123456\n";
        assert_eq!(totals(counts), Some(123_456));
        assert_eq!(totals("summary: 12\n"), None);
    }
}
