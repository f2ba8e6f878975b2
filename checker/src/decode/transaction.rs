//! What transactions have in common: lists of micro-operations `[function, key, value]`, of which a
//! version may be the fourth.

use super::{ok, unknown_function};
use crate::history::{BadHistory, Completed, Event, Kind, Value};

/// What a micro-operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
    Append,
}

/// A micro-operation.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Micro<'a> {
    pub(crate) access: Access,
    pub(crate) key: &'a Value,
    /// What was written, or read; none if what was read is not known.
    pub(crate) value: Option<&'a Value>,
    pub(crate) version: Option<&'a Value>,
    /// Where it stands.
    pub(crate) line: u64,
}

/// The micro-operations of a transaction: with answers if it happened, without if not.
pub(crate) fn micro_operations(completed: &Completed) -> Result<Vec<Micro<'_>>, BadHistory> {
    let call = &completed.call;
    let known = ["", "txn", "transaction", "read", "write", "append"];
    if !known.contains(&call.f.as_str()) {
        return Err(unknown_function(call, "txn"));
    }
    let asked = parse(call)?;
    if call.kind == Kind::Committed {
        return Ok(asked);
    }
    match ok(completed) {
        None => Ok(asked.into_iter().map(without_answer).collect()),
        Some(ret) => {
            let answered = parse(ret)?;
            let alike = asked.len() == answered.len()
                && asked
                    .iter()
                    .zip(&answered)
                    .all(|(asked, answered)| is_answer(asked, answered));
            if !alike {
                let reason = format!(
                    "it answers another transaction than line {} asks",
                    call.line
                );
                return Err(BadHistory::at(ret.line, reason));
            }
            Ok(answered)
        }
    }
}

fn without_answer(mut micro: Micro<'_>) -> Micro<'_> {
    if micro.access == Access::Read {
        micro.value = None;
    }
    micro.version = None;
    micro
}

fn is_answer(asked: &Micro<'_>, answered: &Micro<'_>) -> bool {
    let same = asked.access == answered.access && asked.key == answered.key;
    same && (asked.access == Access::Read || asked.value == answered.value)
}

fn parse(event: &Event) -> Result<Vec<Micro<'_>>, BadHistory> {
    let list = event
        .value
        .as_list()
        .ok_or_else(|| BadHistory::at(event.line, "a transaction is a list of micro-operations"))?;
    list.iter()
        .map(|micro| parse_one(event.line, micro))
        .collect()
}

fn parse_one(line: u64, micro: &Value) -> Result<Micro<'_>, BadHistory> {
    let bad = |reason: String| BadHistory::at(line, reason);
    let (f, key, value, version) = match micro.as_list() {
        Some([f, key]) => (f, key, None, None),
        Some([f, key, value]) => (f, key, Some(value), None),
        Some([f, key, value, version]) => (f, key, Some(value), Some(version)),
        _ => {
            return Err(bad(format!(
                "`{micro}` is no micro-operation [function key value]"
            )));
        }
    };
    let access = match f.as_text() {
        Some("r" | "read") => Access::Read,
        Some("w" | "write") => Access::Write,
        Some("append") => Access::Append,
        _ => return Err(bad(format!("unknown micro-operation `{f}`"))),
    };
    if access != Access::Read && value.is_none() {
        return Err(bad(format!("`{micro}` writes nothing")));
    }
    Ok(Micro {
        access,
        key,
        value,
        version: version.filter(|v| !v.is_nil()),
        line,
    })
}
