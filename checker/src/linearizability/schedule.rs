//! One part of a history as the search wants it: calls and returns in order, and a small number
//! (a *slot*) for everything that is open at the same time.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::{
    automaton::Class,
    model::{Model, Operation, Rank},
};

/// An operation's place among those of its part.
pub(super) type Index = u32;

/// A call or a return.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// Of an operation that certainly took effect.
    Call(Index),
    /// Of the same.
    Return(Index),
    /// Of one that may have; the number is its kind's, see [`Schedule::kinds`].
    CallUnknown(u32),
}

/// Equal operations with unknown outcomes. They are interchangeable, so they are used in the order
/// of their calls.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) class: Class,
    /// Its operations have the slots from here on.
    pub(super) first_slot: usize,
    pub(super) count: usize,
}

/// One part of a history.
#[derive(Debug)]
pub(super) struct Schedule {
    pub(super) events: Vec<Event>,
    /// By operation.
    pub(super) class: Vec<Class>,
    /// By operation; among those that certainly took effect. Used again after the return.
    pub(super) slot: Vec<u32>,
    /// By operation, whether it only looks.
    pub(super) is_read: Vec<bool>,
    /// By operation; empty if none has a rank.
    pub(super) rank: Vec<Option<Rank>>,
    pub(super) kinds: Vec<Kind>,
    /// How many slots there are of the one and of the other sort.
    pub(super) slots: usize,
    pub(super) unknown_slots: usize,
}

impl Schedule {
    /// Slots of either sort that a search can have.
    pub(super) const SLOTS_MAX: usize = 4096;

    /// Words of 64 bits that hold a bit for each slot.
    pub(super) fn words(&self) -> usize {
        self.slots.max(self.unknown_slots).div_ceil(64)
    }

    /// `operations` are one part's, with their classes. No two calls or returns have one tick.
    pub(super) fn new<M: Model>(
        model: &M,
        operations: &[&Operation<M::Op>],
        class: Vec<Class>,
    ) -> Self {
        let mut ticks = Vec::with_capacity(2 * operations.len());
        let mut kinds = Kinds::default();
        for (index, operation) in (0..).zip(operations) {
            let interval = operation.interval;
            if operation.unknown {
                let kind = kinds.add(class[index as usize]);
                ticks.push((interval.call, Event::CallUnknown(kind)));
            } else {
                ticks.push((interval.call, Event::Call(index)));
                ticks.push((interval.ret, Event::Return(index)));
            }
        }
        ticks.sort_unstable_by_key(|(tick, _)| *tick);
        let events: Vec<_> = ticks.into_iter().map(|(_, event)| event).collect();
        let (slot, slots) = assign_slots(&events, operations.len());
        let mut rank: Vec<_> = operations
            .iter()
            .map(|operation| model.rank(&operation.op).filter(|_| !operation.unknown))
            .collect();
        if rank.iter().all(Option::is_none) {
            rank.clear();
        }
        let is_read = operations
            .iter()
            .map(|operation| model.is_read(&operation.op))
            .collect();
        let (kinds, unknown_slots) = kinds.finish();
        Self {
            events,
            class,
            slot,
            is_read,
            rank,
            kinds,
            slots,
            unknown_slots,
        }
    }
}

#[derive(Default)]
struct Kinds {
    all: Vec<Kind>,
    number: HashMap<Class, u32, FixedState>,
}

impl Kinds {
    /// The number of `class`'s kind, with one operation more.
    fn add(&mut self, class: Class) -> u32 {
        // There are no more kinds than classes, whose numbers have as many bits.
        let next = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        let number = *self.number.entry(class).or_insert(next);
        if number == next {
            self.all.push(Kind {
                class,
                first_slot: 0,
                count: 0,
            });
        }
        self.all[number as usize].count += 1;
        number
    }

    fn finish(mut self) -> (Vec<Kind>, usize) {
        let mut slots = 0;
        for kind in &mut self.all {
            kind.first_slot = slots;
            slots += kind.count;
        }
        (self.all, slots)
    }
}

/// The smallest free slot for each certain operation while it is open.
fn assign_slots(events: &[Event], operations: usize) -> (Vec<u32>, usize) {
    let mut slot = vec![0; operations];
    let mut free = std::collections::BinaryHeap::new();
    let mut slots = 0;
    for event in events {
        match event {
            Event::Call(index) => {
                let std::cmp::Reverse(next) = free.pop().unwrap_or_else(|| {
                    slots += 1;
                    std::cmp::Reverse(slots - 1)
                });
                slot[*index as usize] = next;
            }
            Event::Return(index) => free.push(std::cmp::Reverse(slot[*index as usize])),
            Event::CallUnknown(_) => {}
        }
    }
    (slot, slots as usize)
}
