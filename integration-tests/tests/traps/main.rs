//! Traps of performance, each found by measuring at some time: a test for each, so that none comes
//! back unseen.
//!
//! No test here measures speed: bounds are counts and bytes, or times that only a stall exceeds
//! (docs/performance.md has the figures).

mod memory;
mod pipelining;
mod sharding;
