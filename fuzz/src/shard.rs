//! A shard, against a plain map that remembers everything.

use std::collections::{BTreeMap, BTreeSet};

use arbitrary::{Arbitrary, Unstructured};
use trandb_common::{Key, Value, Version};
use trandb_engine::{AttemptId, Command, Condition, Found, Read, Reply, Shard, Tags};

use super::EPOCH;

const STEPS_MAX: usize = 200;

#[derive(Debug, Arbitrary)]
enum Step<'a> {
    Put(AnyKey<'a>, &'a [u8], AnyCondition),
    Delete(AnyKey<'a>, AnyCondition),
    Read(AnyKey<'a>),
    List(&'a str, Option<AnyKey<'a>>, u8),
    Lock(u8, Vec<AnyKey<'a>>, Vec<AnyKey<'a>>),
    Unlock(u8),
}

/// One of a few, so that steps meet, or any text.
#[derive(Debug, Arbitrary)]
enum AnyKey<'a> {
    Of(u8),
    Text(&'a str),
}

#[derive(Debug, Default, Arbitrary)]
struct AnyCondition {
    if_match: Option<AnyTags>,
    if_none_match: Option<AnyTags>,
}

/// Counters back from the newest version; none is `*`.
type AnyTags = Option<Vec<u8>>;

impl AnyKey<'_> {
    /// None when the text is not a key.
    fn key(&self) -> Option<Key> {
        const FEW: [&str; 8] = [
            "a",
            "a/",
            "a/b",
            "a/b/c",
            "b",
            "\u{e4}",
            "\0",
            "a key that is longer than 24 bytes",
        ];
        match self {
            Self::Of(index) => Key::new(FEW[usize::from(*index) % FEW.len()]).ok(),
            Self::Text(text) => Key::new(text).ok(),
        }
    }
}

/// Commands, reads, listings and locks in any order.
pub fn shard(data: &[u8]) {
    let Ok(steps) = Vec::<Step<'_>>::arbitrary_take_rest(Unstructured::new(data)) else {
        return;
    };
    let mut pair = Pair::new();
    for step in steps.iter().take(STEPS_MAX) {
        // A step with an illegal key cannot be written down: keys are legal by their type.
        let _ = pair.step(step);
        pair.agree();
    }
}

/// A shard and what it should be.
struct Pair {
    shard: Shard,
    entries: BTreeMap<Key, (Value, Version)>,
    writes: u64,
    /// Attempt, key, exclusive.
    locks: BTreeSet<(u128, Key, bool)>,
}

impl Pair {
    fn new() -> Self {
        Self {
            shard: Shard::new(EPOCH),
            entries: BTreeMap::new(),
            writes: 0,
            locks: BTreeSet::new(),
        }
    }

    fn step(&mut self, step: &Step<'_>) -> Option<()> {
        match step {
            Step::Put(key, value, condition) => {
                let command = Command::Put {
                    key: key.key()?,
                    value: Value::copy_from(value).ok()?,
                    condition: self.condition(condition),
                };
                self.apply(&command);
            }
            Step::Delete(key, condition) => {
                let command = Command::Delete {
                    key: key.key()?,
                    condition: self.condition(condition),
                };
                self.apply(&command);
            }
            Step::Read(key) => self.read(&key.key()?),
            Step::List(prefix, after, limit) => {
                let after = after.as_ref().and_then(AnyKey::key);
                self.list(prefix, after.as_ref(), usize::from(*limit));
            }
            Step::Lock(attempt, shared, exclusive) => {
                let keys = |keys: &[AnyKey<'_>]| -> Vec<Key> {
                    keys.iter().filter_map(AnyKey::key).collect()
                };
                self.lock(u128::from(attempt % 4), &keys(shared), &keys(exclusive));
            }
            Step::Unlock(attempt) => {
                let attempt = u128::from(attempt % 4);
                self.shard.unlock(AttemptId(attempt));
                self.locks.retain(|(holder, _, _)| *holder != attempt);
            }
        }
        Some(())
    }

    fn condition(&self, condition: &AnyCondition) -> Condition {
        let version = |back: &u8| Version {
            epoch: EPOCH,
            counter: self.writes.saturating_sub(u64::from(*back)),
        };
        let tags = |tags: &AnyTags| match tags {
            None => Tags::Any,
            Some(back) => Tags::Of(back.iter().map(version).collect()),
        };
        Condition {
            if_match: condition.if_match.as_ref().map(tags),
            if_none_match: condition.if_none_match.as_ref().map(tags),
        }
    }

    fn apply(&mut self, command: &Command) {
        let (before, growth) = (self.shard.bytes(), self.shard.growth(command));
        let reply = self.shard.apply(command);
        let (Command::Put { key, condition, .. } | Command::Delete { key, condition }) = command
        else {
            unreachable!("only plain commands are made");
        };
        let current = self.entries.get(key).map(|(_, version)| *version);
        let named = |tags: &Tags| {
            current.is_some_and(|current| match tags {
                Tags::Any => true,
                Tags::Of(versions) => versions.contains(&current),
            })
        };
        let holds =
            condition.if_match.iter().all(named) && !condition.if_none_match.iter().any(named);
        if let Some(holder) = self.holder(key, None) {
            assert_eq!(reply, Reply::Locked(holder));
        } else if !holds {
            assert_eq!(reply, Reply::ConditionFailed(current));
        } else if let Command::Put { value, .. } = command {
            self.writes += 1;
            let version = Version {
                epoch: EPOCH,
                counter: self.writes,
            };
            assert_eq!(
                reply,
                Reply::Written(version),
                "the next version, never an old one"
            );
            self.entries.insert(key.clone(), (value.clone(), version));
        } else {
            assert_eq!(reply, Reply::Deleted);
            self.writes += u64::from(self.entries.remove(key).is_some());
        }
        let after = self.shard.bytes();
        match (reply, growth) {
            (Reply::Locked(_) | Reply::ConditionFailed(_), _) => assert_eq!(after, before),
            (_, 0) => assert!(after <= before, "what grows says so before"),
            (_, growth) => assert_eq!(after, before + growth),
        }
        assert!(growth <= Shard::growth_max(command));
        assert!(Shard::growth_max(command) <= Shard::GROWTH_MAX);
    }

    fn read(&self, key: &Key) {
        let found = self.entries.get(key).cloned();
        let expected = match self.holder(key, Some(true)) {
            Some(holder) => Read::Locked(holder),
            None => Read::Done(found.map(|(value, version)| Found { value, version })),
        };
        assert_eq!(self.shard.read(key), expected);
    }

    fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) {
        let listed = self.shard.list(prefix, after, None, limit);
        let is_asked_for = |key: &Key| {
            key.as_bytes().starts_with(prefix.as_bytes())
                && after.is_none_or(|after| key.as_bytes() > after.as_bytes())
        };
        let expected = self.entries.iter().filter(|(key, _)| is_asked_for(key));
        let expected = expected.take(limit).map(|(key, (value, version))| {
            (
                key.clone(),
                *version,
                u64::try_from(value.len()).expect("small"),
            )
        });
        let listed = listed
            .into_iter()
            .map(|row| (row.key, row.version, row.size));
        assert!(
            listed.eq(expected),
            "the keys from {prefix:?} after {after:?}"
        );
    }

    fn lock(&mut self, attempt: u128, shared: &[Key], exclusive: &[Key]) {
        let granted = self.shard.lock(AttemptId(attempt), shared, exclusive);
        let others = |key: &Key, only_exclusive: bool| {
            self.locks.iter().any(|(holder, locked, is_exclusive)| {
                *holder != attempt && locked == key && (*is_exclusive || !only_exclusive)
            })
        };
        let busy = exclusive.iter().any(|key| others(key, false))
            || shared.iter().any(|key| others(key, true));
        assert_eq!(granted.is_err(), busy, "{granted:?}");
        if busy {
            return;
        }
        let with = |exclusive| move |key: &Key| (attempt, key.clone(), exclusive);
        self.locks.extend(shared.iter().map(with(false)));
        self.locks.extend(exclusive.iter().map(with(true)));
    }

    /// The smallest attempt that holds `key`, or holds it in that way.
    fn holder(&self, key: &Key, exclusive: Option<bool>) -> Option<AttemptId> {
        let holds = |(_, locked, how): &&(u128, Key, bool)| {
            locked == key && exclusive.is_none_or(|wanted| wanted == *how)
        };
        let first = self.locks.iter().find(holds)?;
        Some(AttemptId(first.0))
    }

    fn agree(&self) {
        assert_eq!(self.shard.len(), self.entries.len());
        assert_eq!(self.shard.is_empty(), self.entries.is_empty());
        assert_eq!(self.shard.bytes() == 0, self.entries.is_empty());
    }
}
