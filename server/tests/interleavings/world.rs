//! A database of its own for each schedule, and the history of what tasks do to it.

use std::{
    num::{NonZeroU16, NonZeroUsize},
    sync::{Arc, Mutex},
};

use shuttle::rand::{Rng as _, thread_rng};
use trandb_checker::{
    Verdict,
    history::{Interval, OperationId, Value as Recorded},
    linearizability::{
        Operation, Options, check,
        models::{Condition as Asked, Kv, KvAction, KvOp},
    },
};
use trandb_common::{Key, Value, Version, wire::ListedKey};
use trandb_engine::{AttemptId, Command, Condition, Found, Shard};
use trandb_server::{
    Database, Local, database::Error, memory::Memory, shards::Listing, transactions::Source,
};

/// Only differences from other epochs would matter.
const EPOCH: u64 = 1;

/// The attempt of a transaction that locks keys.
pub(crate) const ATTEMPT: AttemptId = AttemptId(7);

/// What no scenario comes near.
pub(crate) const PLENTY: u64 = 1 << 40;

/// What a task wants of a key.
#[derive(Debug, Clone)]
pub(crate) enum Wish {
    Get,
    Put(&'static str, Condition),
    Delete(Condition),
}

pub(crate) struct World {
    pub(crate) database: Database<Local>,
    pub(crate) memory: Arc<Memory>,
    history: Mutex<History>,
}

/// Operations in the order of their calls; none in the place of one that certainly did nothing.
#[derive(Default)]
struct History {
    ticks: u64,
    operations: Vec<Option<Operation<KvOp>>>,
}

impl History {
    fn tick(&mut self) -> u64 {
        self.ticks += 1;
        self.ticks
    }
}

pub(crate) fn key(text: &str) -> Key {
    Key::new(text).expect("legal")
}

pub(crate) fn value(text: &str) -> Value {
    Value::try_from(text).expect("legal")
}

/// A number below `bound`, by the schedule's own chance.
pub(crate) fn any(bound: usize) -> usize {
    thread_rng().gen_range(0..bound)
}

impl World {
    pub(crate) fn new(shards: u16, memory_limit: u64) -> Arc<Self> {
        let memory = Arc::new(Memory::new(memory_limit));
        let count = NonZeroU16::new(shards).expect("at least one");
        let local = Local::new(count, EPOCH, Arc::clone(&memory));
        Arc::new(Self {
            database: Database::new(local, Source::new(1, 0)),
            memory,
            history: Mutex::default(),
        })
    }

    fn history(&self) -> std::sync::MutexGuard<'_, History> {
        self.history.lock().expect("no task panicked")
    }

    /// Does what `wish` says, and records it. Dropped before its end it stays in the history as
    /// unknown.
    pub(crate) async fn run(
        &self,
        process: usize,
        name: &str,
        wish: Wish,
    ) -> Result<Option<Found>, Error> {
        let id = self.call(process, name, &wish);
        let (result, action) = match wish {
            Wish::Get => {
                let result = self.database.get(&key(name)).await;
                let action = result.as_ref().ok().map(|found| seen(found.as_ref()));
                (result, action)
            }
            Wish::Put(text, condition) => {
                let asked = recorded(&condition);
                let result = self.database.put(key(name), value(text), condition).await;
                let action = match &result {
                    Ok(version) => Some(KvAction::Put {
                        value: Recorded::Text(text.into()),
                        condition: asked,
                        version: Some(version_text(*version)),
                    }),
                    Err(error) => refused(error, asked),
                };
                let found = |version| Found {
                    value: value(text),
                    version,
                };
                (result.map(|version| Some(found(version))), action)
            }
            Wish::Delete(condition) => {
                let asked = recorded(&condition);
                let result = self.database.delete(key(name), condition).await;
                let action = match &result {
                    Ok(()) => Some(KvAction::Delete { condition: asked }),
                    Err(error) => refused(error, asked),
                };
                (result.map(|()| None), action)
            }
        };
        self.returned(id, action);
        result
    }

    fn call(&self, process: usize, name: &str, wish: &Wish) -> usize {
        let action = match wish {
            Wish::Get => None,
            Wish::Put(text, condition) => Some(KvAction::Put {
                value: Recorded::Text((*text).into()),
                condition: recorded(condition),
                version: None,
            }),
            Wish::Delete(condition) => Some(KvAction::Delete {
                condition: recorded(condition),
            }),
        };
        let mut history = self.history();
        let call = history.tick();
        let id = history.operations.len();
        history.operations.push(Some(Operation {
            id: OperationId(id),
            process: i64::try_from(process).expect("few"),
            interval: Interval {
                call,
                ret: Interval::NEVER,
            },
            unknown: true,
            op: KvOp {
                key: Recorded::Text(name.into()),
                // A read that never returns says nothing.
                action: action.unwrap_or(KvAction::Get {
                    value: None,
                    version: None,
                }),
            },
        }));
        id
    }

    fn returned(&self, id: usize, action: Option<KvAction>) {
        let mut history = self.history();
        let ret = history.tick();
        let Some(action) = action else {
            history.operations[id] = None;
            return;
        };
        let operation = history.operations[id].as_mut().expect("it was called");
        operation.interval.ret = ret;
        operation.unknown = false;
        operation.op.action = action;
    }

    /// Reads `keys` after everything else, then asserts that the history is linearizable and that
    /// the memory counter is what is stored.
    pub(crate) async fn judge(&self, keys: &[&str]) {
        for name in keys {
            self.run(usize::MAX >> 1, name, Wish::Get)
                .await
                .expect("nothing is locked any more");
        }
        let operations: Vec<_> = self
            .history()
            .operations
            .iter()
            .flatten()
            .cloned()
            .collect();
        let options = Options {
            threads: NonZeroUsize::MIN,
            ..Options::default()
        };
        match check(&Kv::default(), &operations, &options) {
            Verdict::Ok => {}
            Verdict::Illegal(evidence) => panic!("{}{operations:#?}", evidence[0]),
            Verdict::Unknown(reason) => panic!("not decided: {reason}"),
        }
        assert_eq!(
            self.memory.used(),
            self.content_bytes().await,
            "the memory counter"
        );
    }

    /// All keys.
    pub(crate) async fn list(&self) -> Vec<ListedKey> {
        let all = Listing {
            prefix: String::new(),
            after: None,
            before: None,
            limit: 100,
        };
        self.database
            .list(all)
            .await
            .expect("nothing is locked")
            .keys
    }

    /// What the entries count for, each put into a shard of its own.
    async fn content_bytes(&self) -> u64 {
        let mut bytes = 0;
        for listed in self.list().await {
            let found = self
                .database
                .get(&listed.key)
                .await
                .expect("free")
                .expect("it is listed");
            bytes += Shard::new(EPOCH).growth(&Command::Put {
                key: listed.key,
                value: found.value,
                condition: Condition::default(),
            });
        }
        bytes
    }
}

fn seen(found: Option<&Found>) -> KvAction {
    match found {
        None => KvAction::GetAbsent,
        Some(found) => {
            let text = std::str::from_utf8(found.value.as_bytes()).expect("we wrote text");
            KvAction::Get {
                value: Some(Recorded::Text(text.into())),
                version: Some(version_text(found.version)),
            }
        }
    }
}

/// What a write that was refused says of the key; none if nothing.
fn refused(error: &Error, condition: Option<Asked>) -> Option<KvAction> {
    match error {
        Error::LockTimeout
        | Error::MemoryFull { .. }
        | Error::ShardUnavailable
        | Error::Unknown => None,
        Error::PreconditionFailed(current) => Some(KvAction::ConditionFailed {
            condition: condition.expect("it failed"),
            current: Some(current.map_or(Recorded::Nil, version_text)),
        }),
    }
}

fn version_text(version: Version) -> Recorded {
    Recorded::Text(version.to_string().into())
}

fn recorded(condition: &Condition) -> Option<Asked> {
    use trandb_engine::Tags;
    match (&condition.if_match, &condition.if_none_match) {
        (None, None) => None,
        (None, Some(Tags::Any)) => Some(Asked::Absent),
        (Some(Tags::Any), None) => Some(Asked::Present),
        (Some(Tags::Of(versions)), None) => Some(Asked::Version(version_text(versions[0]))),
        other => panic!("no scenario asks for {other:?}"),
    }
}
