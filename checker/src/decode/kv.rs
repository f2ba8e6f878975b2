//! `kv`: get, put, append and delete of keys, with versions and conditions.

use super::{Decode, argument, ok, unknown_function, was_refused};
use crate::{
    history::{BadHistory, Completed, Event, Field, Outcome, Value},
    linearizability::models::{Condition, KvAction, KvOp},
};

/// Decodes operations on the keys of a store.
pub struct Kv;

impl Decode for Kv {
    type Op = KvOp;

    fn decode(&self, completed: &Completed) -> Result<Option<KvOp>, BadHistory> {
        let call = &completed.call;
        let Some(key) = call.field(Field::Key) else {
            return Err(BadHistory::at(call.line, "the key is missing"));
        };
        same_key(completed, key)?;
        let condition = condition(call)?;
        let happened = completed.outcome != Outcome::Failed;
        let action = match call.f.as_str() {
            "get" => ok(completed).map(get),
            "put" | "delete" if was_refused(completed) => Some(refused(completed, condition)?),
            "put" => {
                let value = value(completed)?;
                let version = ok(completed)
                    .and_then(|ret| ret.field(Field::Version))
                    .cloned();
                happened.then_some(KvAction::Put {
                    value,
                    condition,
                    version,
                })
            }
            "delete" => happened.then_some(KvAction::Delete { condition }),
            "append" if condition.is_some() => {
                return Err(BadHistory::at(call.line, "`append` takes no condition"));
            }
            "append" => {
                let value = value(completed)?;
                happened.then_some(KvAction::Append(value))
            }
            _ => return Err(unknown_function(call, "get, put, append and delete")),
        };
        Ok(action.map(|action| KvOp {
            key: key.clone(),
            action,
        }))
    }
}

fn get(ret: &Event) -> KvAction {
    let version = ret.field(Field::Version).cloned();
    match &ret.value {
        // A version without a value: the answer did not carry the value.
        Value::Nil if version.is_none() => KvAction::GetAbsent,
        Value::Nil => KvAction::Get {
            value: None,
            version,
        },
        value => KvAction::Get {
            value: Some(value.clone()),
            version,
        },
    }
}

fn value(completed: &Completed) -> Result<Value, BadHistory> {
    match argument(completed)? {
        Value::Nil => {
            let reason = format!("`{}` wants a value", completed.call.f);
            Err(BadHistory::at(completed.call.line, reason))
        }
        value => Ok(value.clone()),
    }
}

fn refused(completed: &Completed, condition: Option<Condition>) -> Result<KvAction, BadHistory> {
    let current = ok(completed)
        .and_then(|ret| ret.field(Field::Current))
        .cloned();
    let Some(condition) = condition else {
        let reason = "it was not applied, but had no condition";
        return Err(BadHistory::at(completed.call.line, reason));
    };
    Ok(KvAction::ConditionFailed { condition, current })
}

/// What the call asks to hold.
fn condition(call: &Event) -> Result<Option<Condition>, BadHistory> {
    let asks = |field| call.field(field) == Some(&Value::Bool(true));
    let conditions = [
        call.field(Field::IfVersion)
            .map(|version| Condition::Version(version.clone())),
        asks(Field::IfAbsent).then_some(Condition::Absent),
        asks(Field::IfPresent).then_some(Condition::Present),
    ];
    let mut conditions = conditions.into_iter().flatten();
    match (conditions.next(), conditions.next()) {
        (_, Some(_)) => Err(BadHistory::at(call.line, "more than one condition")),
        (condition, None) => Ok(condition),
    }
}

fn same_key(completed: &Completed, key: &Value) -> Result<(), BadHistory> {
    let Some(ret) = &completed.ret else {
        return Ok(());
    };
    match ret.field(Field::Key) {
        Some(other) if other != key => {
            let line = completed.call.line;
            let reason = format!("it returns for key {other}, but line {line} called for {key}");
            Err(BadHistory::at(ret.line, reason))
        }
        _ => Ok(()),
    }
}
