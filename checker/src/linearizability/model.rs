//! What a correct object does: [`Model`].

use std::{fmt::Debug, hash::Hash};

use crate::history::{Interval, OperationId};

/// A sequential specification: what one operation after another may answer, and what it leaves.
///
/// An operation here is a call together with what was answered, so `step` both judges the answer
/// and changes the state. Operations whose outcome is unknown are stepped the same way when the
/// search tries that they took effect; that they may never have is no affair of the model.
pub trait Model: Sync {
    /// A call and its answer. Equal operations are interchangeable.
    type Op: Clone + Eq + Hash + Debug + Send + Sync;

    /// What an object holds. Equal states answer everything alike.
    type State: Clone + Eq + Hash + Debug + Send;

    /// What operations are partitioned by: operations of different parts never influence each
    /// other, so each part may be judged alone (Herlihy and Wing's locality). The unit type where
    /// nothing is independent.
    type Part: Clone + Eq + Hash + Ord + Debug + Send + Sync;

    /// Before the first operation.
    fn initial(&self) -> Self::State;

    /// The state after `op`; none if `op` could not have been answered so in `state`. An answer
    /// that is not known excludes nothing; an effect that would not have come about (an unknown
    /// compare-and-set that does not match) is none.
    fn step(&self, state: &Self::State, op: &Self::Op) -> Option<Self::State>;

    /// The part that `op` belongs to.
    fn part(&self, op: &Self::Op) -> Self::Part;

    /// Whether `op` only looks: wherever it is legal, everything after it goes on as without it.
    /// Said of too few operations, the search is slower; of too many, it is wrong.
    fn is_read(&self, op: &Self::Op) -> bool;

    /// Where the history itself says in which order operations took effect: operations of one
    /// part that have a rank take effect in its order, and no two have the same. For everything
    /// else none.
    fn rank(&self, _op: &Self::Op) -> Option<Rank> {
        None
    }

    /// The operations of a part, said more precisely where the part as a whole tells more of them
    /// than each by itself: a history is legal with the one exactly if it is with the other. None
    /// where there is nothing to say.
    fn refine(&self, _part: &[&Operation<Self::Op>]) -> Option<Vec<Self::Op>> {
        None
    }

    /// Decides a whole part without searching, where an algorithm for this kind of object applies;
    /// none where it does not. It must agree with the search.
    fn decide(&self, _part: &[&Operation<Self::Op>]) -> Option<Decision> {
        None
    }

    /// `op` in a few words, for a person.
    fn describe(&self, op: &Self::Op) -> String;
}

/// A place in an order that the history gives; compared lexicographically.
pub type Rank = (i64, i64);

/// What [`Model::decide`] found out about a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// There is an order.
    Legal,
    /// There is none already for these operations alone, whatever the others did. Places in the
    /// part; the first is the one that cannot be placed.
    Illegal(Vec<usize>),
}

/// One operation of a history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation<O> {
    /// Its place in the history.
    pub id: OperationId,
    /// The client that called it.
    pub process: i64,
    /// From its call to its return; an unknown one never returns.
    pub interval: Interval,
    /// Whether it may also never have taken effect.
    pub unknown: bool,
    /// What was called and answered.
    pub op: O,
}
