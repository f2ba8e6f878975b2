//! The last moment of an attempt: until its log time is past, the home decides; afterwards it refuses.

use std::num::NonZeroU16;

use trandb_common::TransactionId;
use trandb_engine::{
    AttemptId, Command, Commit, Decided, Digest, LogTime, Refusal, Reply, Resolve, Shard, ShardId,
    Subject,
};

use super::{
    cases::body,
    system::{EPOCH, transaction},
};

const EXPIRES: LogTime = LogTime(5_000);
const LATER: LogTime = LogTime(5_001);

fn shard() -> Shard {
    Shard::with_outcome_budget(EPOCH, 1_000_000)
}

fn commit(now: LogTime) -> Command {
    let transaction = transaction(100, body("a@0=1", NonZeroU16::MIN));
    let part = transaction.body.operations().clone();
    Command::Commit(Box::new(Commit {
        transaction: transaction.id,
        promised: transaction.promised,
        digest: Digest([7; 32]),
        attempt: AttemptId(1),
        home: ShardId(0),
        expires: EXPIRES,
        now,
        part,
        participants: Vec::new(),
        read_bytes: 0,
    }))
}

fn resolve(now: LogTime) -> Command {
    Command::Resolve(Resolve {
        transaction: TransactionId(100),
        digest: None,
        subject: Subject::Attempt {
            attempt: AttemptId(1),
            expires: EXPIRES,
        },
        now,
    })
}

#[test]
fn a_commit_is_in_time_at_the_moment_when_its_attempt_expires_and_not_after_it() {
    let in_time = shard().apply(&commit(EXPIRES));
    let Reply::Decided(decided) = in_time else {
        panic!("{in_time:?}");
    };
    assert!(matches!(*decided, Decided::Committed { .. }), "{decided:?}");
    let late = Reply::Refused(Refusal::Expired { clock: LATER });
    assert_eq!(shard().apply(&commit(LATER)), late);
}

/// Until then the abort has to be recorded: the commit may be on its way.
#[test]
fn an_attempt_is_aborted_for_the_record_until_it_expires() {
    let mut shard_in_time = shard();
    let aborted = Reply::Decided(Box::new(Decided::AttemptAborted));
    assert_eq!(shard_in_time.apply(&resolve(EXPIRES)), aborted);
    assert_eq!(
        shard_in_time.apply(&commit(EXPIRES)),
        aborted,
        "it comes too late"
    );
    let late = Reply::Refused(Refusal::Expired { clock: LATER });
    assert_eq!(shard().apply(&resolve(LATER)), late);
}

fn abort(digest: Option<Digest>, expires: LogTime, now: LogTime) -> Command {
    Command::Resolve(Resolve {
        transaction: TransactionId(100),
        digest,
        subject: Subject::Transaction {
            promised: true,
            expires,
            checks: Vec::new(),
        },
        now,
    })
}

/// A commit that nobody may ask for is forgotten soon. Whoever aborts the transaction afterwards
/// puts another decision on record, which says nothing about what was before.
#[test]
fn to_who_has_expired_an_abort_tells_nothing() {
    let mut shard = shard();
    let decided = shard.apply(&commit(EXPIRES));
    assert!(matches!(decided, Reply::Decided(_)), "{decided:?}");
    let much_later = LogTime(1_000_000);
    let aborted = Reply::Decided(Box::new(Decided::Aborted { failed: Vec::new() }));
    let by_id = abort(None, much_later, much_later);
    assert_eq!(shard.apply(&by_id), aborted, "it is forgotten");
    let expired = Reply::Refused(Refusal::Expired { clock: much_later });
    assert_eq!(shard.apply(&resolve(EXPIRES)), expired);
    assert_eq!(shard.apply(&commit(EXPIRES)), expired);
}

/// Its sender may have sent a commit before. But no other attempt may commit any more.
#[test]
fn an_abort_that_comes_late_is_recorded_and_tells_nothing() {
    let mut shard = shard();
    let digest = Some(Digest([7; 32]));
    let expired = Reply::Refused(Refusal::Expired { clock: LATER });
    assert_eq!(shard.apply(&abort(digest, EXPIRES, LATER)), expired);
    let aborted = Reply::Decided(Box::new(Decided::Aborted { failed: Vec::new() }));
    assert_eq!(shard.apply(&abort(digest, LATER, LATER)), aborted);
}

#[test]
fn a_commit_on_record_is_told_to_everybody() {
    let mut shard = shard();
    for command in [commit(EXPIRES), resolve(LATER)] {
        let Reply::Decided(decided) = shard.apply(&command) else {
            panic!("it was promised");
        };
        assert!(matches!(*decided, Decided::Committed { .. }), "{decided:?}");
    }
}
