//! `set`: add, remove, contains, and reads of the whole.

use super::{Decode, argument, ok, unknown_function};
use crate::{
    history::{BadHistory, Completed, Outcome, Value},
    linearizability::models::SetOp,
};

/// Decodes operations on a set.
pub struct Set;

impl Decode for Set {
    type Op = SetOp;

    fn decode(&self, completed: &Completed) -> Result<Option<SetOp>, BadHistory> {
        let happened = completed.outcome != Outcome::Failed;
        let op = match completed.call.f.as_str() {
            "add" => {
                let element = argument(completed)?.clone();
                happened.then_some(SetOp::Add(element))
            }
            "remove" => {
                let element = argument(completed)?.clone();
                happened.then_some(SetOp::Remove(element))
            }
            "contains" => contains(completed)?,
            "read" => read(completed)?,
            _ => {
                return Err(unknown_function(
                    &completed.call,
                    "add, remove, contains and read",
                ));
            }
        };
        Ok(op)
    }
}

/// The call has the element, the return whether it is there.
fn contains(completed: &Completed) -> Result<Option<SetOp>, BadHistory> {
    match ok(completed).map(|ret| (ret.line, &ret.value)) {
        None => Ok(None),
        Some((_, Value::Bool(found))) => {
            Ok(Some(SetOp::Contains(completed.call.value.clone(), *found)))
        }
        Some((line, _)) => Err(BadHistory::at(line, "`contains` returns true or false")),
    }
}

fn read(completed: &Completed) -> Result<Option<SetOp>, BadHistory> {
    match ok(completed).map(|ret| (ret.line, &ret.value)) {
        None | Some((_, Value::Nil)) => Ok(None),
        Some((_, Value::List(elements))) => Ok(Some(SetOp::read(elements.clone()))),
        Some((line, _)) => Err(BadHistory::at(line, "`read` returns a list of elements")),
    }
}
