//! What the home does for its transactions: it decides, and remembers what it has decided.
//!
//! `Commit` is the commit point: in one command the home looks for an earlier decision, checks and
//! reads its own part, writes it, and records the outcome (I1). The other participants hold all
//! their locks at that moment, since their votes are what the command was made from (I4). The home
//! itself needs none: nothing comes between.
//!
//! What a record may become stands in the table of `outcomes`.
//!
//! Tests: `tests/transactions`; the records, beside `outcomes`.

use trandb_common::limits::TRANSACTION_BYTES_MAX;

use crate::{
    AttemptId, Commit, Decided, Digest, FinalizedPart, Forget, Known, LogTime, PartVersions,
    Refusal, Reply, Resolve, Subject, TransactionId, Unfinalized,
    command::read_bytes,
    outcomes::{NewCommit, record_bytes},
};

use super::Shard;

/// What becomes of the outcome of a `Commit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Recorded,
    /// It does not come again, and nobody asks about it: see [`Shard::apply_once`].
    Spared,
}

impl Shard {
    pub(super) fn commit(&mut self, commit: &Commit, outcome: Outcome) -> Reply {
        if let Some(reply) = self.decided(
            commit.transaction,
            Some(commit.attempt),
            Some(commit.digest),
            commit.expires,
        ) {
            return reply;
        }
        // The record of an abort, or of a commit that was dropped, lives as long as this.
        if self.clock > commit.expires {
            return self.expired();
        }
        if let Some(holder) = self.conflict(commit.attempt, &commit.part) {
            return Reply::Busy { holder };
        }
        let bytes = record_bytes(commit.participants.len());
        if outcome == Outcome::Recorded && !self.outcomes.room(bytes, commit.promised) {
            return Reply::Refused(Refusal::Overloaded);
        }
        self.decide(commit, outcome)
    }

    /// The answer that a decision made earlier gives; none: there is no such decision.
    ///
    /// To who has expired no abort is told: its own commit may have been dropped, and what is on
    /// record now be the abort of somebody who came later.
    fn decided(
        &mut self,
        transaction: TransactionId,
        attempt: Option<AttemptId>,
        digest: Option<Digest>,
        expires: LogTime,
    ) -> Option<Reply> {
        let decided = self
            .outcomes
            .decided(transaction, attempt, digest, expires)
            .transpose()?;
        Some(match decided {
            Ok(Decided::Aborted { .. }) if self.clock > expires => self.expired(),
            Ok(decided) => Reply::Decided(Box::new(decided)),
            Err(refusal) => Reply::Refused(refusal),
        })
    }

    fn expired(&self) -> Reply {
        Reply::Refused(Refusal::Expired { clock: self.clock })
    }

    /// The first decision about the transaction, unless it reads too much.
    fn decide(&mut self, commit: &Commit, outcome: Outcome) -> Reply {
        let part = &commit.part;
        let failed = self.failed_checks(&part.checks);
        if !failed.is_empty() {
            // For good: the client may be told that it failed and never see it succeed (I7).
            if outcome == Outcome::Recorded {
                self.outcomes.abort(
                    commit.transaction,
                    Some(commit.digest),
                    commit.promised,
                    commit.expires,
                    self.clock,
                );
            }
            return Reply::Decided(Box::new(Decided::Aborted { failed }));
        }
        let reads = self.read_all(&part.reads);
        let bytes = commit.read_bytes + read_bytes(&reads);
        if bytes > TRANSACTION_BYTES_MAX as u64 {
            return Reply::Refused(Refusal::TooMuchRead { bytes });
        }
        let first = self.version(self.counter + 1);
        self.counter += part.writes.len() as u64;
        self.write_all(&part.writes, first);
        let own = PartVersions {
            shard: commit.home,
            first,
        };
        let versions: Vec<_> = std::iter::once(own)
            .chain(commit.participants.iter().copied())
            .collect();
        if outcome == Outcome::Recorded {
            self.outcomes.commit(
                NewCommit {
                    transaction: commit.transaction,
                    promised: commit.promised,
                    digest: commit.digest,
                    attempt: commit.attempt,
                    expires: commit.expires,
                    versions: versions.clone(),
                },
                self.clock,
            );
        }
        Reply::Decided(Box::new(Decided::Committed {
            attempt: commit.attempt,
            versions,
            reads: Some(reads),
        }))
    }

    pub(super) fn resolve(&mut self, resolve: &Resolve) -> Reply {
        let transaction = resolve.transaction;
        let digest = resolve.digest;
        let (attempt, expires) = match &resolve.subject {
            Subject::Attempt { attempt, expires } => (Some(*attempt), *expires),
            Subject::Transaction { expires, .. } => (None, *expires),
        };
        if let Some(reply) = self.decided(transaction, attempt, digest, expires) {
            return reply;
        }
        let is_expired = self.clock > expires;
        // A commit that participants have not finalized has a record. Without one the attempt is
        // not committed, or all is over; and being expired it needs no record to stay so.
        if attempt.is_some() && is_expired {
            return self.expired();
        }
        if !self.outcomes.room(record_bytes(0), false) {
            return Reply::Refused(Refusal::Overloaded);
        }
        Reply::Decided(Box::new(match &resolve.subject {
            Subject::Attempt { attempt, expires } => {
                self.outcomes
                    .abort_attempt(transaction, *attempt, *expires, self.clock);
                Decided::AttemptAborted
            }
            Subject::Transaction {
                promised,
                expires,
                checks,
            } => {
                self.outcomes
                    .abort(transaction, digest, *promised, *expires, self.clock);
                // What comes now is aborted; what came before may have been forgotten.
                if is_expired {
                    return self.expired();
                }
                let mut failed = self.failed_checks(checks);
                // Behind an exclusive lock the version may be stale already (I3).
                failed.retain(|check| self.locks.exclusive_holder(&check.key).is_none());
                Decided::Aborted { failed }
            }
        }))
    }

    pub(super) fn forget(&mut self, forget: &Forget) -> Reply {
        for part in &forget.finalized {
            let FinalizedPart {
                transaction,
                attempt,
                shard,
            } = *part;
            self.outcomes.finalized(transaction, attempt, shard);
        }
        for transaction in &forget.acknowledged {
            self.outcomes.acknowledged(*transaction);
        }
        Reply::Noted
    }

    /// What this shard knows of a transaction; none: nothing. Only its home can know that it is
    /// committed, so that where shards differ, "committed" counts.
    pub fn known(&self, transaction: TransactionId) -> Option<Known> {
        self.outcomes.known(transaction).or_else(|| {
            self.attempts
                .knows(transaction)
                .then_some(Known::InProgress)
        })
    }

    /// Transactions that were committed here at log time `since` or before and that some
    /// participants are not known to have finalized, at most `limit`, by their ids.
    pub fn unfinalized(&self, since: LogTime, limit: usize) -> Vec<Unfinalized> {
        self.outcomes.unfinalized(since).take(limit).collect()
    }
}
