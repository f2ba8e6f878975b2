//! Linearizability: could each operation have taken effect at one moment between its call and its
//! return?

use std::{fmt::Debug, hash::Hash, num::NonZeroUsize, sync::atomic::AtomicUsize, time::Duration};

use crate::{
    evidence::Verdict,
    history::{Interval, OperationId, Value},
};

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

    /// Where the history itself says in which order operations took effect: operations of one
    /// part that have a rank take effect in its order, and no two have the same. For everything
    /// else none.
    fn rank(&self, _op: &Self::Op) -> Option<Rank> {
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

/// What [`check`] may use.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// From the start of the check; none for as long as it takes.
    pub time_limit: Option<Duration>,
    /// For what the search remembers, about, in bytes.
    pub memory_bytes_max: usize,
    /// As many parts are searched at the same time.
    pub threads: NonZeroUsize,
    /// Counts the operations of decided parts, to be watched from another thread.
    pub decided: Option<&'a AtomicUsize>,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self {
            time_limit: None,
            memory_bytes_max: 4 << 30,
            threads: NonZeroUsize::MIN,
            decided: None,
        }
    }
}

/// Judges a history.
pub fn check<M: Model>(_: &M, _: &[Operation<M::Op>], _: &Options<'_>) -> Verdict {
    Verdict::Unknown("not built".into())
}

/// A judge of a history that has not ended. Calls and returns are told in their order.
pub struct Stream<'m, M: Model>(std::marker::PhantomData<&'m M>);

impl<'m, M: Model> Stream<'m, M> {
    /// A judge.
    pub fn new(_: &'m M) -> Self {
        Self(std::marker::PhantomData)
    }
    /// An operation is called.
    pub fn call(&mut self, _: OperationId) {}
    /// It took effect, with this answer, and returns.
    pub fn ok(&mut self, _: OperationId, _: M::Op) {}
    /// It certainly did not take effect.
    pub fn failed(&mut self, _: OperationId) {}
    /// It may have taken effect, or may yet, or never.
    pub fn unknown(&mut self, _: OperationId, _: M::Op) {}
    /// The verdict, if it does not depend on what comes any more.
    pub fn verdict(&self) -> Option<&Verdict> {
        None
    }
    /// The verdict on everything that was told.
    pub fn finish(self) -> Verdict {
        Verdict::Unknown("not built".into())
    }
}

/// Models of the objects that histories are about.
pub mod models {
    use super::{Model, Rank};
    use crate::history::Value;

    /// An operation on a key.
    #[derive(Debug, Clone, PartialEq, Eq, Hash)]
    pub struct KvOp {
        /// Which key.
        pub key: Value,
        /// What was done and answered.
        pub action: KvAction,
    }

    /// What is done to a key. What an answer did not say is none.
    #[derive(Debug, Clone, PartialEq, Eq, Hash)]
    pub enum KvAction {
        /// Found no value.
        GetAbsent,
        /// Found a value.
        Get {
            /// The value.
            value: Option<Value>,
            /// Its version.
            version: Option<Value>,
        },
        /// Left a value.
        Put {
            /// The value.
            value: Value,
            /// What was asked to hold before, and did.
            condition: Option<Condition>,
            /// The version that it was given.
            version: Option<Value>,
        },
        /// Put a text behind the one that was there.
        Append(Value),
        /// Left no value.
        Delete {
            /// What was asked to hold before, and did.
            condition: Option<Condition>,
        },
        /// A put or delete that ran and changed nothing, since its condition did not hold.
        ConditionFailed {
            /// What did not hold.
            condition: Condition,
            /// The version that was there instead; [`Value::Nil`] if there was no value.
            current: Option<Value>,
        },
    }

    /// What a write asks of a key.
    #[derive(Debug, Clone, PartialEq, Eq, Hash)]
    pub enum Condition {
        /// It has no value.
        Absent,
        /// It has some value.
        Present,
        /// Its value has this version.
        Version(Value),
    }

    /// What is known of versions.
    #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
    pub enum Versions {
        /// They are different for each write; nothing else.
        #[default]
        Opaque,
        /// Those of one key grow with each write: numbers, or lists of two numbers. The check is then
        /// nearly linear.
        Ordered,
    }

    /// Keys that are all absent at first.
    #[derive(Debug, Clone, Default)]
    pub struct Kv {
        /// What is known of versions.
        pub versions: Versions,
        /// Absent keys answer with this value, and appending begins with it: for stores that do not
        /// tell absent from empty.
        pub absent: Option<Value>,
    }

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

    /// What is done to a lock.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub enum MutexOp {
        /// It was free and is held now.
        Acquire,
        /// It was held and is free now.
        Release,
    }

    /// One lock. Who holds it is not looked at.
    #[derive(Debug, Clone, Copy, Default)]
    pub struct Mutex;

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

    /// One set.
    ///
    /// It is judged as a whole: a read of all elements sees them at one moment, so that elements are
    /// not independent of each other.
    #[derive(Debug, Clone, Copy, Default)]
    pub struct Set;

    impl SetOp {
        /// A read of these elements, in any order.
        pub fn read(mut elements: Vec<Value>) -> Self {
            elements.sort_unstable();
            Self::Read(Some(elements))
        }
    }

    impl Model for Kv {
        type Op = KvOp;
        type State = ();
        type Part = ();
        fn initial(&self) {}
        fn step(&self, (): &(), _: &KvOp) -> Option<()> {
            Some(())
        }
        fn part(&self, _: &KvOp) {}
        fn rank(&self, _: &KvOp) -> Option<Rank> {
            None
        }
        fn describe(&self, _: &KvOp) -> String {
            String::new()
        }
    }

    impl Model for Registers {
        type Op = RegisterOp;
        type State = ();
        type Part = ();
        fn initial(&self) {}
        fn step(&self, (): &(), _: &RegisterOp) -> Option<()> {
            Some(())
        }
        fn part(&self, _: &RegisterOp) {}
        fn rank(&self, _: &RegisterOp) -> Option<Rank> {
            None
        }
        fn describe(&self, _: &RegisterOp) -> String {
            String::new()
        }
    }

    impl Model for MultiRegister {
        type Op = MultiRegisterOp;
        type State = ();
        type Part = ();
        fn initial(&self) {}
        fn step(&self, (): &(), _: &MultiRegisterOp) -> Option<()> {
            Some(())
        }
        fn part(&self, _: &MultiRegisterOp) {}
        fn rank(&self, _: &MultiRegisterOp) -> Option<Rank> {
            None
        }
        fn describe(&self, _: &MultiRegisterOp) -> String {
            String::new()
        }
    }

    impl Model for Mutex {
        type Op = MutexOp;
        type State = ();
        type Part = ();
        fn initial(&self) {}
        fn step(&self, (): &(), _: &MutexOp) -> Option<()> {
            Some(())
        }
        fn part(&self, _: &MutexOp) {}
        fn rank(&self, _: &MutexOp) -> Option<Rank> {
            None
        }
        fn describe(&self, _: &MutexOp) -> String {
            String::new()
        }
    }

    impl Model for Set {
        type Op = SetOp;
        type State = ();
        type Part = ();
        fn initial(&self) {}
        fn step(&self, (): &(), _: &SetOp) -> Option<()> {
            Some(())
        }
        fn part(&self, _: &SetOp) {}
        fn rank(&self, _: &SetOp) -> Option<Rank> {
            None
        }
        fn describe(&self, _: &SetOp) -> String {
            String::new()
        }
    }
}
