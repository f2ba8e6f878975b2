//! The search for an order of writes that no version tells: a polygraph (Papadimitriou 1979), as
//! in Cobra (Tan et al., OSDI 2020).
//!
//! First `greedy` runs the transactions like a serial database that never overwrites what is
//! still to be read; that finds a witness for most legal histories in near-linear time. Then
//! [`solve`] takes each pair of writes of a key as a choice of two orders, and each uncertain read
//! as a choice of what it read, keeps the transitive closure of what is decided, and settles choices
//! of which one alternative is left until nothing changes; then it tries alternatives, and goes
//! back. It is complete, and exponential in the worst case.

mod closure;
mod greedy;

use std::cmp::Reverse;
use std::time::Instant;

use closure::Closure;
pub(super) use greedy::greedy;

use super::Options;
use super::graph::{Arc, Graph, Kind, Label, index};
use super::registers::{Choice, NONE, Read, Slots};

/// Choices beyond which the search is not begun.
const CHOICES_MAX: usize = 8_000_000;

/// What is to be ordered.
pub(super) struct Problem<'a> {
    /// What is known, without cycles.
    pub(super) graph: &'a Graph,
    /// Of each transaction: the lower, the earlier it is tried.
    pub(super) priorities: &'a [u64],
    pub(super) slots: &'a Slots,
    /// Those of a transaction stand together.
    pub(super) reads: &'a [Read],
    pub(super) choices: &'a [Choice],
    /// The states that each transaction left, by key.
    pub(super) writes: Vec<Vec<(u32, u32)>>,
}

/// What the search came to.
#[derive(Debug)]
pub(super) enum Answer {
    /// All nodes in an order that obeys every choice.
    Order(Vec<u32>),
    /// Edges that are inferred, which close a cycle.
    Cycle(Vec<Arc>),
    /// There is no order; transactions whose order was tried.
    NoOrder(Vec<u32>),
    /// A bound was reached.
    Bound(String),
}

/// Something to be decided.
#[derive(Debug, Clone, Copy)]
enum Open {
    /// Which of two states of a key came first.
    Pair { key: u32, one: u32, two: u32 },
    /// What an uncertain read read.
    Source(u32),
}

/// What became of settling all that can be settled.
enum Settled {
    All,
    Stuck,
    /// No alternative of this one is left.
    Conflict(usize),
    OutOfTime,
}

/// Where the search can go back to.
struct Branch {
    open: usize,
    alternative: usize,
    undo: usize,
    decided: usize,
}

struct Solver<'a> {
    problem: &'a Problem<'a>,
    readers: Vec<Vec<u32>>,
    open: Vec<Open>,
    is_decided: Vec<bool>,
    /// In the order of the decisions.
    decided: Vec<usize>,
    closure: Closure,
    rank: Vec<u32>,
    /// Edges added before the first branch.
    inferred: Vec<Arc>,
    steps: u64,
    deadline: Option<Instant>,
    undo_max: usize,
}

/// Searches for an order of the writes.
pub(super) fn solve(problem: &Problem<'_>, options: &Options) -> Answer {
    let bytes = (problem.graph.nodes() as usize).div_ceil(64) * 8 * problem.graph.nodes() as usize;
    if bytes > options.memory_limit {
        return Answer::Bound(format!(
            "the order of the writes is not recorded, and a search for it would take {bytes} bytes"
        ));
    }
    let Some(open) = open_choices(problem) else {
        return Answer::Bound(format!(
            "the order of more than {CHOICES_MAX} pairs of writes is open"
        ));
    };
    let Some(topological) = problem.graph.topological() else {
        return Answer::Cycle(Vec::new());
    };
    let mut rank = vec![0; problem.graph.nodes() as usize];
    for (place, &node) in topological.iter().enumerate() {
        rank[node as usize] = index(place);
    }
    let mut readers = vec![Vec::new(); problem.slots.len()];
    for read in problem.reads {
        readers[read.slot as usize].push(read.transaction);
    }
    let solver = Solver {
        problem,
        readers,
        is_decided: vec![false; open.len()],
        open,
        decided: Vec::new(),
        closure: Closure::new(problem.graph, &topological),
        rank,
        inferred: Vec::new(),
        steps: 0,
        // The limit is on real time: an answer that comes too late is of no use.
        deadline: options.time_limit.map(|limit| Instant::now() + limit),
        undo_max: options.memory_limit.saturating_sub(bytes)
            / (bytes / problem.graph.nodes().max(1) as usize + 32),
    };
    solver.search()
}

/// All that is to be decided, pairs first; `None` if it is too much.
fn open_choices(problem: &Problem<'_>) -> Option<Vec<Open>> {
    let mut open = Vec::new();
    for key in 0..problem.slots.keys() {
        for two in problem.slots.unplaced(key) {
            for one in problem.slots.of(key).start..two {
                open.push(Open::Pair { key, one, two });
            }
            if open.len() > CHOICES_MAX {
                return None;
            }
        }
    }
    let certain = problem.choices.iter().enumerate().filter(|(_, choice)| {
        // What may have been read from a transaction that otherwise never happened says nothing.
        !choice.slots.contains(&NONE)
    });
    open.extend(certain.map(|(choice, _)| Open::Source(index(choice))));
    Some(open)
}

impl Solver<'_> {
    fn search(mut self) -> Answer {
        let mut branches: Vec<Branch> = Vec::new();
        let mut tried = Vec::new();
        loop {
            match self.settle() {
                Settled::All => return Answer::Order(self.order()),
                Settled::OutOfTime => {
                    let reason = "no order of the writes was found or excluded in time";
                    return Answer::Bound(reason.to_owned());
                }
                Settled::Stuck => {
                    let open = self.first_open();
                    tried.push(open);
                    branches.push(Branch {
                        open,
                        alternative: 0,
                        undo: self.closure.undo.len(),
                        decided: self.decided.len(),
                    });
                    self.closure.keeps_undo = true;
                }
                Settled::Conflict(open) if branches.is_empty() => {
                    let mut inferred = std::mem::take(&mut self.inferred);
                    inferred.extend(self.edges(open, 0));
                    return Answer::Cycle(inferred);
                }
                Settled::Conflict(_) => {}
            }
            if self.closure.undo.len() > self.undo_max {
                return Answer::Bound(
                    "the search for an order of the writes needs more memory".to_owned(),
                );
            }
            if !self.next_alternative(&mut branches) {
                return Answer::NoOrder(self.transactions_of(&tried));
            }
        }
    }

    /// Takes the next alternative of the last branch that has one; `false` if none has.
    fn next_alternative(&mut self, branches: &mut Vec<Branch>) -> bool {
        while let Some(branch) = branches.last_mut() {
            self.closure.undo_to(branch.undo);
            for open in self.decided.drain(branch.decided..) {
                self.is_decided[open] = false;
            }
            let (open, alternative) = (branch.open, branch.alternative);
            branch.alternative += 1;
            if alternative >= self.alternatives(open) {
                branches.pop();
                continue;
            }
            if self.take(open, self.preferred(open, alternative)) {
                return true;
            }
        }
        false
    }

    /// The alternatives of a pair in the order in which its writers stand already.
    fn preferred(&self, open: usize, alternative: usize) -> usize {
        match self.open[open] {
            Open::Pair { one, two, .. } => {
                let rank = |slot| {
                    self.problem
                        .slots
                        .writer(slot)
                        .map(|node| self.rank[node as usize])
                };
                if rank(one) <= rank(two) {
                    alternative
                } else {
                    1 - alternative
                }
            }
            Open::Source(_) => alternative,
        }
    }

    fn first_open(&self) -> usize {
        self.is_decided
            .iter()
            .position(|decided| !decided)
            .unwrap_or(0)
    }

    fn alternatives(&self, open: usize) -> usize {
        match self.open[open] {
            Open::Pair { .. } => 2,
            Open::Source(choice) => self.problem.choices[choice as usize].slots.len(),
        }
    }

    /// The edges of an alternative.
    fn edges(&self, open: usize, alternative: usize) -> Vec<Arc> {
        let mut arcs = Vec::new();
        let slots = self.problem.slots;
        match self.open[open] {
            Open::Pair { key, one, two } => {
                let (first, second) = if alternative == 0 {
                    (one, two)
                } else {
                    (two, one)
                };
                let (Some(from), Some(to)) = (slots.writer(first), slots.writer(second)) else {
                    return arcs;
                };
                arcs.push(arc(from, to, Kind::Ww, key));
                let readers = self.readers[first as usize]
                    .iter()
                    .filter(|&&reader| reader != to);
                arcs.extend(readers.map(|&reader| arc(reader, to, Kind::Rw, key)));
            }
            Open::Source(choice) => {
                let Choice {
                    transaction,
                    key,
                    ref slots,
                } = self.problem.choices[choice as usize];
                let source = slots[alternative];
                let writer = self.problem.slots.writer(source);
                arcs.extend(writer.map(|writer| arc(writer, transaction, Kind::Wr, key)));
                let later = self
                    .problem
                    .slots
                    .of(key)
                    .filter_map(|slot| self.problem.slots.writer(slot));
                let later = later.filter(|&other| {
                    other != transaction
                        && writer.is_none_or(|writer| self.closure.reaches(writer, other))
                });
                arcs.extend(later.map(|other| arc(transaction, other, Kind::Rw, key)));
            }
        }
        arcs
    }

    /// Whether an uncertain read must wait until the order of its key is known.
    fn waits(&self, open: usize, pairs_are_decided: bool) -> bool {
        match self.open[open] {
            Open::Pair { .. } => false,
            Open::Source(choice) => {
                let key = self.problem.choices[choice as usize].key;
                !pairs_are_decided && !self.problem.slots.unplaced(key).is_empty()
            }
        }
    }

    fn is_feasible(&self, arcs: &[Arc]) -> bool {
        arcs.iter()
            .all(|arc| arc.from != arc.to && !self.closure.reaches(arc.to, arc.from))
    }

    /// Decides for an alternative; `false` if that closes a cycle.
    fn take(&mut self, open: usize, alternative: usize) -> bool {
        self.is_decided[open] = true;
        self.decided.push(open);
        let arcs = self.edges(open, alternative);
        let fits = arcs.iter().all(|arc| self.closure.add(arc.from, arc.to));
        if !self.closure.keeps_undo {
            self.inferred.extend(arcs);
        }
        fits
    }

    /// Decides what has one alternative left, until there is nothing of the kind.
    fn settle(&mut self) -> Settled {
        loop {
            let mut changed = false;
            let mut left = false;
            let pairs = |open: &Open| matches!(open, Open::Pair { .. });
            let undecided_pairs = self.open.iter().zip(&self.is_decided);
            let mut pairs_are_decided = !undecided_pairs
                .clone()
                .any(|(open, &decided)| pairs(open) && !decided);
            for open in 0..self.open.len() {
                if self.is_decided[open] {
                    continue;
                }
                self.steps += 1;
                if self.steps.is_multiple_of(256)
                    && self.deadline.is_some_and(|at| Instant::now() > at)
                {
                    return Settled::OutOfTime;
                }
                if self.waits(open, pairs_are_decided) {
                    left = true;
                    continue;
                }
                let mut feasible = (0..self.alternatives(open))
                    .filter(|&alternative| self.is_feasible(&self.edges(open, alternative)));
                match (feasible.next(), feasible.next()) {
                    (None, _) => return Settled::Conflict(open),
                    (Some(only), None) => {
                        if !self.take(open, only) {
                            return Settled::Conflict(open);
                        }
                        changed = true;
                    }
                    (Some(_), Some(_)) => {
                        left = true;
                        pairs_are_decided &= !pairs(&self.open[open]);
                    }
                }
            }
            match (left, changed) {
                (false, _) => return Settled::All,
                (true, false) => {
                    return self.hopeless().map_or(Settled::Stuck, Settled::Conflict);
                }
                (true, true) => {}
            }
        }
    }

    /// An uncertain read that no order of what is still open can explain: whatever is decided yet, no
    /// source becomes possible by it. Were it found only when the order of its key is known, every
    /// order of the other pairs would be tried before.
    fn hopeless(&self) -> Option<usize> {
        (0..self.open.len()).find(|&open| {
            !self.is_decided[open]
                && !(0..self.alternatives(open))
                    .any(|alternative| self.is_feasible(&self.edges(open, alternative)))
        })
    }

    /// All nodes in the order of the closure.
    fn order(&self) -> Vec<u32> {
        let words = self.closure.words;
        let count = |node: u32| -> u32 {
            let start = node as usize * words;
            self.closure.bits[start..start + words]
                .iter()
                .map(|word| word.count_ones())
                .sum()
        };
        // Who reaches more comes first: a node reaches all that its successors reach, and these.
        let mut order: Vec<u32> = (0..self.problem.graph.nodes()).collect();
        order.sort_by_cached_key(|&node| Reverse(count(node)));
        order
    }

    /// Whose order was tried, without repetition, at most a handful.
    fn transactions_of(&self, tried: &[usize]) -> Vec<u32> {
        let mut found = Vec::new();
        for &open in tried {
            let slots = match self.open[open] {
                Open::Pair { one, two, .. } => vec![one, two],
                Open::Source(choice) => self.problem.choices[choice as usize].slots.clone(),
            };
            for writer in slots
                .into_iter()
                .filter_map(|slot| self.problem.slots.writer(slot))
            {
                if !found.contains(&writer) && found.len() < 12 {
                    found.push(writer);
                }
            }
        }
        found
    }
}

fn arc(from: u32, to: u32, kind: Kind, key: u32) -> Arc {
    let label = Label::new(kind, key).inferred();
    Arc { from, to, label }
}
