//! Whole sequences of commands, against a plain sorted map with a history of its own.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use trandb_common::{Key, Value, Version};
use trandb_engine::{AttemptId, Command, Condition, Found, Read, Reply, Shard, Tags};

const EPOCH: u64 = 3;

#[derive(Debug, Clone)]
enum Step {
    Apply(Command),
    Read(Key),
    List {
        prefix: String,
        after: Option<Key>,
        before: Option<Key>,
        limit: usize,
    },
    Lock {
        attempt: AttemptId,
        shared: Vec<Key>,
        exclusive: Vec<Key>,
    },
    Unlock(AttemptId),
}

/// Few keys, so that steps meet; prefixes of each other, so that listings have edges.
fn any_key() -> impl Strategy<Value = Key> {
    prop::sample::select(vec![
        "a",
        "a/",
        "a/b",
        "a/b/c",
        "b",
        "ä",
        "a key longer than 24 bytes",
    ])
    .prop_map(|text| Key::new(text).expect("legal"))
}

fn any_value() -> impl Strategy<Value = Value> {
    prop::collection::vec(any::<u8>(), 0..40).prop_map(|b| Value::copy_from(&b).expect("legal"))
}

/// Versions that this sequence is likely to give, and some that it never does.
fn any_tags() -> impl Strategy<Value = Tags> {
    let version = (
        prop_oneof![9 => Just(EPOCH), 1 => Just(EPOCH - 1)],
        1_u64..40,
    )
        .prop_map(|(epoch, counter)| Version { epoch, counter });
    prop_oneof![
        Just(Tags::Any),
        prop::collection::vec(version, 0..12).prop_map(Tags::Of),
    ]
}

fn any_condition() -> impl Strategy<Value = Condition> {
    prop_oneof![
        2 => Just(Condition::default()),
        3 => (prop::option::of(any_tags()), prop::option::of(any_tags()))
            .prop_map(|(if_match, if_none_match)| Condition { if_match, if_none_match }),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    let attempt = (1_u128..4).prop_map(AttemptId);
    let keys = || prop::collection::vec(any_key(), 0..2);
    prop_oneof![
        6 => (any_key(), any_value(), any_condition())
            .prop_map(|(key, value, condition)| Step::Apply(Command::Put { key, value, condition })),
        3 => (any_key(), any_condition())
            .prop_map(|(key, condition)| Step::Apply(Command::Delete { key, condition })),
        3 => any_key().prop_map(Step::Read),
        2 => ("(a/?b?)?", prop::option::of(any_key()), prop::option::of(any_key()), 0_usize..5)
            .prop_map(|(prefix, after, before, limit)| Step::List { prefix, after, before, limit }),
        1 => (attempt.clone(), keys(), keys())
            .prop_map(|(attempt, shared, exclusive)| Step::Lock { attempt, shared, exclusive }),
        2 => attempt.prop_map(Step::Unlock),
    ]
}

/// The same rules, said once more and without any regard for speed.
#[derive(Default)]
struct Model {
    entries: BTreeMap<Key, (Value, Version)>,
    writes: u64,
    locks: Vec<(AttemptId, Key, bool)>,
}

impl Model {
    fn locked(&self, key: &Key, for_write: bool) -> bool {
        self.locks
            .iter()
            .any(|(_, locked, exclusive)| locked == key && (for_write || *exclusive))
    }

    fn holds(&self, key: &Key, condition: &Condition) -> bool {
        let current = self.entries.get(key).map(|(_, version)| *version);
        let matches = |tags: &Tags| match tags {
            Tags::Any => current.is_some(),
            Tags::Of(versions) => current.is_some_and(|v| versions.contains(&v)),
        };
        let wanted = match &condition.if_match {
            Some(tags) => matches(tags),
            None => true,
        };
        let unwanted = match &condition.if_none_match {
            Some(tags) => matches(tags),
            None => false,
        };
        wanted && !unwanted
    }
}

fn run(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut shard = Shard::new(EPOCH);
    let mut model = Model::default();
    let mut versions_given = BTreeSet::new();
    for step in steps {
        match step {
            Step::Apply(command) => {
                let bytes_before = shard.bytes();
                let growth = shard.growth(&command);
                let reply = shard.apply(&command);
                let (Command::Put { key, condition, .. } | Command::Delete { key, condition }) =
                    &command
                else {
                    unreachable!("only plain commands are made");
                };
                if model.locked(key, true) {
                    prop_assert!(matches!(reply, Reply::Locked(_)), "{reply:?}");
                    prop_assert_eq!(shard.bytes(), bytes_before);
                } else if !model.holds(key, condition) {
                    let current = model.entries.get(key).map(|(_, version)| *version);
                    prop_assert_eq!(reply, Reply::ConditionFailed(current));
                    prop_assert_eq!(shard.bytes(), bytes_before);
                } else if let Command::Put { value, .. } = &command {
                    model.writes += 1;
                    let version = Version {
                        epoch: EPOCH,
                        counter: model.writes,
                    };
                    prop_assert_eq!(reply, Reply::Written(version));
                    prop_assert!(versions_given.insert(version), "{version} given twice");
                    prop_assert!(shard.bytes() <= bytes_before + growth);
                    model.entries.insert(key.clone(), (value.clone(), version));
                } else {
                    prop_assert_eq!(reply, Reply::Deleted);
                    model.writes += u64::from(model.entries.remove(key).is_some());
                }
            }
            Step::Read(key) => {
                let found = shard.read(&key);
                if model.locked(&key, false) {
                    prop_assert!(matches!(found, Read::Locked(_)));
                } else {
                    let expected = model.entries.get(&key).cloned();
                    prop_assert_eq!(
                        found,
                        Read::Done(expected.map(|(value, version)| Found { value, version }))
                    );
                }
            }
            Step::List {
                prefix,
                after,
                before,
                limit,
            } => {
                let rows = shard.list(&prefix, after.as_ref(), before.as_ref(), limit);
                let found: Vec<_> = rows
                    .into_iter()
                    .map(|r| (r.key, r.version, r.size))
                    .collect();
                let expected: Vec<_> = model
                    .entries
                    .iter()
                    .filter(|(key, _)| key.as_str().starts_with(&prefix))
                    .filter(|(key, _)| after.as_ref().is_none_or(|after| *key > after))
                    .filter(|(key, _)| before.as_ref().is_none_or(|before| *key < before))
                    .take(limit)
                    .map(|(key, (value, version))| (key.clone(), *version, value.len() as u64))
                    .collect();
                prop_assert_eq!(found, expected);
            }
            Step::Lock {
                attempt,
                shared,
                exclusive,
            } => {
                if shard.lock(attempt, &shared, &exclusive).is_ok() {
                    let as_lock = |exclusive| move |key| (attempt, key, exclusive);
                    model.locks.extend(shared.into_iter().map(as_lock(false)));
                    model.locks.extend(exclusive.into_iter().map(as_lock(true)));
                }
            }
            Step::Unlock(attempt) => {
                shard.unlock(attempt);
                model.locks.retain(|(holder, _, _)| *holder != attempt);
            }
        }
        prop_assert_eq!(shard.len(), model.entries.len());
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn a_shard_is_a_versioned_map(steps in prop::collection::vec(any_step(), 0..60)) {
        run(steps)?;
    }
}
