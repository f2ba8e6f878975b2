//! What the processes and the run know of each other. All of it is one lock in one thread: nothing
//! waits for it, so that its order is the simulation's.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt::{self, Write as _},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use trandb_cluster::{
    group::{Group as _, RaftGroup},
    identity::NodeId,
    simulation::peer_address,
    transport::Address,
};
use trandb_engine::Shard;
use twox_hash::XxHash3_64;

use super::invariants::History;

/// One life of a process.
pub(crate) struct Process {
    pub(crate) node: NodeId,
    pub(crate) host: usize,
    pub(crate) alive: bool,
    pub(crate) group: Option<RaftGroup<Shard>>,
}

/// Somebody who has ended, and who came to its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Replacement {
    pub(crate) dead: BTreeSet<NodeId>,
    pub(crate) new: Address,
}

/// What was seen during a run, so that a run in which nothing happened is noticed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) elections: usize,
    pub(crate) written: usize,
    pub(crate) read: usize,
    pub(crate) refused: usize,
    pub(crate) unknown: usize,
    pub(crate) crashes: usize,
    pub(crate) replaced: usize,
    pub(crate) joint: usize,
    pub(crate) snapshots: usize,
}

impl Counts {
    pub(crate) fn each(&self) -> [(&'static str, usize); 9] {
        [
            ("elected", self.elections),
            ("written", self.written),
            ("read", self.read),
            ("refused", self.refused),
            ("unknown", self.unknown),
            ("crashed", self.crashes),
            ("replaced", self.replaced),
            ("joint", self.joint),
            ("sent as a snapshot", self.snapshots),
        ]
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.elections += other.elections;
        self.written += other.written;
        self.read += other.read;
        self.refused += other.refused;
        self.unknown += other.unknown;
        self.crashes += other.crashes;
        self.replaced += other.replaced;
        self.joint += other.joint;
        self.snapshots += other.snapshots;
    }
}

#[derive(Default)]
pub(crate) struct World {
    /// By their numbers, which begin with 1.
    pub(crate) processes: Vec<Process>,
    /// To be done, in the order in which the new ones came.
    pub(crate) replacements: VecDeque<Replacement>,
    pub(crate) history: History,
    pub(crate) counts: Counts,
    /// Clients do nothing any more.
    pub(crate) quiet: bool,
    pub(crate) trace: Trace,
}

impl World {
    /// Begins a life on `host`.
    pub(crate) fn begin(&mut self, host: usize) -> NodeId {
        let node = NodeId(self.processes.len() as u64 + 1);
        let at = peer_address(host);
        let last = self.processes.iter().rev().find(|one| one.host == host);
        if let Some(dead) = last.map(|dead| dead.node) {
            let new = Address { node, at };
            // The predecessor may have ended before it had its own predecessor's place.
            let open = self
                .replacements
                .iter()
                .position(|one| one.new.node == dead);
            let earlier = open.and_then(|open| self.replacements.remove(open));
            let mut all = earlier.map_or_else(BTreeSet::new, |earlier| earlier.dead);
            all.insert(dead);
            self.replacements.push_back(Replacement { dead: all, new });
        }
        self.processes.push(Process {
            node,
            host,
            alive: true,
            group: None,
        });
        node
    }

    pub(crate) fn process(&mut self, node: NodeId) -> &mut Process {
        let index = usize::try_from(node.0 - 1).expect("small");
        &mut self.processes[index]
    }

    /// Ends whatever lives on `host`.
    pub(crate) fn end(&mut self, host: usize) -> Option<NodeId> {
        let mut all = self.processes.iter_mut();
        let ended = all.find(|process| process.host == host && process.alive)?;
        ended.alive = false;
        ended.group = None;
        self.counts.crashes += 1;
        Some(ended.node)
    }

    pub(crate) fn alive(&self) -> impl Iterator<Item = (&Process, &RaftGroup<Shard>)> {
        let alive = self.processes.iter().filter(|process| process.alive);
        alive.filter_map(|process| Some((process, process.group.as_ref()?)))
    }

    /// How many members are dead, or not yet replaced by those who came to their places.
    pub(crate) fn missing(&self) -> usize {
        let hosts: BTreeMap<usize, bool> = self
            .processes
            .iter()
            .map(|process| (process.host, process.alive))
            .collect();
        let dead = hosts.values().filter(|alive| !**alive).count();
        dead + self.replacements.len()
    }

    /// The host of who leads, in the latest term in which anybody does.
    pub(crate) fn leader_host(&self) -> Option<usize> {
        let leads = self.alive().filter_map(|(process, group)| {
            let status = group.status();
            let leads = status.role == trandb_cluster::group::Role::Leader;
            leads.then_some((status.term, process.host))
        });
        leads.max().map(|(_, host)| host)
    }
}

/// Shared by all.
#[derive(Clone, Default)]
pub(crate) struct Shared(Arc<Mutex<World>>);

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What happened, as a hash, and the last lines of it to be read.
pub(crate) struct Trace {
    hash: u64,
    lines: VecDeque<String>,
    /// Printed as it happens.
    pub(crate) loud: bool,
}

impl Default for Trace {
    fn default() -> Self {
        Self {
            hash: 0,
            lines: VecDeque::new(),
            loud: std::env::var_os("TRANDB_TRACE").is_some(),
        }
    }
}

impl Trace {
    const LINES_MAX: usize = 200;

    pub(crate) fn add(&mut self, line: fmt::Arguments<'_>) {
        let mut text = String::new();
        // Writing to a text does not fail.
        let _ = text.write_fmt(line);
        self.hash = XxHash3_64::oneshot_with_seed(self.hash, text.as_bytes());
        if self.loud {
            println!("{text}");
        }
        if self.lines.len() == Self::LINES_MAX {
            self.lines.pop_front();
        }
        self.lines.push_back(text);
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn lines(&self) -> impl Iterator<Item = &String> {
        self.lines.iter()
    }
}
