//! The cycles of a dependency graph: the smallest of each kind, the most serious first, and their
//! names (Adya 1999; Kingsbury and Alvaro 2020).
//!
//! Cycles that are reported together have no transaction in common, so that a graph with one
//! defect gives one cycle, and one with many gives different ones.

use std::collections::VecDeque;

use super::graph::{Arc, Graph, Kind, Kinds, Label, index};

/// A cycle of transactions: each step leads to the next one's start, the last to the first's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cycle {
    /// Its anomaly.
    pub(super) name: String,
    /// At least two.
    pub(super) steps: Vec<Arc>,
}

/// Edges looked at in the search for the smallest cycle of one kind, beyond which the smallest
/// one so far does.
const EFFORT: u64 = 30_000_000;

/// What a cycle's dependencies are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dependencies {
    /// Writes alone: G0.
    Writes,
    /// Writes and at least one read of a write: G1c.
    Reads,
    /// Exactly one read of what is overwritten: G-single.
    OneAnti,
    /// Two and more: G2-item.
    ManyAnti,
}

/// What of the order demanded a cycle needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Demand {
    Nothing,
    Process,
    RealTime,
}

/// A kind of cycle.
#[derive(Debug, Clone, Copy)]
struct Spec {
    dependencies: Dependencies,
    demand: Demand,
}

impl Spec {
    /// All kinds, the most serious first.
    fn all() -> impl Iterator<Item = Self> {
        use Dependencies::{ManyAnti, OneAnti, Reads, Writes};
        [Writes, Reads, OneAnti, ManyAnti]
            .into_iter()
            .flat_map(|dependencies| {
                [Demand::Nothing, Demand::Process, Demand::RealTime].map(|demand| Self {
                    dependencies,
                    demand,
                })
            })
    }

    /// The kind of a cycle of these edges.
    fn of(steps: &[Arc]) -> Self {
        let count = |kind| steps.iter().filter(|arc| arc.label.kind() == kind).count();
        Self {
            dependencies: match (count(Kind::Rw), count(Kind::Wr)) {
                (0, 0) => Dependencies::Writes,
                (0, _) => Dependencies::Reads,
                (1, _) => Dependencies::OneAnti,
                _ => Dependencies::ManyAnti,
            },
            demand: match (count(Kind::RealTime), count(Kind::Process)) {
                (0, 0) => Demand::Nothing,
                (0, _) => Demand::Process,
                _ => Demand::RealTime,
            },
        }
    }

    fn name(self) -> String {
        let dependencies = match self.dependencies {
            Dependencies::Writes => "G0",
            Dependencies::Reads => "G1c",
            Dependencies::OneAnti => "G-single",
            Dependencies::ManyAnti => "G2-item",
        };
        let demand = match self.demand {
            Demand::Nothing => "",
            Demand::Process => "-process",
            Demand::RealTime => "-realtime",
        };
        format!("{dependencies}{demand}")
    }

    fn allowed(self) -> Kinds {
        let mut kinds = vec![Kind::Ww, Kind::Link];
        match self.dependencies {
            Dependencies::Writes => {}
            Dependencies::Reads => kinds.push(Kind::Wr),
            Dependencies::OneAnti | Dependencies::ManyAnti => kinds.extend([Kind::Wr, Kind::Rw]),
        }
        match self.demand {
            Demand::Nothing => {}
            Demand::Process => kinds.push(Kind::Process),
            Demand::RealTime => kinds.extend([Kind::Process, Kind::RealTime]),
        }
        Kinds::of(&kinds)
    }

    /// A kind of edge that every such cycle has.
    fn required(self) -> Kind {
        match (self.demand, self.dependencies) {
            (Demand::RealTime, _) => Kind::RealTime,
            (Demand::Process, _) => Kind::Process,
            (Demand::Nothing, Dependencies::Writes) => Kind::Ww,
            (Demand::Nothing, Dependencies::Reads) => Kind::Wr,
            (Demand::Nothing, Dependencies::OneAnti | Dependencies::ManyAnti) => Kind::Rw,
        }
    }

    /// Takes note of an edge on the way; `None` if the way can no longer become such a cycle.
    fn pass(self, seen: Seen, kind: Kind) -> Option<Seen> {
        let Seen(mut bits) = seen;
        match (kind, self.dependencies) {
            (Kind::Wr, Dependencies::Reads) => bits |= Seen::READ,
            (Kind::Rw, Dependencies::OneAnti) if bits & Seen::ANTI != 0 => return None,
            (Kind::Rw, _) if bits & Seen::ANTI != 0 => bits |= Seen::SECOND_ANTI,
            (Kind::Rw, _) => bits |= Seen::ANTI,
            _ => {}
        }
        match (kind, self.demand) {
            (Kind::Process, Demand::Process) | (Kind::RealTime, Demand::RealTime) => {
                bits |= Seen::DEMAND;
            }
            _ => {}
        }
        Some(Seen(bits))
    }

    /// Whether what was seen on the way round is all that the kind needs.
    fn is_met(self, seen: Seen) -> bool {
        let dependencies = match self.dependencies {
            Dependencies::Writes => 0,
            Dependencies::Reads => Seen::READ,
            Dependencies::OneAnti => Seen::ANTI,
            Dependencies::ManyAnti => Seen::ANTI | Seen::SECOND_ANTI,
        };
        let demand = if self.demand == Demand::Nothing {
            0
        } else {
            Seen::DEMAND
        };
        seen.0 & (dependencies | demand) == dependencies | demand
    }
}

/// What a way has passed, as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen(u32);

impl Seen {
    const READ: u32 = 1;
    const ANTI: u32 = 2;
    const SECOND_ANTI: u32 = 4;
    const DEMAND: u32 = 8;
    const STATES: u32 = 16;
}

/// At most `limit` cycles without common transactions, and without those that are `covered` by
/// other evidence. None only if there is no cycle but through covered transactions.
pub(super) fn find(graph: &Graph, covered: &[u32], limit: usize) -> Vec<Cycle> {
    let mut alive = vec![true; graph.nodes() as usize];
    for &node in covered {
        alive[node as usize] = false;
    }
    let all = Kinds::of(&Kind::ALL);
    let members = graph.components(all, &alive).concat();
    if members.is_empty() {
        return Vec::new();
    }
    let (part, names) = induced(graph, members);
    let mut alive = vec![true; part.nodes() as usize];
    let mut search = Search::new(&part);
    let mut cycles = Vec::new();
    for spec in Spec::all() {
        let kinds = spec.allowed();
        let mut effort = EFFORT;
        let mut components = part.components(kinds, &alive);
        while let Some(component) = components.pop() {
            if cycles.len() >= limit {
                break;
            }
            if let Some(steps) = search.smallest(spec, &component, &alive, &mut effort) {
                for step in &steps {
                    alive[step.from as usize] = false;
                }
                cycles.push(steps);
                // What is left of the component may hold another.
                components = part.components(kinds, &alive);
            }
        }
    }
    if cycles.is_empty() {
        cycles.extend(search.any(&alive));
    }
    cycles
        .into_iter()
        .map(|mut steps| {
            for step in &mut steps {
                step.from = names[step.from as usize];
                step.to = names[step.to as usize];
            }
            let name = Spec::of(&steps).name();
            Cycle { name, steps }
        })
        .collect()
}

/// The graph of some nodes alone, and which these are.
fn induced(graph: &Graph, mut members: Vec<u32>) -> (Graph, Vec<u32>) {
    members.sort_unstable();
    let transactions = members.partition_point(|&node| graph.is_transaction(node));
    let mut arcs = Vec::new();
    for (from, &node) in members.iter().enumerate() {
        for &(to, label) in graph.edges(node) {
            if let Ok(to) = members.binary_search(&to) {
                let (from, to) = (index(from), index(to));
                arcs.push(Arc { from, to, label });
            }
        }
    }
    let part = Graph::new(index(transactions), index(members.len()), &arcs);
    (part, members)
}

/// A breadth-first search over pairs of a node and what was seen on the way to it.
struct Search<'a> {
    graph: &'a Graph,
    /// The search in which a pair was last reached, and from which pair by which edge.
    reached: Vec<(u32, u32, Label)>,
    round_of: Vec<u32>,
    round: u32,
}

impl<'a> Search<'a> {
    fn new(graph: &'a Graph) -> Self {
        let pairs = (graph.nodes() * Seen::STATES) as usize;
        Self {
            graph,
            reached: vec![(0, 0, Label::new(Kind::Link, 0)); pairs],
            round_of: vec![0; pairs],
            round: 0,
        }
    }

    /// The smallest cycle of a kind within a component.
    fn smallest(
        &mut self,
        spec: Spec,
        component: &[u32],
        alive: &[bool],
        effort: &mut u64,
    ) -> Option<Vec<Arc>> {
        let mut inside = vec![false; alive.len()];
        for &node in component {
            inside[node as usize] = alive[node as usize];
        }
        let required = spec.required();
        let mut best: Option<Vec<Arc>> = None;
        for &start in component {
            let starts = |&(_, label): &(u32, Label)| label.kind() == required;
            if !self.graph.is_transaction(start) || !self.graph.edges(start).iter().any(starts) {
                continue;
            }
            let bound = best.as_ref().map_or(u32::MAX, |best| index(best.len()) - 1);
            if bound < 2 || *effort == 0 {
                break;
            }
            if let Some(steps) = self.from(start, spec, &inside, bound, effort) {
                best = Some(steps);
            }
        }
        best
    }

    /// The shortest way of a kind from a transaction back to it, of at most `bound` steps;
    /// `None` as well if this passes a transaction twice: then it is made of smaller cycles.
    fn from(
        &mut self,
        start: u32,
        spec: Spec,
        inside: &[bool],
        bound: u32,
        effort: &mut u64,
    ) -> Option<Vec<Arc>> {
        self.round += 1;
        let kinds = spec.allowed();
        // It costs one to enter a transaction and nothing to enter an auxiliary node. So all edges
        // into a node cost the same, and the first to reach it is the cheapest.
        let mut queue = VecDeque::from([(start, Seen(0), 0)]);
        while let Some((node, seen, length)) = queue.pop_front() {
            for &(to, label) in self.graph.edges(node) {
                *effort = effort.saturating_sub(1);
                let kind = label.kind();
                if !kinds.has(kind) || !inside[to as usize] {
                    continue;
                }
                let length = length + u32::from(self.graph.is_transaction(to));
                let Some(passed) = spec.pass(seen, kind).filter(|_| length <= bound) else {
                    continue;
                };
                let pair = (to * Seen::STATES + passed.0) as usize;
                if self.round_of[pair] == self.round {
                    continue;
                }
                self.round_of[pair] = self.round;
                self.reached[pair] = (node, seen.0, label);
                if to == start {
                    if spec.is_met(passed) {
                        return self.way(start, passed);
                    }
                    continue;
                }
                if self.graph.is_transaction(to) {
                    queue.push_back((to, passed, length));
                } else {
                    queue.push_front((to, passed, length));
                }
            }
        }
        None
    }

    /// The steps between transactions of the way that came back to the start.
    fn way(&self, start: u32, seen: Seen) -> Option<Vec<Arc>> {
        let mut steps: Vec<Arc> = Vec::new();
        let (mut node, mut bits, mut to) = (start, seen.0, start);
        loop {
            let (from, before, label) = self.reached[(node * Seen::STATES + bits) as usize];
            if label.kind() != Kind::Link {
                steps.push(Arc { from, to, label });
            }
            (node, bits) = (from, before);
            if self.graph.is_transaction(node) {
                to = node;
            }
            if node == start {
                break;
            }
        }
        steps.reverse();
        let mut nodes: Vec<u32> = steps.iter().map(|step| step.from).collect();
        nodes.sort_unstable();
        nodes.dedup();
        (nodes.len() == steps.len()).then_some(steps)
    }

    /// A shortest cycle through some transaction of the first component, whatever its kind.
    fn any(&mut self, alive: &[bool]) -> Option<Vec<Arc>> {
        let components = self.graph.components(Kinds::of(&Kind::ALL), alive);
        let component = components.first()?;
        let start = *component
            .iter()
            .find(|&&node| self.graph.is_transaction(node))?;
        self.round += 1;
        let mut queue = VecDeque::from([start]);
        while let Some(node) = queue.pop_front() {
            for &(to, label) in self.graph.edges(node) {
                let pair = (to * Seen::STATES) as usize;
                if !alive[to as usize] || self.round_of[pair] == self.round {
                    continue;
                }
                self.round_of[pair] = self.round;
                self.reached[pair] = (node, 0, label);
                if to == start {
                    return self.way(start, Seen(0));
                }
                queue.push_back(to);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::graph::Builder;
    use super::*;

    fn names_and_lengths(builder: &Builder) -> Vec<(String, usize)> {
        let cycles = find(&builder.build(), &[], 8);
        cycles
            .into_iter()
            .map(|cycle| (cycle.name, cycle.steps.len()))
            .collect()
    }

    /// Moments on the way in real time are no steps: two transactions that are far apart are
    /// fewer than three.
    #[test]
    fn the_smallest_is_that_of_the_fewest_transactions() {
        let mut builder = Builder::new(5);
        let moment = builder.auxiliary();
        builder.add(0, moment, Kind::RealTime, 0);
        builder.add(moment, 1, Kind::Link, 0);
        let moments: Vec<u32> = (0..4).map(|_| builder.auxiliary()).collect();
        builder.add(3, moments[0], Kind::RealTime, 0);
        for pair in moments.windows(2) {
            builder.add(pair[0], pair[1], Kind::Link, 0);
        }
        builder.add(moments[3], 4, Kind::Link, 0);
        for (from, to) in [(1, 2), (2, 0), (1, 3), (4, 3), (4, 2)] {
            builder.add(from, to, Kind::Ww, 0);
        }
        let name = "G0-realtime".to_owned();
        assert_eq!(names_and_lengths(&builder), [(name.clone(), 2), (name, 3)]);
    }

    /// A cycle of one anti-dependency is worse than a smaller one of two.
    #[test]
    fn fewer_anti_dependencies_come_first() {
        let mut builder = Builder::new(3);
        for (from, to, kind) in [
            (0, 1, Kind::Rw),
            (1, 0, Kind::Rw),
            (1, 2, Kind::Wr),
            (2, 0, Kind::Ww),
        ] {
            builder.add(from, to, kind, 0);
        }
        assert_eq!(names_and_lengths(&builder), [("G-single".to_owned(), 3)]);
    }
}
