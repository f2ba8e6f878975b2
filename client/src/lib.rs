//! The Rust client of TranDB.
//!
//! A [`Client`] reads and writes keys of a TranDB over HTTP: versions with every value,
//! compare-and-set, listing by prefix. It pools connections, goes on to the next endpoint when
//! one fails, and sends again by itself exactly what is safe to send again.
//!
//! ```
//! use trandb_client::Client;
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/memory.rs"));
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::connect("http://127.0.0.1:8080")?;
//! # let client = Client::builder().transport(memory::Memory::default()).build()?;
//! let version = client.put("user/1", "Ada").await?;
//! let entry = client.get("user/1").await?.expect("it was just written");
//! assert_eq!((entry.value, entry.version), ("Ada".into(), version));
//!
//! // Compare and set: only if nobody else wrote in between.
//! match client.put("user/1", "Ada Lovelace").if_version(version).await {
//!     Ok(version) => println!("now at version {version}"),
//!     Err(error) if error.is_conflict() => println!("lost the race: {error}"),
//!     Err(error) => return Err(error.into()),
//! }
//! # assert_eq!(client.get("user/1").await?.expect("a value").value, "Ada Lovelace");
//! # Ok(())
//! # }
//! ```
//!
//! Several keys change together, or not at all, in a [transaction](Client::transaction):
//!
//! ```
//! # use trandb_client::{Client, Error};
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/memory.rs"));
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Error> {
//! # let client = Client::builder().transport(memory::Memory::default()).build()?;
//! # client.put("queue/1", "job").await?;
//! client
//!     .transaction(|tx| async move {
//!         if let Some(job) = tx.get("queue/1").await? {
//!             tx.delete("queue/1")?;
//!             tx.put("taken/1", job)?;
//!         }
//!         Ok::<_, Error>(())
//!     })
//!     .await?;
//! # assert!(client.get("queue/1").await?.is_none());
//! # assert_eq!(client.get("taken/1").await?.expect("a value").value, "job");
//! # Ok(())
//! # }
//! ```
//!
//! What it is not: a cache, a connection to one particular node, or a queue of writes. Every call
//! is one request and its answer, and dropping its future leaves nothing behind. Of a cluster any
//! node serves any key; [`ClientBuilder::prefer_leaders`] saves it from passing requests on.
//!
//! # What an error says about a write
//!
//! A write that failed either certainly did not happen or may have happened:
//! [`Error::outcome`] says which, and the text of the error says it in words. A write whose
//! outcome is unknown is never sent again silently. Reads are always safe to send again, and so are
//! transactions and writes made [`idempotent`](Put::idempotent): they carry an id, and the server
//! runs them once. When no answer to one of these comes, the client has it aborted, so that its
//! outcome is unknown only if no server can be reached at all; then
//! [`Error::transaction_id`] is what to ask by.
//!
//! | the call failed since | the write | sent again by itself |
//! |---|---|---|
//! | key or value is illegal | did not happen | no |
//! | no connection could be made | did not happen | reads and writes |
//! | TranDB answered 503 or 408 | did not happen | reads and writes |
//! | TranDB answered another 4xx, or 507 | did not happen | no |
//! | TranDB answered 504 | unknown | reads |
//! | a proxy answered 408, 429, 502, 503 or 504 | unknown | reads |
//! | the connection broke, or time was up | unknown | reads |
//! | the answer is anything else | unknown | no |
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
mod leaders;
mod list;
mod retry;
mod send;
mod transaction;
mod transport;
mod write;

pub use builder::ClientBuilder;
pub use client::{Client, Entry, Stat};
pub use endpoint::{Endpoint, InvalidEndpoint};
pub use error::Error;
pub use list::List;
pub use retry::RetryPolicy;
/// What [`Client::cluster`] tells.
pub use trandb_common::wire::cluster;
pub use trandb_common::{
    InvalidKey, InvalidTransaction, InvalidVersion, Key, Outcome, Problem, TransactionBody,
    TransactionId, Value, ValueTooLarge, Version,
    transaction::{Check, Operations, Write},
    wire::{Limits, ListPage, ListedKey, transaction::FailedCheck},
};
pub use transaction::{Committed, RunTransaction, Transaction, TransactionStatus};
pub use transport::{HttpTransport, TowerTransport, Transport, TransportError};
pub use write::{Delete, Put};

/// The README's example compiles, too.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
