//! `rw-register`: transactions of reads and writes of registers, with versions or without.

use super::{Access, DecodeTransaction, Micro, micro_operations};
use crate::{
    history::{BadHistory, Completed, Value},
    serializability::{RegisterOp, Version},
};

/// Decodes transactions on registers, which are absent at first.
pub struct RwRegister;

impl DecodeTransaction for RwRegister {
    type Op = RegisterOp;

    fn decode(&self, completed: &Completed) -> Result<Vec<RegisterOp>, BadHistory> {
        micro_operations(completed)?
            .iter()
            .map(register_op)
            .collect()
    }
}

fn register_op(micro: &Micro<'_>) -> Result<RegisterOp, BadHistory> {
    let key = micro.key.clone();
    let version = micro
        .version
        .map(|version| parse(version, micro.line))
        .transpose()?;
    match (micro.access, micro.value) {
        (Access::Read, value) => Ok(RegisterOp::Read {
            key,
            value: value.cloned(),
            version,
        }),
        (Access::Write, Some(value)) => Ok(RegisterOp::Write {
            key,
            value: value.clone(),
            version,
        }),
        (Access::Write | Access::Append, _) => Err(BadHistory::at(
            micro.line,
            "this model knows r and w, not append",
        )),
    }
}

fn parse(version: &Value, line: u64) -> Result<Version, BadHistory> {
    let numbers: Option<Vec<i64>> = match version {
        Value::Int(number) => Some(vec![*number]),
        Value::List(numbers) => numbers.iter().map(Value::as_int).collect(),
        _ => None,
    };
    let parsed = numbers.and_then(|numbers| Version::new(&numbers));
    parsed.ok_or_else(|| BadHistory::at(line, format!("`{version}` is no version")))
}
