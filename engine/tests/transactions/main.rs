//! Transactions over several shards, with the real machines: coordinators, resolvers and shards.
//!
//! `system` puts them together without any runtime: what may happen next is a list of actions.
//! `judge` watches every command and answer and knows what is right. Upon them:
//!
//! - `coordinator`, `resolver`: what each makes of each answer.
//! - `expiry`: the last moment of an attempt.
//! - `scripts`: one situation a file, step by step, to be read.
//! - `crash`: whatever may go wrong goes wrong at every step of every path.
//! - `random`: long walks with bodies that proptest makes.
//! - `snapshot`: walks in which shards are replaced by what their snapshots restore.
//! - `model`: every interleaving of small cases, with stateright.

mod cases;
mod coordinator;
mod crash;
mod expiry;
mod judge;
mod model;
mod names;
mod once;
mod random;
mod resolver;
mod scripts;
mod snapshot;
mod system;
