//! What is right, told from the outside: sees every command with its reply and every answer.
//!
//! It keeps a plain map and carries each transaction out there, whole, at the moment when its home
//! commits it. Everything must look as if nothing else existed: what a read finds, whether a check
//! held, which versions were given. That order is a serial one, and since each transaction takes
//! its place in it between its start and its answer, a strict one.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use trandb_common::{Key, Value, Version};
use trandb_engine::{
    Answer, AttemptId, Body, Command, Commit, Decided, Decision, Digest, FailedCheck, Found,
    Operations, PartVersions, Read, Refusal, Reply, Shard, ShardId, Subject, TransactionId, Write,
};

use super::names::name;

/// The rules of the protocol, as the crate's documentation numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Rule {
    OneDecision = 1,
    OnlyDecisionsAreFinalized = 2,
    LocksHold = 3,
    PlaceInOrder = 4,
    FinalizedIsRemembered = 5,
    AnswersAreTrue = 7,
    NothingIsLeft = 9,
    VersionsNameValues = 10,
}

/// An attempt's number is its client's times this, and its own.
pub(crate) const ATTEMPTS_EACH: u128 = 10;

pub(crate) fn client_of(attempt: AttemptId) -> usize {
    usize::try_from(attempt.0 / ATTEMPTS_EACH).expect("few clients") - 1
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Vote {
    part: Arc<Operations>,
    reads: Vec<Option<Found>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Win {
    attempt: AttemptId,
    digest: Digest,
    versions: BTreeMap<Key, Option<Version>>,
    reads: BTreeMap<Key, Option<Found>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Judge {
    values: BTreeMap<Key, Found>,
    names: BTreeMap<(ShardId, Version), Value>,
    votes: BTreeMap<(AttemptId, ShardId), Vote>,
    finalized: BTreeSet<(AttemptId, ShardId)>,
    wins: BTreeMap<TransactionId, Win>,
    /// Attempts and transactions that cannot commit any more, as their home has said.
    dead: BTreeSet<AttemptId>,
    dead_for_good: BTreeSet<TransactionId>,
    /// Clients that were told "not committed", and transactions that were told "never".
    denied: BTreeSet<usize>,
    conflicts: BTreeSet<TransactionId>,
    broken: BTreeMap<Rule, String>,
}

impl Judge {
    pub(crate) fn broken(&self) -> &BTreeMap<Rule, String> {
        &self.broken
    }

    fn must(&mut self, holds: bool, rule: Rule, why: impl FnOnce() -> String) {
        if !holds {
            self.broken.entry(rule).or_insert_with(why);
        }
    }

    fn winner(&self, transaction: TransactionId) -> Option<AttemptId> {
        self.wins.get(&transaction).map(|win| win.attempt)
    }

    fn write(&mut self, shard: ShardId, write: &Write, version: Version) -> Option<Version> {
        let Some(value) = write.value() else {
            self.values.remove(write.key());
            return None;
        };
        let found = Found {
            value: value.clone(),
            version,
        };
        self.values.insert(write.key().clone(), found);
        let known = self.names.insert((shard, version), value.clone());
        self.must(known.is_none(), Rule::VersionsNameValues, || {
            format!("{version} was given twice")
        });
        Some(version)
    }

    /// A command was applied. `body`: what the attempt that it is about is to do.
    pub(crate) fn saw(&mut self, shard: ShardId, command: &Command, reply: &Reply, body: &Body) {
        match (command, reply) {
            (Command::Put { key, value, .. }, Reply::Written(version)) => {
                let (key, value) = (key.clone(), value.clone());
                self.write(shard, &Write::Put { key, value }, *version);
            }
            (Command::Prepare(prepare), Reply::Yes { reads, .. }) => {
                let place = (prepare.attempt, shard);
                let late = self.finalized.contains(&place);
                self.must(!late, Rule::FinalizedIsRemembered, || {
                    format!("{:?} was prepared after it was finalized", prepare.attempt)
                });
                let vote = Vote {
                    part: Arc::clone(&prepare.part),
                    reads: reads.clone(),
                };
                let before = self.votes.insert(place, vote.clone());
                self.must(
                    before.is_none_or(|before| before == vote),
                    Rule::LocksHold,
                    || format!("{:?} votes yes twice, differently", prepare.attempt),
                );
            }
            (Command::Prepare(_), Reply::No { failed }) => self.failed(failed),
            (Command::Commit(commit), Reply::Decided(decided)) => {
                if let Decided::Aborted { failed } = &**decided {
                    self.failed(failed);
                }
                if let Decided::Committed {
                    reads: Some(reads),
                    versions,
                    ..
                } = &**decided
                {
                    self.commit(shard, commit, reads, versions, body);
                }
                self.decided(commit.transaction, Some(commit.attempt), decided);
            }
            (Command::Commit(commit), Reply::Refused(refusal)) => {
                self.refused(commit.transaction, commit.attempt, *refusal);
            }
            (Command::Resolve(resolve), reply) => {
                let attempt = match resolve.subject {
                    Subject::Attempt { attempt, .. } => Some(attempt),
                    Subject::Transaction { .. } => None,
                };
                if let Reply::Decided(decided) = reply
                    && let Decided::Aborted { failed } = &**decided
                {
                    self.failed(failed);
                }
                match (reply, attempt) {
                    (Reply::Decided(decided), _) => {
                        self.decided(resolve.transaction, attempt, decided);
                    }
                    (Reply::Refused(refusal), Some(attempt)) => {
                        self.refused(resolve.transaction, attempt, *refusal);
                    }
                    // It came late, and is on record all the same.
                    (Reply::Refused(Refusal::Expired { .. }), None)
                        if self.winner(resolve.transaction).is_none() =>
                    {
                        self.dead_for_good.insert(resolve.transaction);
                    }
                    _ => {}
                }
            }
            (Command::Finalize(finalize), Reply::Finalized) => {
                self.finalize(shard, finalize.attempt, finalize.decision);
            }
            _ => {}
        }
    }

    /// Checks are said to fail: what was found is what a read would find.
    fn failed(&mut self, failed: &[FailedCheck]) {
        for check in failed {
            let actual = self.values.get(&check.key).map(|found| found.version);
            let right = check.actual == actual && check.expected != actual;
            self.must(right, Rule::LocksHold, || {
                format!("a check of {} finds {:?}", name(&check.key), check.actual)
            });
        }
    }

    /// The commit point of a transaction: it is carried out in the plain map.
    fn commit(
        &mut self,
        home: ShardId,
        commit: &Commit,
        home_reads: &[Option<Found>],
        versions: &[PartVersions],
        body: &Body,
    ) {
        let attempt = commit.attempt;
        let transaction = commit.transaction;
        self.must(
            !self.wins.contains_key(&transaction)
                && !self.dead.contains(&attempt)
                && !self.dead_for_good.contains(&transaction),
            Rule::OneDecision,
            || format!("{attempt:?} is committed although it was decided"),
        );
        self.must(
            !self.denied.contains(&client_of(attempt)) && !self.conflicts.contains(&transaction),
            Rule::AnswersAreTrue,
            || format!("{attempt:?} is committed although its client was told that it is not"),
        );
        let mut parts = vec![(home, commit.part.clone(), home_reads.to_vec())];
        for participant in &commit.participants {
            let place = (attempt, participant.shard);
            let vote = self.votes.get(&place).cloned();
            let held = vote.is_some() && !self.finalized.contains(&place);
            self.must(held, Rule::PlaceInOrder, || {
                format!("{place:?} holds no locks when its home commits")
            });
            if let Some(vote) = vote {
                parts.push((participant.shard, vote.part, vote.reads));
            }
        }
        let mut win = Win {
            attempt,
            digest: commit.digest,
            versions: BTreeMap::new(),
            reads: BTreeMap::new(),
        };
        for (_, part, reads) in &parts {
            for check in &part.checks {
                let actual = self.values.get(&check.key).map(|found| found.version);
                self.must(actual == check.version, Rule::PlaceInOrder, || {
                    let key = name(&check.key);
                    format!("the check of {key} does not hold when {attempt:?} commits")
                });
            }
            win.reads
                .extend(part.reads.iter().cloned().zip(reads.iter().cloned()));
        }
        for key in &body.operations().reads {
            let right = win.reads.get(key) == Some(&self.values.get(key).cloned());
            self.must(right, Rule::PlaceInOrder, || {
                let key = name(key);
                format!("{attempt:?} has read something else at {key} than there was")
            });
        }
        for (shard, part, _) in &parts {
            let given = versions.iter().find(|given| given.shard == *shard);
            for (index, write) in part.writes.iter().enumerate() {
                let version = given.expect("a version for each part").of(index);
                let version = self.write(*shard, write, version);
                win.versions.insert(write.key().clone(), version);
            }
        }
        let whole = body
            .operations()
            .changed()
            .all(|key| win.versions.contains_key(key));
        self.must(whole, Rule::PlaceInOrder, || {
            format!("{attempt:?} commits a part of its transaction")
        });
        self.wins.entry(transaction).or_insert(win);
    }

    /// The home has told a decision.
    fn decided(
        &mut self,
        transaction: TransactionId,
        attempt: Option<AttemptId>,
        decided: &Decided,
    ) {
        let winner = self.winner(transaction);
        let agrees = match decided {
            Decided::Committed { attempt, .. } => winner == Some(*attempt),
            Decided::AttemptAborted => attempt.is_some() && winner != attempt,
            Decided::Aborted { .. } => winner.is_none(),
        };
        self.must(agrees, Rule::OneDecision, || {
            format!("{transaction:?}, {attempt:?}: {decided:?}, but the winner is {winner:?}")
        });
        match decided {
            Decided::Committed { .. } => {}
            Decided::AttemptAborted => self.dead.extend(attempt),
            Decided::Aborted { .. } => {
                self.dead_for_good.insert(transaction);
            }
        }
    }

    fn refused(&mut self, transaction: TransactionId, attempt: AttemptId, refusal: Refusal) {
        if matches!(refusal, Refusal::Expired { .. } | Refusal::IdReused)
            && self.winner(transaction) != Some(attempt)
        {
            self.dead.insert(attempt);
        }
    }

    fn finalize(&mut self, shard: ShardId, attempt: AttemptId, decision: Decision) {
        let won = self.wins.values().any(|win| win.attempt == attempt);
        // A winner that was forgotten was finalized before: then nothing happens.
        let again = self.finalized.contains(&(attempt, shard));
        let right = again || won == (decision == Decision::Commit);
        self.must(right, Rule::OnlyDecisionsAreFinalized, || {
            format!("{attempt:?} is finalized at {shard} as {decision:?}: won is {won}")
        });
        self.finalized.insert((attempt, shard));
    }

    /// Whether a finalize that is about to be sent was decided (I2).
    pub(crate) fn sends(&mut self, transaction: TransactionId, shard: ShardId, command: &Command) {
        let Command::Finalize(finalize) = command else {
            return;
        };
        let attempt = finalize.attempt;
        let winner = self.winner(transaction);
        let decided = match finalize.decision {
            Decision::Commit => winner == Some(attempt),
            Decision::Abort => {
                self.dead.contains(&attempt)
                    || self.dead_for_good.contains(&transaction)
                    || winner.is_some_and(|winner| winner != attempt)
                    // What was forgotten is finalized everywhere: nothing will happen.
                    || self.finalized.contains(&(attempt, shard))
            }
        };
        self.must(decided, Rule::OnlyDecisionsAreFinalized, || {
            format!("{attempt:?} is finalized without its home's decision")
        });
    }

    /// What everybody can read now: every key without an exclusive lock has its value in the plain
    /// map, and every lock has an attempt that waits for its decision.
    pub(crate) fn compare(&mut self, shard: ShardId, state: &Shard, keys: &[Key]) {
        for key in keys {
            match state.read(key) {
                Read::Done(found) => {
                    let right = found.as_ref() == self.values.get(key);
                    self.must(right, Rule::LocksHold, || {
                        format!("a read of {} finds {found:?}", name(key))
                    });
                }
                Read::Locked(holder) => {
                    let place = (holder, shard);
                    let waits = self.votes.contains_key(&place) && !self.finalized.contains(&place);
                    self.must(waits, Rule::FinalizedIsRemembered, || {
                        format!("{} is locked by {holder:?}, which does not wait", name(key))
                    });
                }
            }
        }
    }

    /// A client was answered.
    pub(crate) fn answered(
        &mut self,
        client: usize,
        transaction: TransactionId,
        body: &Body,
        answer: &Answer,
    ) {
        let win = self.wins.get(&transaction).cloned();
        let by_client = win
            .as_ref()
            .is_some_and(|win| client_of(win.attempt) == client);
        let right = match answer {
            Answer::Committed { versions, reads } => {
                let operations = body.operations();
                win.is_some_and(|win| {
                    let same_body = win.digest == body.digest()
                        || (by_client && win.digest == Digest::OF_NO_BODY);
                    let given = operations
                        .changed()
                        .map(|key| win.versions.get(key).copied());
                    let given: Option<Vec<_>> = given.collect();
                    let found = operations
                        .reads
                        .iter()
                        .map(|key| win.reads.get(key).cloned());
                    let found: Option<Vec<_>> = found.collect();
                    same_body
                        && given.as_ref() == Some(versions)
                        && reads
                            .as_ref()
                            .is_none_or(|reads| found.as_ref() == Some(reads))
                })
            }
            Answer::Conflict { .. } | Answer::TooMuchRead { .. } => {
                self.conflicts.insert(transaction);
                win.is_none()
            }
            Answer::NotCommitted(_) | Answer::IdReused => {
                self.denied.insert(client);
                !by_client
            }
            Answer::Unknown => true,
        };
        self.must(right, Rule::AnswersAreTrue, || {
            format!("client {client} is told {answer:?}")
        });
    }

    /// Complaints of a check that is made from outside.
    pub(crate) fn complain(&mut self, rule: Rule, why: String) {
        self.must(false, rule, || why);
    }
}
