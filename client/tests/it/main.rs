//! The client from outside, without TranDB's server: against a scripted transport under paused
//! time, against small servers on loopback that misbehave on purpose, and against wiremock.
//!
//! What the real server answers is tested in the integration tests.

mod answers;
mod failover;
mod leaders;
mod listing;
mod network;
mod retries;
mod scripted;
mod story;
mod tcp_server;
mod tower_transport;
mod transactions;
