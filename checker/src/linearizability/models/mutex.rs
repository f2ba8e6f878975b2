//! A lock that is free at first.

use crate::linearizability::model::Model;

/// What is done to a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MutexOp {
    /// It was free and is held now.
    Acquire,
    /// It was held and is free now.
    Release,
}

/// One lock. Who holds it is not looked at.
#[derive(Debug, Clone, Copy, Default)]
pub struct Mutex;

impl Model for Mutex {
    type Op = MutexOp;
    /// Whether it is held.
    type State = bool;
    type Part = ();

    fn initial(&self) -> bool {
        false
    }

    fn step(&self, held: &bool, op: &MutexOp) -> Option<bool> {
        match op {
            MutexOp::Acquire => (!held).then_some(true),
            MutexOp::Release => held.then_some(false),
        }
    }

    fn is_read(&self, _: &MutexOp) -> bool {
        false
    }

    fn part(&self, _: &MutexOp) {}

    fn describe(&self, op: &MutexOp) -> String {
        match op {
            MutexOp::Acquire => "acquire".into(),
            MutexOp::Release => "release".into(),
        }
    }
}
