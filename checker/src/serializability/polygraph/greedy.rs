//! A serial database that never overwrites what is still to be read.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::Problem;
use crate::serializability::graph::index;

/// For each node its entries' places in a list.
fn by_transaction(nodes: usize, owners: impl Iterator<Item = u32>) -> Vec<Vec<u32>> {
    let mut places = vec![Vec::new(); nodes];
    for (place, owner) in owners.enumerate() {
        places[owner as usize].push(index(place));
    }
    places
}

/// An order in which each transaction can run, if the obvious way finds one.
pub(in crate::serializability) fn greedy(problem: &Problem<'_>) -> Option<Vec<u32>> {
    let mut run = Run::new(problem);
    let mut patience = 64 * u64::from(problem.graph.nodes()) + 1_000_000;
    while let Some(Reverse((.., node))) = run.ready.pop() {
        patience = patience.checked_sub(1)?;
        if let Some(key) = run.blocking_key(node) {
            run.waiting[key as usize].push(node);
        } else {
            run.execute(node);
        }
    }
    (run.order.len() == problem.graph.nodes() as usize).then_some(run.order)
}

/// A serial database at work.
struct Run<'a> {
    problem: &'a Problem<'a>,
    reads: Vec<Vec<u32>>,
    choices: Vec<Vec<u32>>,
    degrees: Vec<u32>,
    /// Those that only read come first: they are in nobody's way.
    ready: BinaryHeap<Reverse<(bool, u64, u32)>>,
    /// What each key holds, how many are still to read each state, and who waits for a key.
    current: Vec<u32>,
    readers: Vec<u32>,
    waiting: Vec<Vec<u32>>,
    order: Vec<u32>,
}

impl<'a> Run<'a> {
    fn new(problem: &'a Problem<'a>) -> Self {
        let nodes = problem.graph.nodes() as usize;
        let mut readers = vec![0; problem.slots.len()];
        for read in problem.reads {
            readers[read.slot as usize] += 1;
        }
        let mut run = Self {
            problem,
            reads: by_transaction(nodes, problem.reads.iter().map(|read| read.transaction)),
            choices: by_transaction(nodes, problem.choices.iter().map(|one| one.transaction)),
            degrees: problem.graph.indegrees(),
            ready: BinaryHeap::new(),
            current: (0..problem.slots.keys()).collect(),
            readers,
            waiting: vec![Vec::new(); problem.slots.keys() as usize],
            order: Vec::new(),
        };
        for node in 0..problem.graph.nodes() {
            if run.degrees[node as usize] == 0 {
                run.make_ready(node);
            }
        }
        run
    }

    fn writes(&self, node: u32) -> &'a [(u32, u32)] {
        self.problem
            .writes
            .get(node as usize)
            .map_or(&[], Vec::as_slice)
    }

    fn make_ready(&mut self, node: u32) {
        let priority = self.problem.priorities.get(node as usize).copied();
        let writes = !self.writes(node).is_empty();
        self.ready
            .push(Reverse((writes, priority.unwrap_or(0), node)));
    }

    /// A key that a transaction would overwrite too early, or read at the wrong time.
    fn blocking_key(&self, node: u32) -> Option<u32> {
        let overwritten = self.writes(node).iter().find(|&&(key, _)| {
            let current = self.current[key as usize];
            let own = self.reads[node as usize]
                .iter()
                .filter(|&&read| self.problem.reads[read as usize].slot == current);
            self.readers[current as usize] as usize > own.count()
        });
        let unread = || {
            let choices = self.choices[node as usize].iter();
            choices
                .map(|&one| &self.problem.choices[one as usize])
                .find(|choice| !choice.slots.contains(&self.current[choice.key as usize]))
        };
        overwritten
            .map(|&(key, _)| key)
            .or_else(|| unread().map(|choice| choice.key))
    }

    fn execute(&mut self, node: u32) {
        self.order.push(node);
        for place in 0..self.reads[node as usize].len() {
            let read = self.problem.reads[self.reads[node as usize][place] as usize];
            self.readers[read.slot as usize] -= 1;
            if self.readers[read.slot as usize] == 0 {
                self.wake(read.key);
            }
        }
        for &(key, slot) in self.writes(node) {
            self.current[key as usize] = slot;
            self.wake(key);
        }
        for &(to, _) in self.problem.graph.edges(node) {
            self.degrees[to as usize] -= 1;
            if self.degrees[to as usize] == 0 {
                self.make_ready(to);
            }
        }
    }

    fn wake(&mut self, key: u32) {
        for node in std::mem::take(&mut self.waiting[key as usize]) {
            self.make_ready(node);
        }
    }
}
