//! `mutex`: acquire and release.

use super::{Decode, unknown_function};
use crate::{
    history::{BadHistory, Completed, Outcome},
    linearizability::models::MutexOp,
};

/// Decodes operations on a lock.
pub struct Mutex;

impl Decode for Mutex {
    type Op = MutexOp;

    fn decode(&self, completed: &Completed) -> Result<Option<MutexOp>, BadHistory> {
        let op = match completed.call.f.as_str() {
            "acquire" => MutexOp::Acquire,
            "release" => MutexOp::Release,
            _ => return Err(unknown_function(&completed.call, "acquire and release")),
        };
        Ok((completed.outcome != Outcome::Failed).then_some(op))
    }
}
