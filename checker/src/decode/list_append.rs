//! `list-append`: transactions of appends to lists and reads of whole lists.

use super::{Access, DecodeTransaction, Micro, micro_operations};
use crate::{
    history::{BadHistory, Completed, Value},
    serializability::ListOp,
};

/// Decodes transactions on lists.
pub struct ListAppend;

impl DecodeTransaction for ListAppend {
    type Op = ListOp;

    fn decode(&self, completed: &Completed) -> Result<Vec<ListOp>, BadHistory> {
        micro_operations(completed)?.iter().map(list_op).collect()
    }
}

fn list_op(micro: &Micro<'_>) -> Result<ListOp, BadHistory> {
    let key = micro.key.clone();
    match (micro.access, micro.value) {
        (Access::Append, Some(element)) => Ok(ListOp::Append {
            key,
            element: element.clone(),
        }),
        (Access::Read, None) => Ok(ListOp::Read { key, list: None }),
        (Access::Read, Some(Value::Nil)) => Ok(ListOp::Read {
            key,
            list: Some(Vec::new()),
        }),
        (Access::Read, Some(Value::List(list))) => Ok(ListOp::Read {
            key,
            list: Some(list.clone()),
        }),
        (Access::Read, Some(other)) => Err(BadHistory::at(
            micro.line,
            format!("`{other}` was read of a list, and is none"),
        )),
        (Access::Append | Access::Write, _) => Err(BadHistory::at(
            micro.line,
            "this model knows append and r, not w",
        )),
    }
}
