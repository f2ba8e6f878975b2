//! One shard: a deterministic state machine over a part of the key space.
//!
//! | command | `Locked` | condition fails | otherwise |
//! |---|---|---|---|
//! | `Put` | any lock on the key | nothing changes | new value, new version |
//! | `Delete` | any lock on the key | nothing changes | no value; the counter grows if there was one |
//! | read | an exclusive lock | | the value and its version, or none |
//! | list | never: a listing is not transactional | | |
//!
//! What it does for transactions stands in `participant` (those that another shard decides) and in
//! `home` (those that it decides itself).
//!
//! # Time
//!
//! Log time is the latest `now` of its commands. It never runs backwards, whatever the clocks of
//! the proposers do. Each command that carries one first moves it, then drops what is due, at most
//! 64 things of a kind: more than a command can add, so that nothing piles up.

use std::hash::{Hash, Hasher};

use trandb_common::{Key, Value, Version, limits, wire::ListedKey};

use crate::{
    AttemptId, Command, Condition, Found, LockTable, LogTime, Read, Reply, Write,
    attempts::{Attempts, prepared_bytes},
    key_map::KeyMap,
    outcomes::{Outcomes, record_bytes},
};

mod home;
mod participant;
mod snapshot;

use self::home::Outcome;
pub use self::snapshot::InvalidSnapshot;

/// The state of one shard.
///
/// Two shards are equal when they hold the same, however they came to it.
#[derive(Debug, Clone)]
pub struct Shard {
    epoch: u64,
    counter: u64,
    clock: LogTime,
    entries: KeyMap,
    locks: LockTable,
    attempts: Attempts,
    outcomes: Outcomes,
    /// Of the entries alone.
    bytes: u64,
}

/// How many things of a kind a command drops that are due.
const DROPPED_MAX: usize = 64;

/// What an entry takes beside the bytes of its value and of a long key: its slot (48), its part of
/// the index and of the order (up to 30), and what the allocator adds to the value (up to 40).
/// `docs/performance.md` compares it with what was measured.
const ENTRY_BYTES: u64 = 112;
/// Keys up to this many bytes are kept within the slot.
const INLINE_KEY_BYTES: usize = 24;
/// What the allocator adds to a longer one.
const HEAP_KEY_BYTES: u64 = 16;

/// What an entry counts for in [`Shard::bytes`].
pub(crate) fn entry_bytes(key: &Key, value_bytes: usize) -> u64 {
    let length = key.as_bytes().len();
    let key_bytes = if length <= INLINE_KEY_BYTES {
        0
    } else {
        length as u64 + HEAP_KEY_BYTES
    };
    ENTRY_BYTES + key_bytes + value_bytes as u64
}

fn puts(writes: &[Write]) -> impl Iterator<Item = (&Key, &Value)> {
    let puts = writes.iter();
    puts.filter_map(|write| Some((write.key(), write.value()?)))
}

impl Shard {
    /// An empty shard. `epoch` must never have been used before by a shard of these keys.
    pub fn new(epoch: u64) -> Self {
        Self::with_outcome_budget(epoch, limits::OUTCOME_BYTES_MAX)
    }

    /// The same, with another budget for outcomes than
    /// [`OUTCOME_BYTES_MAX`](limits::OUTCOME_BYTES_MAX), in bytes. All replicas of a shard must
    /// have the same one.
    pub fn with_outcome_budget(epoch: u64, budget: u64) -> Self {
        Self {
            epoch,
            counter: 0,
            clock: LogTime::default(),
            entries: KeyMap::new(epoch),
            locks: LockTable::default(),
            attempts: Attempts::default(),
            outcomes: Outcomes::new(budget),
            bytes: 0,
        }
    }

    /// Log time: the latest that any command carried.
    pub fn clock(&self) -> LogTime {
        self.clock
    }

    /// Whether nobody holds a lock.
    pub fn is_unlocked(&self) -> bool {
        self.locks.is_empty()
    }

    /// How many keys have a value.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no key has a value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The memory that the entries, the prepared attempts with their locks, and the outcomes take,
    /// in bytes: an estimate that is a pure function of them.
    pub fn bytes(&self) -> u64 {
        self.bytes + self.attempts.bytes() + self.outcomes.bytes()
    }

    /// The most that one write of a key without a transaction can add to
    /// [`bytes`](Self::bytes).
    pub const GROWTH_MAX: u64 = ENTRY_BYTES
        + HEAP_KEY_BYTES
        + limits::KEY_BYTES_MAX as u64
        + limits::VALUE_BYTES_MAX as u64;

    /// No less than [`growth`](Self::growth), whatever the shard holds: without a look-up.
    pub fn growth_max(command: &Command) -> u64 {
        let put = |(key, value): (&Key, &Value)| entry_bytes(key, value.len());
        match command {
            Command::Put { key, value, .. } => put((key, value)),
            Command::Prepare(prepare) => prepared_bytes(&prepare.part),
            Command::Commit(commit) => {
                record_bytes(commit.participants.len())
                    + puts(&commit.part.writes).map(put).sum::<u64>()
            }
            Command::Delete { .. }
            | Command::Resolve(_)
            | Command::Finalize(_)
            | Command::Forget(_) => 0,
        }
    }

    /// By how many bytes [`bytes`](Self::bytes) grows at most if `command` is applied and
    /// everything holds.
    ///
    /// 0 for what frees memory, and for what must not be turned away for lack of it although it
    /// may take a little: deciding and finalizing (bounded by
    /// [`OUTCOME_RESERVE_BYTES`](limits::OUTCOME_RESERVE_BYTES) and
    /// [`ATTEMPTS_MAX`](limits::ATTEMPTS_MAX)).
    pub fn growth(&self, command: &Command) -> u64 {
        match command {
            Command::Put { key, value, .. } => self.put_growth(key, value),
            Command::Prepare(prepare) => match self.attempts.prepared(prepare.attempt) {
                None => prepared_bytes(&prepare.part),
                Some(_) => 0,
            },
            Command::Commit(commit) => {
                record_bytes(commit.participants.len())
                    + puts(&commit.part.writes)
                        .map(|(key, value)| self.put_growth(key, value))
                        .sum::<u64>()
            }
            Command::Delete { .. }
            | Command::Resolve(_)
            | Command::Finalize(_)
            | Command::Forget(_) => 0,
        }
    }

    fn put_growth(&self, key: &Key, value: &Value) -> u64 {
        let now = self
            .entries
            .get(key)
            .map_or(0, |entry| entry_bytes(key, entry.value.len()));
        entry_bytes(key, value.len()).saturating_sub(now)
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
        Read::Done(self.find(key))
    }

    fn find(&self, key: &Key) -> Option<Found> {
        self.entries.get(key).map(|entry| Found {
            value: entry.value.clone(),
            version: self.version(entry.counter),
        })
    }

    /// Applies a command. Deterministic: the state and the command alone decide.
    pub fn apply(&mut self, command: &Command) -> Reply {
        match command {
            Command::Put {
                key,
                value,
                condition,
            } => self.put(key, value, condition),
            Command::Delete { key, condition } => self.delete(key, condition),
            Command::Prepare(prepare) => {
                self.advance(prepare.now);
                self.prepare(prepare)
            }
            Command::Commit(commit) => {
                self.advance(commit.now);
                self.commit(commit, Outcome::Recorded)
            }
            Command::Resolve(resolve) => {
                self.advance(resolve.now);
                self.resolve(resolve)
            }
            Command::Finalize(finalize) => {
                self.advance(finalize.now);
                self.finalize(finalize)
            }
            Command::Forget(forget) => {
                let reply = self.forget(forget);
                self.advance(forget.now);
                reply
            }
        }
    }

    /// [`apply`](Self::apply), of a command that comes this once, and whose sender hears the reply
    /// before it does anything else: no log carries it, and no network.
    ///
    /// A transaction of this shard alone whose outcome nobody was promised leaves no record then.
    /// Records are for those who ask, and nobody will: they are most of what such a transaction
    /// costs the shard.
    pub fn apply_once(&mut self, command: &Command) -> Reply {
        match command {
            Command::Commit(commit) if !commit.promised && commit.participants.is_empty() => {
                self.advance(commit.now);
                self.commit(commit, Outcome::Spared)
            }
            _ => self.apply(command),
        }
    }

    /// Moves log time, never backwards, and drops what is due.
    fn advance(&mut self, now: LogTime) {
        self.clock = self.clock.max(now);
        self.attempts.expire(self.clock, DROPPED_MAX);
        self.outcomes.expire(self.clock, DROPPED_MAX);
    }

    fn put(&mut self, key: &Key, value: &Value, condition: &Condition) -> Reply {
        if let Err(failed) = self.check(key, condition) {
            return failed;
        }
        self.counter += 1;
        self.set(key, value.clone(), self.counter);
        Reply::Written(self.version(self.counter))
    }

    fn delete(&mut self, key: &Key, condition: &Condition) -> Reply {
        if let Err(failed) = self.check(key, condition) {
            return failed;
        }
        if self.unset(key) {
            self.counter += 1;
        }
        Reply::Deleted
    }

    fn set(&mut self, key: &Key, value: Value, counter: u64) {
        self.bytes += entry_bytes(key, value.len());
        if let Some(old) = self.entries.insert(key, value, counter) {
            self.bytes -= entry_bytes(key, old.len());
        }
    }

    /// Whether there was a value.
    fn unset(&mut self, key: &Key) -> bool {
        let old = self.entries.remove(key);
        if let Some(old) = &old {
            self.bytes -= entry_bytes(key, old.len());
        }
        old.is_some()
    }

    /// Carries out writes whose versions were taken before: `first` and the following ones.
    fn write_all(&mut self, writes: &[Write], first: Version) {
        for (counter, write) in (first.counter..).zip(writes) {
            match write {
                Write::Put { key, value } => self.set(key, value.clone(), counter),
                Write::Delete { key } => {
                    self.unset(key);
                }
            }
        }
    }

    /// Whether a plain write of the key may happen.
    fn check(&self, key: &Key, condition: &Condition) -> Result<(), Reply> {
        if let Some(holder) = self.locks.holder(key) {
            return Err(Reply::Locked(holder));
        }
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

    /// Locks keys for an undecided attempt, all or none, without a transaction: for tests of
    /// waiting.
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

impl PartialEq for Shard {
    fn eq(&self, other: &Self) -> bool {
        let entries = |shard: &'_ Self| -> Vec<_> {
            let all = shard.entries.from("", true);
            all.map(|entry| (entry.key.clone(), entry.value.clone(), entry.counter))
                .collect()
        };
        (self.epoch, self.counter, self.clock) == (other.epoch, other.counter, other.clock)
            && self.locks == other.locks
            && self.attempts == other.attempts
            && self.outcomes == other.outcomes
            && entries(self) == entries(other)
    }
}

impl Eq for Shard {}

impl Hash for Shard {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.epoch, self.counter, self.clock).hash(state);
        self.locks.hash(state);
        self.attempts.hash(state);
        self.outcomes.hash(state);
        for entry in self.entries.from("", true) {
            (&entry.key, &entry.value, entry.counter).hash(state);
        }
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
