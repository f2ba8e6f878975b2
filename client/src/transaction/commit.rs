//! The one request that commits, and what is done when its answer does not come.
//!
//! The request carries an id, so it may be sent again: the server runs it once. When time is up
//! and there is still no answer, the client asks the server to abort the transaction. The answer
//! to that is final either way: it did not happen and never will, or it had happened before.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, header::CONTENT_TYPE};
use tokio::time::Instant;
use trandb_common::{
    Outcome, TransactionBody, TransactionId, Version,
    transaction::Operations,
    wire::transaction::{self as wire, CBOR_CONTENT_TYPE, Decision},
};

use crate::{
    Client, Entry, Error, InvalidKey, Key,
    answer::{self, Failure},
    client::{complete, read},
    error::Kind,
    retry::Effect,
    transaction::legal_key,
};

/// How long the client tries to learn what became of a transaction, after the time of the call.
const SETTLE_TIME: Duration = Duration::from_secs(5);

/// A committed transaction.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Committed {
    id: Option<TransactionId>,
    versions: BTreeMap<Key, Version>,
    reads: Vec<(Key, Option<Entry>)>,
}

/// What became of a transaction that is asked for by its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TransactionStatus {
    /// All of its writes happened.
    Committed,
    /// None of its writes happened, nor will.
    NotCommitted,
    /// It is not decided yet.
    InProgress,
}

impl From<Decision> for TransactionStatus {
    fn from(decision: Decision) -> Self {
        match decision {
            Decision::Committed => Self::Committed,
            Decision::NotCommitted => Self::NotCommitted,
            Decision::InProgress => Self::InProgress,
        }
    }
}

impl Committed {
    pub(super) fn nothing() -> Self {
        Self::default()
    }

    /// The transaction's id; none when there was nothing to commit and the server was not asked.
    pub fn id(&self) -> Option<TransactionId> {
        self.id
    }

    /// The version that the transaction gave `key`; none when it did not put it.
    pub fn version(&self, key: &Key) -> Option<Version> {
        self.versions.get(key).copied()
    }

    /// The version of every key that was put.
    pub fn versions(&self) -> &BTreeMap<Key, Version> {
        &self.versions
    }

    /// What the body's reads found at the moment of the commit, before its writes; in their order.
    pub fn reads(&self) -> &[(Key, Option<Entry>)] {
        &self.reads
    }
}

impl Client {
    /// The values of `keys`, in their order, all of one moment; none for a key without a value.
    ///
    /// ```
    /// # use trandb_client::Client;
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/memory.rs"));
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let client = Client::builder().transport(memory::Memory::default()).build()?;
    /// client.put("a", "1").await?;
    /// let found = client.get_many(["a", "b"]).await?;
    /// assert_eq!(found[0].as_ref().expect("a value").value, "1");
    /// assert!(found[1].is_none());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// When a key is not legal or stands there twice, when there are more than 1,024 keys, or
    /// their values have more than 16 MiB together; and as [`get`](Self::get).
    pub async fn get_many<K: TryInto<Key, Error: Into<InvalidKey>>>(
        &self,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<Vec<Option<Entry>>, Error> {
        let keys = keys.into_iter().map(legal_key);
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        match keys.as_slice() {
            [] => return Ok(Vec::new()),
            // A plain read is of one moment, and costs less.
            [key] => return Ok(vec![self.get(key).await?]),
            _ => {}
        }
        let operations = Operations {
            reads: keys,
            ..Operations::default()
        };
        let body = TransactionBody::new(operations)
            .map_err(|error| Error::refused(Kind::InvalidTransaction(error), Effect::Read))?;
        let request = wire::Request {
            timeout_ms: Some(milliseconds(self.sender.timeout)),
            id: None,
            ..wire::Request::new(TransactionId(0), &body)
        };
        let request = post(&request, Effect::Read)?;
        let keys = &body.operations().reads;
        let read = |answer: &Response<Bytes>| committed(answer, Some(keys));
        let committed = self.send(keys.first(), Effect::Read, request, read).await?;
        Ok(committed
            .reads
            .into_iter()
            .map(|(_, found)| found)
            .collect())
    }

    /// Commits `body` as it is, in one request. Most callers want
    /// [`transaction`](Self::transaction) or [`begin`](Self::begin) instead, which make it.
    ///
    /// # Errors
    ///
    /// [Is a conflict](Error::is_conflict) when a check failed;
    /// [`failed_checks`](Error::failed_checks) says which. The outcome is unknown only if the
    /// server could not be reached any more, even to abort the transaction.
    pub async fn commit(&self, body: TransactionBody) -> Result<Committed, Error> {
        self.commit_as(self.new_id(), body).await
    }

    /// An id for [`commit_as`](Self::commit_as) that nobody has made before.
    pub fn new_id(&self) -> TransactionId {
        self.sender.ids.next()
    }

    /// [`commit`](Self::commit) under an id of the caller's, who can so send the same body again,
    /// even from another process: it is run once. What it reads is in the answer to its first run
    /// alone.
    ///
    /// # Errors
    ///
    /// As [`commit`](Self::commit); and when another body was sent under the id.
    pub async fn commit_as(
        &self,
        id: TransactionId,
        body: TransactionBody,
    ) -> Result<Committed, Error> {
        let request = wire::Request {
            timeout_ms: Some(milliseconds(self.sender.timeout)),
            acknowledged: self.sender.acknowledged.take().into_iter().collect(),
            ..wire::Request::new(id, &body)
        };
        let request = post(&request, Effect::WriteWithId)?;
        let reads = &body.operations().reads;
        let read = |answer: &Response<Bytes>| committed(answer, Some(reads));
        let home = Some(body.home());
        let sent = self
            .send(home, Effect::WriteWithId, request.clone(), read)
            .await;
        let committed = match sent {
            // What was read is not kept: an answer that was asked for again lacks it.
            Err(error) => {
                let again = |answer: &Response<Bytes>| committed(answer, None);
                self.settle(id, error, request, again).await
            }
            sent => sent,
        }?;
        self.sender.acknowledged.add(id, body.home().clone());
        Ok(committed)
    }

    /// What became of the transaction `id`; none when the server does not know it, or not any
    /// more. Outcomes are kept for ten minutes.
    pub async fn transaction_status(
        &self,
        id: TransactionId,
    ) -> Result<Option<TransactionStatus>, Error> {
        let request = read(Method::GET, &format!("/transactions/{id}"))?;
        self.send(None, Effect::Read, request, answer::transaction_status)
            .await
    }

    /// Sees to it that the transaction `id` is decided: aborts it, unless it is committed.
    ///
    /// After [`TransactionStatus::NotCommitted`] it never will be, even if its request is still
    /// on the way.
    pub async fn abort_transaction(&self, id: TransactionId) -> Result<TransactionStatus, Error> {
        let deadline = Instant::now() + self.sender.timeout;
        self.abort_until(id, deadline).await
    }

    async fn abort_until(
        &self,
        id: TransactionId,
        deadline: Instant,
    ) -> Result<TransactionStatus, Error> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("/transactions/{id}/abort"));
        let request = complete(request, Bytes::new(), Effect::WriteWithId)?;
        let answer = answer::transaction_aborted;
        let sent = self
            .sender
            .send_until(Effect::WriteWithId, request, deadline, answer);
        sent.await.map_err(|error| error.of_transaction(id))
    }

    /// Turns an unknown outcome into a certain one, if the server can be reached at all.
    ///
    /// `request` is the one that failed with `error`: it is sent once more if it had happened.
    pub(crate) async fn settle<A>(
        &self,
        id: TransactionId,
        error: Error,
        request: Request<Bytes>,
        read: impl Fn(&Response<Bytes>) -> Result<A, Failure>,
    ) -> Result<A, Error> {
        if error.outcome() == Outcome::NotCommitted {
            return Err(error);
        }
        let deadline = Instant::now() + SETTLE_TIME;
        match self.abort_until(id, deadline).await {
            Ok(TransactionStatus::NotCommitted) => Err(Error::aborted(id, error)),
            Ok(TransactionStatus::Committed) => {
                let effect = Effect::WriteWithId;
                let again = self.sender.send_until(effect, request, deadline, read);
                again.await.map_err(|_| error.of_transaction(id))
            }
            Ok(TransactionStatus::InProgress) | Err(_) => Err(error.of_transaction(id)),
        }
    }
}

fn post(request: &wire::Request, effect: Effect) -> Result<Request<Bytes>, Error> {
    let body = minicbor_serde::to_vec(request).map_err(|error| {
        let what = "the transaction cannot be written as CBOR";
        Error::configuration(what, Some(error.to_string().into()))
    })?;
    let head = Request::builder()
        .method(Method::POST)
        .uri("/transactions")
        .header(CONTENT_TYPE, CBOR_CONTENT_TYPE);
    complete(head, body.into(), effect)
}

/// `POST /transactions`. With `asked` the answer must hold what was read of exactly these keys.
fn committed(answer: &Response<Bytes>, asked: Option<&[Key]>) -> Result<Committed, Failure> {
    let answer = answer::committed(answer, asked)?;
    let reads = answer.reads.unwrap_or_default().into_iter();
    let reads = reads.map(|found| {
        let entry = found
            .version
            .zip(found.value)
            .map(|(version, value)| Entry {
                value: value.into_bytes(),
                version,
            });
        (found.key, entry)
    });
    Ok(Committed {
        id: Some(answer.id),
        reads: reads.collect(),
        versions: answer.versions,
    })
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
