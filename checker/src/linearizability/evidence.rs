//! From "there is no order" to something that a person can check by hand.
//!
//! What is illegal stays illegal when it is asked for less. So everything that the contradiction
//! does not need is *relaxed*: an operation may then take effect at any time after its call, or
//! never. What cannot be relaxed is the core, and it is all that has to be looked at. Leaving
//! operations out instead would be wrong: a read whose write was left out is illegal for a reason
//! that the history does not give.
//!
//! Tests: `tests/linearizability/evidence.rs`.

use std::collections::HashSet;

use super::{
    judge::{Fault, is_illegal},
    model::{Model, Operation},
};
use crate::{
    evidence::{Edge, Evidence, Shown},
    history::{Interval, OperationId},
};

/// The one thing that can be wrong here.
pub(super) const ANOMALY: &str = "not-linearizable";

/// What all attempts at relaxing may take, in transitions: about a second.
const STEPS_MAX: u64 = 10_000_000;

/// What one of them may take.
const STEPS_PER_ATTEMPT_MAX: u64 = 200_000;

/// Of a larger core the latest operations are shown, the one that cannot be placed among them.
const OPERATIONS_SHOWN_MAX: usize = 100;

/// Larger cores are shown without the reasons for their order.
const OPERATIONS_WITH_EDGES_MAX: usize = 40;

/// Evidence for a part that is illegal because of `fault`.
pub(super) fn gather<M: Model>(model: &M, part: &[&Operation<M::Op>], fault: &Fault) -> Evidence {
    let (stuck, mut candidates) = match fault {
        Fault::Stuck(stuck) => (*stuck, called_before_return(part, *stuck)),
        Fault::Core(core) => (core[0], core.clone()),
    };
    candidates.retain(|place| *place != stuck);
    // The latest are relaxed first: what remains is early and close together.
    candidates.sort_unstable_by_key(|place| std::cmp::Reverse(part[*place].interval.call));
    let mut core = match fault {
        Fault::Stuck(_) => Relaxation::new(model, part, stuck).core(candidates),
        Fault::Core(_) => candidates,
    };
    core.push(stuck);
    core.sort_unstable_by_key(|place| part[*place].interval.call);
    present(model, part, stuck, &core)
}

/// Only the operation that cannot be placed.
pub(super) fn name<M: Model>(model: &M, part: &[&Operation<M::Op>], fault: &Fault) -> Evidence {
    let stuck = match fault {
        Fault::Stuck(stuck) => *stuck,
        Fault::Core(core) => core[0],
    };
    let Operation { id, op, .. } = part[stuck];
    let text = model.describe(op);
    Evidence {
        anomaly: ANOMALY.into(),
        sentence: format!("{id} ({text}) cannot be placed."),
        operations: vec![Shown {
            id: *id,
            text,
            offending: true,
        }],
        edges: Vec::new(),
    }
}

/// Places of what was called before the return of `stuck`: the search was stuck there whatever
/// came later.
fn called_before_return<O>(part: &[&Operation<O>], stuck: usize) -> Vec<usize> {
    let end = part[stuck].interval.ret;
    (0..part.len())
        .filter(|place| part[*place].interval.call < end)
        .collect()
}

struct Relaxation<'m, M: Model> {
    model: &'m M,
    /// Everything called before the return of the stuck operation, as far as it is relaxed by now,
    /// with its place in the part.
    operations: Vec<(usize, Operation<M::Op>)>,
    steps_left: u64,
}

impl<'m, M: Model> Relaxation<'m, M> {
    fn new(model: &'m M, part: &[&Operation<M::Op>], stuck: usize) -> Self {
        // What returns later may rest on calls that are not looked at, such as a read of a value
        // that is written only then.
        let end = part[stuck].interval.ret;
        let operations = called_before_return(part, stuck)
            .into_iter()
            .map(|place| {
                let mut operation = part[place].clone();
                if operation.interval.ret > end {
                    relax(&mut operation);
                }
                (place, operation)
            })
            .collect();
        Self {
            model,
            operations,
            steps_left: STEPS_MAX,
        }
    }

    /// Relaxes as much as it can; the places that could not be relaxed.
    ///
    /// Halves, quarters and so on are tried together, as in delta debugging (Zeller 1999).
    /// What the budget does not reach is kept.
    fn core(mut self, mut candidates: Vec<usize>) -> Vec<usize> {
        candidates.retain(|place| !self.operation(*place).unknown);
        let mut size = candidates.len().div_ceil(2);
        while size > 0 {
            let mut kept = Vec::new();
            for group in candidates.chunks(size) {
                if self.steps_left == 0 || !self.relax_all(group) {
                    kept.extend_from_slice(group);
                }
            }
            candidates = kept;
            size = if size == 1 || self.steps_left == 0 {
                0
            } else {
                size.div_ceil(2)
            };
        }
        candidates
    }

    /// Relaxes a group, unless the contradiction goes away or cannot be shown any more.
    fn relax_all(&mut self, group: &[usize]) -> bool {
        let certain: Vec<_> = group
            .iter()
            .map(|place| self.operation(*place).clone())
            .collect();
        for place in group {
            relax(self.operation(*place));
        }
        // A read that may never have happened says nothing.
        let says_something = |operation: &&Operation<M::Op>| {
            !(operation.unknown && self.model.is_read(&operation.op))
        };
        let operations = self.operations.iter().map(|(_, operation)| operation);
        let part: Vec<_> = operations.filter(says_something).collect();
        let steps = STEPS_PER_ATTEMPT_MAX.min(self.steps_left);
        let (illegal, taken) = is_illegal(self.model, &part, steps);
        let looked_at = self.operations.len() as u64;
        self.steps_left = self.steps_left.saturating_sub(taken.max(looked_at));
        if !illegal {
            for (place, operation) in group.iter().zip(certain) {
                *self.operation(*place) = operation;
            }
        }
        illegal
    }

    /// The operation at a place of the part; those that matter are in its order.
    fn operation(&mut self, place: usize) -> &mut Operation<M::Op> {
        let index = self.operations.partition_point(|(known, _)| *known < place);
        &mut self.operations[index].1
    }
}

fn relax<O>(operation: &mut Operation<O>) {
    operation.unknown = true;
    operation.interval.ret = Interval::NEVER;
}

fn present<M: Model>(
    model: &M,
    part: &[&Operation<M::Op>],
    stuck: usize,
    core: &[usize],
) -> Evidence {
    let mut shown: Vec<_> = core
        .iter()
        .copied()
        .filter(|place| *place != stuck)
        .collect();
    shown.drain(..shown.len().saturating_sub(OPERATIONS_SHOWN_MAX - 1));
    shown.push(stuck);
    shown.sort_unstable_by_key(|place| part[*place].interval.call);
    let operations = shown.iter().map(|place| {
        let operation = part[*place];
        Shown {
            id: operation.id,
            text: model.describe(&operation.op),
            offending: *place == stuck,
        }
    });
    let called = called_before_return(part, stuck);
    let in_core: HashSet<_> = core.iter().collect();
    let others = called
        .iter()
        .filter(|place| !in_core.contains(place))
        .count();
    let offending = part[stuck];
    let whatever = match others {
        0 => String::new(),
        1 => ", whenever the 1 other operation took effect, if at all".into(),
        _ => format!(", whenever the {others} other operations took effect, if at all"),
    };
    let besides = match core.len() {
        count if count > OPERATIONS_SHOWN_MAX => format!(
            "it contradicts {} before or beside it, of which the latest are shown",
            operations_in_words(count - 1)
        ),
        1 => "no moment between its call and its return allows it".into(),
        count => format!(
            "it contradicts {} before or beside it",
            operations_in_words(count - 1)
        ),
    };
    Evidence {
        anomaly: ANOMALY.into(),
        sentence: format!(
            "{} ({}) cannot be placed: {besides}{whatever}.",
            offending.id,
            model.describe(&offending.op),
        ),
        operations: operations.collect(),
        edges: order(&shown.iter().map(|place| part[*place]).collect::<Vec<_>>()),
    }
}

fn operations_in_words(count: usize) -> String {
    if count == 1 {
        "1 operation".into()
    } else {
        format!("{count} operations")
    }
}

/// Which of the operations must come before which since it returned before the other was called,
/// without what follows from others.
fn order<O>(operations: &[&Operation<O>]) -> Vec<Edge> {
    if operations.len() > OPERATIONS_WITH_EDGES_MAX {
        return Vec::new();
    }
    let edge = |from: OperationId, to: OperationId| Edge {
        from,
        to,
        kind: "realtime",
        reason: format!("{from} returned before {to} was called"),
    };
    let mut edges = Vec::new();
    for from in operations {
        for to in operations {
            let follows = operations.iter().any(|between| {
                from.interval.ret < between.interval.call && between.interval.ret < to.interval.call
            });
            if from.interval.ret < to.interval.call && !follows {
                edges.push(edge(from.id, to.id));
            }
        }
    }
    edges
}
