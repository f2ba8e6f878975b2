//! What is printed at the end.

use indicatif::HumanCount;
use serde::Serialize;

use super::transfers::{Done, Load};
use crate::{failure::Failure, keys::as_json, output::Output, progress::per_second};

#[derive(Serialize)]
pub(super) struct Report {
    accounts: usize,
    clients: u16,
    seconds: f64,
    transfers: u64,
    transfers_per_second: u64,
    /// Tries that met another transfer, and were made again.
    conflicts: u64,
    /// Transfers that were given up since they met others again and again.
    given_up: u64,
    /// Transfers that may or may not have happened.
    unknown: u64,
    audits: u64,
    total_at_the_beginning: u64,
    /// `null`: it could not be read.
    total_at_the_end: Option<u64>,
    /// Whether every audit, and the last look, found the total of the beginning.
    constant: bool,
}

impl Report {
    pub(super) fn new(done: &Done, load: &Load, total: Option<u64>) -> Self {
        let seconds = done.elapsed.as_secs_f64();
        Self {
            accounts: load.accounts.keys.len(),
            clients: load.clients,
            seconds,
            transfers: done.transfers,
            transfers_per_second: per_second(done.transfers, seconds),
            conflicts: done.conflicts,
            given_up: done.given_up,
            unknown: done.unknown,
            audits: done.audits,
            total_at_the_beginning: load.total,
            total_at_the_end: total,
            constant: done.wrong_total.is_none() && total == Some(load.total),
        }
    }

    pub(super) fn print(&self, as_json: bool) -> Result<(), Failure> {
        let mut output = Output::stdout();
        if as_json {
            output.write(&self::as_json(self)?)?;
        } else {
            output.write(self.table().as_bytes())?;
        }
        output.finish()
    }

    fn table(&self) -> String {
        let end = match self.total_at_the_end {
            None => "not known at the end".to_owned(),
            Some(_) if self.constant => "in every audit and at the end".to_owned(),
            Some(end) => format!("at the beginning, {} at the end: WRONG", HumanCount(end)),
        };
        let rows = [
            (
                "transfers",
                self.transfers,
                format!(
                    "in {:.1} s by {} clients, {}/s",
                    self.seconds,
                    self.clients,
                    HumanCount(self.transfers_per_second)
                ),
            ),
            ("conflicts", self.conflicts, "tried again".to_owned()),
            (
                "given up",
                self.given_up,
                "conflicts to the last".to_owned(),
            ),
            ("unknown", self.unknown, "happened or not".to_owned()),
            (
                "audits",
                self.audits,
                format!("of {} accounts at one moment", self.accounts),
            ),
            ("total", self.total_at_the_beginning, end),
        ];
        rows.map(|(what, count, more)| {
            format!("{what:<9} {:>14}  {more}\n", HumanCount(count).to_string())
        })
        .concat()
    }
}
