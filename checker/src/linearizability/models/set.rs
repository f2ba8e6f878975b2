//! A set of elements, empty at first.

use std::collections::BTreeSet;

use crate::{history::Value, linearizability::model::Model};

/// What is done to a set.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SetOp {
    /// The element is in it now, whether it was before or not.
    Add(Value),
    /// The element is not in it now, whether it was before or not.
    Remove(Value),
    /// Found that the element is in it, or is not.
    Contains(Value, bool),
    /// Found these elements, sorted; none if the answer is not known.
    Read(Option<Vec<Value>>),
}

impl SetOp {
    /// A read of these elements, in any order.
    pub fn read(mut elements: Vec<Value>) -> Self {
        elements.sort_unstable();
        Self::Read(Some(elements))
    }
}

/// One set.
///
/// It is judged as a whole: a read of all elements sees them at one moment, so that elements are
/// not independent of each other.
#[derive(Debug, Clone, Copy, Default)]
pub struct Set;

impl Model for Set {
    type Op = SetOp;
    type State = BTreeSet<Value>;
    type Part = ();

    fn initial(&self) -> BTreeSet<Value> {
        BTreeSet::new()
    }

    fn step(&self, state: &BTreeSet<Value>, op: &SetOp) -> Option<BTreeSet<Value>> {
        let legal = match op {
            SetOp::Add(_) | SetOp::Remove(_) | SetOp::Read(None) => true,
            SetOp::Contains(element, found) => state.contains(element) == *found,
            SetOp::Read(Some(elements)) => state.iter().eq(elements),
        };
        legal.then(|| {
            let mut next = state.clone();
            match op {
                SetOp::Add(element) => _ = next.insert(element.clone()),
                SetOp::Remove(element) => _ = next.remove(element),
                SetOp::Contains(..) | SetOp::Read(_) => {}
            }
            next
        })
    }

    fn is_read(&self, op: &SetOp) -> bool {
        matches!(op, SetOp::Contains(..) | SetOp::Read(_))
    }

    fn part(&self, _: &SetOp) {}

    fn describe(&self, op: &SetOp) -> String {
        match op {
            SetOp::Add(element) => format!("add {element}"),
            SetOp::Remove(element) => format!("remove {element}"),
            SetOp::Contains(element, true) => format!("found {element}"),
            SetOp::Contains(element, false) => format!("did not find {element}"),
            SetOp::Read(None) => "read, answer not known".into(),
            SetOp::Read(Some(elements)) => format!("read {}", Value::List(elements.clone())),
        }
    }
}
