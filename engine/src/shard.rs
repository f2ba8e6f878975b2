//! One shard: a deterministic state machine over a part of the key space.
//!
//! | command | `Locked` | condition fails | otherwise |
//! |---|---|---|---|
//! | `Put` | any lock on the key | nothing changes | new value, new version |
//! | `Delete` | any lock on the key | nothing changes | no value; the counter grows if there was one |
//! | read | an exclusive lock | | the value and its version, or none |
//! | list | never: a listing is not transactional | | |

use trandb_common::{Key, Value, Version, limits, wire::ListedKey};

use crate::{AttemptId, Condition, LockTable, key_map::KeyMap};

/// What changes a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Gives the key a value, if the condition holds.
    Put {
        /// Which key.
        key: Key,
        /// Its new value.
        value: Value,
        /// Checked in the same step.
        condition: Condition,
    },
    /// Takes the key's value away, if the condition holds. That it has none already is no error.
    Delete {
        /// Which key.
        key: Key,
        /// Checked in the same step.
        condition: Condition,
    },
}

impl Command {
    /// The key it is about.
    pub fn key(&self) -> &Key {
        match self {
            Self::Put { key, .. } | Self::Delete { key, .. } => key,
        }
    }
}

/// What a command did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Reply {
    /// The key has the value, under this version.
    Written(Version),
    /// The key has no value.
    Deleted,
    /// The condition does not hold; nothing changed. The key's version now, none without a value.
    ConditionFailed(Option<Version>),
    /// An undecided transaction holds the key; nothing changed. Try again when it has let go.
    Locked(AttemptId),
}

/// A value and its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The bytes, shared with the shard.
    pub value: Value,
    /// The name of this value.
    pub version: Version,
}

/// What a read saw.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Read {
    /// The key's value, none if it has none.
    Done(Option<Found>),
    /// An undecided transaction may be about to change the key: its outcome decides what a read
    /// may see. Try again when it has let go.
    Locked(AttemptId),
}

/// The state of one shard.
#[derive(Debug)]
pub struct Shard {
    epoch: u64,
    counter: u64,
    entries: KeyMap,
    locks: LockTable,
    bytes: u64,
}

/// What an entry takes beside the bytes of its value and of a long key: its slot (48), its part of
/// the index and of the order (up to 30), and what the allocator adds to the value (up to 40).
/// `docs/performance.md` compares it with what was measured.
const ENTRY_BYTES: u64 = 112;
/// Keys up to this many bytes are kept within the slot.
const INLINE_KEY_BYTES: usize = 24;
/// What the allocator adds to a longer one.
const HEAP_KEY_BYTES: u64 = 16;

/// What an entry counts for in [`Shard::bytes`].
fn entry_bytes(key: &Key, value_bytes: usize) -> u64 {
    let length = key.as_bytes().len();
    let key_bytes = if length <= INLINE_KEY_BYTES {
        0
    } else {
        length as u64 + HEAP_KEY_BYTES
    };
    ENTRY_BYTES + key_bytes + value_bytes as u64
}

impl Shard {
    /// An empty shard. `epoch` must never have been used before by a shard of these keys.
    pub fn new(epoch: u64) -> Self {
        Self {
            epoch,
            counter: 0,
            entries: KeyMap::new(epoch),
            locks: LockTable::default(),
            bytes: 0,
        }
    }

    /// How many keys have a value.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no key has a value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The memory that the entries take, in bytes: an estimate that is a pure function of them.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The most that one command can add to [`bytes`](Self::bytes).
    pub const GROWTH_MAX: u64 = ENTRY_BYTES
        + HEAP_KEY_BYTES
        + limits::KEY_BYTES_MAX as u64
        + limits::VALUE_BYTES_MAX as u64;

    /// By how many bytes [`bytes`](Self::bytes) grows if `command` is applied and its condition
    /// holds. 0 for what frees memory.
    pub fn growth(&self, command: &Command) -> u64 {
        match command {
            Command::Put { key, value, .. } => {
                let now = self
                    .entries
                    .get(key)
                    .map_or(0, |e| entry_bytes(key, e.value.len()));
                entry_bytes(key, value.len()).saturating_sub(now)
            }
            Command::Delete { .. } => 0,
        }
    }

    fn version(&self, counter: u64) -> Version {
        Version {
            epoch: self.epoch,
            counter,
        }
    }

    fn current_version(&self, key: &Key) -> Option<Version> {
        self.entries
            .get(key)
            .map(|entry| self.version(entry.counter))
    }

    /// The key's value and version.
    pub fn read(&self, key: &Key) -> Read {
        if let Some(holder) = self.locks.exclusive_holder(key) {
            return Read::Locked(holder);
        }
        Read::Done(self.entries.get(key).map(|entry| Found {
            value: entry.value.clone(),
            version: self.version(entry.counter),
        }))
    }

    /// Applies a command. Deterministic: the state and the command alone decide.
    pub fn apply(&mut self, command: &Command) -> Reply {
        let key = command.key();
        if let Some(holder) = self.locks.holder(key) {
            return Reply::Locked(holder);
        }
        match command {
            Command::Put {
                value, condition, ..
            } => self.put(key, value, condition),
            Command::Delete { condition, .. } => self.delete(key, condition),
        }
    }

    fn put(&mut self, key: &Key, value: &Value, condition: &Condition) -> Reply {
        if let Err(failed) = self.check(key, condition) {
            return failed;
        }
        self.counter += 1;
        self.bytes += entry_bytes(key, value.len());
        if let Some(old) = self.entries.insert(key, value.clone(), self.counter) {
            self.bytes -= entry_bytes(key, old.len());
        }
        Reply::Written(self.version(self.counter))
    }

    fn delete(&mut self, key: &Key, condition: &Condition) -> Reply {
        if let Err(failed) = self.check(key, condition) {
            return failed;
        }
        if let Some(old) = self.entries.remove(key) {
            self.counter += 1;
            self.bytes -= entry_bytes(key, old.len());
        }
        Reply::Deleted
    }

    fn check(&self, key: &Key, condition: &Condition) -> Result<(), Reply> {
        // Most writes have no condition, and then need not look the key up.
        if *condition == Condition::default() {
            return Ok(());
        }
        let current = self.current_version(key);
        if condition.holds(current) {
            Ok(())
        } else {
            Err(Reply::ConditionFailed(current))
        }
    }

    /// Up to `limit` keys that start with `prefix`, come after `after` and before `before`, in byte
    /// order.
    pub fn list(
        &self,
        prefix: &str,
        after: Option<&Key>,
        before: Option<&Key>,
        limit: usize,
    ) -> Vec<ListedKey> {
        let (from, inclusive) = match after {
            Some(after) if after.as_str() >= prefix => (after.as_str(), false),
            _ => (prefix, true),
        };
        self.entries
            .from(from, inclusive)
            .take_while(|entry| entry.key.as_str().starts_with(prefix))
            .take_while(|entry| before.is_none_or(|before| entry.key < *before))
            .take(limit)
            .map(|entry| ListedKey {
                key: entry.key.clone(),
                version: self.version(entry.counter),
                size: entry.value.len() as u64,
            })
            .collect()
    }

    /// Locks keys for an undecided attempt, all or none: what preparing a transaction rests on.
    ///
    /// # Errors
    ///
    /// See [`LockTable::acquire`].
    pub fn lock(
        &mut self,
        attempt: AttemptId,
        shared: &[Key],
        exclusive: &[Key],
    ) -> Result<(), AttemptId> {
        self.locks.acquire(attempt, shared, exclusive)
    }

    /// Releases all keys that `attempt` holds.
    pub fn unlock(&mut self, attempt: AttemptId) {
        self.locks.release(attempt);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EPOCH: u64 = 7;
    const ATTEMPT: AttemptId = AttemptId(42);

    fn key(text: &str) -> Key {
        Key::new(text).expect("legal")
    }

    fn put_if(name: &str, value: &str, condition: Condition) -> Command {
        Command::Put {
            key: key(name),
            value: Value::try_from(value).expect("legal"),
            condition,
        }
    }

    fn put(name: &str, value: &str) -> Command {
        put_if(name, value, Condition::default())
    }

    fn delete(name: &str) -> Command {
        Command::Delete {
            key: key(name),
            condition: Condition::default(),
        }
    }

    fn version(counter: u64) -> Version {
        Version {
            epoch: EPOCH,
            counter,
        }
    }

    #[test]
    fn a_version_is_not_reused_after_delete_and_recreate() {
        let mut shard = Shard::new(EPOCH);
        assert_eq!(shard.apply(&put("a", "1")), Reply::Written(version(1)));
        assert_eq!(shard.apply(&delete("a")), Reply::Deleted);
        assert_eq!(shard.apply(&put("a", "1")), Reply::Written(version(3)));
    }

    #[test]
    fn the_same_value_again_is_a_new_version() {
        let mut shard = Shard::new(EPOCH);
        assert_eq!(shard.apply(&put("a", "1")), Reply::Written(version(1)));
        assert_eq!(shard.apply(&put("a", "1")), Reply::Written(version(2)));
    }

    #[test]
    fn a_failed_condition_tells_the_version_and_changes_nothing() {
        let mut shard = Shard::new(EPOCH);
        let _ = shard.apply(&put("a", "1"));
        let before = shard.bytes();
        let failed = shard.apply(&put_if("a", "longer", Condition::absent()));
        assert_eq!(failed, Reply::ConditionFailed(Some(version(1))));
        assert_eq!(shard.bytes(), before);
        let failed = shard.apply(&put_if("b", "1", Condition::version(version(1))));
        assert_eq!(failed, Reply::ConditionFailed(None));
        assert_eq!(shard.len(), 1);
    }

    #[test]
    fn an_exclusive_lock_stops_reads_and_writes_until_it_is_released() {
        let mut shard = Shard::new(EPOCH);
        let _ = shard.apply(&put("a", "1"));
        shard.lock(ATTEMPT, &[], &[key("a")]).expect("free");
        assert_eq!(shard.apply(&put("a", "2")), Reply::Locked(ATTEMPT));
        assert_eq!(shard.apply(&delete("a")), Reply::Locked(ATTEMPT));
        assert_eq!(shard.read(&key("a")), Read::Locked(ATTEMPT));
        assert_eq!(
            shard.read(&key("b")),
            Read::Done(None),
            "other keys are free"
        );
        shard.unlock(ATTEMPT);
        assert_eq!(shard.apply(&put("a", "2")), Reply::Written(version(2)));
    }

    #[test]
    fn a_shared_lock_stops_writes_alone() {
        let mut shard = Shard::new(EPOCH);
        shard.lock(ATTEMPT, &[key("a")], &[]).expect("free");
        assert_eq!(shard.apply(&put("a", "2")), Reply::Locked(ATTEMPT));
        assert_eq!(shard.read(&key("a")), Read::Done(None));
    }

    #[test]
    fn growth_is_what_applying_adds() {
        let mut shard = Shard::new(EPOCH);
        let long = "k".repeat(100);
        for command in [put("a", "12345"), put("a", "1234567"), put(&long, "1")] {
            let expected = shard.bytes() + shard.growth(&command);
            let _ = shard.apply(&command);
            assert_eq!(shard.bytes(), expected, "{command:?}");
        }
        assert_eq!(
            shard.growth(&put("a", "1")),
            0,
            "a smaller value takes no more"
        );
        let _ = shard.apply(&delete("a"));
        let _ = shard.apply(&delete(&long));
        assert_eq!(shard.bytes(), 0);
    }

    #[test]
    fn listing_starts_at_the_prefix_or_behind_the_last_key() {
        let mut shard = Shard::new(EPOCH);
        for name in ["a", "b", "b/", "b/1", "b/2", "b0", "c", ".a"] {
            let _ = shard.apply(&put(name, name));
        }
        let list = |prefix: &str, after: Option<&str>, limit| -> Vec<String> {
            let rows = shard.list(prefix, after.map(key).as_ref(), None, limit);
            rows.into_iter().map(|row| row.key.to_string()).collect()
        };
        assert_eq!(list("b/", None, 10), ["b/", "b/1", "b/2"]);
        assert_eq!(list("b/", None, 2), ["b/", "b/1"]);
        assert_eq!(list("b/", Some("b/1"), 10), ["b/2"]);
        assert_eq!(list("b/", Some("b/1x"), 10), ["b/2"], "a key that is gone");
        assert_eq!(
            list("b/", Some("a"), 10),
            ["b/", "b/1", "b/2"],
            "before the prefix"
        );
        assert_eq!(list("b/", Some("c"), 10), [""; 0], "behind the prefix");
        assert_eq!(list("", None, 2), [".a", "a"]);
        assert_eq!(list(".", None, 10), [".a"], "a prefix need not be a key");
        assert_eq!(list("x", None, 10), [""; 0]);
    }
}
