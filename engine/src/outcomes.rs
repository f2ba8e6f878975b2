//! The home's memory of what it has decided: one record a transaction.
//!
//! | record | after `Commit` | after `Resolve` of an attempt | after `Resolve` of the transaction |
//! |---|---|---|---|
//! | none | committed; a check fails: aborted | open, with that attempt aborted | aborted |
//! | open | as none, except for attempts that are aborted | the attempt is aborted too | aborted |
//! | committed | stays | stays | stays |
//! | aborted | stays | stays | stays |
//!
//! A record is dropped when nothing can depend on it: its attempts have expired by log time, so that
//! no late `Commit` can come, every participant has finalized, so that none can ask, and the
//! client's time to ask is over or it has acknowledged.
//!
//! Records live in a budget. When it is full, new promises are refused; none is broken (see
//! [`Outcomes::room`]).
//!
//! Tests: below; with the commands that use it, `tests/transactions`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use trandb_common::limits::{OUTCOME_KEPT, OUTCOME_RESERVE_BYTES};

use crate::{
    AttemptId, Decided, Digest, Known, LogTime, PartVersions, Refusal, ShardId, TransactionId,
    Unfinalized,
};

/// What a record takes, in bytes: its nodes' parts of three maps.
const RECORD_BYTES: u64 = 320;
/// What each part of a committed transaction, or each aborted attempt of an open one, adds.
const ITEM_BYTES: u64 = 64;

/// What the record of a committed transaction with this many participants (the home not counted)
/// takes, in bytes.
pub(crate) fn record_bytes(participants: usize) -> u64 {
    RECORD_BYTES + ITEM_BYTES * (2 * participants as u64 + 1)
}

/// What has been decided about a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
enum State {
    /// Nothing but that these attempts are aborted; each with its expiry.
    Open(BTreeMap<AttemptId, LogTime>),
    Committed {
        digest: Digest,
        attempt: AttemptId,
        versions: Vec<PartVersions>,
        /// Participants that are not known to have finalized.
        unfinalized: BTreeSet<ShardId>,
        since: LogTime,
    },
    /// For good.
    Aborted {
        /// None when it was aborted by its id alone.
        digest: Option<Digest>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Record {
    state: State,
    /// No command of any of its attempts is carried out when log time is later.
    expires: LogTime,
    /// Until when its client may ask.
    promised_until: LogTime,
}

impl Record {
    /// When it may be dropped; none as long as a participant has to finalize.
    fn due(&self) -> Option<LogTime> {
        match &self.state {
            State::Committed { unfinalized, .. } if !unfinalized.is_empty() => None,
            _ => Some(self.expires.max(self.promised_until)),
        }
    }

    fn bytes(&self) -> u64 {
        let items = match &self.state {
            State::Open(aborted) => aborted.len(),
            State::Committed {
                versions,
                unfinalized,
                ..
            } => versions.len() + unfinalized.len(),
            State::Aborted { .. } => 0,
        };
        RECORD_BYTES + ITEM_BYTES * items as u64
    }
}

/// A commit to be recorded.
pub(crate) struct NewCommit {
    pub(crate) transaction: TransactionId,
    pub(crate) promised: bool,
    pub(crate) digest: Digest,
    pub(crate) attempt: AttemptId,
    pub(crate) expires: LogTime,
    /// The home's part first.
    pub(crate) versions: Vec<PartVersions>,
}

/// The records of one home.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Outcomes {
    records: BTreeMap<TransactionId, Record>,
    /// Those that may be dropped one day, in that order.
    due: BTreeSet<(LogTime, TransactionId)>,
    /// Those that participants have to finalize.
    unfinalized: BTreeSet<TransactionId>,
    bytes: u64,
    budget: u64,
}

impl Outcomes {
    /// No record. `budget` in bytes.
    pub(crate) fn new(budget: u64) -> Self {
        Self {
            records: BTreeMap::new(),
            due: BTreeSet::new(),
            unfinalized: BTreeSet::new(),
            bytes: 0,
            budget,
        }
    }

    /// What all is told by, beside the budget.
    pub(crate) fn records(&self) -> &BTreeMap<TransactionId, Record> {
        &self.records
    }

    /// In bytes.
    pub(crate) fn budget(&self) -> u64 {
        self.budget
    }

    /// The outcomes with these records. `budget` in bytes.
    pub(crate) fn from_records(records: BTreeMap<TransactionId, Record>, budget: u64) -> Self {
        let mut outcomes = Self::new(budget);
        for (transaction, record) in records {
            outcomes.add(transaction, record);
        }
        outcomes
    }

    /// In bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether `bytes` more fit. A promise must fit into the budget; what is dropped soon (an
    /// abort, an outcome nobody may ask for) may use [`OUTCOME_RESERVE_BYTES`] more.
    pub(crate) fn room(&self, bytes: u64, promised: bool) -> bool {
        let reserve = if promised { 0 } else { OUTCOME_RESERVE_BYTES };
        self.bytes + bytes <= self.budget + reserve
    }

    /// The decision about `attempt` that a `Commit` or `Resolve` finds (I1: the first one stays).
    ///
    /// An attempt with another body than the transaction's never commits: as long as there is a
    /// record since it stands in the way, later since the attempt has expired, for which the
    /// record is kept.
    ///
    /// # Errors
    ///
    /// `digest` is not that of the transaction that has this id.
    pub(crate) fn decided(
        &mut self,
        transaction: TransactionId,
        attempt: Option<AttemptId>,
        digest: Option<Digest>,
        expires: LogTime,
    ) -> Result<Option<Decided>, Refusal> {
        let Some(record) = self.records.get(&transaction) else {
            return Ok(None);
        };
        let (known, decided) = match &record.state {
            State::Open(aborted) => {
                let aborted = attempt.is_some_and(|attempt| aborted.contains_key(&attempt));
                return Ok(aborted.then_some(Decided::AttemptAborted));
            }
            State::Committed {
                digest,
                attempt,
                versions,
                ..
            } => (
                Some(*digest),
                Decided::Committed {
                    attempt: *attempt,
                    versions: versions.clone(),
                    reads: None,
                },
            ),
            State::Aborted { digest } => (*digest, Decided::Aborted { failed: Vec::new() }),
        };
        self.change(transaction, |record| {
            record.expires = record.expires.max(expires);
        });
        match (known, digest) {
            (Some(known), Some(given)) if known != given => Err(Refusal::IdReused),
            _ => Ok(Some(decided)),
        }
    }

    /// Records a commit. The caller has asked whether there is a decision.
    pub(crate) fn commit(&mut self, commit: NewCommit, clock: LogTime) {
        let participants = commit.versions.iter().skip(1);
        let state = State::Committed {
            digest: commit.digest,
            attempt: commit.attempt,
            unfinalized: participants.map(|part| part.shard).collect(),
            versions: commit.versions,
            since: clock,
        };
        self.record(commit.transaction, state, commit.expires);
        if commit.promised {
            self.promise(commit.transaction, clock);
        }
    }

    /// Records that the transaction is aborted for good. The caller has asked whether there is a
    /// decision.
    pub(crate) fn abort(
        &mut self,
        transaction: TransactionId,
        digest: Option<Digest>,
        promised: bool,
        expires: LogTime,
        clock: LogTime,
    ) {
        self.record(transaction, State::Aborted { digest }, expires);
        if promised {
            self.promise(transaction, clock);
        }
    }

    /// Records that one attempt is aborted. The caller has asked whether there is a decision.
    pub(crate) fn abort_attempt(
        &mut self,
        transaction: TransactionId,
        attempt: AttemptId,
        expires: LogTime,
        clock: LogTime,
    ) {
        let mut aborted = match self.records.get(&transaction).map(|r| &r.state) {
            Some(State::Open(aborted)) => aborted.clone(),
            _ => BTreeMap::new(),
        };
        aborted.retain(|_, expires| *expires >= clock);
        aborted.insert(attempt, expires);
        self.record(transaction, State::Open(aborted), expires);
    }

    /// A participant has finalized.
    pub(crate) fn finalized(&mut self, transaction: TransactionId, by: AttemptId, shard: ShardId) {
        self.change(transaction, |record| {
            if let State::Committed {
                attempt,
                unfinalized,
                ..
            } = &mut record.state
                && *attempt == by
            {
                unfinalized.remove(&shard);
            }
        });
    }

    /// The client has the outcome.
    pub(crate) fn acknowledged(&mut self, transaction: TransactionId) {
        self.change(transaction, |record| {
            // Of an open transaction it can have none.
            if !matches!(record.state, State::Open(_)) {
                record.promised_until = LogTime::default();
            }
        });
    }

    /// Drops records that nothing depends on any more, at most `count`.
    pub(crate) fn expire(&mut self, clock: LogTime, count: usize) {
        for _ in 0..count {
            match self.due.first().copied() {
                Some((due, transaction)) if due < clock => {
                    self.due.pop_first();
                    if let Some(record) = self.records.remove(&transaction) {
                        self.bytes -= record.bytes();
                    }
                }
                _ => return,
            }
        }
    }

    /// What is known of a transaction.
    pub(crate) fn known(&self, transaction: TransactionId) -> Option<Known> {
        Some(match self.records.get(&transaction)?.state {
            State::Open(_) => Known::InProgress,
            State::Committed { .. } => Known::Committed,
            State::Aborted { digest: Some(_) } => Known::Aborted,
            State::Aborted { digest: None } => Known::AbortedById,
        })
    }

    /// Transactions committed at `since` or before that participants have to finalize.
    pub(crate) fn unfinalized(&self, before: LogTime) -> impl Iterator<Item = Unfinalized> {
        self.unfinalized.iter().filter_map(move |transaction| {
            let record = self.records.get(transaction)?;
            let State::Committed {
                attempt,
                unfinalized,
                since,
                ..
            } = &record.state
            else {
                return None;
            };
            (*since <= before).then(|| Unfinalized {
                transaction: *transaction,
                attempt: *attempt,
                expires: record.expires,
                shards: unfinalized.iter().copied().collect(),
            })
        })
    }

    fn promise(&mut self, transaction: TransactionId, clock: LogTime) {
        self.change(transaction, |record| {
            record.promised_until = clock.after(OUTCOME_KEPT);
        });
    }

    /// Gives the transaction's record, which may be new, another state.
    fn record(&mut self, transaction: TransactionId, state: State, expires: LogTime) {
        if self.records.contains_key(&transaction) {
            self.change(transaction, |record| {
                record.state = state;
                record.expires = record.expires.max(expires);
            });
            return;
        }
        let record = Record {
            state,
            expires,
            promised_until: LogTime::default(),
        };
        self.add(transaction, record);
    }

    /// Adds the record of a transaction that has none.
    fn add(&mut self, transaction: TransactionId, record: Record) {
        self.bytes += record.bytes();
        match record.due() {
            Some(due) => self.due.insert((due, transaction)),
            None => self.unfinalized.insert(transaction),
        };
        self.records.insert(transaction, record);
    }

    /// Changes a record, if there is one, and what is kept about it.
    fn change(&mut self, transaction: TransactionId, change: impl FnOnce(&mut Record)) {
        let Some(record) = self.records.get_mut(&transaction) else {
            return;
        };
        let (bytes, due) = (record.bytes(), record.due());
        change(record);
        self.bytes = self.bytes - bytes + record.bytes();
        let now_due = record.due();
        if now_due == due {
            return;
        }
        match due {
            Some(due) => self.due.remove(&(due, transaction)),
            None => self.unfinalized.remove(&transaction),
        };
        match now_due {
            Some(due) => self.due.insert((due, transaction)),
            None => self.unfinalized.insert(transaction),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: TransactionId = TransactionId(7);
    const ATTEMPT: AttemptId = AttemptId(70);
    const OTHER: AttemptId = AttemptId(71);
    const EXPIRES: LogTime = LogTime(10_000);
    const KEPT: LogTime = LogTime(600_000);

    fn digest(byte: u8) -> Digest {
        Digest([byte; 32])
    }

    /// By the home, shard 0, and the participants that follow.
    fn new_commit(promised: bool, participants: u16) -> NewCommit {
        let part = |shard| PartVersions {
            shard: ShardId(shard),
            first: trandb_common::Version {
                epoch: 1,
                counter: 1,
            },
        };
        NewCommit {
            transaction: ID,
            promised,
            digest: digest(1),
            attempt: ATTEMPT,
            expires: EXPIRES,
            versions: (0..=participants).map(part).collect(),
        }
    }

    fn outcomes() -> Outcomes {
        Outcomes::new(10_000)
    }

    fn committed(promised: bool, participants: u16) -> Outcomes {
        let mut outcomes = outcomes();
        outcomes.commit(new_commit(promised, participants), LogTime(0));
        outcomes
    }

    fn later(time: LogTime) -> LogTime {
        LogTime(time.0 + 1)
    }

    /// What `known` says shortly before and shortly after, of one that is dropped then.
    fn assert_dropped_after(outcomes: &mut Outcomes, time: LogTime) {
        outcomes.expire(time, 1);
        assert!(outcomes.known(ID).is_some(), "at {time:?}");
        outcomes.expire(later(time), 1);
        assert_eq!(outcomes.known(ID), None, "after {time:?}");
        assert_eq!(outcomes.bytes(), 0);
        assert_eq!(*outcomes, self::outcomes(), "nothing of it is left");
    }

    #[test]
    fn a_record_is_dropped_when_its_client_can_ask_no_more() {
        assert_dropped_after(&mut committed(true, 0), KEPT);
        let mut aborted = outcomes();
        aborted.abort(ID, Some(digest(1)), true, EXPIRES, LogTime(0));
        assert_dropped_after(&mut aborted, KEPT);
    }

    #[test]
    fn one_that_nobody_may_ask_for_is_dropped_with_its_attempts() {
        assert_dropped_after(&mut committed(false, 0), EXPIRES);
        let mut aborted = outcomes();
        aborted.abort(ID, None, false, EXPIRES, LogTime(0));
        assert_dropped_after(&mut aborted, EXPIRES);
        let mut open = outcomes();
        open.abort_attempt(ID, ATTEMPT, EXPIRES, LogTime(0));
        assert_dropped_after(&mut open, EXPIRES);
    }

    #[test]
    fn an_acknowledged_one_is_dropped_with_its_attempts() {
        let mut outcomes = committed(true, 0);
        outcomes.acknowledged(ID);
        assert_dropped_after(&mut outcomes, EXPIRES);
    }

    #[test]
    fn an_open_one_cannot_be_acknowledged() {
        let mut outcomes = outcomes();
        outcomes.abort_attempt(ID, ATTEMPT, EXPIRES, LogTime(0));
        outcomes.acknowledged(ID);
        outcomes.commit(new_commit(true, 0), LogTime(0));
        assert_dropped_after(&mut outcomes, KEPT);
    }

    #[test]
    fn one_that_participants_have_to_finalize_is_kept() {
        let mut outcomes = committed(false, 2);
        outcomes.expire(LogTime(u64::MAX), 1);
        let open = |outcomes: &Outcomes| -> Vec<ShardId> {
            let all = outcomes.unfinalized(LogTime(0));
            all.flat_map(|one| one.shards).collect()
        };
        assert_eq!(open(&outcomes), [ShardId(1), ShardId(2)]);
        outcomes.finalized(ID, OTHER, ShardId(1));
        assert_eq!(open(&outcomes).len(), 2, "another attempt does not count");
        outcomes.finalized(ID, ATTEMPT, ShardId(1));
        outcomes.finalized(ID, ATTEMPT, ShardId(1));
        assert_eq!(open(&outcomes), [ShardId(2)]);
        outcomes.finalized(ID, ATTEMPT, ShardId(2));
        assert_eq!(open(&outcomes), []);
        assert_dropped_after(&mut outcomes, EXPIRES);
    }

    #[test]
    fn only_old_commits_are_listed_as_unfinalized() {
        let mut outcomes = outcomes();
        outcomes.commit(new_commit(false, 1), LogTime(50));
        assert_eq!(outcomes.unfinalized(LogTime(49)).count(), 0);
        assert_eq!(outcomes.unfinalized(LogTime(50)).count(), 1);
    }

    /// A late command of an attempt that expires later must find the record.
    #[test]
    fn who_asks_keeps_the_record_until_he_expires() {
        let mut outcomes = committed(false, 0);
        let found = outcomes.decided(ID, Some(OTHER), Some(digest(1)), LogTime(20_000));
        assert!(matches!(found, Ok(Some(Decided::Committed { .. }))));
        let earlier = outcomes.decided(ID, Some(OTHER), None, LogTime(5));
        assert!(matches!(earlier, Ok(Some(Decided::Committed { .. }))));
        assert_dropped_after(&mut outcomes, LogTime(20_000));
    }

    #[test]
    fn another_body_is_told_from_the_first() {
        let mut committed = committed(false, 0);
        let other = committed.decided(ID, Some(OTHER), Some(digest(2)), EXPIRES);
        assert_eq!(other, Err(Refusal::IdReused));
        let mut aborted = outcomes();
        aborted.abort(ID, Some(digest(1)), false, EXPIRES, LogTime(0));
        let other = aborted.decided(ID, Some(OTHER), Some(digest(2)), EXPIRES);
        assert_eq!(other, Err(Refusal::IdReused));
        let mut by_id = outcomes();
        by_id.abort(ID, None, false, EXPIRES, LogTime(0));
        let any = by_id.decided(ID, Some(OTHER), Some(digest(2)), EXPIRES);
        assert_eq!(any, Ok(Some(Decided::Aborted { failed: vec![] })));
    }

    #[test]
    fn an_open_transaction_knows_the_attempts_that_are_aborted() {
        let mut outcomes = outcomes();
        outcomes.abort_attempt(ID, ATTEMPT, EXPIRES, LogTime(0));
        let mut decided = |attempt| outcomes.decided(ID, attempt, None, EXPIRES);
        assert_eq!(decided(Some(ATTEMPT)), Ok(Some(Decided::AttemptAborted)));
        assert_eq!(decided(Some(OTHER)), Ok(None));
        assert_eq!(decided(None), Ok(None));
        assert_eq!(outcomes.known(ID), Some(Known::InProgress));
    }

    /// Each that cannot commit any more, since it has expired, is dropped with the next one.
    #[test]
    fn aborted_attempts_do_not_pile_up() {
        let mut outcomes = outcomes();
        outcomes.abort_attempt(ID, ATTEMPT, EXPIRES, LogTime(0));
        let one = outcomes.bytes();
        outcomes.abort_attempt(ID, OTHER, LogTime(20_000), EXPIRES);
        assert_eq!(
            outcomes.bytes(),
            one + ITEM_BYTES,
            "it expires now, not before"
        );
        let third = AttemptId(72);
        outcomes.abort_attempt(ID, third, LogTime(30_000), later(EXPIRES));
        assert_eq!(outcomes.bytes(), one + ITEM_BYTES, "the first is dropped");
        assert_dropped_after(&mut outcomes, LogTime(30_000));
    }

    #[test]
    fn what_a_record_takes_is_what_is_asked_for() {
        assert_eq!(record_bytes(0), RECORD_BYTES + ITEM_BYTES);
        assert_eq!(record_bytes(3), RECORD_BYTES + 7 * ITEM_BYTES);
        for participants in [0, 1, 3] {
            let outcomes = committed(true, participants);
            assert_eq!(outcomes.bytes(), record_bytes(usize::from(participants)));
        }
    }

    #[test]
    fn a_promise_must_fit_into_the_budget_and_what_is_dropped_soon_into_the_reserve() {
        let outcomes = committed(true, 0);
        let left = 10_000 - outcomes.bytes();
        assert!(outcomes.room(left, true));
        assert!(!outcomes.room(left + 1, true));
        assert!(outcomes.room(left + OUTCOME_RESERVE_BYTES, false));
        assert!(!outcomes.room(left + OUTCOME_RESERVE_BYTES + 1, false));
    }

    #[test]
    fn as_many_are_dropped_as_are_asked_for() {
        let mut outcomes = outcomes();
        for id in 0..5 {
            outcomes.abort(TransactionId(id), None, false, EXPIRES, LogTime(0));
        }
        outcomes.expire(LogTime(u64::MAX), 3);
        assert_eq!(outcomes.bytes(), 2 * RECORD_BYTES);
        assert_eq!(outcomes.known(TransactionId(3)), Some(Known::AbortedById));
        assert_eq!(outcomes.known(TransactionId(2)), None);
    }
}
