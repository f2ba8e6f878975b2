//! Benchmarks of `TranDB`: a load generator, servers to compare with, and the goals.
//!
//! What this is: one generator for every server, so that a ratio of two measurements is a ratio
//! of two servers; a method that only ever compares adjacent windows; verdicts. How to run it and
//! what was measured: `docs/performance.md`.
//!
//! What this is not: a test of correctness (answers are checked, histories are not). Pure code is
//! measured only where it has a goal: the shards by themselves, and the [`checker`].
//!
//! Reading order: [`workload`] (what is sent), [`protocol`] (how it looks), [`load`] (when it is
//! sent), [`process`] and [`servers`] (against whom), [`compare`] and [`stats`] (what follows);
//! [`goals`], [`transactions`] and [`cluster`] (what is measured).
//! Tests: in each module.

#![expect(
    clippy::cast_precision_loss,
    reason = "counts, bytes and nanoseconds of one run are far below 2^52"
)]

pub mod baseline;
pub mod checker;
pub mod cluster;
pub mod compare;
pub mod goals;
pub mod instructions;
pub mod load;
pub mod process;
pub mod protocol;
pub mod report;
pub mod servers;
pub mod shards;
pub mod stats;
pub mod transactions;
pub mod workload;
