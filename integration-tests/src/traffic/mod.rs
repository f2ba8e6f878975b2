//! What clients do, as data: a [`Schedule`] is a value that can be printed, stored, changed and
//! played again.
//!
//! A [`Workload`] draws the calls of a schedule; each is one file here and one line in [`ALL`].
//! Invariants: what is written is unique ([`Content`]), so that a read tells which write it saw;
//! a schedule alone says what its clients do, nothing is drawn while it is played.
//!
//! What is not here: what the calls return ([`crate::recorder`]), what the network does to them
//! ([`crate::faults`]).

mod bank;
mod blind_writes;
mod compare_and_set;
pub mod content;
mod counted_together;
mod counters;
mod creates;
mod hot_key;
mod large_values;
mod list_append;
mod long_fork;
mod many_keys;
mod mixed;
mod put_delete_list;
mod registers;
mod table;
pub mod transaction;
mod write_skew;
mod zipfian;

use std::{collections::BTreeSet, ops::RangeInclusive};

use fastrand::Rng;
use serde::{Deserialize, Serialize};

pub use self::{
    content::Content,
    transaction::{Style, Transaction, Write},
};
use crate::faults::network::Passage;

/// A kind of traffic.
#[derive(Debug)]
pub struct Workload {
    /// Its name in commands and reports.
    pub name: &'static str,
    /// What it is after.
    pub about: &'static str,
    /// The functions that each run of enough steps calls.
    pub functions: &'static [&'static str],
    /// Whether there are transactions in it, which are judged together with all other calls.
    pub transactional: bool,
    /// How many clients.
    pub clients: RangeInclusive<usize>,
    /// How many steps each of them takes.
    pub steps: RangeInclusive<usize>,
    /// Draws how calls are drawn in one run.
    pub calls: fn(&mut Rng) -> Caller,
}

/// Draws one call after another.
pub type Caller = Box<dyn FnMut(&mut Rng, Turn) -> Call>;

/// Whose step it is.
#[derive(Debug, Clone, Copy)]
pub struct Turn {
    /// From 0.
    pub client: usize,
    /// From 0.
    pub step: usize,
}

impl Turn {
    /// Whether this client gives its plain writes ids, so that they may be sent again: every other
    /// one where there are `transactions`, else every fourth.
    pub fn writes_with_ids(self, transactions: bool) -> bool {
        self.client % (if transactions { 2 } else { 4 }) == 1
    }
}

/// All workloads.
pub const ALL: &[&Workload] = &[
    &registers::REGISTERS,
    &compare_and_set::COMPARE_AND_SET,
    &put_delete_list::PUT_DELETE_LIST,
    &counters::COUNTERS,
    &creates::CREATES,
    &large_values::LARGE_VALUES,
    &hot_key::HOT_KEY,
    &many_keys::MANY_KEYS,
    &zipfian::ZIPFIAN,
    &list_append::LIST_APPEND,
    &bank::BANK,
    &write_skew::WRITE_SKEW,
    &long_fork::LONG_FORK,
    &blind_writes::BLIND_WRITES,
    &counted_together::COUNTED_TOGETHER,
    &mixed::MIXED,
];

/// The workload of this name.
pub fn named(name: &str) -> &'static Workload {
    let found = ALL.iter().find(|workload| workload.name == name);
    found.unwrap_or_else(|| panic!("no workload is named {name:?}"))
}

/// What all clients of a run do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// Each of them.
    pub clients: Vec<ClientPlan>,
}

/// What one client does, one step after another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientPlan {
    /// Longest time of a call, in milliseconds.
    pub timeout_ms: u64,
    /// Whether its plain writes have ids, so that they may be sent again.
    #[serde(default)]
    pub writes_with_ids: bool,
    /// Its steps.
    pub steps: Vec<Step>,
}

/// A wait, a call, and what happens to its request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Before the call, in milliseconds.
    pub think_ms: u32,
    /// The call.
    pub call: Call,
    /// What the network does to the call's first request.
    pub passage: Passage,
}

/// A call of the client library.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Call {
    /// Reads a key.
    Get {
        /// Which.
        key: String,
    },
    /// Reads a key's version and size.
    Stat {
        /// Which.
        key: String,
    },
    /// Writes a key.
    Put {
        /// Which.
        key: String,
        /// What.
        content: Content,
        /// If this holds.
        condition: Condition,
    },
    /// Deletes a key.
    Delete {
        /// Which.
        key: String,
        /// If this holds.
        condition: Condition,
    },
    /// Lists keys, page after page to the end.
    List {
        /// With this prefix.
        prefix: String,
        /// Keys in a page.
        limit: usize,
    },
    /// Reads keys, all at one moment.
    GetMany {
        /// At least two; none twice.
        keys: Vec<String>,
    },
    /// Reads and writes keys, all at one moment.
    Transaction(Transaction),
}

/// What a write asks of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition {
    /// Nothing.
    None,
    /// That it has no value.
    Absent,
    /// That it has the version that this client saw last; if it saw none, no value.
    LastSeen,
}

impl Call {
    /// Its function, as histories name it.
    pub fn function(&self) -> &'static str {
        match self {
            Self::Get { .. } => "get",
            Self::Stat { .. } => "stat",
            Self::Put { .. } => "put",
            Self::Delete { .. } => "delete",
            Self::List { .. } => "list",
            Self::GetMany { .. } => "get-many",
            Self::Transaction(_) => "transaction",
        }
    }

    /// All keys that it names.
    pub fn keys(&self) -> Vec<&str> {
        match self {
            Self::Get { key }
            | Self::Stat { key }
            | Self::Put { key, .. }
            | Self::Delete { key, .. } => vec![key],
            Self::List { .. } => Vec::new(),
            Self::GetMany { keys } => keys.iter().map(String::as_str).collect(),
            Self::Transaction(transaction) => transaction.keys().collect(),
        }
    }

    /// Lets it go to this key, if it has one.
    pub fn on_key(&mut self, other: &str) {
        match self {
            Self::Get { key }
            | Self::Stat { key }
            | Self::Put { key, .. }
            | Self::Delete { key, .. } => other.clone_into(key),
            Self::Transaction(transaction) => transaction.on_key(other),
            // One key alone is a plain read.
            Self::List { .. } | Self::GetMany { .. } => {}
        }
    }

    /// What it writes.
    pub fn contents(&self) -> Vec<&Content> {
        match self {
            Self::Put { content, .. } => vec![content],
            Self::Transaction(transaction) => {
                let writes = transaction.writes.iter();
                writes.filter_map(|write| write.content.as_ref()).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The same, to be changed.
    pub fn contents_mut(&mut self) -> Vec<&mut Content> {
        match self {
            Self::Put { content, .. } => vec![content],
            Self::Transaction(transaction) => {
                let writes = transaction.writes.iter_mut();
                writes.filter_map(|write| write.content.as_mut()).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Whether it may change something.
    pub fn is_write(&self) -> bool {
        match self {
            Self::Put { .. } | Self::Delete { .. } => true,
            Self::Transaction(transaction) => !transaction.writes.is_empty(),
            _ => false,
        }
    }

    /// Whether its request has a body that takes time to arrive.
    pub fn has_body(&self) -> bool {
        !self.contents().is_empty()
    }
}

impl Schedule {
    /// Draws what the clients of a workload call. Waits and passages are calm.
    pub fn draw(workload: &Workload, rng: &mut Rng) -> Self {
        let mut call = (workload.calls)(rng);
        let clients = rng.usize(workload.clients.clone());
        let clients = (0..clients).map(|client| {
            let steps = rng.usize(workload.steps.clone());
            let think_ms_max = *rng.choice(&[0, 1, 3, 20]).unwrap_or(&0);
            let steps = (0..steps).map(|step| Step {
                think_ms: rng.u32(0..=think_ms_max),
                call: call(rng, Turn { client, step }),
                passage: Passage::default(),
            });
            ClientPlan {
                timeout_ms: 10_000,
                writes_with_ids: Turn { client, step: 0 }.writes_with_ids(workload.transactional),
                steps: steps.collect(),
            }
        });
        Self {
            clients: clients.collect(),
        }
    }

    /// All steps.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.clients.iter().flat_map(|client| &client.steps)
    }

    /// All keys that any step names.
    pub fn keys(&self) -> BTreeSet<String> {
        let keys = self.steps().flat_map(|step| step.call.keys());
        keys.map(str::to_owned).collect()
    }
}

/// `count` keys.
fn keys(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("k{number}")).collect()
}

/// Some of them, in any order and none twice: as many as there are, if that is fewer.
fn some(rng: &mut Rng, keys: &[String], count: RangeInclusive<usize>) -> Vec<String> {
    let count = rng.usize(count).min(keys.len());
    let mut some = keys.to_vec();
    rng.shuffle(&mut some);
    some.truncate(count);
    some
}

/// One of them.
fn any<'a>(rng: &mut Rng, keys: &'a [String]) -> &'a String {
    &keys[rng.usize(..keys.len())]
}
