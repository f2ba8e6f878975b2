//! `register` and `cas-register`: read, write and, of the latter, compare-and-set.

use super::{Decode, argument, ok, read_value, unknown_function, was_refused};
use crate::{
    history::{BadHistory, Completed, Field, Format, Outcome, Value},
    linearizability::models::{RegisterAction, RegisterOp},
};

/// Decodes operations on a register, or on one for each `key`.
pub struct Register {
    /// What it holds before the first write.
    pub initial: Value,
    /// Whether `cas` is known.
    pub cas: bool,
    /// Of the history.
    pub format: Format,
}

impl Register {
    fn cas(&self, completed: &Completed) -> Result<Option<RegisterAction>, BadHistory> {
        let pair = argument(completed)?.as_list();
        let Some([expected, new]) = pair else {
            let reason = "`cas` wants the expected and the new value";
            return Err(BadHistory::at(completed.call.line, reason));
        };
        let expected = expected.clone();
        // In Jepsen's logs a compare-and-set fails when it finds another value than it expected.
        let found_another = match completed.outcome {
            Outcome::Failed => self.format == Format::Log,
            _ => was_refused(completed),
        };
        Ok(match completed.outcome {
            _ if found_another => Some(RegisterAction::FailedCas { expected }),
            Outcome::Failed => None,
            Outcome::Ok | Outcome::Unknown => Some(RegisterAction::Cas {
                expected,
                new: new.clone(),
            }),
        })
    }
}

impl Decode for Register {
    type Op = RegisterOp;

    fn decode(&self, completed: &Completed) -> Result<Option<RegisterOp>, BadHistory> {
        let happened = completed.outcome != Outcome::Failed;
        let action = match completed.call.f.as_str() {
            "read" => {
                let found = ok(completed).and_then(|ret| read_value(&ret.value, &self.initial));
                found.map(|found| RegisterAction::Read(Some(found)))
            }
            "write" => {
                let written = argument(completed)?;
                happened.then(|| RegisterAction::Write(written.clone()))
            }
            "cas" if self.cas => self.cas(completed)?,
            _ if self.cas => {
                return Err(unknown_function(&completed.call, "read, write and cas"));
            }
            _ => return Err(unknown_function(&completed.call, "read and write")),
        };
        let key = completed.call.field(Field::Key);
        Ok(action.map(|action| RegisterOp {
            key: key.cloned().unwrap_or_default(),
            action,
        }))
    }
}
