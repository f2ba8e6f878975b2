//! The Rust client against the real server: straight into the service, and over HTTP.

mod failover;
mod single_keys;
mod transactions;
