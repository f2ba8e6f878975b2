//! The locks of the local runtime under a scheduler that decides, between any two uses of a lock,
//! a notification, a counter or the clock, which task goes on.
//!
//! What runs is [`Database`](trandb_server::Database) over [`Local`](trandb_server::Local), with
//! tokio's own lock and notification below them; `server/src/sync` says how, and what this cannot
//! find. It is compiled with `--cfg shuttle` alone:
//!
//! ```text
//! just interleavings                               every scenario, under fresh schedules
//! TRANDB_SEED=7 just interleavings                 the schedules of that seed
//! TRANDB_SCHEDULES=100000 just interleavings       as many of each scenario
//! TRANDB_SCHEDULE=9101… just interleavings NAME    one schedule of one scenario again
//! ```
//!
//! | property | where |
//! |---|---|
//! | operations on one key are linearizable, and a locked key does not change | `keys.rs` |
//! | no update under a condition is lost | `keys.rs` |
//! | an operation that is dropped is applied whole or not at all | `keys.rs` |
//! | who waits is woken by the release, and is turned away at the deadline and not before | `waiting.rs` |
//! | the memory counter is the content, and keeps to the limit | `memory.rs` |
//! | bodies in flight keep to the limit, take no room when refused, and are all given back | `in_flight.rs` |
//! | the listing of a shard is one moment of it | `listing.rs` |
#![cfg(shuttle)]

mod explore;
mod in_flight;
mod keys;
mod listing;
mod memory;
mod waiting;
mod world;
