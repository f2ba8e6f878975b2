//! The search for an order: which of the open operations took effect first?
//!
//! Calls and returns are gone through in their order. An operation takes effect *just in time*:
//! when it returns, or before another one's return if that one needs it (Lowe 2017). So a
//! *configuration* is the state, which of the open operations have taken effect, and which unknown
//! ones were used; what is closed needs no memory. Configurations that led nowhere are remembered
//! (Wing and Gong 1993, with Lowe's memoisation).
//!
//! Four rules keep the search small without losing an order:
//!
//! - **Reads come at once.** A read that the present state allows takes effect as early as it may:
//!   in any order it could be moved there. (A write that would change nothing may not: it may be
//!   needed later, when it does.)
//! - **An unknown operation must be seen.** It is used only directly before an operation that
//!   would otherwise end differently; else it could be left out.
//! - **Fewer unknown operations used are better.** A configuration that used a superset of another
//!   one's, and is otherwise equal, is given up.
//! - **Ranks are kept.** Where the history says in which order operations took effect, no other is
//!   tried.
//!
//! Tests: `tests/linearizability`, against a brute-force oracle, with and without each rule.

use foldhash::fast::FixedState;
use hashbrown::{HashMap, hash_map::Entry};

use super::{
    automaton::{Automaton, Class, ILLEGAL, INITIAL, State},
    mask::Mask,
    model::{Model, Rank},
    schedule::{Event, Index, Kind, Schedule},
};

/// No operation in a slot.
const EMPTY: Index = Index::MAX;

/// How far a search has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// There is an order.
    Legal,
    /// There is none. The operation is the one that returned when nothing explained it any more,
    /// in the longest attempt.
    Illegal(Index),
    /// The budget is used up; it may go on.
    Paused,
}

/// What may happen next, as far as the past matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Configuration<const N: usize> {
    state: State,
    /// Slots of open operations that have taken effect.
    linearized: Mask<N>,
    /// Slots of unknown operations that have.
    used: Mask<N>,
}

/// Something still to be tried.
#[derive(Debug, Clone, Copy)]
struct Attempt<const N: usize> {
    /// The event that comes next.
    at: usize,
    configuration: Configuration<N>,
    /// The state before the last operation, if that is an unknown one that nobody has seen yet.
    unseen: Option<State>,
    /// The next event is a return, and that the operation takes effect now has been tried:
    /// others come before it.
    others_first: bool,
}

/// A search through one part of a history, with slots for `64 * N` operations of either sort.
pub(super) struct Search<'m, M: Model, const N: usize> {
    automaton: Automaton<'m, M>,
    schedule: Schedule,
    /// The event to come next; `open` and `called` are as they are before it.
    at: usize,
    /// By slot, which operation is open.
    open: Vec<Index>,
    /// By kind, how many have been called.
    called: Vec<usize>,
    /// A stack.
    untried: Vec<Attempt<N>>,
    visited: Visited<N>,
    /// The latest event that was reached where something had to take effect.
    deepest: Option<(usize, Index)>,
}

impl<'m, M: Model, const N: usize> Search<'m, M, N> {
    /// `N` must be at least [`Schedule::words`].
    pub(super) fn new(automaton: Automaton<'m, M>, schedule: Schedule) -> Self {
        let start = Attempt {
            at: 0,
            configuration: Configuration {
                state: INITIAL,
                linearized: Mask::EMPTY,
                used: Mask::EMPTY,
            },
            unseen: None,
            others_first: false,
        };
        Self {
            open: vec![EMPTY; schedule.slots],
            called: vec![0; schedule.kinds.len()],
            at: 0,
            untried: vec![start],
            visited: Visited::default(),
            deepest: None,
            automaton,
            schedule,
        }
    }

    /// Transitions asked for so far.
    pub(super) fn steps(&self) -> u64 {
        self.automaton.steps()
    }

    /// About what it holds in memory, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.automaton.bytes() + self.visited.bytes() + self.untried.len() * size_of::<Attempt<N>>()
    }

    /// Goes on until it is decided, or about `steps` more transitions have been asked for, or
    /// about `bytes` are held.
    pub(super) fn run(&mut self, steps: u64, bytes: usize) -> Progress {
        let end = self.steps().saturating_add(steps);
        while let Some(attempt) = self.untried.pop() {
            if self.steps() >= end || self.bytes() > bytes {
                self.untried.push(attempt);
                return Progress::Paused;
            }
            self.rewind(attempt.at);
            if attempt.others_first {
                self.put_others_first(attempt);
            } else if self.follow(attempt, end) {
                return Progress::Legal;
            }
        }
        match self.deepest {
            Some((_, index)) => Progress::Illegal(index),
            None => Progress::Legal,
        }
    }

    /// Undoes calls and returns back to event `at`.
    fn rewind(&mut self, at: usize) {
        while self.at > at {
            self.at -= 1;
            match self.schedule.events[self.at] {
                Event::Call(index) => {
                    let slot = self.slot(index);
                    self.open[slot] = EMPTY;
                }
                Event::Return(index) => {
                    let slot = self.slot(index);
                    self.open[slot] = index;
                }
                Event::CallUnknown(kind) => self.called[kind as usize] -= 1,
            }
        }
    }

    /// Follows an attempt until there is no way on, leaving other ways for later; true if all
    /// events were passed.
    fn follow(&mut self, attempt: Attempt<N>, end: u64) -> bool {
        let Attempt {
            mut configuration,
            mut unseen,
            ..
        } = attempt;
        while let Some(event) = self.schedule.events.get(self.at).copied() {
            match event {
                Event::Call(index) => self.call(index, &mut configuration),
                Event::CallUnknown(kind) => self.called[kind as usize] += 1,
                Event::Return(index) => {
                    let slot = self.slot(index);
                    if !configuration.linearized.contains(slot) {
                        let attempt = Attempt {
                            at: self.at,
                            configuration,
                            unseen,
                            others_first: false,
                        };
                        if self.steps() >= end {
                            self.untried.push(attempt);
                            return false;
                        }
                        let Some(next) = self.take_effect(attempt, index) else {
                            return false;
                        };
                        configuration = next;
                        unseen = None;
                    }
                    configuration.linearized.remove(slot);
                    self.open[slot] = EMPTY;
                }
            }
            self.at += 1;
        }
        true
    }

    fn call(&mut self, index: Index, configuration: &mut Configuration<N>) {
        let slot = self.slot(index);
        self.open[slot] = index;
        if self.may_read(index, configuration.state) {
            configuration.linearized.insert(slot);
        }
    }

    /// Lets `index`, which is returning, take effect, and leaves it for later that others come
    /// first. None if it cannot, or if that leads where the search has been.
    fn take_effect(&mut self, attempt: Attempt<N>, index: Index) -> Option<Configuration<N>> {
        if self.deepest.is_none_or(|(at, _)| at < self.at) {
            self.deepest = Some((self.at, index));
        }
        self.untried.push(Attempt {
            others_first: true,
            ..attempt
        });
        let reached = self.after(&attempt, index)?;
        self.visited
            .insert(Place::After(self.at), &reached)
            .then_some(reached)
    }

    /// Tries every operation that may come next before the one that is returning.
    fn put_others_first(&mut self, attempt: Attempt<N>) {
        for kind in (0..self.schedule.kinds.len()).rev() {
            if let Some((configuration, unseen)) = self.after_unknown(&attempt, kind) {
                self.try_later(attempt.at, configuration, unseen);
            }
        }
        for slot in (0..self.open.len()).rev() {
            let index = self.open[slot];
            if index != EMPTY
                && self.schedule.events[attempt.at] != Event::Return(index)
                && !attempt.configuration.linearized.contains(slot)
                && let Some(configuration) = self.after(&attempt, index)
            {
                self.try_later(attempt.at, configuration, None);
            }
        }
    }

    fn try_later(&mut self, at: usize, configuration: Configuration<N>, unseen: Option<State>) {
        if self
            .visited
            .insert(Place::Before(at, unseen), &configuration)
        {
            self.untried.push(Attempt {
                at,
                configuration,
                unseen,
                others_first: false,
            });
        }
    }

    /// The configuration after the open operation `index` took effect, with all reads that then
    /// may.
    fn after(&mut self, attempt: &Attempt<N>, index: Index) -> Option<Configuration<N>> {
        let mut configuration = attempt.configuration;
        if self.is_out_of_turn(&configuration, index) {
            return None;
        }
        let class = self.schedule.class[index as usize];
        configuration.state = self.step(attempt, class)?;
        configuration.linearized.insert(self.slot(index));
        self.settle(&mut configuration);
        Some(configuration)
    }

    /// The configuration after the next unknown operation of a kind, if that changes anything, and
    /// the state before it, if nobody has seen it yet.
    fn after_unknown(
        &mut self,
        attempt: &Attempt<N>,
        kind: usize,
    ) -> Option<(Configuration<N>, Option<State>)> {
        let mut configuration = attempt.configuration;
        let before = configuration.state;
        let Kind {
            class, first_slot, ..
        } = self.schedule.kinds[kind];
        let mut slots = first_slot..first_slot + self.called[kind];
        let slot = slots.find(|slot| !configuration.used.contains(*slot))?;
        configuration.state = self.step(attempt, class).filter(|state| *state != before)?;
        configuration.used.insert(slot);
        let linearized = configuration.linearized;
        self.settle(&mut configuration);
        let unseen = (configuration.linearized == linearized).then_some(before);
        Some((configuration, unseen))
    }

    /// The state after `class`, if it may come next and sees what has to be seen.
    fn step(&mut self, attempt: &Attempt<N>, class: Class) -> Option<State> {
        let state = self.automaton.step(attempt.configuration.state, class);
        let is_blind = attempt
            .unseen
            .is_some_and(|earlier| self.automaton.step(earlier, class) == state);
        (state != ILLEGAL && !is_blind).then_some(state)
    }

    /// Lets all reads take effect that may.
    fn settle(&mut self, configuration: &mut Configuration<N>) {
        for slot in 0..self.open.len() {
            let index = self.open[slot];
            if index != EMPTY
                && !configuration.linearized.contains(slot)
                && self.may_read(index, configuration.state)
            {
                configuration.linearized.insert(slot);
            }
        }
    }

    /// Whether `index` is a read that `state` allows. One that still tells something of the state
    /// waits for its turn.
    fn may_read(&mut self, index: Index, state: State) -> bool {
        self.schedule.is_read[index as usize] && {
            let class = self.schedule.class[index as usize];
            self.automaton.step(state, class) == state
        }
    }

    /// Whether an open operation of a lower rank has not taken effect yet.
    fn is_out_of_turn(&self, configuration: &Configuration<N>, index: Index) -> bool {
        let Some(rank) = self.rank(index) else {
            return false;
        };
        let mut waiting = (0..self.open.len())
            .filter(|slot| self.open[*slot] != EMPTY && !configuration.linearized.contains(*slot));
        waiting.any(|slot| self.rank(self.open[slot]).is_some_and(|other| other < rank))
    }

    fn rank(&self, index: Index) -> Option<Rank> {
        self.schedule.rank.get(index as usize).copied().flatten()
    }

    fn slot(&self, index: Index) -> usize {
        self.schedule.slot[index as usize] as usize
    }
}

/// Where a configuration was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Place {
    /// After the return with this number.
    After(usize),
    /// Before it, with an unknown operation that has still to be seen from this state.
    Before(usize, Option<State>),
}

/// Configurations that have been tried or are waiting to be, with the sets of unknown operations
/// that were used to reach them.
struct Visited<const N: usize> {
    /// By place, state and what is linearized: the first of a list of sets.
    first: HashMap<(Place, State, Mask<N>), usize, FixedState>,
    sets: Vec<(Mask<N>, Option<usize>)>,
}

impl<const N: usize> Default for Visited<N> {
    fn default() -> Self {
        Self {
            first: HashMap::default(),
            sets: Vec::new(),
        }
    }
}

impl<const N: usize> Visited<N> {
    /// Remembers a configuration; false if it, or one that used less, is known already.
    fn insert(&mut self, place: Place, configuration: &Configuration<N>) -> bool {
        let new = self.sets.len();
        let next = match self
            .first
            .entry((place, configuration.state, configuration.linearized))
        {
            Entry::Vacant(entry) => {
                entry.insert(new);
                None
            }
            Entry::Occupied(mut entry) => {
                let mut known = Some(*entry.get());
                while let Some((used, next)) = known.map(|known| self.sets[known]) {
                    if used.is_subset(&configuration.used) {
                        return false;
                    }
                    known = next;
                }
                Some(entry.insert(new))
            }
        };
        self.sets.push((configuration.used, next));
        true
    }

    fn bytes(&self) -> usize {
        self.first.capacity() * (size_of::<(Place, State, Mask<N>)>() + size_of::<usize>() + 1)
            + self.sets.capacity() * size_of::<(Mask<N>, Option<usize>)>()
    }
}
