//! Clusters of real processes on the loopback address: what clients see while a node fails, judged
//! by the same rules as every other history; and what operators see.
//!
//! `TRANDB_SEEDS` says how many histories, `TRANDB_SEED` which one; see `docs/testing.md`.

mod growth;
mod histories;
mod operation;
