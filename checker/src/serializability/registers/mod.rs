//! Registers: what reads and versions tell of the order of the writes.
//!
//! Only a transaction's last write of a key is a state that others may see. Those with versions are
//! *placed* in the order of their key; a write without a version is placed by a read that saw its
//! value with a version. A transaction that reads a key and writes it comes directly after the
//! write it read. Everything else about writes that are not placed is left to the search for an
//! order (`polygraph`), and so are reads without version of a value that was written more than once
//! (in practice: of absence, where registers are removed).

mod explain;
mod slots;

use foldhash::{HashMap, HashMapExt};

use super::graph::{Builder, Graph, Kind, index};
use super::index::{Keys, Table, hash};
use super::polygraph::{self, Answer};
use super::words::{Explain, enumerate};
use super::{Options, RegisterOp, Transaction, Unusable, Version, order, replay};
use explain::at_version;
pub(super) use slots::{Choice, Read, Slots};

use crate::evidence::{Evidence, Verdict};
use crate::history::{OperationId, Outcome, Value};

/// No slot, no transaction.
pub(super) const NONE: u32 = u32::MAX;
/// Pieces of evidence of what single reads show, per check and anomaly.
const FINDINGS_MAX: usize = 4;
/// Reads that no state explains whose names are looked for.
const COMPLAINTS_MAX: usize = 256;

/// A write of the history.
struct Write<'a> {
    transaction: u32,
    key: u32,
    value: &'a Value,
    version: Option<Version>,
    /// Whether it is its transaction's last of the key.
    is_last: bool,
}

/// The first read of a key by a transaction that has not written it yet.
struct Seen<'a> {
    key: u32,
    value: Option<&'a Value>,
    version: Option<Version>,
    /// What the transaction itself wrote to the key so far.
    own: Option<&'a Value>,
}

/// Where a value came from: a write, or the initial state.
type Source = Option<u32>;

pub(super) fn check(
    transactions: &[Transaction<RegisterOp>],
    options: &Options,
) -> Result<Verdict, Unusable> {
    let mut history = History::read(transactions)?;
    history.place_writes();
    history.judge_updates();
    let mut builder = Builder::new(transactions.len());
    history.add_dependencies(&mut builder);
    order::add(
        &mut builder,
        transactions,
        &history.happened,
        options.consistency,
    );
    let graph = builder.build();
    let topological = graph.topological().filter(|_| history.evidence.is_empty());
    let Some(topological) = topological else {
        return Ok(history.illegal(&graph, options, ""));
    };
    let replayed = |witness: Vec<u32>| {
        let witness = witness
            .into_iter()
            .filter(|&node| graph.is_transaction(node));
        replay::registers(
            transactions,
            &history.happened,
            witness,
            options.consistency,
        )
    };
    if history.is_settled() {
        return Ok(replay::verdict(replayed(topological)));
    }
    let mut priorities: Vec<u64> = transactions.iter().map(|one| one.id.0 as u64).collect();
    for &last in &history.assumed {
        priorities[last as usize] = u64::MAX;
    }
    let problem = history.problem(&graph, &priorities);
    if polygraph::greedy(&problem).is_some_and(|witness| replayed(witness).is_ok()) {
        return Ok(Verdict::Ok);
    }
    Ok(match polygraph::solve(&problem, options) {
        Answer::Order(witness) => replay::verdict(replayed(witness)),
        Answer::Bound(reason) => Verdict::Unknown(reason),
        Answer::Cycle(inferred) => {
            builder.arcs.extend(inferred);
            let other = "; the order of the writes that it takes is not recorded, but every other \
                order closes a cycle too";
            history.illegal(&builder.build(), options, other)
        }
        Answer::NoOrder(undecided) => history.exhausted(&undecided),
    })
}

/// A history of registers, its reads and writes by number.
struct History<'a> {
    transactions: &'a [Transaction<RegisterOp>],
    keys: Keys<'a>,
    /// The key of each micro-operation, and where those of a transaction start.
    op_keys: Vec<u32>,
    op_starts: Vec<u32>,
    /// In the order of transactions and calls.
    writes: Vec<Write<'a>>,
    write_starts: Vec<u32>,
    /// Writes by key and value.
    values: Table,
    /// Which transactions happened.
    happened: Vec<bool>,
    /// Those of them that need not have.
    assumed: Vec<u32>,
    /// Reads and what they came from: `slot` is a write until the writes are placed.
    sources: Vec<(u32, u32, Source)>,
    uncertain: Vec<(u32, u32, Vec<Source>)>,
    reads: Vec<Read>,
    choices: Vec<Choice>,
    slots: Slots,
    slot_of_write: Vec<u32>,
    write_of_slot: Vec<u32>,
    evidence: Vec<Evidence>,
    /// Reads that no state explains.
    complaints: usize,
    /// Transactions of evidence that is a cycle as well.
    covered: Vec<u32>,
}

impl<'a> History<'a> {
    fn read(transactions: &'a [Transaction<RegisterOp>]) -> Result<Self, Unusable> {
        let mut history = Self {
            transactions,
            keys: Keys::new(),
            op_keys: Vec::new(),
            op_starts: vec![0],
            writes: Vec::new(),
            write_starts: vec![0],
            values: Table::default(),
            happened: vec![false; transactions.len()],
            assumed: Vec::new(),
            sources: Vec::new(),
            uncertain: Vec::new(),
            reads: Vec::new(),
            choices: Vec::new(),
            slots: Slots::default(),
            slot_of_write: Vec::new(),
            write_of_slot: Vec::new(),
            evidence: Vec::new(),
            complaints: 0,
            covered: Vec::new(),
        };
        for (number, transaction) in transactions.iter().enumerate() {
            history.number_ops(index(number), transaction)?;
        }
        history.find_sources();
        Ok(history)
    }

    /// Numbers a transaction's keys and writes.
    fn number_ops(
        &mut self,
        number: u32,
        transaction: &'a Transaction<RegisterOp>,
    ) -> Result<(), Unusable> {
        let first = self.writes.len();
        for op in &transaction.ops {
            let (RegisterOp::Write { key, .. } | RegisterOp::Read { key, .. }) = op;
            let key = self.keys.number(key);
            self.op_keys.push(key);
            if let RegisterOp::Write { value, version, .. } = op {
                self.writes.push(Write {
                    transaction: number,
                    key,
                    value,
                    version: *version,
                    is_last: false,
                });
            }
        }
        let mut seen = Vec::new();
        for place in (first..self.writes.len()).rev() {
            let key = self.writes[place].key;
            if !seen.contains(&key) {
                seen.push(key);
                self.writes[place].is_last = true;
            }
            let write = &self.writes[place];
            let by_value = hash(key, write.value);
            if write.is_last && transaction.outcome != Outcome::Failed {
                let twin = self.writes_of(key, write.value).any(|other| {
                    other.is_last && other.version.is_none() && !self.failed(other.transaction)
                });
                // Absences cannot be told apart; the search copes with them.
                if write.version.is_none() && twin && !write.value.is_nil() {
                    return Err(Unusable {
                        id: transaction.id,
                        reason: format!(
                            "{} is written twice to {} without versions",
                            write.value, self.keys.names[key as usize]
                        ),
                    });
                }
            }
            self.values.insert(by_value, index(place));
        }
        self.op_starts.push(index(self.op_keys.len()));
        self.write_starts.push(index(self.writes.len()));
        Ok(())
    }

    fn is_ok(&self, transaction: u32) -> bool {
        self.transactions[transaction as usize].outcome == Outcome::Ok
    }

    fn failed(&self, transaction: u32) -> bool {
        self.transactions[transaction as usize].outcome == Outcome::Failed
    }

    fn numbers_of(&self, key: u32, value: &Value) -> impl Iterator<Item = u32> {
        self.values.all(hash(key, value)).filter(move |&write| {
            let write = &self.writes[write as usize];
            write.key == key && write.value == value
        })
    }

    fn writes_of(&self, key: u32, value: &Value) -> impl Iterator<Item = &Write<'a>> {
        self.numbers_of(key, value)
            .map(|write| &self.writes[write as usize])
    }

    /// Finds out which transactions happened, and what each read.
    fn find_sources(&mut self) {
        let mut pending: Vec<u32> = Vec::new();
        for (number, transaction) in self.transactions.iter().enumerate() {
            if transaction.outcome == Outcome::Ok {
                self.happened[number] = true;
                pending.push(index(number));
            }
        }
        pending.reverse();
        let mut seen = Vec::new();
        while let Some(number) = pending.pop() {
            self.find_seen(number, &mut seen);
            for one in seen.drain(..) {
                let Some(value) = one.value else { continue };
                let Some(source) = self.source(number, one.key, value, one.version) else {
                    continue;
                };
                self.sources.push((number, one.key, source));
                let Some(write) = source else { continue };
                let writer = self.writes[write as usize].transaction;
                if !std::mem::replace(&mut self.happened[writer as usize], true) {
                    pending.push(writer);
                }
            }
        }
    }

    /// What a transaction saw of each key before its own writes; complains if it contradicts
    /// itself.
    fn find_seen(&mut self, number: u32, seen: &mut Vec<Seen<'a>>) {
        let transaction = &self.transactions[number as usize];
        let ops = self.op_starts[number as usize] as usize;
        for (place, op) in transaction.ops.iter().enumerate() {
            let key = self.op_keys[ops + place];
            let at = seen
                .iter()
                .position(|one| one.key == key)
                .unwrap_or_else(|| {
                    seen.push(Seen {
                        key,
                        value: None,
                        version: None,
                        own: None,
                    });
                    seen.len() - 1
                });
            let one = &mut seen[at];
            match op {
                RegisterOp::Write { value, .. } => one.own = Some(value),
                RegisterOp::Read { value: None, .. } => {}
                RegisterOp::Read {
                    value: Some(value),
                    version,
                    ..
                } => {
                    let agrees = match (one.own, one.value) {
                        (Some(own), _) => own == value,
                        (None, None) => {
                            one.value = Some(value);
                            one.version = *version;
                            true
                        }
                        (None, Some(before)) => {
                            one.version = one.version.or(*version);
                            before == value
                                && version.is_none_or(|version| one.version == Some(version))
                        }
                    };
                    if !agrees {
                        let name = self.keys.names[key as usize];
                        let sentence = format!(
                            "{} read {name} as {}, which contradicts its own reads or writes before",
                            transaction.id,
                            at_version(value, *version)
                        );
                        self.complain("internal", sentence, &[number]);
                    }
                }
            }
        }
    }

    /// Where what a transaction read came from; complains if it came from nowhere. `None` if there
    /// is nothing to take down: it complained, or the read is put to the uncertain ones.
    fn source(
        &mut self,
        reader: u32,
        key: u32,
        value: &'a Value,
        version: Option<Version>,
    ) -> Option<Source> {
        let mut sources: Vec<Source> = self
            .numbers_of(key, value)
            .filter(|&write| {
                let write = &self.writes[write as usize];
                write.is_last
                    && write.transaction != reader
                    && !self.failed(write.transaction)
                    && (version.is_none() || write.version.is_none() || write.version == version)
            })
            .map(Some)
            .collect();
        // One that happened and has the version is it, whatever others are said to have.
        let certain = sources.iter().flatten().find(|&&write| {
            let write = &self.writes[write as usize];
            version.is_some() && write.version == version && self.is_ok(write.transaction)
        });
        if let Some(&certain) = certain {
            return Some(Some(certain));
        }
        if *value == Value::Nil && version.is_none() {
            sources.push(None);
        }
        match (sources.as_slice(), version) {
            ([], _) => {
                self.complain_about(reader, key, value, version);
                None
            }
            (&[Some(write)], Some(version)) => {
                self.writes[write as usize].version = Some(version);
                Some(Some(write))
            }
            (&[source], _) => Some(source),
            _ => {
                for &write in sources.iter().flatten() {
                    self.assume(self.writes[write as usize].transaction);
                }
                self.uncertain.push((reader, key, sources));
                None
            }
        }
    }

    /// Lets a transaction with unknown outcome happen that somebody may have read. Nothing is lost:
    /// as it read nothing and no version is known of it, it can always come last.
    fn assume(&mut self, transaction: u32) {
        let says_nothing = |op: &RegisterOp| match op {
            RegisterOp::Write { version, .. } => version.is_none(),
            RegisterOp::Read { value, .. } => value.is_none(),
        };
        let place = transaction as usize;
        if !self.happened[place] && self.transactions[place].ops.iter().all(says_nothing) {
            self.happened[place] = true;
            self.assumed.push(transaction);
        }
    }

    /// Gives the last writes that happened their slots, and the reads theirs.
    fn place_writes(&mut self) {
        let mut states: Vec<u32> = (0..index(self.writes.len()))
            .filter(|&write| {
                let write = &self.writes[write as usize];
                write.is_last && self.happened[write.transaction as usize]
            })
            .collect();
        states.sort_by_key(|&write| {
            let write = &self.writes[write as usize];
            (write.key, write.version.is_none(), write.version)
        });
        let keys = index(self.keys.len());
        let (mut starts, mut placed) = (Vec::new(), Vec::new());
        let mut place = 0;
        for key in 0..keys {
            starts.push(index(place));
            let of_key = |write: &&u32| self.writes[**write as usize].key == key;
            let count = states[place..].iter().take_while(of_key).count();
            let known = states[place..place + count]
                .partition_point(|&write| self.writes[write as usize].version.is_some());
            placed.push(index(place + known));
            place += count;
        }
        starts.push(index(place));
        self.slot_of_write = vec![NONE; self.writes.len()];
        for (place, &write) in states.iter().enumerate() {
            self.slot_of_write[write as usize] = keys + index(place);
        }
        let writers = states
            .iter()
            .map(|&write| self.writes[write as usize].transaction)
            .collect();
        self.slots = Slots {
            keys,
            writers,
            starts,
            placed,
        };
        self.write_of_slot = states;
        for (transaction, key, source) in std::mem::take(&mut self.sources) {
            let slot = source.map_or(key, |write| self.slot_of_write[write as usize]);
            let own = self.own_slot(transaction, key);
            self.reads.push(Read {
                transaction,
                key,
                slot,
                own,
            });
        }
        for (transaction, key, sources) in std::mem::take(&mut self.uncertain) {
            let slots = sources
                .into_iter()
                .map(|source| source.map_or(key, |write| self.slot_of_write[write as usize]))
                .collect();
            self.choices.push(Choice {
                transaction,
                key,
                slots,
            });
        }
        self.judge_versions();
    }

    /// The slot of a transaction's own write of a key.
    fn own_slot(&self, transaction: u32, key: u32) -> u32 {
        let writes =
            self.write_starts[transaction as usize]..self.write_starts[transaction as usize + 1];
        let mut own = writes.filter(|&write| {
            let write = &self.writes[write as usize];
            write.key == key && write.is_last
        });
        own.next()
            .map_or(NONE, |write| self.slot_of_write[write as usize])
    }

    fn write(&self, slot: u32) -> Option<&Write<'a>> {
        let place = slot.checked_sub(self.slots.keys())?;
        self.write_of_slot
            .get(place as usize)
            .map(|&write| &self.writes[write as usize])
    }

    /// One version must be one write.
    fn judge_versions(&mut self) {
        for key in 0..self.slots.keys() {
            let name = self.keys.names[key as usize];
            let placed = self.slots.placed(key);
            for slot in placed.skip(1) {
                let (Some(one), Some(two)) = (self.write(slot - 1), self.write(slot)) else {
                    continue;
                };
                if let Some(version) = one.version.filter(|_| one.version == two.version) {
                    let (one, two) = (one.transaction, two.transaction);
                    let ids = enumerate(&[self.id(one), self.id(two)]);
                    let sentence = format!("{ids} both wrote {name} at version {version}");
                    self.complain("version-reuse", sentence, &[one, two]);
                    self.covered.extend([one, two]);
                }
            }
        }
    }

    /// Judges transactions that read a key and then wrote it.
    fn judge_updates(&mut self) {
        let mut first: HashMap<u32, u32> = HashMap::new();
        let mut before: HashMap<u32, u32> = HashMap::new();
        for place in 0..self.reads.len() {
            let read = self.reads[place];
            if read.own == NONE {
                continue;
            }
            let name = self.keys.names[read.key as usize];
            let id = self.id(read.transaction);
            let placed = self.slots.placed(read.key);
            if placed.contains(&read.slot) && placed.contains(&read.own) && read.own < read.slot {
                let (read_at, wrote) = (self.write(read.slot), self.write(read.own));
                let [read_at, wrote] = [read_at, wrote].map(|write| write.and_then(|w| w.version));
                let shown = |version: Option<Version>| version.unwrap_or(Version::from(0));
                let sentence = format!(
                    "{id} read {name} at version {} and wrote it at {}, which is before",
                    shown(read_at),
                    shown(wrote)
                );
                let both: Vec<u32> = [read.transaction]
                    .into_iter()
                    .chain(self.slots.writer(read.slot))
                    .collect();
                self.complain("cyclic-versions", sentence, &both);
                self.covered.extend(both);
                continue;
            }
            let other = *first.entry(read.slot).or_insert(read.transaction);
            if other != read.transaction {
                let sentence = format!(
                    "{} both read {name} as {} and wrote it, so that one did not see the other",
                    enumerate(&[self.id(other), id]),
                    self.shown(read.slot)
                );
                self.complain("lost-update", sentence, &[other, read.transaction]);
                self.covered.extend([other, read.transaction]);
            }
            before.insert(read.own, read.slot);
        }
        self.judge_chains(&before);
    }

    /// Writes that each followed the next must not come back to the first.
    fn judge_chains(&mut self, before: &HashMap<u32, u32>) {
        let mut visited: HashMap<u32, u32> = HashMap::new();
        let mut starts: Vec<u32> = before.keys().copied().collect();
        starts.sort_unstable();
        for start in starts {
            let mut slot = start;
            let mut way = Vec::new();
            while !visited.contains_key(&slot) {
                visited.insert(slot, start);
                way.push(slot);
                match before.get(&slot) {
                    Some(&next) => slot = next,
                    None => break,
                }
            }
            let cycle = way.iter().position(|&other| other == slot);
            let Some(cycle) = cycle.filter(|_| before.contains_key(&slot)) else {
                continue;
            };
            let writers: Vec<u32> = way[cycle..]
                .iter()
                .filter_map(|&slot| self.slots.writer(slot))
                .collect();
            let key = self.write(slot).map_or(0, |write| write.key);
            let ids: Vec<OperationId> = writers.iter().map(|&writer| self.id(writer)).collect();
            let sentence = format!(
                "each of {} read {} as another of them wrote it, and overwrote it",
                enumerate(&ids),
                self.keys.names[key as usize]
            );
            self.complain("cyclic-versions", sentence, &writers);
            self.covered.extend(writers);
        }
    }

    /// The edges that are known for sure.
    fn add_dependencies(&self, builder: &mut Builder) {
        let slots = &self.slots;
        for key in 0..slots.keys() {
            for slot in slots.placed(key).skip(1) {
                if let (Some(from), Some(to)) = (slots.writer(slot - 1), slots.writer(slot)) {
                    builder.add(from, to, Kind::Ww, key);
                }
            }
        }
        let mut updaters: HashMap<u32, u32> = HashMap::new();
        let is_update = |read: &&Read| slots.unplaced(read.key).contains(&read.own);
        for read in self.reads.iter().filter(is_update) {
            updaters.entry(read.slot).or_insert(read.transaction);
        }
        let mut initial_readers: HashMap<u32, Vec<(u32, Kind)>> = HashMap::new();
        for read in &self.reads {
            if let Some(writer) = slots.writer(read.slot) {
                builder.add(writer, read.transaction, Kind::Wr, read.key);
            } else if !slots.unplaced(read.key).is_empty() {
                let readers = initial_readers.entry(read.key).or_default();
                readers.push((read.transaction, Kind::Rw));
            }
            if let Some(next) = slots
                .next(read.key, read.slot)
                .and_then(|next| slots.writer(next))
            {
                builder.add(read.transaction, next, Kind::Rw, read.key);
            }
            if let Some(&updater) = updaters.get(&read.slot) {
                builder.add(read.transaction, updater, Kind::Rw, read.key);
            }
        }
        for key in 0..slots.keys() {
            let Some(readers) = initial_readers.get(&key) else {
                continue;
            };
            let mut updaters: Vec<u32> = readers.iter().map(|&(reader, _)| reader).collect();
            updaters.sort_unstable();
            let targets: Vec<u32> = slots
                .unplaced(key)
                .filter_map(|slot| slots.writer(slot))
                .filter(|writer| updaters.binary_search(writer).is_err())
                .collect();
            builder.join(readers, &targets, key);
        }
    }

    /// Whether the order of all writes is known, and all reads.
    fn is_settled(&self) -> bool {
        self.choices.is_empty()
            && (0..self.slots.keys())
                .all(|key| self.slots.unplaced(key).is_empty() || self.slots.of(key).len() == 1)
    }

    fn problem<'b>(&'b self, graph: &'b Graph, priorities: &'b [u64]) -> polygraph::Problem<'b> {
        let mut writes = vec![Vec::new(); self.transactions.len()];
        for key in 0..self.slots.keys() {
            for slot in self.slots.of(key) {
                if let Some(writer) = self.slots.writer(slot) {
                    writes[writer as usize].push((key, slot));
                }
            }
        }
        polygraph::Problem {
            graph,
            priorities,
            slots: &self.slots,
            reads: &self.reads,
            choices: &self.choices,
            writes,
        }
    }
}
