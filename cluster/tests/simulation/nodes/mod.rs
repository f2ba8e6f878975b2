//! Whole nodes in the simulated network: they found their cluster themselves, over the transport
//! that is used in earnest, and replace each other.
//!
//! ```text
//! host        a process: a node, and clients that stay with it
//! run         plays a plan: faults, then peace, then all must be ready and equal
//! seeds       many seeds
//! scenarios   situations that seeds seldom meet
//! ```

mod host;
mod run;
mod scale;
mod scenarios;
mod seeds;
