//! Simulated clients against the service: many seeds, each a scenario of its own.
//!
//! `TRANDB_SEEDS` says how many seeds, `TRANDB_SEED` which one; see `docs/testing.md`.

mod assumptions;
mod broken;
mod determinism;
mod proptest;
mod regressions;
mod seeds;
mod sockets;
