//! Judges histories: what concurrent clients of a database saw, and whether a correct database
//! could have answered so.
//!
//! - [`linearizability`]: single operations against a sequential model (Herlihy and Wing 1990).
//! - [`serializability`]: transactions, by the cycles of their dependencies (Adya 1999; Elle, 2020).
//! - [`history`]: operations with their calls, returns and three outcomes, and readers for the
//!   formats in which they are recorded.
//! - [`decode`]: what recorded operations mean to a model.
//! - [`workload`]: judges of workloads whose invariant needs no search: a bank, a counter, …
//! - [`evidence`]: what is said about an illegal history; [`picture`] draws it.
//! - [`generate`]: legal histories of any size, from a seed.
//!
//! It knows nothing of TranDB and uses no clock but for time limits, no randomness and no network.
//! A judge that runs out of time or memory says [`Verdict::Unknown`], never [`Verdict::Ok`].

pub mod decode;
pub mod escape;
pub mod evidence;
pub mod generate;
pub mod history;
pub mod linearizability;
pub mod picture;
pub mod serializability;
pub mod workload;

pub use evidence::{Evidence, Verdict};
