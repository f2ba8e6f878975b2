//! Linearizability: could each operation have taken effect at one moment between its call and its
//! return? (Herlihy and Wing 1990)
//!
//! [`check`] judges a recorded history against a [`Model`]; [`Stream`] judges one while it is being
//! recorded. What an object is and what it answers is the models' affair ([`models`]); when
//! operations ran, and that unknown ones may never have taken effect, is this module's.
//!
//! Not here: transactions over several objects that are to be judged by their dependencies (see
//! [`crate::serializability`]), and files (see [`crate::history`]).
//!
//! Invariants: what is not decided is [unknown](crate::Verdict::Unknown), never legal; the same
//! history gets the same verdict and the same evidence, on one thread and on many, unless time
//! runs out.
//! Tests: `checker/tests/linearizability`.

mod automaton;
mod evidence;
mod judge;
mod mask;
mod model;
pub mod models;
mod oracle;
mod schedule;
mod search;
mod stream;
mod unique;

pub use self::{
    judge::{Counts, Options, check, check_counted},
    model::{Decision, Model, Operation, Rank},
    oracle::is_linearizable_by_trying_all,
    stream::Stream,
};
