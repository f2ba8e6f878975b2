//! `multi-register`: transactions of reads and writes of registers, judged by times.

use super::{Access, Decode, micro_operations, read_value};
use crate::{
    history::{BadHistory, Completed, Outcome, Value},
    linearizability::models::{MultiRegisterAccess, MultiRegisterOp},
};

/// Decodes transactions on registers.
pub struct MultiRegister {
    /// What each holds before its first write.
    pub initial: Value,
}

impl Decode for MultiRegister {
    type Op = MultiRegisterOp;

    fn decode(&self, completed: &Completed) -> Result<Option<MultiRegisterOp>, BadHistory> {
        let mut accesses = Vec::new();
        for micro in micro_operations(completed)? {
            let key = micro.key.clone();
            match (micro.access, micro.value) {
                (Access::Read, found) => {
                    let found = found.and_then(|found| read_value(found, &self.initial));
                    accesses.push(MultiRegisterAccess::Read(key, found));
                }
                (Access::Write, Some(new)) => {
                    accesses.push(MultiRegisterAccess::Write(key, new.clone()));
                }
                (Access::Write | Access::Append, _) => {
                    let reason = "this model knows read and write, not append";
                    return Err(BadHistory::at(micro.line, reason));
                }
            }
        }
        let is_known =
            |access: &MultiRegisterAccess| !matches!(access, MultiRegisterAccess::Read(_, None));
        let constrains = completed.outcome != Outcome::Failed && accesses.iter().any(is_known);
        Ok(constrains.then_some(accesses))
    }
}
