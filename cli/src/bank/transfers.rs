//! The load: clients that transfer, the auditor, and when they end.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::task::JoinSet;
use trandb_client::{Error, Key, Outcome};

use super::{Accounts, PAUSE, balance};
use crate::{
    failure::{Exit, Failure},
    interrupt::Interrupt,
    progress::Bar,
};

/// How often the bar is drawn, and the end looked for.
const TICK: Duration = Duration::from_millis(100);

/// The most that one transfer moves.
const AMOUNT_MAX: u64 = 100;

/// When it is enough.
#[derive(Debug, Clone, Copy)]
pub(super) enum End {
    Time(Duration),
    Transfers(u64),
}

/// What is to be run.
pub(super) struct Load {
    pub(super) accounts: Accounts,
    pub(super) clients: u16,
    pub(super) end: End,
    /// What all accounts hold together.
    pub(super) total: u64,
}

/// What came of it.
pub(super) struct Done {
    pub(super) transfers: u64,
    /// Tries that met another transfer, and were made again.
    pub(super) conflicts: u64,
    /// Transfers that may or may not have happened.
    pub(super) unknown: u64,
    /// Transfers that met others until tries or time were over, and were given up.
    pub(super) given_up: u64,
    pub(super) audits: u64,
    pub(super) elapsed: Duration,
    /// What an audit found, if it was not the total.
    pub(super) wrong_total: Option<u64>,
    /// The first reason to end before the time.
    pub(super) failure: Option<Failure>,
    pub(super) is_interrupted: bool,
}

#[derive(Default)]
struct Counts {
    /// Transfers that have been begun; of [`End::Transfers`].
    begun: AtomicU64,
    transfers: AtomicU64,
    conflicts: AtomicU64,
    unknown: AtomicU64,
    given_up: AtomicU64,
    audits: AtomicU64,
    is_over: AtomicBool,
}

impl Counts {
    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

/// Why a client or the auditor ended before the end.
enum Ended {
    Wrong(u64),
    Failed(Box<Failure>),
}

impl Load {
    /// Runs it until its end, Ctrl-C or a failure, and waits for what is on its way.
    pub(super) async fn run(&self, mut interrupt: Interrupt) -> Result<Done, Failure> {
        let counts = Arc::new(Counts::default());
        let began = Instant::now();
        let mut tasks = JoinSet::new();
        for _ in 0..self.clients {
            let most = match self.end {
                End::Time(_) => u64::MAX,
                End::Transfers(count) => count,
            };
            tasks.spawn(transfer_often(
                self.accounts.clone(),
                Arc::clone(&counts),
                most,
            ));
        }
        tasks.spawn(audit(
            self.accounts.clone(),
            Arc::clone(&counts),
            self.total,
        ));

        let bar = Bar::new(match self.end {
            End::Time(time) => u64::try_from(time.as_millis()).unwrap_or(u64::MAX),
            End::Transfers(count) => count,
        });
        let (mut wrong_total, mut failure, mut is_interrupted) = (None, None, false);
        let mut ticks = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                biased;
                () = interrupt.pressed(), if !is_interrupted => {
                    is_interrupted = true;
                    counts.end();
                }
                ended = tasks.join_next() => match ended {
                    None => break,
                    Some(Ok(Ok(()))) => {}
                    Some(Ok(Err(ended))) => {
                        counts.end();
                        match ended {
                            Ended::Wrong(total) => wrong_total = Some(total),
                            Ended::Failed(first) => {
                                failure.get_or_insert(*first);
                            }
                        }
                    }
                    Some(Err(error)) => {
                        counts.end();
                        failure.get_or_insert(Failure::internal(&error));
                    }
                },
                _ = ticks.tick() => self.tick(&bar, &counts, began.elapsed()),
            }
        }
        bar.clear();
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Ok(Done {
            transfers: count(&counts.transfers),
            conflicts: count(&counts.conflicts),
            unknown: count(&counts.unknown),
            given_up: count(&counts.given_up),
            audits: count(&counts.audits),
            elapsed: began.elapsed(),
            wrong_total,
            failure,
            is_interrupted,
        })
    }

    fn tick(&self, bar: &Bar, counts: &Counts, elapsed: Duration) {
        let transfers = counts.transfers.load(Ordering::Relaxed);
        let position = match self.end {
            End::Time(time) => {
                if elapsed >= time {
                    counts.end();
                }
                u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
            }
            End::Transfers(count) => {
                if transfers >= count {
                    counts.end();
                }
                transfers
            }
        };
        let audits = counts.audits.load(Ordering::Relaxed);
        bar.show(position, format!("{transfers} transfers, {audits} audits"));
    }
}

async fn transfer_often(accounts: Accounts, counts: Arc<Counts>, most: u64) -> Result<(), Ended> {
    while !counts.is_over() && counts.begun.fetch_add(1, Ordering::Relaxed) < most {
        while !counts.is_over() && !transfer(&accounts, &counts).await? {}
    }
    Ok(())
}

/// Moves some money between two accounts. Whether a transfer is done.
async fn transfer(accounts: &Accounts, counts: &Counts) -> Result<bool, Ended> {
    let from = fastrand::usize(..accounts.keys.len());
    let step = fastrand::usize(1..accounts.keys.len());
    let to = (from + step) % accounts.keys.len();
    let (from, to) = (&accounts.keys[from], &accounts.keys[to]);
    let amount = fastrand::u64(1..=AMOUNT_MAX);
    let tries = &AtomicU64::new(0);
    let moved = accounts.client.transaction(|transaction| async move {
        tries.fetch_add(1, Ordering::Relaxed);
        let found = transaction.get_many([from, to]).await?;
        let held = |at: usize| balance(found.get(at)?.as_ref()?);
        let (Some(giver), Some(taker)) = (held(0), held(1)) else {
            return Err(Refused::NoAccount);
        };
        let amount = amount.min(giver);
        transaction.put(from, (giver - amount).to_string())?;
        transaction.put(to, (taker + amount).to_string())?;
        Ok(amount)
    });
    let moved = moved.await;
    let tries = tries.load(Ordering::Relaxed);
    let conflicts = tries.saturating_sub(u64::from(moved.is_ok()));
    match moved {
        Ok(_) => {
            counts.conflicts.fetch_add(conflicts, Ordering::Relaxed);
            counts.transfers.fetch_add(1, Ordering::Relaxed);
            Ok(true)
        }
        Err(Refused::NoAccount) => Err(Ended::Failed(Box::new(no_account(from, to)))),
        Err(Refused::Database(error)) if error.is_conflict() => {
            counts.conflicts.fetch_add(conflicts, Ordering::Relaxed);
            counts.given_up.fetch_add(1, Ordering::Relaxed);
            Ok(false)
        }
        Err(Refused::Database(error)) if error.outcome() == Outcome::Unknown => {
            counts.unknown.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(PAUSE).await;
            Ok(false)
        }
        Err(Refused::Database(error)) => Err(Ended::Failed(Box::new(error.into()))),
    }
}

fn no_account(from: &Key, to: &Key) -> Failure {
    let message = format!("{from:?} or {to:?} is no account any more");
    Failure::new(Exit::Refused, message).with_hint("who else writes keys with this prefix?")
}

/// Why a transfer was not made.
enum Refused {
    NoAccount,
    Database(Error),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Database(error)
    }
}

async fn audit(accounts: Accounts, counts: Arc<Counts>, total: u64) -> Result<(), Ended> {
    while !counts.is_over() {
        let sum = accounts.sum().await;
        let sum = sum.map_err(|failure| Ended::Failed(Box::new(failure)))?;
        counts.audits.fetch_add(1, Ordering::Relaxed);
        if sum != total {
            return Err(Ended::Wrong(sum));
        }
    }
    Ok(())
}
