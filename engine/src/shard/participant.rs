//! What a participant does for a transaction that another shard decides.
//!
//! | attempt is | `Prepare` | `Finalize` |
//! |---|---|---|
//! | unknown | locks all and votes yes; or votes no or busy, or refuses, and stays unknown | finalized |
//! | prepared | votes yes again | applies or drops its writes, lets go of its locks: finalized |
//! | finalized | refused | nothing |
//! | expired by log time | refused, unless it is prepared | as above, but not remembered |
//!
//! A yes is a promise (I3): until the decision the attempt's locks keep everybody else away, and so
//! every check stays true (I4). The versions of its writes are taken at the vote, since the client
//! is answered before the writes are applied; after an abort nobody gets them (I10).
//!
//! Tests: below; `tests/transactions`.

use trandb_common::{Key, Version, limits::TRANSACTION_BYTES_MAX};

use crate::{
    AttemptId, Check, Decision, FailedCheck, Finalize, Found, InDoubt, LogTime, Operations,
    Prepare, Refusal, Reply,
    attempts::{Prepared, prepared_bytes},
    command::{failure, read_bytes},
};

use super::Shard;

impl Shard {
    pub(super) fn prepare(&mut self, prepare: &Prepare) -> Reply {
        let attempt = prepare.attempt;
        let part = &prepare.part;
        // I5: what is finalized stays so, however late another copy comes.
        if self.attempts.is_finalized(attempt) {
            return Reply::Refused(Refusal::AlreadyFinalized);
        }
        if let Some(prepared) = self.attempts.prepared(attempt) {
            let first = prepared.first;
            let reads = self.read_all(&part.reads);
            return Reply::Yes { reads, first };
        }
        if self.clock > prepare.expires {
            return Reply::Refused(Refusal::Expired { clock: self.clock });
        }
        if self.attempts.is_full() {
            return Reply::Refused(Refusal::Overloaded);
        }
        // First the locks, then the checks: behind another's exclusive lock the version may be
        // stale already (I3).
        if let Some(holder) = self.conflict(attempt, part) {
            return Reply::Busy { holder };
        }
        let failed = self.failed_checks(&part.checks);
        if !failed.is_empty() {
            return Reply::No { failed };
        }
        let reads = self.read_all(&part.reads);
        let bytes = read_bytes(&reads);
        if bytes > TRANSACTION_BYTES_MAX as u64 {
            return Reply::Refused(Refusal::TooMuchRead { bytes });
        }
        let first = self.promise(prepare);
        Reply::Yes { reads, first }
    }

    /// The vote yes: locks, and gives out the version of the first write. Nobody else holds any of
    /// the keys, and every check holds.
    fn promise(&mut self, prepare: &Prepare) -> Version {
        let part = &prepare.part;
        let keys = |keys: &mut dyn Iterator<Item = &Key>| keys.cloned().collect::<Vec<_>>();
        let acquired = self.locks.acquire(
            prepare.attempt,
            &keys(&mut part.looked_at()),
            &keys(&mut part.changed()),
        );
        debug_assert_eq!(acquired, Ok(()), "nobody else holds any of the keys");
        let first = self.version(self.counter + 1);
        self.counter += part.writes.len() as u64;
        self.attempts.prepare(Prepared {
            doubt: InDoubt {
                transaction: prepare.transaction,
                attempt: prepare.attempt,
                home: prepare.home,
                expires: prepare.expires,
            },
            since: self.clock,
            writes: part.writes.clone(),
            first,
            bytes: prepared_bytes(part),
        });
        first
    }

    pub(super) fn finalize(&mut self, finalize: &Finalize) -> Reply {
        let attempt = finalize.attempt;
        // Without a lock nothing is lost by not remembering: if a `Prepare` comes yet, whoever
        // finds it in doubt asks the home (I6).
        if self.attempts.prepared(attempt).is_none()
            && !self.attempts.is_finalized(attempt)
            && self.clock <= finalize.expires
            && self.attempts.is_full()
        {
            return Reply::Refused(Refusal::Overloaded);
        }
        let prepared = self
            .attempts
            .finalize(attempt, finalize.expires, self.clock);
        if let Some(prepared) = prepared {
            if finalize.decision == Decision::Commit {
                self.write_all(&prepared.writes, prepared.first);
            }
            self.locks.release(attempt);
        }
        Reply::Finalized
    }

    /// Attempts that were prepared at log time `since` or before and are still undecided, at most
    /// `limit`, by their ids.
    pub fn in_doubt(&self, since: LogTime, limit: usize) -> Vec<InDoubt> {
        self.attempts.in_doubt(since).take(limit).collect()
    }

    /// How many attempts are prepared and undecided.
    pub fn prepared_count(&self) -> usize {
        self.attempts.prepared_count()
    }

    pub(super) fn conflict(&self, attempt: AttemptId, part: &Operations) -> Option<AttemptId> {
        self.locks
            .conflict(attempt, part.looked_at(), part.changed())
    }

    pub(super) fn failed_checks(&self, checks: &[Check]) -> Vec<FailedCheck> {
        checks
            .iter()
            .filter_map(|check| failure(check, self.current_version(&check.key)))
            .collect()
    }

    pub(super) fn read_all(&self, keys: &[Key]) -> Vec<Option<Found>> {
        keys.iter().map(|key| self.find(key)).collect()
    }
}

#[cfg(test)]
mod tests {
    use trandb_common::{
        Value,
        limits::{ATTEMPTS_MAX, VALUE_BYTES_MAX},
    };

    use super::*;
    use crate::{Command, Condition, Forget, Found, Known, Read, ShardId, TransactionId, Write};

    const EPOCH: u64 = 1;
    const EXPIRES: LogTime = LogTime(10_000);

    fn key(text: &str) -> Key {
        Key::new(text).expect("legal")
    }

    fn put(name: &str, text: &str) -> Write {
        let value = Value::try_from(text).expect("legal");
        Write::Put {
            key: key(name),
            value,
        }
    }

    fn writes(writes: Vec<Write>) -> Operations {
        Operations {
            writes,
            ..Operations::default()
        }
    }

    fn reads(names: &[&str]) -> Operations {
        Operations {
            reads: names.iter().map(|name| key(name)).collect(),
            ..Operations::default()
        }
    }

    fn version(counter: u64) -> Version {
        Version {
            epoch: EPOCH,
            counter,
        }
    }

    fn prepare_at(now: LogTime, attempt: u128, part: Operations) -> Command {
        Command::Prepare(Box::new(Prepare {
            transaction: TransactionId(attempt),
            attempt: AttemptId(attempt),
            home: ShardId(9),
            expires: EXPIRES,
            now,
            part: part.into(),
        }))
    }

    fn prepare(attempt: u128, part: Operations) -> Command {
        prepare_at(LogTime(0), attempt, part)
    }

    fn finalize_at(now: LogTime, attempt: u128, decision: Decision) -> Command {
        Command::Finalize(Finalize {
            attempt: AttemptId(attempt),
            decision,
            expires: EXPIRES,
            now,
        })
    }

    fn finalize(attempt: u128, decision: Decision) -> Command {
        finalize_at(LogTime(0), attempt, decision)
    }

    fn tick(shard: &mut Shard, now: LogTime) {
        let tick = Command::Forget(Forget {
            finalized: Vec::new(),
            acknowledged: Vec::new(),
            now,
        });
        assert_eq!(shard.apply(&tick), Reply::Noted);
    }

    fn write(shard: &mut Shard, name: &str, value: Value) {
        let put = Command::Put {
            key: key(name),
            value,
            condition: Condition::default(),
        };
        assert!(matches!(shard.apply(&put), Reply::Written(_)));
    }

    fn yes(first: u64) -> Reply {
        Reply::Yes {
            reads: vec![],
            first: version(first),
        }
    }

    #[test]
    fn the_versions_of_a_vote_are_its_own_even_when_it_is_dropped() {
        let mut shard = Shard::new(EPOCH);
        let two = writes(vec![put("a", "1"), put("b", "1")]);
        assert_eq!(shard.apply(&prepare(1, two.clone())), yes(1));
        assert_eq!(shard.apply(&prepare(1, two.clone())), yes(1), "again");
        assert_eq!(
            shard.apply(&prepare(2, writes(vec![put("c", "1")]))),
            yes(3)
        );
        let _ = shard.apply(&finalize(1, Decision::Abort));
        assert_eq!(shard.apply(&prepare(3, two)), yes(4));
        let _ = shard.apply(&finalize(3, Decision::Commit));
        let found = Found {
            value: Value::try_from("1").expect("legal"),
            version: version(5),
        };
        assert_eq!(shard.read(&key("b")), Read::Done(Some(found)));
        assert_eq!(shard.prepared_count(), 1, "the second");
    }

    #[test]
    fn what_was_finalized_once_stays_so() {
        let mut shard = Shard::new(EPOCH);
        let part = writes(vec![put("a", "1")]);
        let _ = shard.apply(&prepare(1, part.clone()));
        assert_eq!(shard.apply(&finalize(1, Decision::Abort)), Reply::Finalized);
        assert_eq!(
            shard.apply(&finalize(1, Decision::Commit)),
            Reply::Finalized
        );
        assert_eq!(shard.read(&key("a")), Read::Done(None));
        let late = shard.apply(&prepare(1, part));
        assert_eq!(late, Reply::Refused(Refusal::AlreadyFinalized));
        assert!(shard.is_unlocked());
    }

    /// A finalized attempt is remembered as long as a `Prepare` of it may come, and no longer.
    #[test]
    fn an_attempt_expires_after_its_time() {
        let mut shard = Shard::new(EPOCH);
        let part = writes(vec![put("a", "1")]);
        let _ = shard.apply(&finalize(1, Decision::Abort));
        let late = shard.apply(&prepare_at(EXPIRES, 1, part.clone()));
        assert_eq!(late, Reply::Refused(Refusal::AlreadyFinalized));
        assert_eq!(
            shard.apply(&prepare(2, part.clone())),
            yes(1),
            "not too late"
        );
        let after = LogTime(EXPIRES.0 + 1);
        let late = shard.apply(&prepare_at(after, 1, part.clone()));
        assert_eq!(late, Reply::Refused(Refusal::Expired { clock: after }));
        assert_eq!(
            shard.apply(&prepare(2, part)),
            yes(1),
            "it was prepared in time"
        );
        let _ = shard.apply(&finalize(2, Decision::Abort));
        assert_eq!(shard.bytes(), 0, "nothing is remembered");
    }

    #[test]
    fn what_is_prepared_and_finalized_is_counted() {
        let mut shard = Shard::new(EPOCH);
        let part = Operations {
            checks: vec![Check {
                key: key("c"),
                version: None,
            }],
            reads: vec![key("rr")],
            writes: vec![put("w", "12345"), Write::Delete { key: key("d") }],
        };
        let _ = shard.apply(&prepare(1, part));
        // The attempt; four locks with their keys, twice; two entries, one with 5 bytes.
        let expected = 256 + 112 + 4 * 160 + 2 * 5 + 2 * 112 + 5;
        assert_eq!(shard.bytes(), expected);
        let _ = shard.apply(&finalize(1, Decision::Commit));
        assert_eq!(shard.bytes(), 112 + 112 + 5, "its memory, and the entry");
        tick(&mut shard, LogTime(EXPIRES.0 + 1));
        assert_eq!(shard.bytes(), 112 + 5);
    }

    #[test]
    fn attempts_are_in_doubt_since_their_vote() {
        let mut shard = Shard::new(EPOCH);
        let _ = shard.apply(&prepare_at(LogTime(50), 1, writes(vec![put("a", "1")])));
        let _ = shard.apply(&prepare_at(LogTime(60), 2, writes(vec![put("b", "1")])));
        let attempts = |since, limit| -> Vec<u128> {
            let doubts = shard.in_doubt(LogTime(since), limit);
            doubts.iter().map(|doubt| doubt.attempt.0).collect()
        };
        assert_eq!(attempts(49, 9), [0; 0]);
        assert_eq!(attempts(50, 9), [1]);
        assert_eq!(attempts(60, 9), [1, 2]);
        assert_eq!(attempts(60, 1), [1]);
        assert_eq!(shard.prepared_count(), 2);
        assert_eq!(shard.known(TransactionId(2)), Some(Known::InProgress));
        assert_eq!(shard.known(TransactionId(3)), None);
    }

    /// What is undecided can always be finalized: it takes the place that it had.
    #[test]
    fn attempts_are_bounded_and_what_is_prepared_can_be_finalized() {
        let mut shard = Shard::new(EPOCH);
        let part = || writes(vec![put("a", "1")]);
        let _ = shard.apply(&prepare(0, part()));
        let others = ATTEMPTS_MAX as u128 - 1;
        for attempt in 1..others {
            let _ = shard.apply(&finalize(attempt, Decision::Abort));
        }
        let last = shard.apply(&finalize(others, Decision::Abort));
        assert_eq!(last, Reply::Finalized, "the last place");
        let overloaded = Reply::Refused(Refusal::Overloaded);
        let more = others + 1;
        let other = writes(vec![put("b", "1")]);
        assert_eq!(shard.apply(&prepare(more, other.clone())), overloaded);
        assert_eq!(shard.apply(&finalize(more, Decision::Abort)), overloaded);
        assert_eq!(shard.apply(&prepare(0, part())), yes(1), "prepared before");
        assert_eq!(shard.apply(&finalize(1, Decision::Abort)), Reply::Finalized);
        assert_eq!(
            shard.apply(&finalize(0, Decision::Commit)),
            Reply::Finalized
        );
        assert_eq!(shard.apply(&prepare(more, other)), overloaded, "still full");
        // Without a lock nothing need be remembered of what has expired.
        let after = LogTime(EXPIRES.0 + 1);
        let late = shard.apply(&finalize_at(after, more, Decision::Abort));
        assert_eq!(late, Reply::Finalized);
        let bytes = shard.bytes();
        tick(&mut shard, after);
        assert_eq!(
            shard.bytes(),
            bytes - 64 * 112,
            "as many as one command drops"
        );
    }

    /// 16 MiB are given out, one byte more is not; then nothing is locked.
    #[test]
    fn a_part_that_reads_too_much_is_refused() {
        let mut shard = Shard::new(EPOCH);
        for name in ["a", "b", "c", "d"] {
            let largest = Value::try_from(vec![0; VALUE_BYTES_MAX]).expect("legal");
            write(&mut shard, name, largest);
        }
        write(&mut shard, "e", Value::try_from("1").expect("legal"));
        let all = shard.apply(&prepare(1, reads(&["a", "b", "c", "d", "none"])));
        assert!(matches!(all, Reply::Yes { .. }));
        let _ = shard.apply(&finalize(1, Decision::Abort));
        let more = shard.apply(&prepare(2, reads(&["a", "b", "c", "d", "e"])));
        let bytes = TRANSACTION_BYTES_MAX as u64 + 1;
        assert_eq!(more, Reply::Refused(Refusal::TooMuchRead { bytes }));
        assert!(shard.is_unlocked());
        assert_eq!(shard.prepared_count(), 0);
    }
}
