//! Repeats a transaction until it is committed.

use std::{future::Future, marker::PhantomData, pin::Pin, time::Duration};

use tokio::time::{Instant, sleep};

use super::Transaction;
use crate::{Client, Error, RetryPolicy};

/// A transaction on its way; made by [`Client::transaction`], run when it is awaited.
#[derive(Debug, Clone)]
#[must_use = "nothing is run until it is awaited"]
pub struct RunTransaction<'a, F> {
    client: Client,
    run: F,
    /// What `run` borrows.
    borrowed: PhantomData<&'a ()>,
    retries: RetryPolicy,
    timeout: Option<Duration>,
}

impl Client {
    /// Begins a transaction that is to be [committed](Transaction::commit) by hand.
    /// [`transaction`](Self::transaction) does that, and tries again after a conflict.
    pub fn begin(&self) -> Transaction {
        Transaction::new(self.clone())
    }

    /// Runs a transaction: `run` reads and writes through the [`Transaction`] that it is given,
    /// and what it has done is committed when it returns `Ok`. Await the result.
    ///
    /// If something that was read has changed meanwhile, nothing is written and `run` is called
    /// again, with jitter between, until it is committed or tries and time run out. So `run` must
    /// be able to run several times: let it do nothing to the world but through its transaction.
    /// When it returns an error, nothing is written and that error is the result.
    ///
    /// ```
    /// use trandb_client::Client;
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/memory.rs"));
    ///
    /// #[derive(Debug)]
    /// enum Refused {
    ///     NotEnough { balance: u64 },
    ///     Database(trandb_client::Error),
    /// }
    ///
    /// impl From<trandb_client::Error> for Refused {
    ///     fn from(error: trandb_client::Error) -> Self {
    ///         Self::Database(error)
    ///     }
    /// }
    ///
    /// async fn transfer(client: &Client, from: &str, to: &str, amount: u64) -> Result<(), Refused> {
    ///     client
    ///         .transaction(|tx| async move {
    ///             let balance = |value: Option<bytes::Bytes>| -> u64 {
    ///                 value
    ///                     .and_then(|text| std::str::from_utf8(&text).ok()?.parse().ok())
    ///                     .unwrap_or(0)
    ///             };
    ///             let giver = balance(tx.get(from).await?);
    ///             let taker = balance(tx.get(to).await?);
    ///             let Some(rest) = giver.checked_sub(amount) else {
    ///                 return Err(Refused::NotEnough { balance: giver });
    ///             };
    ///             tx.put(from, rest.to_string())?;
    ///             tx.put(to, (taker + amount).to_string())?;
    ///             Ok(())
    ///         })
    ///         .await
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Refused> {
    /// # let client = Client::builder().transport(memory::Memory::default()).build()?;
    /// client.put("account/ada", "100").await?;
    /// transfer(&client, "account/ada", "account/bob", 30).await?;
    /// let refused = transfer(&client, "account/ada", "account/bob", 80).await;
    /// assert!(matches!(refused, Err(Refused::NotEnough { balance: 70 })));
    /// let accounts = client.get_many(["account/ada", "account/bob"]).await?;
    /// let values: Vec<_> = accounts.into_iter().flatten().map(|entry| entry.value).collect();
    /// assert_eq!(values, ["70", "30"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn transaction<'a, F, Fut, T, E>(&self, run: F) -> RunTransaction<'a, F>
    where
        F: Fn(Transaction) -> Fut + 'a,
        Fut: Future<Output = Result<T, E>>,
        E: From<Error>,
    {
        RunTransaction {
            client: self.clone(),
            run,
            borrowed: PhantomData,
            retries: RetryPolicy::default()
                .max_retries(50)
                .min_delay(Duration::from_millis(5))
                .max_delay(Duration::from_millis(250)),
            timeout: None,
        }
    }
}

impl<F> RunTransaction<'_, F> {
    /// How often a transaction is tried again after a conflict, and after which waits: 50 times,
    /// after 5 ms doubling up to 250 ms, unless set.
    pub fn retries(mut self, policy: RetryPolicy) -> Self {
        self.retries = policy;
        self
    }

    /// After this time no new try is begun: that of the client's calls unless set
    /// ([`ClientBuilder::timeout`](crate::ClientBuilder::timeout), which also bounds every request
    /// of a try). What `run` does besides is not cut off.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    async fn run<Fut, T, E>(self) -> Result<T, E>
    where
        F: Fn(Transaction) -> Fut,
        Fut: Future<Output = Result<T, E>>,
        E: From<Error>,
    {
        let sender = &self.client.sender;
        let begun = Instant::now();
        let timeout = self.timeout.unwrap_or(sender.timeout);
        let mut delays = self.retries.delays(sender.jitter.next());
        loop {
            let transaction = self.client.begin();
            let done = (self.run)(transaction.clone()).await;
            let value = match done {
                Ok(value) => value,
                Err(error) => {
                    transaction.rollback();
                    return Err(error);
                }
            };
            let Err(error) = transaction.commit().await else {
                return Ok(value);
            };
            let delay = error.is_conflict().then(|| delays.next(None)).flatten();
            match delay {
                Some(delay) if begun.elapsed() + delay < timeout => sleep(delay).await,
                _ => return Err(error.into()),
            }
        }
    }
}

impl<'a, F, Fut, T, E> IntoFuture for RunTransaction<'a, F>
where
    F: Fn(Transaction) -> Fut + Send + Sync + 'a,
    Fut: Future<Output = Result<T, E>> + Send + 'a,
    T: Send + 'a,
    E: From<Error> + Send + 'a,
{
    type Output = Result<T, E>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}
