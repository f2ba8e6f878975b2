//! A register per key: read, write, compare-and-set.

use crate::{
    history::Value,
    linearizability::{
        model::{Decision, Model, Operation},
        unique::{self, Access, Item},
    },
};

/// An operation on the register of a key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RegisterOp {
    /// Which register; [`Value::Nil`] where there is only one.
    pub key: Value,
    /// What was done.
    pub action: RegisterAction,
}

/// What is done to a register.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RegisterAction {
    /// Found this value; none if what was found is not known.
    Read(Option<Value>),
    /// Left this value.
    Write(Value),
    /// Found the one and left the other.
    Cas {
        /// What was there.
        expected: Value,
        /// What is there now.
        new: Value,
    },
    /// A compare-and-set that ran and did not find this value.
    FailedCas {
        /// What was not there.
        expected: Value,
    },
}

/// Registers that all begin with one value, one for each key.
#[derive(Debug, Clone, Default)]
pub struct Registers {
    /// The value before the first write.
    pub initial: Value,
}

impl Model for Registers {
    type Op = RegisterOp;
    type State = Value;
    type Part = Value;

    fn initial(&self) -> Value {
        self.initial.clone()
    }

    fn step(&self, state: &Value, op: &RegisterOp) -> Option<Value> {
        match &op.action {
            RegisterAction::Read(None) => Some(state.clone()),
            RegisterAction::Read(Some(found)) => (found == state).then(|| state.clone()),
            RegisterAction::Write(new) => Some(new.clone()),
            RegisterAction::Cas { expected, new } => (expected == state).then(|| new.clone()),
            RegisterAction::FailedCas { expected } => (expected != state).then(|| state.clone()),
        }
    }

    fn is_read(&self, op: &RegisterOp) -> bool {
        match &op.action {
            RegisterAction::Read(_) | RegisterAction::FailedCas { .. } => true,
            RegisterAction::Cas { expected, new } => expected == new,
            RegisterAction::Write(_) => false,
        }
    }

    fn part(&self, op: &RegisterOp) -> Value {
        op.key.clone()
    }

    fn decide(&self, part: &[&Operation<RegisterOp>]) -> Option<Decision> {
        let items: Option<Vec<_>> = part
            .iter()
            .map(|operation| {
                let access = match &operation.op.action {
                    RegisterAction::Read(None) => Access::Nothing,
                    RegisterAction::Read(Some(found)) => Access::Read(found),
                    RegisterAction::Write(new) => Access::Write(new),
                    RegisterAction::Cas { .. } | RegisterAction::FailedCas { .. } => return None,
                };
                Some(Item {
                    interval: operation.interval,
                    unknown: operation.unknown,
                    access,
                })
            })
            .collect();
        unique::decide(&self.initial, &items?)
    }

    fn describe(&self, op: &RegisterOp) -> String {
        let of = match &op.key {
            Value::Nil => String::new(),
            key => format!(" {key}"),
        };
        match &op.action {
            RegisterAction::Read(None) => format!("read{of}, answer not known"),
            RegisterAction::Read(Some(found)) => format!("read{of}: {found}"),
            RegisterAction::Write(new) => format!("write{of} := {new}"),
            RegisterAction::Cas { expected, new } => format!("cas{of} {expected} -> {new}"),
            RegisterAction::FailedCas { expected } => format!("cas{of} did not find {expected}"),
        }
    }
}
