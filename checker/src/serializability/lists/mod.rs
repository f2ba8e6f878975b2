//! List-append: what reads of growing lists tell of the order of their appends.
//!
//! A read gives the whole history of its key, so the longest read of a key is the order of its
//! appends as far as they were observed, and every other read must be a prefix of it. What a
//! transaction reads after its own appends is judged without them: the *base* that the others
//! left. Appends that happened and are in no list come after all that read the longest one.
//!
//! Cycles decide alone: if nothing but the graph is left to complain about, then in each
//! topological order every read comes after the appends it holds, before the next in its list, and
//! before those that are in no list; so it reads exactly what a serial execution would give it.

mod explain;

use foldhash::{HashMap, HashMapExt, HashSet, HashSetExt};

use super::cycles;
use super::graph::{Builder, Kind, index};
use super::index::{Keys, Table, hash};
use super::words::{self, Explain, enumerate, list};
use super::{ListOp, Options, Transaction, Unusable, order, replay};
use crate::evidence::{Evidence, Verdict};
use crate::history::{Outcome, Value};

/// No position: an append that is in no list.
const NONE: u32 = u32::MAX;
/// Pieces of evidence of what single reads show, per check.
const FINDINGS_MAX: usize = 4;

/// An append of the history.
struct Append<'a> {
    transaction: u32,
    key: u32,
    element: &'a Value,
    /// Whether it is its transaction's last of the key.
    is_last: bool,
    /// Its place in the order of its key; [`NONE`] if it is in no list.
    position: u32,
}

/// What a transaction saw of a key before its own appends.
struct Base<'a> {
    transaction: u32,
    key: u32,
    list: &'a [Value],
    /// Whether the transaction appends to the key.
    appends: bool,
    /// Whether no complaint was made about it.
    is_sound: bool,
}

pub(super) fn check(
    transactions: &[Transaction<ListOp>],
    options: &Options,
) -> Result<Verdict, Unusable> {
    let mut history = History::read(transactions)?;
    history.judge_reads();
    let mut builder = Builder::new(transactions.len());
    history.add_dependencies(&mut builder);
    order::add(
        &mut builder,
        transactions,
        &history.happened,
        options.consistency,
    );
    let graph = builder.build();
    drop(builder);
    if let Some(witness) = graph.topological()
        && history.evidence.is_empty()
    {
        let happened = &history.happened;
        let witness = witness
            .into_iter()
            .filter(|&node| graph.is_transaction(node));
        return Ok(replay::lists(
            transactions,
            happened,
            witness,
            options.consistency,
        ));
    }
    let limit = options.evidence_max.max(1);
    let mut evidence = std::mem::take(&mut history.evidence);
    evidence.truncate(limit);
    let cycles = cycles::find(&graph, &history.covered, limit - evidence.len());
    evidence.extend(cycles.iter().map(|cycle| words::cycle(&history, cycle)));
    if evidence.is_empty() {
        return Ok(Verdict::Unknown(
            "there is a cycle that could not be shown".to_owned(),
        ));
    }
    Ok(Verdict::Illegal(evidence))
}

/// A history of lists, its reads and appends by number.
struct History<'a> {
    transactions: &'a [Transaction<ListOp>],
    keys: Keys<'a>,
    /// The key of each micro-operation, and where those of a transaction start.
    op_keys: Vec<u32>,
    op_starts: Vec<u32>,
    /// In the order of transactions and calls.
    appends: Vec<Append<'a>>,
    append_starts: Vec<u32>,
    table: Table,
    /// Which transactions happened.
    happened: Vec<bool>,
    bases: Vec<Base<'a>>,
    /// The longest base of each key.
    longest: Vec<&'a [Value]>,
    /// Who read it.
    longest_readers: Vec<u32>,
    /// The order of each key's observed appends.
    chains: Vec<Vec<u32>>,
    evidence: Vec<Evidence>,
    /// Transactions of evidence that is a cycle as well.
    covered: Vec<u32>,
}

impl<'a> History<'a> {
    fn read(transactions: &'a [Transaction<ListOp>]) -> Result<Self, Unusable> {
        let mut history = Self {
            transactions,
            keys: Keys::new(),
            op_keys: Vec::new(),
            op_starts: vec![0],
            appends: Vec::new(),
            append_starts: vec![0],
            table: Table::default(),
            happened: vec![false; transactions.len()],
            bases: Vec::new(),
            longest: Vec::new(),
            longest_readers: Vec::new(),
            chains: Vec::new(),
            evidence: Vec::new(),
            covered: Vec::new(),
        };
        for (number, transaction) in transactions.iter().enumerate() {
            history.number_ops(index(number), transaction)?;
        }
        history.longest = vec![&[]; history.keys.len()];
        history.longest_readers = vec![0; history.keys.len()];
        history.find_bases();
        Ok(history)
    }

    /// Numbers a transaction's keys and appends.
    fn number_ops(
        &mut self,
        number: u32,
        transaction: &'a Transaction<ListOp>,
    ) -> Result<(), Unusable> {
        for op in &transaction.ops {
            let (ListOp::Append { key, .. } | ListOp::Read { key, .. }) = op;
            let key_number = self.keys.number(key);
            self.op_keys.push(key_number);
            let ListOp::Append { element, .. } = op else {
                continue;
            };
            if self.append_of(key_number, element).is_some() {
                return Err(Unusable {
                    id: transaction.id,
                    reason: format!("{element} is appended twice to {key}"),
                });
            }
            let append = index(self.appends.len());
            self.table.insert(hash(key_number, element), append);
            self.appends.push(Append {
                transaction: number,
                key: key_number,
                element,
                is_last: false,
                position: NONE,
            });
        }
        let first = self.append_starts[number as usize] as usize;
        let mut seen = Vec::new();
        for append in self.appends[first..].iter_mut().rev() {
            if !seen.contains(&append.key) {
                seen.push(append.key);
                append.is_last = true;
            }
        }
        self.op_starts.push(index(self.op_keys.len()));
        self.append_starts.push(index(self.appends.len()));
        Ok(())
    }

    fn append_of(&self, key: u32, element: &Value) -> Option<u32> {
        self.table.find(hash(key, element), |append| {
            let append = &self.appends[append as usize];
            append.key == key && append.element == element
        })
    }

    /// Finds out which transactions happened, and what each saw.
    fn find_bases(&mut self) {
        let mut pending: Vec<u32> = Vec::new();
        for (number, transaction) in self.transactions.iter().enumerate() {
            if transaction.outcome == Outcome::Ok {
                self.happened[number] = true;
                pending.push(index(number));
            }
        }
        pending.reverse();
        let mut slots = HashMap::new();
        while let Some(number) = pending.pop() {
            let first = self.bases.len();
            self.find_bases_of(number, &mut slots);
            for base in first..self.bases.len() {
                self.observe(base, &mut pending);
            }
        }
    }

    /// What one transaction saw of its keys; complains if it contradicts itself.
    fn find_bases_of(&mut self, number: u32, slots: &mut HashMap<u32, (Option<u32>, u32)>) {
        slots.clear();
        let transaction = &self.transactions[number as usize];
        let ops = self.op_starts[number as usize] as usize;
        let own = self.append_starts[number as usize] as usize..;
        for (place, op) in transaction.ops.iter().enumerate() {
            let key = self.op_keys[ops + place];
            // Its base of the key if it read it, and how often it appended to it so far.
            let (base, appended) = slots.entry(key).or_default();
            let read = match op {
                ListOp::Append { .. } => {
                    *appended += 1;
                    if let Some(base) = *base {
                        self.bases[base as usize].appends = true;
                    }
                    continue;
                }
                ListOp::Read { list: None, .. } => continue,
                ListOp::Read {
                    list: Some(read), ..
                } => read,
            };
            let mine = self.appends[own.clone()]
                .iter()
                .filter(|append| append.key == key);
            let mine = mine.take(*appended as usize).map(|append| append.element);
            let split = read.len().checked_sub(*appended as usize);
            let split = split.filter(|&split| read[split..].iter().eq(mine));
            let sees_itself = split.map(|split| &read[..split]);
            let agrees = match (sees_itself, *base) {
                (None, _) => false,
                (Some(list), Some(base)) => self.bases[base as usize].list == list,
                (Some(list), None) => {
                    *base = Some(index(self.bases.len()));
                    self.bases.push(Base {
                        transaction: number,
                        key,
                        list,
                        appends: *appended > 0,
                        is_sound: true,
                    });
                    true
                }
            };
            if !agrees {
                let sentence = format!(
                    "{} read {} as {}, which contradicts its own reads or appends before",
                    transaction.id,
                    self.keys.names[key as usize],
                    list(read.iter())
                );
                self.complain("internal", sentence, &[number]);
            }
        }
    }

    /// Takes note that a base was seen: who wrote what is new in it happened.
    fn observe(&mut self, base: usize, pending: &mut Vec<u32>) {
        let Base {
            transaction,
            key,
            list,
            ..
        } = self.bases[base];
        let longest = &mut self.longest[key as usize];
        let known = if list.starts_with(longest) {
            longest.len()
        } else if longest.starts_with(list) {
            list.len()
        } else {
            0
        };
        if list.len() > longest.len() {
            *longest = list;
            self.longest_readers[key as usize] = transaction;
        }
        for element in &list[known..] {
            let Some(append) = self.append_of(key, element) else {
                continue;
            };
            let writer = self.appends[append as usize].transaction as usize;
            if self.transactions[writer].outcome == Outcome::Unknown && !self.happened[writer] {
                self.happened[writer] = true;
                pending.push(index(writer));
            }
        }
    }

    /// Judges each read by itself and against the longest of its key, and gives the appends their
    /// positions.
    fn judge_reads(&mut self) {
        let mut judged = vec![false; self.keys.len()];
        for base in 0..self.bases.len() {
            let Base { key, list, .. } = self.bases[base];
            let is_longest = std::ptr::eq(list, self.longest[key as usize]);
            if is_longest && !std::mem::replace(&mut judged[key as usize], true) {
                self.judge_list(base);
            }
        }
        self.chains = vec![Vec::new(); self.keys.len()];
        for key in 0..self.keys.len() {
            self.place(index(key));
        }
        for base in 0..self.bases.len() {
            self.judge_base(base);
        }
        self.find_lost_updates();
        self.judge_order_of_appends();
    }

    /// Whether a list holds only what may be in a list; complains otherwise.
    fn judge_list(&mut self, base: usize) -> bool {
        let Base {
            transaction,
            key,
            list: seen,
            ..
        } = self.bases[base];
        let mut met = HashSet::new();
        for element in seen {
            let complaint = if !met.insert(element) {
                Some(("duplicate-elements", "holds it twice".to_owned(), None))
            } else if let Some(append) = self.append_of(key, element) {
                let writer = self.appends[append as usize].transaction;
                let failed = self.transactions[writer as usize].outcome == Outcome::Failed;
                let failed = failed.then(|| format!("of the failed {}", self.id(writer)));
                failed.map(|words| ("G1a", words, Some(writer)))
            } else {
                Some(("garbage-read", "that nobody appended".to_owned(), None))
            };
            if let Some((anomaly, words, writer)) = complaint {
                let sentence = format!(
                    "{} read {} as {} with {element}, {}",
                    self.id(transaction),
                    self.keys.names[key as usize],
                    list(seen.iter()),
                    match anomaly {
                        "G1a" => format!("an append {words}"),
                        "duplicate-elements" => format!("and {words}"),
                        _ => words,
                    }
                );
                let both: Vec<u32> = [transaction].into_iter().chain(writer).collect();
                self.complain(anomaly, sentence, &both);
                return false;
            }
        }
        true
    }

    /// Gives a key's observed appends their positions: those of the longest base, followed by
    /// those of a transaction that read it and appended.
    fn place(&mut self, key: u32) {
        let mut chain = Vec::new();
        for (position, element) in self.longest[key as usize].iter().enumerate() {
            let append = self.append_of(key, element).unwrap_or(NONE);
            if append != NONE && self.appends[append as usize].position == NONE {
                self.appends[append as usize].position = index(position);
            }
            chain.push(append);
        }
        self.chains[key as usize] = chain;
    }

    /// Judges a base against the order of its key.
    fn judge_base(&mut self, base: usize) {
        let Base {
            transaction,
            key,
            list: seen,
            appends,
            ..
        } = self.bases[base];
        let name = self.keys.names[key as usize];
        let longest = self.longest[key as usize];
        if !longest.starts_with(seen) {
            if self.judge_list(base) {
                let other = self.longest_readers[key as usize];
                let sentence = format!(
                    "{} read {name} as {} and {} as {}: neither can have grown from the other",
                    self.id(transaction),
                    list(seen.iter()),
                    self.id(other),
                    list(longest.iter()),
                );
                self.complain("incompatible-order", sentence, &[transaction, other]);
            }
            self.bases[base].is_sound = false;
            return;
        }
        if appends {
            let own = self
                .appends_of(transaction)
                .find(|append| append.key == key && (append.position as usize) < seen.len());
            if let Some(element) = own.map(|append| append.element) {
                let sentence = format!(
                    "{} read {element} in {name} before it appended it",
                    self.id(transaction)
                );
                self.complain("internal", sentence, &[transaction]);
                self.bases[base].is_sound = false;
                return;
            }
        }
        let last = seen
            .len()
            .checked_sub(1)
            .map(|at| self.chains[key as usize][at]);
        if let Some(last) = last.filter(|&last| last != NONE) {
            let Append {
                transaction: writer,
                is_last,
                element,
                ..
            } = self.appends[last as usize];
            let holds_last = self.appends_of(writer).any(|append| {
                append.key == key && append.is_last && (append.position as usize) < seen.len()
            });
            if !is_last && !holds_last && self.happened[writer as usize] {
                let sentence = format!(
                    "{} read {name} as {} up to {element}, after which {} appended more",
                    self.id(transaction),
                    list(seen.iter()),
                    self.id(writer),
                );
                self.complain("G1b", sentence, &[transaction, writer]);
                self.bases[base].is_sound = false;
            }
        }
    }

    /// Two that read the same list and both appended to it; the first of those that read the
    /// longest continues it.
    fn find_lost_updates(&mut self) {
        let mut first: HashMap<(u32, u32), u32> = HashMap::new();
        for base in 0..self.bases.len() {
            let Base {
                transaction,
                key,
                list: seen,
                appends,
                is_sound,
            } = self.bases[base];
            if !appends || !is_sound {
                continue;
            }
            let length = index(seen.len());
            let other = *first.entry((key, length)).or_insert(transaction);
            if other != transaction {
                let sentence = format!(
                    "{} both read {} as {} and appended to it, so that one did not see the other",
                    enumerate(&[self.id(other), self.id(transaction)]),
                    self.keys.names[key as usize],
                    list(seen.iter()),
                );
                self.complain("lost-update", sentence, &[other, transaction]);
                self.covered.extend([other, transaction]);
            } else if seen.len() == self.longest[key as usize].len() {
                let start = self.append_starts[transaction as usize];
                let end = self.append_starts[transaction as usize + 1];
                for append in start..end {
                    if self.appends[append as usize].key == key {
                        let chain = &mut self.chains[key as usize];
                        self.appends[append as usize].position = index(chain.len());
                        chain.push(append);
                    }
                }
            }
        }
    }

    /// A transaction's appends must be in a list in the order in which it asked for them.
    fn judge_order_of_appends(&mut self) {
        for key in 0..self.keys.len() {
            let reversed = self.chains[key].windows(2).find(|pair| {
                let writer = |append: u32| self.appends.get(append as usize).map(|a| a.transaction);
                writer(pair[0]).is_some() && writer(pair[0]) == writer(pair[1]) && pair[0] > pair[1]
            });
            let Some(&[before, after]) = reversed else {
                continue;
            };
            let [before, after] = [before, after].map(|append| &self.appends[append as usize]);
            let writer = before.transaction;
            let sentence = format!(
                "{} stands before {} in {}, but {} appended them in the other order",
                before.element,
                after.element,
                self.keys.names[key],
                self.id(writer),
            );
            self.complain("incompatible-order", sentence, &[writer]);
        }
    }

    /// The edges of what was read and appended.
    fn add_dependencies(&self, builder: &mut Builder) {
        let valid = |append: u32| {
            let append = self.appends.get(append as usize)?;
            self.happened[append.transaction as usize].then_some(append.transaction)
        };
        let mut last_writers = Vec::new();
        for (key, chain) in self.chains.iter().enumerate() {
            let mut last = None;
            for writer in chain.iter().filter_map(|&append| valid(append)) {
                if let Some(last) = last {
                    builder.add(last, writer, Kind::Ww, index(key));
                }
                last = Some(writer);
            }
            last_writers.push(last);
        }
        let mut tails: Vec<Vec<(u32, Kind)>> = last_writers
            .iter()
            .map(|writer| writer.iter().map(|&writer| (writer, Kind::Ww)).collect())
            .collect();
        for base in self.bases.iter().filter(|base| base.is_sound) {
            let (before, after) = self.chains[base.key as usize].split_at(base.list.len());
            if let Some(writer) = before.iter().rev().find_map(|&append| valid(append)) {
                builder.add(writer, base.transaction, Kind::Wr, base.key);
            }
            if let Some(writer) = after.iter().find_map(|&append| valid(append)) {
                builder.add(base.transaction, writer, Kind::Rw, base.key);
            } else {
                tails[base.key as usize].push((base.transaction, Kind::Rw));
            }
        }
        let mut unread: Vec<Vec<u32>> = vec![Vec::new(); self.chains.len()];
        for append in &self.appends {
            if append.position == NONE && self.happened[append.transaction as usize] {
                let targets = &mut unread[append.key as usize];
                if targets.last() != Some(&append.transaction) {
                    targets.push(append.transaction);
                }
            }
        }
        for (key, (tails, unread)) in tails.iter_mut().zip(&unread).enumerate() {
            tails.retain(|(node, _)| unread.binary_search(node).is_err());
            builder.join(tails, unread, index(key));
        }
    }

    fn appends_of(&self, transaction: u32) -> impl Iterator<Item = &Append<'a>> {
        let start = self.append_starts[transaction as usize] as usize;
        let end = self.append_starts[transaction as usize + 1] as usize;
        self.appends[start..end].iter()
    }

    fn complain(&mut self, anomaly: &str, sentence: String, transactions: &[u32]) {
        let same = |other: &&Evidence| other.anomaly == anomaly;
        if self.evidence.iter().filter(same).count() < FINDINGS_MAX {
            let finding = words::finding(self, anomaly, sentence, transactions);
            self.evidence.push(finding);
        }
    }
}
