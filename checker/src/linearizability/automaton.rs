//! A model made small: states and operations as numbers, with a table of what leads where.
//!
//! The search asks for the same few transitions again and again; each is asked of the model once.
//! With many different operations a table would be larger than the search, so the model is then
//! asked each time. Tests: those of the search.

use std::{borrow::Cow, hash::BuildHasher as _};

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashTable};

use super::model::{Model, Operation};

/// A state's number.
pub(super) type State = u32;

/// The number of a set of equal operations.
pub(super) type Class = u32;

/// The initial state.
pub(super) const INITIAL: State = 0;

/// No state: the operation could not have been answered so.
pub(super) const ILLEGAL: State = u32::MAX;

/// Not asked yet.
const UNASKED: State = u32::MAX - 1;

/// Above this many classes there is no table. The table takes four bytes a state and class.
const CLASSES_IN_TABLE_MAX: usize = 256;

/// States and operations of one part of a history.
pub(super) struct Automaton<'m, M: Model> {
    model: &'m M,
    classes: Vec<Cow<'m, M::Op>>,
    states: Vec<M::State>,
    numbers: HashTable<State>,
    hasher: FixedState,
    /// A row for each state, if there is a table.
    table: Vec<State>,
    steps: u64,
}

impl<'m, M: Model> Automaton<'m, M> {
    /// The automaton of `model` for `operations`, and each one's class.
    pub(super) fn new(model: &'m M, operations: &[&'m Operation<M::Op>]) -> (Self, Vec<Class>) {
        let mut numbers = HashMap::with_hasher(FixedState::default());
        let mut classes = Vec::new();
        let mut class_of = |op: Cow<'m, M::Op>| {
            *numbers.entry(op).or_insert_with_key(|op| {
                classes.push(op.clone());
                number(classes.len() - 1)
            })
        };
        let class = match model.refine(operations) {
            Some(refined) => refined
                .into_iter()
                .map(|op| class_of(Cow::Owned(op)))
                .collect(),
            None => operations
                .iter()
                .map(|o| class_of(Cow::Borrowed(&o.op)))
                .collect(),
        };
        let mut automaton = Self {
            model,
            classes,
            states: Vec::new(),
            numbers: HashTable::new(),
            hasher: FixedState::default(),
            table: Vec::new(),
            steps: 0,
        };
        automaton.intern(model.initial());
        (automaton, class)
    }

    /// Where `class` leads from `state`; [`ILLEGAL`] if it cannot have been answered so.
    pub(super) fn step(&mut self, state: State, class: Class) -> State {
        self.steps += 1;
        if !self.has_table() {
            return self.ask(state, class);
        }
        let cell = state as usize * self.classes.len() + class as usize;
        match self.table[cell] {
            UNASKED => {
                let next = self.ask(state, class);
                self.table[cell] = next;
                next
            }
            known => known,
        }
    }

    /// How often a transition was asked for.
    pub(super) fn steps(&self) -> u64 {
        self.steps
    }

    /// About what its states and table take, in bytes; what states own elsewhere is not counted.
    pub(super) fn bytes(&self) -> usize {
        self.states.len() * (size_of::<M::State>() + 2 * size_of::<State>())
            + self.table.len() * size_of::<State>()
    }

    fn has_table(&self) -> bool {
        self.classes.len() <= CLASSES_IN_TABLE_MAX
    }

    fn ask(&mut self, state: State, class: Class) -> State {
        let next = self
            .model
            .step(&self.states[state as usize], &self.classes[class as usize]);
        next.map_or(ILLEGAL, |next| self.intern(next))
    }

    fn intern(&mut self, state: M::State) -> State {
        let Self {
            states,
            numbers,
            hasher,
            ..
        } = self;
        let hash = hasher.hash_one(&state);
        let known = numbers.find(hash, |known| states[*known as usize] == state);
        if let Some(known) = known {
            return *known;
        }
        let new = number(states.len());
        states.push(state);
        numbers.insert_unique(hash, new, |known| hasher.hash_one(&states[*known as usize]));
        if self.has_table() {
            self.table
                .resize(self.table.len() + self.classes.len(), UNASKED);
        }
        new
    }
}

/// The number of the next of `count` things. The search gives up for want of memory long before
/// four thousand million of them.
fn number(count: usize) -> u32 {
    u32::try_from(count)
        .ok()
        .filter(|number| *number < UNASKED)
        .expect("memory is bounded")
}
