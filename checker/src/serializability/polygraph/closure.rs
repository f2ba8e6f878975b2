//! Who comes before whom by what is decided.

use crate::serializability::graph::{Graph, index};

/// The transitive closure of a graph without cycles, one row of bits a node.
pub(super) struct Closure {
    pub(super) words: usize,
    pub(super) bits: Vec<u64>,
    /// Rows as they were before, to go back to.
    pub(super) undo: Vec<(u32, Box<[u64]>)>,
    pub(super) keeps_undo: bool,
}

impl Closure {
    pub(super) fn new(graph: &Graph, topological: &[u32]) -> Self {
        let words = (graph.nodes() as usize).div_ceil(64);
        let mut closure = Self {
            words,
            bits: vec![0; words * graph.nodes() as usize],
            undo: Vec::new(),
            keeps_undo: false,
        };
        for &node in topological.iter().rev() {
            for &(to, _) in graph.edges(node) {
                closure.merge(node, to);
            }
        }
        closure
    }

    pub(super) fn reaches(&self, from: u32, to: u32) -> bool {
        let word = self.bits[from as usize * self.words + to as usize / 64];
        word >> (to % 64) & 1 == 1
    }

    /// Lets a node reach another and all that this reaches.
    fn merge(&mut self, node: u32, other: u32) {
        let (node, other) = (node as usize * self.words, other as usize * self.words);
        if node < other {
            let (left, right) = self.bits.split_at_mut(other);
            unite(&mut left[node..node + self.words], &right[..self.words]);
        } else {
            let (left, right) = self.bits.split_at_mut(node);
            unite(&mut right[..self.words], &left[other..other + self.words]);
        }
        let bit = other / self.words;
        self.bits[node + bit / 64] |= 1 << (bit % 64);
    }

    /// Adds an edge; `false` if that would close a cycle.
    pub(super) fn add(&mut self, from: u32, to: u32) -> bool {
        if from == to || self.reaches(to, from) {
            return false;
        }
        if self.reaches(from, to) {
            return true;
        }
        for node in 0..index(self.bits.len() / self.words) {
            if (node == from || self.reaches(node, from)) && !self.reaches(node, to) {
                if self.keeps_undo {
                    let start = node as usize * self.words;
                    let row = self.bits[start..start + self.words].into();
                    self.undo.push((node, row));
                }
                self.merge(node, to);
            }
        }
        true
    }

    pub(super) fn undo_to(&mut self, mark: usize) {
        while self.undo.len() > mark {
            if let Some((node, row)) = self.undo.pop() {
                let start = node as usize * self.words;
                self.bits[start..start + self.words].copy_from_slice(&row);
            }
        }
    }
}

fn unite(row: &mut [u64], other: &[u64]) {
    for (word, other) in row.iter_mut().zip(other) {
        *word |= other;
    }
}
