//! Bad input and faults: whatever a client sends or fails to send, it gets a named error, nothing
//! of it is stored, and nobody else notices.
//!
//! Timing: where a lock is waited for, time is paused and exact. Elsewhere a test waits for what
//! is to happen, and never asserts how long it took.

mod connections;
mod heads;
mod in_flight;
mod keys;
mod locks;
mod memory;
mod shutdown;
mod startup;
mod transactions;
mod values;
