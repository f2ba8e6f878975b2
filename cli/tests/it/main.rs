//! The `trandb` binary as its users run it, against a small server made for these tests
//! (`fake.rs`): the rank rule keeps the real one out of reach here, and no real one fails on
//! demand. The command against the real server is among the integration tests of the workspace.

mod bank;
mod cluster;
mod exit_codes;
mod export;
mod fake;
mod import;
mod keys;
mod output;
mod run;
mod terminal;
mod txn;
mod usage;
