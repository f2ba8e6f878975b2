//! Registers of which one operation may read and write several at the same moment.

use std::collections::BTreeMap;

use crate::{history::Value, linearizability::model::Model};

/// One transaction: its reads and writes, in order.
pub type MultiRegisterOp = Vec<MultiRegisterAccess>;

/// What a transaction does to one register.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum MultiRegisterAccess {
    /// Found this value; none if what was found is not known.
    Read(Value, Option<Value>),
    /// Left this value.
    Write(Value, Value),
}

/// Registers that all begin with one value.
///
/// They are judged as one object, so this is for short histories; transactions of long ones are
/// judged by [`crate::serializability`].
#[derive(Debug, Clone, Default)]
pub struct MultiRegister {
    /// The value of a register before its first write.
    pub initial: Value,
}

impl Model for MultiRegister {
    type Op = MultiRegisterOp;
    /// The registers that do not hold the initial value.
    type State = BTreeMap<Value, Value>;
    type Part = ();

    fn initial(&self) -> Self::State {
        BTreeMap::new()
    }

    fn step(&self, state: &Self::State, op: &MultiRegisterOp) -> Option<Self::State> {
        let mut next = state.clone();
        for access in op {
            match access {
                MultiRegisterAccess::Read(_, None) => {}
                MultiRegisterAccess::Read(key, Some(found)) => {
                    if next.get(key).unwrap_or(&self.initial) != found {
                        return None;
                    }
                }
                MultiRegisterAccess::Write(key, new) if *new == self.initial => {
                    next.remove(key);
                }
                MultiRegisterAccess::Write(key, new) => {
                    next.insert(key.clone(), new.clone());
                }
            }
        }
        Some(next)
    }

    fn is_read(&self, op: &MultiRegisterOp) -> bool {
        op.iter()
            .all(|access| matches!(access, MultiRegisterAccess::Read(..)))
    }

    fn part(&self, _: &MultiRegisterOp) {}

    fn describe(&self, op: &MultiRegisterOp) -> String {
        let words = op.iter().map(|access| match access {
            MultiRegisterAccess::Read(key, None) => format!("read {key}, answer not known"),
            MultiRegisterAccess::Read(key, Some(found)) => format!("read {key}: {found}"),
            MultiRegisterAccess::Write(key, new) => format!("write {key} := {new}"),
        });
        words.collect::<Vec<_>>().join("; ")
    }
}
