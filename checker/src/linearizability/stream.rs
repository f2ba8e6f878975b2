//! Judging while recording: [`Stream`].
//!
//! The same just-in-time search as for recorded histories, breadth first: after each return all
//! configurations that are still possible are kept, and nothing else. So memory is bounded by what
//! is open at the same time (and by the objects' states), not by the length of the history. An
//! operation that is open holds back what was called after it, since its answer is needed to go
//! on: clients with time-outs keep this short.
//!
//! The price: an illegal history is told with the operation that cannot be placed and those that
//! were open beside it; what came before is forgotten. Unknown operations stay open for ever, as
//! in every search. Tests: `tests/linearizability/stream.rs` compares it with
//! [`check`](super::check).

use std::collections::{HashMap, VecDeque, hash_map};

use foldhash::fast::FixedState;

use super::{
    evidence::ANOMALY,
    mask::Mask,
    model::{Model, Operation},
};
use crate::{
    evidence::{Evidence, Shown, Verdict},
    history::OperationId,
};

/// Words of 64 slots: operations that are open at the same time at one part.
const WORDS: usize = 4;

/// Different unknown operations of one part.
const KINDS_MAX: usize = 256;

/// Configurations of one part.
const CONFIGURATIONS_MAX: usize = 1 << 16;

/// Calls and returns that wait for an earlier operation's answer.
const WAITING_MAX: usize = 1 << 20;

/// A judge of a history that has not ended. Calls and returns are told in their order.
pub struct Stream<'m, M: Model> {
    model: &'m M,
    parts: HashMap<M::Part, Part<M>, FixedState>,
    waiting: VecDeque<Event>,
    answers: HashMap<OperationId, Answer<M::Op>, FixedState>,
    /// As soon as there is one, it stays.
    verdict: Option<Verdict>,
}

enum Event {
    Call(OperationId),
    Return(OperationId),
}

/// What is known of an operation that was called.
enum Answer<O> {
    None,
    Ok(O),
    Failed,
    Unknown(O),
}

impl<'m, M: Model> Stream<'m, M> {
    /// A judge of histories that begin with the model's initial states.
    pub fn new(model: &'m M) -> Self {
        Self {
            model,
            parts: HashMap::default(),
            waiting: VecDeque::new(),
            answers: HashMap::default(),
            verdict: None,
        }
    }

    /// The verdict on a recorded history, told event by event. That an operation is unknown is told
    /// at the very end.
    pub fn judge(model: &'m M, history: &[Operation<M::Op>]) -> Verdict {
        let calls = history
            .iter()
            .map(|operation| (operation.interval.call, operation, false));
        let known = history.iter().filter(|operation| !operation.unknown);
        let returns = known.map(|operation| (operation.interval.ret, operation, true));
        let mut events: Vec<_> = calls.chain(returns).collect();
        events.sort_by_key(|(tick, ..)| *tick);
        let mut stream = Self::new(model);
        for (_, operation, is_return) in events {
            if is_return {
                stream.ok(operation.id, operation.op.clone());
            } else {
                stream.call(operation.id);
            }
        }
        for operation in history.iter().filter(|operation| operation.unknown) {
            stream.unknown(operation.id, operation.op.clone());
        }
        stream.finish()
    }

    /// An operation is called.
    pub fn call(&mut self, id: OperationId) {
        self.answers.insert(id, Answer::None);
        self.push(Event::Call(id));
    }

    /// It took effect, with this answer, and returns.
    pub fn ok(&mut self, id: OperationId, op: M::Op) {
        self.answers.insert(id, Answer::Ok(op));
        self.push(Event::Return(id));
    }

    /// It certainly did not take effect.
    pub fn failed(&mut self, id: OperationId) {
        self.answers.insert(id, Answer::Failed);
        self.go_on();
    }

    /// It may have taken effect, or may yet, or never.
    pub fn unknown(&mut self, id: OperationId, op: M::Op) {
        self.answers.insert(id, Answer::Unknown(op));
        self.go_on();
    }

    /// The verdict, if it does not depend on what comes any more.
    pub fn verdict(&self) -> Option<&Verdict> {
        self.verdict.as_ref()
    }

    /// How many operations and events it remembers: those that are open, those that wait for them,
    /// and the unknown ones, equal ones together.
    pub fn held(&self) -> usize {
        let parts = self
            .parts
            .values()
            .map(|part| part.open.iter().flatten().count() + part.kinds.len());
        self.waiting.len() + self.answers.len() + parts.sum::<usize>()
    }

    /// The verdict on everything that was told. What never returned must have been told as
    /// [`Stream::unknown`]; else it is [`Verdict::Unknown`].
    pub fn finish(self) -> Verdict {
        let is_open = |event: &Event| match event {
            Event::Call(id) | Event::Return(id) => Verdict::Unknown(format!("{id} never returned")),
        };
        let open = self.waiting.front().map(is_open);
        self.verdict.or(open).unwrap_or(Verdict::Ok)
    }

    fn push(&mut self, event: Event) {
        if self.verdict.is_none() {
            self.waiting.push_back(event);
            self.go_on();
            if self.waiting.len() > WAITING_MAX {
                self.give_up("too much waits for the answer of an operation that stays open");
            }
        }
    }

    /// Judges as far as answers are known.
    fn go_on(&mut self) {
        while let (None, Some(event)) = (&self.verdict, self.waiting.front()) {
            match event {
                Event::Call(id) => match self.answers.get(id) {
                    Some(Answer::None) | None => return,
                    Some(Answer::Failed) => _ = self.answers.remove(&id.clone()),
                    Some(Answer::Ok(op)) => {
                        let part = part(&mut self.parts, self.model, op);
                        if !part.call(self.model, *id, op.clone()) {
                            self.give_up("too many operations are open at the same time");
                        }
                    }
                    Some(Answer::Unknown(_)) => self.call_unknown(*id),
                },
                Event::Return(id) => self.complete(*id),
            }
            self.waiting.pop_front();
        }
        if self.verdict.is_some() {
            self.waiting.clear();
            self.answers.clear();
            self.parts.clear();
        }
    }

    fn call_unknown(&mut self, id: OperationId) {
        if let Some(Answer::Unknown(op)) = self.answers.remove(&id) {
            let part = part(&mut self.parts, self.model, &op);
            if !part.call_unknown(op) {
                self.give_up("there are too many different unknown operations");
            }
        }
    }

    fn complete(&mut self, id: OperationId) {
        let Some(Answer::Ok(op)) = self.answers.remove(&id) else {
            return;
        };
        match part(&mut self.parts, self.model, &op).complete(self.model, id) {
            Completion::Possible => {}
            Completion::Impossible(evidence) => {
                self.verdict = Some(Verdict::Illegal(vec![evidence]));
            }
            Completion::TooMany => self.give_up("too many orders are possible at the same time"),
        }
    }

    fn give_up(&mut self, reason: &str) {
        self.verdict
            .get_or_insert_with(|| Verdict::Unknown(reason.into()));
    }
}

fn part<'p, M: Model>(
    parts: &'p mut HashMap<M::Part, Part<M>, FixedState>,
    model: &M,
    op: &M::Op,
) -> &'p mut Part<M> {
    match parts.entry(model.part(op)) {
        hash_map::Entry::Occupied(entry) => entry.into_mut(),
        hash_map::Entry::Vacant(entry) => entry.insert(Part::new(model)),
    }
}

/// What may be the case with one part.
struct Part<M: Model> {
    /// By slot.
    open: Vec<Option<(OperationId, M::Op)>>,
    /// Different unknown operations, and how many of each were called.
    kinds: Vec<(M::Op, u32)>,
    configurations: Vec<Configuration<M::State>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Configuration<S> {
    state: S,
    /// Slots of open operations that have taken effect.
    linearized: Mask<WORDS>,
    /// How many unknown operations of each kind have; what is missing at the end is 0.
    used: Vec<u32>,
    /// The state before the last operation, if that is an unknown one that nobody has seen yet.
    unseen: Option<S>,
}

enum Completion {
    Possible,
    Impossible(Evidence),
    TooMany,
}

impl<M: Model> Part<M> {
    fn new(model: &M) -> Self {
        let start = Configuration {
            state: model.initial(),
            linearized: Mask::EMPTY,
            used: Vec::new(),
            unseen: None,
        };
        Self {
            open: Vec::new(),
            kinds: Vec::new(),
            configurations: vec![start],
        }
    }

    /// False if there is no slot left.
    fn call(&mut self, model: &M, id: OperationId, op: M::Op) -> bool {
        let free = self.open.iter().position(Option::is_none);
        let slot = free.unwrap_or(self.open.len());
        if slot == Mask::<WORDS>::BITS {
            return false;
        }
        for configuration in &mut self.configurations {
            if may_read(model, &configuration.state, &op) {
                configuration.linearized.insert(slot);
            }
        }
        match free {
            Some(slot) => self.open[slot] = Some((id, op)),
            None => self.open.push(Some((id, op))),
        }
        true
    }

    /// False if there is no room for another kind.
    fn call_unknown(&mut self, op: M::Op) -> bool {
        match self.kinds.iter_mut().find(|(known, _)| *known == op) {
            Some((_, called)) => *called += 1,
            None => self.kinds.push((op, 1)),
        }
        self.kinds.len() <= KINDS_MAX
    }

    /// Lets an open operation return.
    fn complete(&mut self, model: &M, id: OperationId) -> Completion {
        let is_it =
            |open: &Option<(OperationId, M::Op)>| matches!(open, Some((own, _)) if *own == id);
        let Some(slot) = self.open.iter().position(is_it) else {
            return Completion::Possible;
        };
        let mut reached = Reached {
            slot,
            done: Distinct::default(),
            before: Distinct::default(),
        };
        for configuration in std::mem::take(&mut self.configurations) {
            reached.add(configuration);
        }
        let mut next = 0;
        while let Some(configuration) = reached.before.all.get(next).cloned() {
            self.extend(model, &configuration, &mut reached);
            if reached.before.all.len() > CONFIGURATIONS_MAX {
                return Completion::TooMany;
            }
            next += 1;
        }
        let mut done = reached.done;
        if done.all.is_empty() {
            return Completion::Impossible(self.evidence(model, slot));
        }
        for configuration in &mut done.all {
            configuration.linearized.remove(slot);
        }
        self.configurations = done.all;
        self.open[slot] = None;
        Completion::Possible
    }

    /// Lets each operation come next that may.
    fn extend(&self, model: &M, from: &Configuration<M::State>, reached: &mut Reached<M::State>) {
        for slot in 0..self.open.len() {
            if let Some(after) = self.after(model, from, slot) {
                reached.add(after);
            }
        }
        for kind in 0..self.kinds.len() {
            if let Some(after) = self.after_unknown(model, from, kind) {
                reached.add(after);
            }
        }
    }

    fn after(
        &self,
        model: &M,
        from: &Configuration<M::State>,
        slot: usize,
    ) -> Option<Configuration<M::State>> {
        let (_, op) = self.open[slot]
            .as_ref()
            .filter(|_| !from.linearized.contains(slot))?;
        if self.is_out_of_turn(model, from, op) {
            return None;
        }
        let state = step(model, from, op)?;
        let mut after = Configuration {
            state,
            unseen: None,
            ..from.clone()
        };
        after.linearized.insert(slot);
        self.settle(model, &mut after);
        Some(after)
    }

    fn after_unknown(
        &self,
        model: &M,
        from: &Configuration<M::State>,
        kind: usize,
    ) -> Option<Configuration<M::State>> {
        let (op, called) = &self.kinds[kind];
        let mut used = from.used.clone();
        if used.len() <= kind {
            used.resize(kind + 1, 0);
        }
        used[kind] += 1;
        if used[kind] > *called {
            return None;
        }
        let state = step(model, from, op).filter(|state| *state != from.state)?;
        let mut after = Configuration {
            state,
            used,
            unseen: None,
            ..from.clone()
        };
        self.settle(model, &mut after);
        if after.linearized == from.linearized {
            after.unseen = Some(from.state.clone());
        }
        Some(after)
    }

    /// Lets all reads take effect that may.
    fn settle(&self, model: &M, configuration: &mut Configuration<M::State>) {
        for (slot, open) in self.open.iter().enumerate() {
            if let Some((_, op)) = open
                && may_read(model, &configuration.state, op)
            {
                configuration.linearized.insert(slot);
            }
        }
    }

    /// Whether an open operation of a lower rank has not taken effect yet.
    fn is_out_of_turn(&self, model: &M, from: &Configuration<M::State>, op: &M::Op) -> bool {
        let Some(rank) = model.rank(op) else {
            return false;
        };
        self.open.iter().enumerate().any(|(slot, open)| {
            let other = open.as_ref().filter(|_| !from.linearized.contains(slot));
            other
                .and_then(|(_, other)| model.rank(other))
                .is_some_and(|other| other < rank)
        })
    }

    fn evidence(&self, model: &M, stuck: usize) -> Evidence {
        let open = self.open.iter().enumerate();
        let mut operations: Vec<_> = open
            .filter_map(|(slot, open)| open.as_ref().map(|(id, op)| (slot, *id, op)))
            .map(|(slot, id, op)| Shown {
                id,
                text: model.describe(op),
                offending: slot == stuck,
            })
            .collect();
        operations.sort_by_key(|shown| shown.id);
        let offending = operations.iter().find(|shown| shown.offending);
        let what = offending.map_or_else(String::new, |o| format!("{} ({})", o.id, o.text));
        let beside = match operations.len() - 1 {
            0 => String::new(),
            open => format!(", nor beside the other {open} that were open"),
        };
        Evidence {
            anomaly: ANOMALY.into(),
            sentence: format!("{what} cannot be placed after what had returned before it{beside}."),
            operations,
            edges: Vec::new(),
        }
    }
}

/// The state after `op`, if it may come next and sees what has to be seen.
fn step<M: Model>(model: &M, from: &Configuration<M::State>, op: &M::Op) -> Option<M::State> {
    let state = model.step(&from.state, op)?;
    let sees = |before: &M::State| model.step(before, op).as_ref() != Some(&state);
    from.unseen.as_ref().is_none_or(sees).then_some(state)
}

fn may_read<M: Model>(model: &M, state: &M::State, op: &M::Op) -> bool {
    model.is_read(op) && model.step(state, op).as_ref() == Some(state)
}

/// Configurations at a return.
struct Reached<S> {
    /// The returning operation's.
    slot: usize,
    /// It has taken effect.
    done: Distinct<S>,
    /// It has not.
    before: Distinct<S>,
}

impl<S: Clone + Eq + std::hash::Hash> Reached<S> {
    fn add(&mut self, configuration: Configuration<S>) {
        if configuration.linearized.contains(self.slot) {
            self.done.add(configuration);
        } else {
            self.before.add(configuration);
        }
    }
}

/// Configurations of which none used a superset of another one's unknown operations.
struct Distinct<S> {
    all: Vec<Configuration<S>>,
    places: HashMap<(S, Mask<WORDS>, Option<S>), Vec<usize>, FixedState>,
}

impl<S> Default for Distinct<S> {
    fn default() -> Self {
        Self {
            all: Vec::new(),
            places: HashMap::default(),
        }
    }
}

impl<S: Clone + Eq + std::hash::Hash> Distinct<S> {
    fn add(&mut self, configuration: Configuration<S>) {
        let Configuration {
            state,
            linearized,
            unseen,
            used,
        } = &configuration;
        let places = self
            .places
            .entry((state.clone(), *linearized, unseen.clone()))
            .or_default();
        if !places
            .iter()
            .any(|place| uses_no_more(&self.all[*place].used, used))
        {
            places.push(self.all.len());
            self.all.push(configuration);
        }
    }
}

fn uses_no_more(one: &[u32], other: &[u32]) -> bool {
    let others = other.iter().copied().chain(std::iter::repeat(0));
    one.iter().zip(others).all(|(one, other)| *one <= other)
}
