//! A demonstration and a proof: clients move money between accounts as fast as they can while an
//! auditor reads all accounts at one moment, again and again. If transactions are atomic, the total
//! is the same in every audit and at the end.
//!
//! All accounts are made in one transaction, on condition that none of them is there, and deleted
//! in one. What stays when something fails is said.
//!
//! A transfer whose outcome is not known does not spoil the proof: it happened or not, and the total
//! is the same.
//!
//! Tests: `tests/it/bank.rs`.

mod report;
mod transfers;

use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _};
use trandb_client::{Check, Client, Key, Operations, TransactionBody, Value, Write};
use trandb_common::limits::{LIST_LIMIT_MAX, TRANSACTION_OPERATIONS_MAX};

use self::{
    report::Report,
    transfers::{End, Load},
};
use crate::{
    args::Bank,
    failure::{Exit, Failure},
    interrupt::Interrupt,
    session::Session,
};

pub(crate) async fn bank(session: &Session, options: &Bank) -> Result<(), Failure> {
    let accounts = Accounts::new(&session.client, options)?;
    let interrupt = Interrupt::listen()?;
    accounts.make_room(options.replace).await?;
    accounts.open(options.balance).await?;
    let result = run(session, options, &accounts, interrupt).await;
    if options.keep {
        return result.map_err(|failure| failure.with_hint(accounts.stay()));
    }
    match (result, accounts.delete(&accounts.keys).await) {
        (Ok(()), Ok(())) => Ok(()),
        (Err(failure), Ok(())) => Err(failure),
        (Ok(()), Err(failure)) | (Err(failure), Err(_)) => Err(failure.with_hint(accounts.stay())),
    }
}

async fn run(
    session: &Session,
    options: &Bank,
    accounts: &Accounts,
    interrupt: Interrupt,
) -> Result<(), Failure> {
    let end = match options.transfers {
        Some(count) => End::Transfers(count),
        None => End::Time(options.duration),
    };
    let load = Load {
        accounts: accounts.clone(),
        clients: options.clients,
        end,
        total: accounts.total(options.balance),
    };
    let done = load.run(interrupt).await?;
    // The last word: everything is still there, after the last transfer.
    let total = accounts.sum().await;
    let found = total.as_ref().ok().copied();
    Report::new(&done, &load, found).print(session.json)?;
    let wrong = done.wrong_total.or(found).filter(|sum| *sum != load.total);
    if let Some(wrong) = wrong {
        let message = format!(
            "the total is {wrong}, and was {} at the beginning: money was lost or made",
            load.total
        );
        return Err(Failure::new(Exit::NotAtomic, message));
    }
    match (done.failure, total, done.is_interrupted) {
        (Some(failure), ..) | (None, Err(failure), _) => Err(failure),
        (None, Ok(_), true) => Err(Failure::new(Exit::Interrupted, "interrupted")),
        (None, Ok(_), false) => Ok(()),
    }
}

/// The accounts, each a key whose value is a number in text.
#[derive(Clone)]
struct Accounts {
    client: Client,
    prefix: String,
    keys: Vec<Key>,
}

impl Accounts {
    fn new(client: &Client, options: &Bank) -> Result<Self, Failure> {
        let keys = (0..options.accounts).map(|n| Key::new(&format!("{}{n:03}", options.prefix)));
        let keys = keys.collect::<Result<Vec<_>, _>>();
        Ok(Self {
            client: client.clone(),
            prefix: options.prefix.clone(),
            keys: keys.map_err(|error| Failure::new(Exit::Refused, error.to_string()))?,
        })
    }

    fn total(&self, balance: u64) -> u64 {
        balance * self.keys.len() as u64
    }

    fn stay(&self) -> String {
        format!(
            "the accounts stay under {:?}: --replace begins anew with them",
            self.prefix
        )
    }

    /// Nothing may be there, or it is deleted when that was asked for.
    async fn make_room(&self, replace: bool) -> Result<(), Failure> {
        let listing = self.client.list(self.prefix.as_str()).limit(LIST_LIMIT_MAX);
        if !replace {
            let there: Vec<_> = listing.stream().take(1).try_collect().await?;
            return match there.first() {
                None => Ok(()),
                Some(listed) => Err(Failure::new(
                    Exit::Refused,
                    format!("{:?} is there already", listed.key),
                )
                .with_hint("--prefix takes other keys, --replace deletes those with the prefix")),
            };
        }
        let there: Vec<Key> = listing
            .stream()
            .map_ok(|listed| listed.key)
            .try_collect()
            .await?;
        self.delete(&there).await
    }

    /// Makes all accounts, at one moment.
    async fn open(&self, balance: u64) -> Result<(), Failure> {
        let value =
            Value::try_from(balance.to_string()).map_err(|error| Failure::internal(&error))?;
        let checks = self.keys.iter().cloned();
        let writes = self.keys.iter().cloned();
        self.commit(Operations {
            checks: checks.map(|key| Check { key, version: None }).collect(),
            reads: Vec::new(),
            writes: writes
                .map(|key| Write::Put {
                    key,
                    value: value.clone(),
                })
                .collect(),
        })
        .await
    }

    async fn delete(&self, keys: &[Key]) -> Result<(), Failure> {
        for keys in keys.chunks(TRANSACTION_OPERATIONS_MAX) {
            let deletes = keys.iter().cloned().map(|key| Write::Delete { key });
            self.commit(Operations {
                writes: deletes.collect(),
                ..Operations::default()
            })
            .await?;
        }
        Ok(())
    }

    async fn commit(&self, operations: Operations) -> Result<(), Failure> {
        let body = TransactionBody::new(operations);
        let body = body.map_err(|error| Failure::new(Exit::Refused, error.to_string()))?;
        self.client.commit(body).await?;
        Ok(())
    }

    /// The sum of all accounts at one moment. One that is gone or holds no number counts as empty:
    /// then the sum is wrong.
    async fn sum(&self) -> Result<u64, Failure> {
        let found = self.client.get_many(&self.keys).await?;
        let balances = found.iter().flatten();
        Ok(balances
            .map(|entry| balance(&entry.value).unwrap_or(0))
            .fold(0, u64::saturating_add))
    }
}

/// What an account holds.
fn balance(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// Between two failed audits or transfers, so that a server that refuses is not flooded.
const PAUSE: Duration = Duration::from_millis(50);
