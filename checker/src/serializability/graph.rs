//! Dependency graphs in flat arrays, their topological orders and strongly connected components.
//!
//! Nodes are numbers: first the transactions, then auxiliary nodes that stand for many edges at
//! once (all into an auxiliary node mean: before everything that comes out of it). No recursion:
//! graphs have millions of nodes.

/// Why an edge is there. Also a set's bit in [`Kinds`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Ww,
    Wr,
    Rw,
    Process,
    RealTime,
    /// Out of an auxiliary node: continues the edge that led into it.
    Link,
}

impl Kind {
    pub(super) const ALL: [Self; 6] = [
        Self::Ww,
        Self::Wr,
        Self::Rw,
        Self::Process,
        Self::RealTime,
        Self::Link,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ww => "ww",
            Self::Wr => "wr",
            Self::Rw => "rw",
            Self::Process => "process",
            Self::RealTime | Self::Link => "realtime",
        }
    }
}

/// A set of kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kinds(u8);

impl Kinds {
    pub(super) fn of(kinds: &[Kind]) -> Self {
        Self(kinds.iter().fold(0, |set, &kind| set | 1 << kind as u8))
    }

    pub(super) fn has(self, kind: Kind) -> bool {
        self.0 & 1 << kind as u8 != 0
    }
}

/// Kind and key of an edge in four bytes, and whether it is the outcome of a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Label(u32);

impl Label {
    const INFERRED: u32 = 1 << 3;

    pub(super) fn new(kind: Kind, key: u32) -> Self {
        Self(kind as u32 | key << 4)
    }

    pub(super) fn inferred(self) -> Self {
        Self(self.0 | Self::INFERRED)
    }

    pub(super) fn is_inferred(self) -> bool {
        self.0 & Self::INFERRED != 0
    }

    pub(super) fn kind(self) -> Kind {
        Kind::ALL[(self.0 & 7) as usize]
    }

    pub(super) fn key(self) -> u32 {
        self.0 >> 4
    }
}

/// An edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Arc {
    pub(super) from: u32,
    pub(super) to: u32,
    pub(super) label: Label,
}

/// A graph under construction.
#[derive(Debug, Clone)]
pub(super) struct Builder {
    transactions: u32,
    nodes: u32,
    pub(super) arcs: Vec<Arc>,
}

impl Builder {
    /// With so many transactions as nodes 0, 1, ….
    pub(super) fn new(transactions: usize) -> Self {
        let transactions = index(transactions);
        Self {
            transactions,
            nodes: transactions,
            arcs: Vec::new(),
        }
    }

    /// A new auxiliary node.
    pub(super) fn auxiliary(&mut self) -> u32 {
        self.nodes += 1;
        self.nodes - 1
    }

    /// Adds an edge, unless it leads from a transaction to itself.
    pub(super) fn add(&mut self, from: u32, to: u32, kind: Kind, key: u32) {
        if from != to {
            let label = Label::new(kind, key);
            self.arcs.push(Arc { from, to, label });
        }
    }

    /// Adds edges from every source to every target, through an auxiliary node if that is less.
    /// No transaction is both.
    pub(super) fn join(&mut self, sources: &[(u32, Kind)], targets: &[u32], key: u32) {
        if sources.len() <= 1 || targets.len() <= 1 {
            for &(from, kind) in sources {
                for &to in targets {
                    self.add(from, to, kind, key);
                }
            }
            return;
        }
        let middle = self.auxiliary();
        for &(from, kind) in sources {
            self.add(from, middle, kind, key);
        }
        for &to in targets {
            self.add(middle, to, Kind::Link, key);
        }
    }

    pub(super) fn build(&self) -> Graph {
        Graph::new(self.transactions, self.nodes, &self.arcs)
    }
}

/// A graph: the edges of node `n` are those from `offsets[n]` up to `offsets[n + 1]`.
#[derive(Debug, Clone)]
pub(super) struct Graph {
    /// Nodes below are transactions, others auxiliary.
    pub(super) transactions: u32,
    offsets: Vec<u32>,
    edges: Vec<(u32, Label)>,
}

impl Graph {
    pub(super) fn new(transactions: u32, nodes: u32, arcs: &[Arc]) -> Self {
        let mut offsets = vec![0_u32; nodes as usize + 1];
        for arc in arcs {
            offsets[arc.from as usize + 1] += 1;
        }
        for node in 0..nodes as usize {
            offsets[node + 1] += offsets[node];
        }
        let mut next = offsets.clone();
        let mut edges = vec![(0, Label(0)); arcs.len()];
        for arc in arcs {
            let place = &mut next[arc.from as usize];
            edges[*place as usize] = (arc.to, arc.label);
            *place += 1;
        }
        Self {
            transactions,
            offsets,
            edges,
        }
    }

    pub(super) fn nodes(&self) -> u32 {
        index(self.offsets.len() - 1)
    }

    pub(super) fn is_transaction(&self, node: u32) -> bool {
        node < self.transactions
    }

    pub(super) fn range(&self, node: u32) -> std::ops::Range<u32> {
        self.offsets[node as usize]..self.offsets[node as usize + 1]
    }

    pub(super) fn edge(&self, edge: u32) -> (u32, Label) {
        self.edges[edge as usize]
    }

    pub(super) fn edges(&self, node: u32) -> &[(u32, Label)] {
        let range = self.range(node);
        &self.edges[range.start as usize..range.end as usize]
    }

    /// How many edges lead into each node.
    pub(super) fn indegrees(&self) -> Vec<u32> {
        let mut degrees = vec![0_u32; self.nodes() as usize];
        for &(to, _) in &self.edges {
            degrees[to as usize] += 1;
        }
        degrees
    }

    /// All nodes, each before those that its edges lead to (Kahn 1962); `None` if there is a cycle.
    pub(super) fn topological(&self) -> Option<Vec<u32>> {
        let mut degrees = self.indegrees();
        let mut order: Vec<u32> = (0..self.nodes())
            .filter(|&node| degrees[node as usize] == 0)
            .collect();
        let mut done = 0;
        while let Some(&node) = order.get(done) {
            done += 1;
            for &(to, _) in self.edges(node) {
                degrees[to as usize] -= 1;
                if degrees[to as usize] == 0 {
                    order.push(to);
                }
            }
        }
        (order.len() == degrees.len()).then_some(order)
    }

    /// The strongly connected components with more than one node (Tarjan 1972), of the nodes
    /// that are alive and the edges of some kinds.
    pub(super) fn components(&self, kinds: Kinds, alive: &[bool]) -> Vec<Vec<u32>> {
        const NEW: u32 = u32::MAX;
        let nodes = self.nodes() as usize;
        let mut found = Vec::new();
        let mut low = vec![NEW; nodes];
        let mut on_stack = vec![false; nodes];
        let mut stack = Vec::new();
        let mut calls: Vec<(u32, u32, u32)> = Vec::new();
        let mut count = 0;
        for root in 0..self.nodes() {
            if !alive[root as usize] || low[root as usize] != NEW {
                continue;
            }
            calls.push((root, self.range(root).start, count));
            while let Some((node, edge, number)) = calls.last_mut() {
                let at = *node as usize;
                if low[at] == NEW {
                    low[at] = *number;
                    count += 1;
                    stack.push(*node);
                    on_stack[at] = true;
                }
                if *edge < self.range(*node).end {
                    let (to, label) = self.edge(*edge);
                    *edge += 1;
                    if !kinds.has(label.kind()) || !alive[to as usize] {
                        continue;
                    }
                    if low[to as usize] == NEW {
                        calls.push((to, self.range(to).start, count));
                    } else if on_stack[to as usize] {
                        low[at] = low[at].min(low[to as usize]);
                    }
                    continue;
                }
                let (node, number) = (*node, *number);
                calls.pop();
                if let Some(&(parent, _, _)) = calls.last() {
                    low[parent as usize] = low[parent as usize].min(low[node as usize]);
                }
                if low[node as usize] == number {
                    let first = stack.iter().rposition(|&other| other == node).unwrap_or(0);
                    for &member in &stack[first..] {
                        on_stack[member as usize] = false;
                    }
                    if stack.len() - first > 1 {
                        found.push(stack[first..].to_vec());
                    }
                    stack.truncate(first);
                }
            }
        }
        found
    }
}

/// A place in an array as the graph stores it.
///
/// # Panics
///
/// At 4 billion, which no history reaches in memory.
pub(super) fn index(place: usize) -> u32 {
    u32::try_from(place).expect("fewer than 4 billion nodes")
}
