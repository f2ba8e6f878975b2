//! Transactions: many keys, read and written as if at one moment.
//!
//! Optimistic: while a transaction runs nothing is locked and the server knows nothing of it.
//! Reads are plain reads whose versions are remembered, writes are kept here, and one request
//! commits: it writes only if everything that was read is still as it was.
//!
//! - [`Transaction`] is one such try, from [`Client::begin`] to its commit;
//! - [`RunTransaction`] repeats tries until one is committed (`run`);
//! - `commit` is the one request, and what is done when its answer does not come.
//!
//! What it is not: a session on the server. A transaction that is dropped leaves nothing behind.

mod acknowledged;
mod commit;
mod ids;
mod run;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use trandb_common::{
    TransactionBody,
    transaction::{Check, Operations, Write},
};

pub(crate) use self::{acknowledged::AcknowledgedLater, ids::Ids};
pub use self::{
    commit::{Committed, TransactionStatus},
    run::RunTransaction,
};
use crate::{
    Client, Entry, Error, InvalidKey, Key, Value, ValueTooLarge, error::Kind, retry::Effect,
};

/// One try of a transaction: what it has read, and what it is going to write.
///
/// A clone is another handle of the same try. What it reads is the value that it has put itself,
/// or what it has read before, or else what the server has now. Values that are read one after
/// another need not be of one moment until the commit has said so; [`get_many`](Self::get_many)
/// reads several that are.
#[derive(Clone)]
pub struct Transaction {
    client: Client,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// What was read from the server.
    seen: BTreeMap<Key, Option<Entry>>,
    /// What is to be written; none: deleted.
    writes: BTreeMap<Key, Option<Value>>,
    ended: bool,
}

impl Transaction {
    pub(crate) fn new(client: Client) -> Self {
        Self {
            client,
            state: Arc::default(),
        }
    }

    /// The value of `key` as this transaction sees it; none when it has no value.
    ///
    /// # Errors
    ///
    /// As [`Client::get`]; and when the transaction has ended.
    pub async fn get(
        &self,
        key: impl TryInto<Key, Error: Into<InvalidKey>>,
    ) -> Result<Option<Bytes>, Error> {
        let key = legal_key(key)?;
        if let Some(known) = self.state()?.known(&key) {
            return Ok(known);
        }
        let entry = self.client.get(&key).await?;
        let mut state = self.state()?;
        // Two reads of one key at a time: the first to return counts.
        let entry = state.seen.entry(key).or_insert(entry);
        Ok(entry.as_ref().map(|entry| entry.value.clone()))
    }

    /// The values of `keys` in their order, those that were not seen before all of one moment.
    ///
    /// # Errors
    ///
    /// As [`Client::get_many`]; and when the transaction has ended.
    pub async fn get_many<K: TryInto<Key, Error: Into<InvalidKey>>>(
        &self,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<Vec<Option<Bytes>>, Error> {
        let keys = keys.into_iter().map(legal_key);
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        let unknown: Vec<_> = {
            let state = self.state()?;
            keys.iter()
                .filter(|key| state.known(key).is_none())
                .cloned()
                .collect()
        };
        let entries = self.client.get_many(&unknown).await?;
        let mut state = self.state()?;
        for (key, entry) in unknown.into_iter().zip(entries) {
            state.seen.entry(key).or_insert(entry);
        }
        let value = |key: &Key| state.known(key).flatten();
        Ok(keys.iter().map(value).collect())
    }

    /// Gives `key` a value, when the transaction is committed.
    ///
    /// # Errors
    ///
    /// When the key or the value is not legal, or the transaction has ended.
    pub fn put(
        &self,
        key: impl TryInto<Key, Error: Into<InvalidKey>>,
        value: impl TryInto<Value, Error: Into<ValueTooLarge>>,
    ) -> Result<(), Error> {
        let value = value.try_into().map_err(|error| {
            Error::refused(Kind::ValueTooLarge(error.into()), Effect::WriteWithId)
        })?;
        self.state()?.writes.insert(legal_key(key)?, Some(value));
        Ok(())
    }

    /// Takes the value of `key` away, when the transaction is committed. It need not have one.
    ///
    /// # Errors
    ///
    /// When the key is not legal, or the transaction has ended.
    pub fn delete(&self, key: impl TryInto<Key, Error: Into<InvalidKey>>) -> Result<(), Error> {
        self.state()?.writes.insert(legal_key(key)?, None);
        Ok(())
    }

    /// Ends the transaction: its writes happen now, all of them, if everything that it has read
    /// is still as it was.
    ///
    /// One that wrote nothing and read at most one key is committed without asking anybody.
    ///
    /// # Errors
    ///
    /// [Is a conflict](Error::is_conflict) when something that was read has changed since; then,
    /// and after every error but one whose [outcome](Error::outcome) is unknown, nothing was
    /// written.
    pub async fn commit(self) -> Result<Committed, Error> {
        let operations = self.state()?.end();
        if operations.writes.is_empty() && operations.checks.len() <= 1 {
            return Ok(Committed::nothing());
        }
        let body = TransactionBody::new(operations).map_err(|error| {
            Error::refused(Kind::InvalidTransaction(error), Effect::WriteWithId)
        })?;
        self.client.commit(body).await
    }

    /// Ends the transaction without writing anything. Dropping all of its handles does the same.
    pub fn rollback(self) {
        if let Ok(mut state) = self.state() {
            state.end();
        }
    }

    fn state(&self) -> Result<MutexGuard<'_, State>, Error> {
        // Every change under the lock is one call that leaves the state whole.
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.ended {
            let what = "the transaction has ended already";
            return Err(Error::configuration(what, None));
        }
        Ok(state)
    }
}

impl State {
    /// What is known of the key without asking the server.
    #[expect(
        clippy::option_option,
        reason = "whether it is known, and whether there is a value"
    )]
    fn known(&self, key: &Key) -> Option<Option<Bytes>> {
        match self.writes.get(key) {
            Some(written) => Some(written.clone().map(Value::into_bytes)),
            None => self
                .seen
                .get(key)
                .map(|entry| entry.as_ref().map(|entry| entry.value.clone())),
        }
    }

    fn end(&mut self) -> Operations {
        self.ended = true;
        let checks = std::mem::take(&mut self.seen).into_iter();
        let checks = checks.map(|(key, entry)| Check {
            key,
            version: entry.map(|entry| entry.version),
        });
        let writes = std::mem::take(&mut self.writes).into_iter();
        let writes = writes.map(|(key, value)| match value {
            Some(value) => Write::Put { key, value },
            None => Write::Delete { key },
        });
        Operations {
            checks: checks.collect(),
            reads: Vec::new(),
            writes: writes.collect(),
        }
    }
}

impl fmt::Debug for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction").finish_non_exhaustive()
    }
}

fn legal_key(key: impl TryInto<Key, Error: Into<InvalidKey>>) -> Result<Key, Error> {
    key.try_into()
        .map_err(|error| Error::refused(Kind::InvalidKey(error.into()), Effect::Read))
}
