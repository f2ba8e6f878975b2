//! The Rust client of TranDB.
//!
//! A [`Client`] reads and writes keys of a TranDB over HTTP: versions with every value,
//! compare-and-set, listing by prefix. It pools connections, goes on to the next endpoint when
//! one fails, and sends again by itself exactly what is safe to send again.
//!
//! What it is not: a cache, a connection to one particular node, or a queue of writes. Every call
//! is one request and its answer, and dropping its future leaves nothing behind.
//!
//! # What an error says about a write
//!
//! A write that failed either certainly did not happen or may have happened:
//! [`Error::outcome`] says which, and the text of the error says it in words. A write whose
//! outcome is unknown is never sent again silently. Reads are always safe to send again.
//!
//! # Invariants
//!
//! - An illegal key and an oversized value are refused before anything is sent.
//! - A key reaches the server byte for byte, whatever characters it has.
//! - Tries, waits between them, answers and idle connections are bounded, and so is the time of
//!   the whole call ([`ClientBuilder::timeout`]).
//! - Time is tokio's and jitter may be seeded, so a simulated run repeats exactly. Nothing here
//!   asks the wall clock.
//!
//! Tests: `tests/it`; what is pure is tested beside its module.

mod answer;
mod builder;
mod client;
mod endpoint;
mod error;
mod list;
mod retry;
mod send;
mod transport;
mod write;

pub use builder::ClientBuilder;
pub use client::{Client, Entry, Stat};
pub use endpoint::{Endpoint, InvalidEndpoint};
pub use error::Error;
pub use list::List;
pub use retry::RetryPolicy;
pub use trandb_common::{
    InvalidKey, InvalidVersion, Key, Outcome, Problem, Value, ValueTooLarge, Version,
    wire::{Limits, ListPage, ListedKey},
};
pub use transport::{HttpTransport, TowerTransport, Transport, TransportError};
pub use write::{Delete, Put};
