//! User instructions per request, counted by valgrind: the figure that repeats exactly and so
//! shows a creeping cost that no stopwatch would.
//!
//! The server runs twice under callgrind, with two numbers of requests on one connection; the
//! difference of the two totals, divided by the difference of the numbers, is free of starting,
//! stopping and loading. Tests: at the end of this file.

use std::{path::Path, process::Command, time::Duration};

use anyhow::Context;

use crate::{
    load::{self, Load, Pace},
    process::{Process, free_address},
    protocol::Dialect,
    workload::Mix,
};

/// Keys that are there before counting starts.
const KEYS: u64 = 100;
const FEW: u64 = 500;
const MANY: u64 = 2_500;
const LOAD_MAX: Duration = Duration::from_mins(3);

/// Instructions per request of `mix`, with values of `value_size` bytes, on the server that
/// `command` starts on a given address.
///
/// Errors: valgrind or the server does not start, or does not end after SIGTERM.
pub fn per_request(
    valgrind: &Path,
    server: &dyn Fn(std::net::SocketAddr) -> Command,
    dialect: Dialect,
    mix: Mix,
    value_size: usize,
) -> anyhow::Result<f64> {
    let total = |requests: u64| total(valgrind, server, dialect, mix.only(requests), value_size);
    let difference = total(MANY)?.saturating_sub(total(FEW)?);
    Ok(difference as f64 / (MANY - FEW) as f64)
}

/// Instructions of one whole life of the server.
fn total(
    valgrind: &Path,
    server: &dyn Fn(std::net::SocketAddr) -> Command,
    dialect: Dialect,
    mix: Mix,
    value_size: usize,
) -> anyhow::Result<u64> {
    let counts = tempfile::NamedTempFile::new()?;
    let address = free_address()?;
    let inner = server(address);
    let mut command = Command::new(valgrind);
    command
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={}", counts.path().display()))
        .arg(inner.get_program())
        .args(inner.get_args());
    let process = Process::start("callgrind", command, address)?;
    let protocol = dialect.protocol(value_size);
    for mix in [
        Mix {
            keys: KEYS,
            ..Mix::load(KEYS)
        },
        Mix { keys: KEYS, ..mix },
    ] {
        let load = Load {
            connections: 1,
            depth: 1,
            pace: Pace::Closed,
            duration: LOAD_MAX,
            mix,
            seed: 1,
        };
        load::run(address, &*protocol, &load)?.all_right()?;
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
