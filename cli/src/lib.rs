//! The `trandb` command: keys and transactions of a TranDB from a shell, and whole prefixes in and out.
//!
//! It is the client library with arguments, text and exit codes around it; what may be sent again,
//! and what became of a write, is the client's to know. There is no `trandb serve`: the server is
//! a program of its own, `trandb-server`, so that neither the command carries a server nor the
//! server's image a command.
//!
//! Invariants:
//!
//! - The exit code alone tells a script what happened; its table stands in `--help`.
//! - Results go to standard output, everything else to standard error.
//! - Whatever a key, a value or a server holds, no control character of theirs reaches a terminal
//!   unless `--raw` asks for it.
//! - Memory is bounded: no command holds more than a few pages of keys and about 64 MiB of values
//!   with their lines.
//!
//! A way through the sources: `args.rs` (what can be asked for), one file for each kind of command
//! (`keys.rs`, `export.rs`, `import.rs`, `txn`, `bank`, `server.rs`, `cluster.rs`), and what they share: `line.rs` (the format
//! of export and import), `input.rs`, `output.rs`, `failure.rs`, `escape.rs`, `json.rs`,
//! `progress.rs`, `interrupt.rs`.
//!
//! This is a library so that its tests and fuzzers reach what the binary, [`main`] alone, is made
//! of. Nobody else is meant to depend on it: to drive a TranDB from Rust there is `trandb-client`.
//!
//! Tests: beside each module; `tests/it`, which runs the binary against a small server made for
//! it; and the fuzz target `import_lines`.

mod args;
mod bank;
mod cluster;
mod escape;
mod export;
mod failure;
mod import;
pub mod input;
mod interrupt;
mod json;
mod keys;
pub mod line;
mod output;
mod progress;
mod server;
mod session;
mod txn;

use std::process::ExitCode;

use clap::Parser as _;

pub use crate::failure::Failure;
use crate::{
    args::{Arguments, Cluster, Command, Global},
    session::Session,
};

/// The command: reads its arguments, does what they ask for, and says on standard error what went
/// wrong.
pub fn main() -> ExitCode {
    let Arguments { global, command } = Arguments::parse();
    match run(&global, command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.report(global.json);
            failure.exit.into()
        }
    }
}

fn run(global: &Global, command: Command) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::local("cannot start", &error))?;
    let result = runtime.block_on(async {
        let session = Session::new(global)?;
        match command {
            Command::Get(get) => keys::get(&session, &get).await,
            Command::Put(put) => keys::put(&session, put).await,
            Command::Delete(delete) => keys::delete(&session, &delete).await,
            Command::List(list) => keys::list(&session, &list).await,
            Command::Export(options) => export::export(&session, &options).await,
            Command::Import(options) => import::import(&session, &options).await,
            Command::Txn(options) => txn::txn(&session, &options).await,
            Command::Bank(options) => bank::bank(&session, &options).await,
            Command::Cluster(Cluster::Status) => cluster::status(&session).await,
            Command::Cluster(Cluster::Members) => cluster::members(&session).await,
            Command::Cluster(Cluster::Remove(remove)) => cluster::remove(&session, &remove).await,
            Command::Cluster(Cluster::Transfer(to)) => cluster::transfer(&session, &to).await,
            Command::Limits => server::limits(&session).await,
            Command::Status => server::status(&session).await,
        }
    });
    // A look-up of a name may still run in a thread: nobody waits for it.
    runtime.shutdown_background();
    result
}
