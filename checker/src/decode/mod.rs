//! What recorded operations mean to a model: from [`Completed`] to the model's own operations.
//!
//! One file for each model. What a history leaves open stays open here: the answer of an operation
//! that did not return, the effect of one whose outcome is unknown. What constrains nothing (a read
//! whose answer is not known, what certainly did not happen) is left out.
//!
//! Invariant: what a model does not know, or what contradicts its own call, is a [`BadHistory`]
//! with its line; nothing is guessed.
//!
//! Tests: `tests/it/decode.rs`.

mod kv;
mod list_append;
mod multi_register;
mod mutex;
mod register;
mod rw_register;
mod set;
mod transaction;

pub use kv::Kv;
pub use list_append::ListAppend;
pub use multi_register::MultiRegister;
pub use mutex::Mutex;
pub use register::Register;
pub use rw_register::RwRegister;
pub use set::Set;
pub(crate) use transaction::{Access, Micro, micro_operations};

use crate::{
    history::{BadHistory, Completed, Event, Format, Outcome, Value},
    linearizability::Operation,
    serializability::Transaction,
};

/// Decodes the operations of a model that is judged by linearizability.
pub trait Decode {
    /// The model's operation.
    type Op;

    /// What the operation did or may have done; nothing if it constrains nothing.
    fn decode(&self, completed: &Completed) -> Result<Option<Self::Op>, BadHistory>;
}

/// The operations of a model that is judged by linearizability, in the order of their calls.
pub fn operations<D: Decode>(
    decoder: &D,
    completed: impl Iterator<Item = Result<Completed, BadHistory>>,
) -> Result<Vec<Operation<D::Op>>, BadHistory> {
    let mut operations = Vec::new();
    for completed in completed {
        operations.extend(operation(decoder, &completed?)?);
    }
    operations.sort_unstable_by_key(|operation| operation.id);
    Ok(operations)
}

/// One operation of a model that is judged by linearizability; nothing if it constrains nothing.
pub fn operation<D: Decode>(
    decoder: &D,
    completed: &Completed,
) -> Result<Option<Operation<D::Op>>, BadHistory> {
    let Some(interval) = completed.interval else {
        let reason = "this model is judged by times, and the format has none";
        return Err(BadHistory::at(completed.call.line, reason));
    };
    let op = decoder.decode(completed)?;
    Ok(op.map(|op| Operation {
        id: completed.id,
        process: completed.process,
        interval,
        unknown: completed.outcome == Outcome::Unknown,
        op,
    }))
}

/// Decodes the micro-operations of a transaction.
pub trait DecodeTransaction {
    /// The model's micro-operation.
    type Op;

    /// What the transaction did, may have done or attempted, in order.
    fn decode(&self, completed: &Completed) -> Result<Vec<Self::Op>, BadHistory>;
}

/// The transactions of a history, in the order of their calls.
pub fn transactions<D: DecodeTransaction>(
    decoder: &D,
    completed: impl Iterator<Item = Result<Completed, BadHistory>>,
) -> Result<Vec<Transaction<D::Op>>, BadHistory> {
    let mut transactions = Vec::new();
    for completed in completed {
        let completed = completed?;
        transactions.push(Transaction {
            id: completed.id,
            process: completed.process,
            interval: completed.interval,
            outcome: completed.outcome,
            ops: decoder.decode(&completed)?,
        });
    }
    transactions.sort_unstable_by_key(|transaction| transaction.id);
    Ok(transactions)
}

/// What a register holds before its first write, where a history does not say: nothing in our own
/// format and in Jepsen's logs, which were recorded from an etcd that began empty; 0 in Jepsen's
/// maps, as Knossos has it.
pub fn initial_of_registers(format: Format) -> Value {
    match format {
        Format::JsonLines | Format::Log | Format::Sessions | Format::Porcupine => Value::Nil,
        Format::Json | Format::Edn => Value::Int(0),
    }
}

/// What an absent key of a key-value store answers with, if the store does not tell it from one
/// that holds this.
pub fn initial_of_keys(format: Format) -> Option<Value> {
    (format == Format::Porcupine).then(|| Value::from(""))
}

/// What was read: none if that is not known. A nil means that there was no value if registers
/// begin without one, and nothing otherwise.
fn read_value(found: &Value, initial: &Value) -> Option<Value> {
    (!found.is_nil() || initial.is_nil()).then(|| found.clone())
}

/// The return of what certainly happened.
fn ok(completed: &Completed) -> Option<&Event> {
    let answer = completed.ret.as_ref();
    answer.filter(|_| completed.outcome == Outcome::Ok)
}

/// The value that was called with. A return may repeat it, or say it first, but not change it.
fn argument(completed: &Completed) -> Result<&Value, BadHistory> {
    let asked = &completed.call.value;
    match ok(completed) {
        Some(ret) if asked.is_nil() => Ok(&ret.value),
        Some(ret) if !ret.value.is_nil() && ret.value != *asked => Err(BadHistory::at(
            ret.line,
            format!(
                "`{}` returns with {}, but line {} called it with {asked}",
                ret.f, ret.value, completed.call.line
            ),
        )),
        _ => Ok(asked),
    }
}

/// A function that the model does not know.
pub(crate) fn unknown_function(call: &Event, known: &str) -> BadHistory {
    let reason = match call.f.as_str() {
        "" => format!("the function is missing: this model knows {known}"),
        f => format!("unknown function `{f}`: this model knows {known}"),
    };
    BadHistory::at(call.line, reason)
}

/// Whether it ran and changed nothing, since its condition did not hold.
fn was_refused(completed: &Completed) -> bool {
    use crate::history::Field;
    ok(completed).and_then(|ret| ret.field(Field::Applied)) == Some(&Value::Bool(false))
}
