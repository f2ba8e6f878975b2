//! Calls between nodes: over the loopback interface, and in simulated networks that lose things.

mod loopback;
mod simulated;
mod support;
