//! The command `trandb-check`: judges a recorded history.
//!
//! It is the library with arguments, words and exit codes around it. What a history means is
//! decided there; here is which judge a model has (`judge.rs`), where bytes come from (`source.rs`)
//! and how a verdict is told (`report.rs`).
//!
//! Invariants:
//!
//! - The exit code alone tells a script what was found: 0 legal, 1 illegal, 2 everything else.
//! - The verdict goes to standard output, everything else to standard error.
//! - No control character of a history reaches a terminal.
//!
//! Tests: `tests/it/command.rs`.

mod args;
mod judge;
mod report;
mod source;

use std::process::ExitCode;

use clap::Parser as _;

use crate::{args::Arguments, judge::judge, report::Report, source::Source};

fn main() -> ExitCode {
    let arguments = Arguments::parse().checked();
    let report = match Source::open(&arguments) {
        Ok(source) => {
            let result = judge(&arguments, &source);
            Report::new(&arguments, &source, result)
        }
        Err(reason) => Report::unreadable(&arguments, reason),
    };
    report.print(arguments.json);
    report.exit_code()
}
