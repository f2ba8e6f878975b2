//! A client that plays a plan, and records what it calls and what comes of it.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::{sleep, timeout};
use trandb_client::{Client, Error, ListPage, Value, Version};

use super::{Answered, Asked, By, Given, InFlight, Recorder};
use crate::{
    counts::Tally,
    faults::network::{Deliver, Line, Passage, Trouble},
    traffic::{Call, Condition, Step, content},
};

/// A client with its own way through the network.
#[derive(Debug)]
pub struct Actor<D> {
    pub(super) client: Client,
    pub(super) line: Line<D>,
    pub(super) by: By,
    pub(super) process: i64,
    pub(super) recorder: Recorder,
    pub(super) tally: Tally,
    pub(super) seen: BTreeMap<String, (String, Version)>,
    writes_with_ids: bool,
}

impl<D: Deliver> Actor<D> {
    /// A client that speaks through `line`.
    pub fn new(client: Client, line: Line<D>, by: By, recorder: Recorder, tally: Tally) -> Self {
        Self {
            client,
            line,
            by,
            process: recorder.new_process(),
            recorder,
            tally,
            seen: BTreeMap::new(),
            writes_with_ids: false,
        }
    }

    /// The same, whose plain writes have ids if so wished.
    #[must_use]
    pub fn with_ids(mut self, writes_with_ids: bool) -> Self {
        self.writes_with_ids = writes_with_ids;
        self
    }

    /// Takes one step.
    pub async fn take(&mut self, step: &Step) {
        sleep(Duration::from_millis(u64::from(step.think_ms))).await;
        match &step.call {
            Call::List { prefix, limit } => self.list(prefix, *limit, &step.passage).await,
            Call::Transaction(plan) => self.transact(plan, &step.passage).await,
            call => {
                let asked = self.resolve(call);
                self.call(asked, step.passage.clone()).await;
            }
        }
    }

    /// All pages of a listing, each a call of its own. What goes wrong goes wrong with the first.
    pub async fn list(&mut self, prefix: &str, limit: usize, passage: &Passage) {
        let mut after = None;
        let mut passage = passage.clone();
        loop {
            let asked = Asked::List {
                prefix: prefix.to_owned(),
                after,
                limit,
            };
            match self.call(asked, passage.clone()).await {
                Answered::Page(ListPage {
                    next: Some(next), ..
                }) => {
                    after = Some(next.as_str().to_owned());
                }
                _ => return,
            }
            passage.trouble = None;
        }
    }

    /// What a call asks, by what this client has seen.
    fn resolve(&self, call: &Call) -> Asked {
        let key = call.keys().first().copied().unwrap_or_default().to_owned();
        let seen = self.seen.get(&key);
        let given = |condition: Condition| match (condition, seen) {
            (Condition::None, _) => None,
            (Condition::LastSeen, Some((_, version))) => Some(Given::Version(*version)),
            (Condition::Absent | Condition::LastSeen, _) => Some(Given::Absent),
        };
        match call {
            Call::Get { .. } => Asked::Get { key },
            Call::Stat { .. } => Asked::Stat { key },
            Call::Put {
                content, condition, ..
            } => {
                let value = content.text(seen.map(|(value, _)| value.as_str()));
                Asked::Put {
                    size: content::size_of(&value).unwrap_or_default(),
                    given: given(*condition),
                    key,
                    value,
                }
            }
            Call::Delete { condition, .. } => Asked::Delete {
                // The client offers no delete of what is absent: there is nothing to delete.
                given: given(*condition).filter(|given| *given != Given::Absent),
                key,
            },
            Call::GetMany { keys } => Asked::GetMany { keys: keys.clone() },
            Call::List { .. } | Call::Transaction(_) => {
                unreachable!("a listing is resolved page by page, a transaction by itself")
            }
        }
    }

    /// Calls, and records.
    pub async fn call(&mut self, asked: Asked, passage: Passage) -> Answered {
        let give_up = match passage.trouble {
            Some(Trouble::Cancel { after_ms }) => Some(Duration::from_millis(after_ms.into())),
            _ => None,
        };
        let call = self.recorder.call(self.process, self.by, asked.clone());
        self.line.expect(call, asked.clone(), passage);
        let answering = self.send(&asked);
        let answered = match give_up {
            None => answering.await,
            Some(time) => timeout(time, answering).await.unwrap_or_else(|_| {
                self.tally.count("call given up in time");
                Answered::given_up(&asked)
            }),
        };
        self.returned(call, &asked, answered)
    }

    /// Records what came of a call, and says it.
    pub(super) fn returned(
        &mut self,
        call: InFlight,
        asked: &Asked,
        answered: Answered,
    ) -> Answered {
        let answered = self.recorder.returned(call, answered);
        if answered.is_open() {
            self.process = self.recorder.new_process();
        }
        self.see(asked, &answered);
        answered
    }

    async fn send(&self, asked: &Asked) -> Answered {
        let client = &self.client;
        let answered = match asked {
            Asked::Get { key } => client.get(key.as_str()).await.map(|found| {
                let shown =
                    |entry: trandb_client::Entry| (content::to_text(&entry.value), entry.version);
                Answered::Value(found.map(shown))
            }),
            Asked::Stat { key } => {
                let found = client.stat(key.as_str()).await;
                found.map(|found| Answered::Stat(found.map(|stat| (stat.version, stat.size))))
            }
            Asked::Put {
                key, value, given, ..
            } => self.put(key, value, *given).await,
            Asked::Delete { key, given } => {
                let delete = client.delete(key.as_str());
                let delete = match given {
                    Some(Given::Version(version)) => delete.if_version(*version),
                    Some(Given::Absent) | None => delete,
                };
                let delete = if self.writes_with_ids {
                    delete.idempotent()
                } else {
                    delete
                };
                delete.await.map(|()| Answered::Deleted)
            }
            Asked::List {
                prefix,
                after,
                limit,
            } => {
                let list = client.list(prefix.as_str()).limit(*limit);
                let list = match after {
                    Some(after) => list.after(after.as_str()),
                    None => list,
                };
                list.await.map(Answered::Page)
            }
            Asked::GetMany { keys } => self.get_many(keys).await,
            Asked::Transaction(body) => self.commit(body).await,
            Asked::Status { id } => client.transaction_status(*id).await.map(Answered::Status),
        };
        answered.unwrap_or_else(|error| Answered::failure(asked, &error))
    }

    async fn put(&self, key: &str, value: &str, given: Option<Given>) -> Result<Answered, Error> {
        let bytes = content::to_bytes(value);
        let value = Value::copy_from(&bytes).expect("a workload writes legal values");
        let put = self.client.put(key, value);
        let put = match given {
            None => put,
            Some(Given::Absent) => put.if_absent(),
            Some(Given::Version(version)) => put.if_version(version),
        };
        let put = if self.writes_with_ids {
            put.idempotent()
        } else {
            put
        };
        put.await.map(Answered::Written)
    }

    fn see(&mut self, asked: &Asked, answered: &Answered) {
        let key = asked.key().unwrap_or_default();
        match (asked, answered) {
            (_, Answered::Value(found)) => self.see_key(key, found.clone()),
            (Asked::Put { value, .. }, Answered::Written(version)) => {
                self.see_key(key, Some((value.clone(), *version)));
            }
            (_, Answered::Deleted) => self.see_key(key, None),
            (Asked::GetMany { keys }, Answered::Values(values)) => {
                for (key, found) in keys.iter().zip(values) {
                    self.see_key(key, found.clone());
                }
            }
            (Asked::Transaction(body), Answered::Committed { versions, reads }) => {
                for (key, found) in body.reads.iter().zip(reads.iter().flatten()) {
                    self.see_key(key, found.clone());
                }
                for (key, value) in &body.writes {
                    let version = versions.get(key).copied();
                    self.see_key(key, value.clone().zip(version));
                }
            }
            // Neither tells the value: what was seen before stays, and is refused if it is old.
            _ => {}
        }
    }

    fn see_key(&mut self, key: &str, found: Option<(String, Version)>) {
        match found {
            Some(found) => drop(self.seen.insert(key.to_owned(), found)),
            None => drop(self.seen.remove(key)),
        }
    }
}

impl Answered {
    /// What is known of a call whose future was dropped.
    pub(super) fn given_up(asked: &Asked) -> Self {
        let reason = "given up by the client".to_owned();
        if asked.is_write() {
            Self::Unknown(reason)
        } else {
            Self::Failed(reason)
        }
    }
}
