//! A transaction of a schedule: what it looks at, what it writes, and how it is sent.

use serde::{Deserialize, Serialize};

use super::Content;

/// Several keys at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    /// How it is sent.
    pub style: Style,
    /// The keys that it reads. No key twice.
    pub reads: Vec<String>,
    /// What it writes. No key twice.
    pub writes: Vec<Write>,
    /// Whether it writes only if all that it has read is absent. For [`Style::Interactive`].
    pub if_absent: bool,
}

/// How a transaction is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Style {
    /// Reads, and then commits if what it has read is still as it was; after a conflict again.
    Interactive,
    /// One request: the reads are of the moment of its commit.
    AtOnce,
    /// The same, if what it writes has the versions that its client saw last.
    AtOnceIfUnchanged,
}

/// One write of a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Write {
    /// Which key.
    pub key: String,
    /// Its new value; none: it is deleted. A transaction that does so has looked at the key, since
    /// no version tells one absence from another.
    pub content: Option<Content>,
}

impl Transaction {
    /// One that reads and decides.
    pub fn interactive(reads: Vec<String>, writes: Vec<Write>) -> Self {
        Self {
            style: Style::Interactive,
            reads,
            writes,
            if_absent: false,
        }
    }

    /// One request.
    pub fn at_once(reads: Vec<String>, writes: Vec<Write>) -> Self {
        Self {
            style: Style::AtOnce,
            ..Self::interactive(reads, writes)
        }
    }

    /// All its keys, some of them twice.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        let written = self.writes.iter().map(|write| &write.key);
        self.reads.iter().chain(written).map(String::as_str)
    }

    /// Whether its writes make sense only together.
    fn is_whole(&self) -> bool {
        let mut contents = self.writes.iter().map(|write| &write.content);
        contents.any(|content| matches!(content, Some(Content::Plus { .. })))
    }

    /// The same without its `part`th read or write, counted through both; none if that leaves
    /// nothing, or nothing that makes sense.
    pub fn without(&self, part: usize) -> Option<Self> {
        let mut smaller = self.clone();
        if part < self.reads.len() {
            smaller.reads.remove(part);
        } else if part - self.reads.len() < self.writes.len() {
            smaller.writes.remove(part - self.reads.len());
        } else {
            return None;
        }
        let useful = !smaller.writes.is_empty() || smaller.reads.len() > 1;
        (useful && !self.is_whole()).then_some(smaller)
    }

    /// How many reads and writes it has.
    pub fn parts(&self) -> usize {
        self.reads.len() + self.writes.len()
    }

    /// Lets it go to this key alone, unless its writes make sense only together.
    pub fn on_key(&mut self, key: &str) {
        if self.is_whole() {
            return;
        }
        self.reads.truncate(1);
        self.writes.truncate(1);
        let written = self.writes.iter_mut().map(|write| &mut write.key);
        for other in self.reads.iter_mut().chain(written) {
            key.clone_into(other);
        }
    }
}

impl Write {
    /// Gives `key` a value.
    pub fn put(key: impl Into<String>, content: Content) -> Self {
        let key = key.into();
        let content = Some(content);
        Self { key, content }
    }

    /// Takes the value of `key` away.
    pub fn delete(key: impl Into<String>) -> Self {
        let key = key.into();
        Self { key, content: None }
    }
}
