//! What the fuzzers feed, and what must hold for whatever they feed it.
//!
//! Each body is a plain function of some bytes: it makes an input of them, runs our code on it and
//! panics when a property of the contract does not hold. The files in `fuzz_targets` hand
//! libFuzzer's bytes on to them. The test `integration-tests/tests/fuzz_replay.rs` takes this very
//! file as a module and runs every body over all that the fuzzers have kept: on stable Rust, with
//! `cargo test`, in the main workspace. So everything below says `super`, never `crate`.
//!
//! What is not here: choosing inputs (libFuzzer's work), and the contract's examples one by one
//! (the contract suite's).
//!
//! Invariants:
//!
//! - A body is a function of its bytes: no state outlives a call, time is paused, versions begin
//!   at the same epoch. So a file is all that a finding needs.
//! - An expectation is computed in another way than the code computes it, never by calling it.

mod answer;
mod client_answer;
mod configuration;
mod connection_bytes;
mod history;
mod import_lines;
mod key;
mod linearizability;
mod peer_frames;
mod precondition;
mod request;
mod shard;
mod transaction_body;
mod transactions;

use std::{future::Future, num::NonZeroU16, sync::Arc, time::Duration};

use trandb_common::wire::Limits;
use trandb_server::{App, Database, Local, http::Settings, memory::Memory};

pub use self::{
    client_answer::client_answer,
    configuration::configuration,
    connection_bytes::connection_bytes,
    history::{history_edn, history_json, history_log},
    import_lines::import_lines,
    key::{key_body, key_path},
    linearizability::linearizability,
    peer_frames::peer_frames,
    precondition::version_and_etag,
    request::request,
    shard::shard,
    transaction_body::transaction_body,
    transactions::transactions,
};

/// Takes an input as the fuzzer made it.
pub type Body = fn(&[u8]);

/// Every body, by the name of its target.
pub const BODIES: [(&str, Body); 16] = [
    ("client_answer", client_answer),
    ("configuration", configuration),
    ("connection_bytes", connection_bytes),
    ("history_edn", history_edn),
    ("history_json", history_json),
    ("history_log", history_log),
    ("import_lines", import_lines),
    ("key_body", key_body),
    ("key_path", key_path),
    ("linearizability", linearizability),
    ("peer_frames", peer_frames),
    ("request", request),
    ("shard", shard),
    ("transaction_body", transaction_body),
    ("transactions", transactions),
    ("version_and_etag", version_and_etag),
];

/// Of the versions that a server under test gives.
const EPOCH: u64 = 1;
const CONNECTIONS_MAX: usize = 16;
const IN_FLIGHT_BYTES_MAX: u64 = 64 << 20;
const BODY_TIMEOUT: Duration = Duration::from_secs(20);

/// Runs `future` with the clock paused: waiting takes no time, and what would wait for ever fails.
fn run<T>(future: impl Future<Output = T>) -> T {
    const EVER: Duration = Duration::from_hours(1000);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime
        .block_on(async { tokio::time::timeout(EVER, future).await })
        .expect("it hangs")
}

/// An empty server that may store `memory_bytes_max`.
fn app(shards: NonZeroU16, memory_bytes_max: u64) -> App<Local> {
    let memory = Arc::new(Memory::new(memory_bytes_max));
    let settings = Settings {
        limits: Limits::new(memory_bytes_max, IN_FLIGHT_BYTES_MAX, CONNECTIONS_MAX),
        body_timeout: BODY_TIMEOUT,
    };
    let source = trandb_server::transactions::Source::new(EPOCH, 0);
    App::new(
        Database::new(Local::new(shards, EPOCH, memory), source),
        settings,
    )
}
