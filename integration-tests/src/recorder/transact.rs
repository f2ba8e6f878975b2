//! How a client carries a planned transaction out. Each try is an operation of its own.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::timeout;
use trandb_client::{
    Check, Committed, Entry, Error, Operations, RetryPolicy, TransactionBody, Value, Write,
};
use trandb_common::Key;

use super::{Actor, Answered, Asked, Body, InFlight, Recorder, Seen};
use crate::{
    faults::network::{Deliver, Line, Passage, Trouble},
    recorder::By,
    traffic::{Style, Transaction, content},
};

/// Tries after the first.
const RETRIES: u32 = 2;

impl<D: Deliver> Actor<D> {
    /// Carries a transaction out. What goes wrong goes wrong with the request that commits its first
    /// try.
    pub(super) async fn transact(&mut self, plan: &Transaction, passage: &Passage) {
        if plan.style == Style::Interactive {
            return self.look_and_commit(plan, passage).await;
        }
        let unchanged = plan.style == Style::AtOnceIfUnchanged;
        let written = plan.writes.iter().filter(|_| unchanged);
        let seen = written.map(|write| {
            let seen = self.seen.get(&write.key);
            Seen {
                key: write.key.clone(),
                value: seen.map(|(value, _)| value.clone()),
                version: seen.map(|(_, version)| *version),
            }
        });
        let seen = seen.collect();
        let writes = plan.writes.iter().map(|write| {
            let seen = self.seen.get(&write.key).map(|(value, _)| value.as_str());
            let value = write.content.as_ref().map(|content| content.text(seen));
            (write.key.clone(), value)
        });
        let body = Body {
            seen,
            reads: plan.reads.clone(),
            writes: writes.collect(),
        };
        self.call(Asked::Transaction(body), passage.clone()).await;
    }

    async fn look_and_commit(&mut self, plan: &Transaction, passage: &Passage) {
        let tries = Tries {
            recorder: &self.recorder,
            line: &self.line,
            process: self.process,
            by: self.by,
            plan,
            passage,
            last: Mutex::default(),
        };
        let retries = RetryPolicy::default()
            .max_retries(RETRIES)
            .min_delay(Duration::from_millis(5));
        let running = self.client.transaction(|tx| tries.run(tx));
        let running = running.retries(retries).into_future();
        let result = match passage.trouble {
            Some(Trouble::Cancel { after_ms }) => {
                let time = Duration::from_millis(after_ms.into());
                timeout(time, running).await.ok()
            }
            _ => Some(running.await),
        };
        let Try { call, body, .. } = std::mem::take(&mut *tries.last());
        let Some(call) = call else { return };
        let asked = Asked::Transaction(body);
        let answered = match result {
            Some(Ok(())) => Answered::Committed {
                versions: BTreeMap::new(),
                reads: Some(Vec::new()),
            },
            Some(Err(error)) => Answered::failure(&asked, &error),
            None => {
                self.tally.count("call given up in time");
                Answered::given_up(&asked)
            }
        };
        self.returned(call, &asked, answered);
    }

    /// One request that commits.
    pub(super) async fn commit(&self, body: &Body) -> Result<Answered, Error> {
        let committed = self.client.commit(to_send(body)).await?;
        Ok(answer(&committed, body.reads.len()))
    }

    /// Reads of one moment.
    pub(super) async fn get_many(&self, keys: &[String]) -> Result<Answered, Error> {
        let found = self.client.get_many(keys.iter().map(String::as_str));
        Ok(Answered::Values(
            found
                .await?
                .iter()
                .map(|entry| entry.as_ref().map(shown))
                .collect(),
        ))
    }
}

/// The tries of one transaction.
struct Tries<'a, D> {
    recorder: &'a Recorder,
    line: &'a Line<D>,
    process: i64,
    by: By,
    plan: &'a Transaction,
    passage: &'a Passage,
    last: Mutex<Try>,
}

#[derive(Default)]
struct Try {
    /// Tries before.
    number: usize,
    call: Option<InFlight>,
    body: Body,
}

impl<D: Deliver> Tries<'_, D> {
    async fn run(&self, tx: trandb_client::Transaction) -> Result<(), Error> {
        let (call, number) = self.begin();
        let mut body = Body::default();
        // One by itself, and the others of one moment.
        if let Some((first, others)) = self.plan.reads.split_first() {
            let mut found = vec![tx.get(first.as_str()).await?];
            found.extend(tx.get_many(others.iter().map(String::as_str)).await?);
            let found = self.plan.reads.iter().zip(found);
            body.seen.extend(found.map(|(key, value)| Seen {
                key: key.clone(),
                value: value.map(|bytes| content::to_text(&bytes)),
                version: None,
            }));
        }
        let blocked = self.plan.if_absent && body.seen.iter().any(|seen| seen.value.is_some());
        for write in self.plan.writes.iter().filter(|_| !blocked) {
            let seen = body.seen.iter().find(|seen| seen.key == write.key);
            let seen = seen.and_then(|seen| seen.value.as_deref());
            let content = write.content.clone();
            let value = content.map(|content| content.in_try(number).text(seen));
            match &value {
                Some(value) => tx.put(write.key.as_str(), to_value(value))?,
                None => tx.delete(write.key.as_str())?,
            }
            body.writes.push((write.key.clone(), value));
        }
        self.recorder.asks(call, Asked::Transaction(body.clone()));
        self.last().body = body;
        Ok(())
    }

    /// Records that another try begins, and so that the one before was in vain.
    fn begin(&self) -> (InFlight, usize) {
        let mut last = self.last();
        let mut passage = self.passage.clone();
        if let Some(before) = last.call {
            let conflict = Answered::Aborted("conflict".to_owned());
            self.recorder.returned(before, conflict);
            last.number += 1;
            passage.trouble = None;
        }
        let planned = Body {
            reads: self.plan.reads.clone(),
            ..Body::default()
        };
        last.body = Body::default();
        let asked = Asked::Transaction(planned);
        let call = self.recorder.call(self.process, self.by, asked.clone());
        last.call = Some(call);
        self.line.expect_commit(call, asked, passage);
        (call, last.number)
    }

    fn last(&self) -> MutexGuard<'_, Try> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn to_send(body: &Body) -> TransactionBody {
    let key = |key: &str| Key::new(key).expect("a workload's keys are legal");
    let checks = body.seen.iter().map(|seen| Check {
        key: key(&seen.key),
        version: seen.version,
    });
    let writes = body.writes.iter().map(|(name, value)| match value {
        Some(value) => Write::Put {
            key: key(name),
            value: to_value(value),
        },
        None => Write::Delete { key: key(name) },
    });
    TransactionBody::new(Operations {
        checks: checks.collect(),
        reads: body.reads.iter().map(|name| key(name)).collect(),
        writes: writes.collect(),
    })
    .expect("a workload's transactions are legal")
}

fn to_value(text: &str) -> Value {
    Value::copy_from(&content::to_bytes(text)).expect("a workload writes legal values")
}

fn shown(entry: &Entry) -> (String, trandb_client::Version) {
    (content::to_text(&entry.value), entry.version)
}

fn answer(committed: &Committed, asked: usize) -> Answered {
    let versions = committed.versions().iter();
    let reads = committed.reads().iter();
    let reads = reads.map(|(_, entry)| entry.as_ref().map(shown));
    // What was read is not told a second time.
    let told = committed.reads().len() == asked;
    Answered::Committed {
        versions: versions
            .map(|(key, version)| (key.to_string(), *version))
            .collect(),
        reads: told.then(|| reads.collect()),
    }
}
