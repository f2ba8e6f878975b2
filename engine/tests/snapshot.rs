//! Snapshots of a shard: that they hold all of it, that equal shards have equal ones, and that
//! nothing else is taken for one.

use proptest::prelude::*;
use trandb_common::{Key, TransactionId, Value};
use trandb_engine::{
    AttemptId, Check, Command, Commit, Condition, Decision, Digest, Finalize, Forget,
    InvalidSnapshot, LogTime, Operations, PartVersions, Prepare, Refusal, Reply, Resolve, Shard,
    ShardId, Subject, Write,
};

const EPOCH: u64 = 3;
const NOW: LogTime = LogTime(1_000);
const EXPIRES: LogTime = LogTime(60_000);
const HERE: ShardId = ShardId(0);
const THERE: ShardId = ShardId(1);

fn key(text: &str) -> Key {
    Key::new(text).expect("legal")
}

fn put(name: &str, value: &str) -> Command {
    Command::Put {
        key: key(name),
        value: Value::try_from(value).expect("legal"),
        condition: Condition::default(),
    }
}

fn part(checks: &[&str], reads: &[&str], writes: &[&str]) -> Operations {
    let check = |name: &&str| Check {
        key: key(name),
        version: None,
    };
    let write = |name: &&str| Write::Put {
        key: key(name),
        value: Value::try_from("of a transaction").expect("legal"),
    };
    Operations {
        checks: checks.iter().map(check).collect(),
        reads: reads.iter().map(|name| key(name)).collect(),
        writes: writes.iter().map(write).collect(),
    }
}

fn prepare(id: u128, part: Operations) -> Command {
    Command::Prepare(Box::new(Prepare {
        transaction: TransactionId(id),
        attempt: AttemptId(id),
        home: THERE,
        expires: EXPIRES,
        now: NOW,
        part: part.into(),
    }))
}

fn finalize(id: u128) -> Command {
    Command::Finalize(Finalize {
        attempt: AttemptId(id),
        decision: Decision::Commit,
        expires: EXPIRES,
        now: NOW,
    })
}

fn commit(id: u128, participants: &[ShardId], checks: &[&str]) -> Command {
    let versions = |shard: &ShardId| PartVersions {
        shard: *shard,
        first: trandb_common::Version {
            epoch: EPOCH,
            counter: 9,
        },
    };
    Command::Commit(Box::new(Commit {
        transaction: TransactionId(id),
        promised: true,
        digest: Digest([7; 32]),
        attempt: AttemptId(id),
        home: HERE,
        expires: EXPIRES,
        now: NOW,
        part: part(checks, &[], &["committed"]).into(),
        participants: participants.iter().map(versions).collect(),
        read_bytes: 0,
    }))
}

fn resolve(id: u128, subject: Subject) -> Command {
    Command::Resolve(Resolve {
        transaction: TransactionId(id),
        digest: None,
        subject,
        now: NOW,
    })
}

fn resolve_attempt(id: u128) -> Command {
    let subject = Subject::Attempt {
        attempt: AttemptId(id),
        expires: EXPIRES,
    };
    resolve(id, subject)
}

/// Some of everything that a shard can hold.
fn full() -> Shard {
    let mut shard = Shard::with_outcome_budget(EPOCH, 100_000);
    let commands = [
        put("a", "1"),
        put("a key longer than 24 bytes", ""),
        put("deleted", "x"),
        Command::Delete {
            key: key("deleted"),
            condition: Condition::default(),
        },
        prepare(1, part(&["absent"], &["a"], &["written"])),
        prepare(2, part(&["absent"], &["a"], &[])),
        prepare(3, part(&[], &[], &["finalized"])),
        finalize(3),
        commit(4, &[THERE], &[]),
        commit(5, &[], &[]),
        commit(6, &[], &["committed"]),
        resolve_attempt(7),
        resolve(
            8,
            Subject::Transaction {
                promised: true,
                expires: EXPIRES,
                checks: Vec::new(),
            },
        ),
    ];
    for command in &commands {
        let _ = shard.apply(command);
    }
    shard
}

fn restored(shard: &Shard) -> Shard {
    Shard::restore(&shard.snapshot()).expect("a snapshot")
}

/// The snapshot with another body between its first and last bytes, and the right checksum.
fn forged(snapshot: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = snapshot[..snapshot.len() - 8].to_vec();
    change(&mut bytes);
    let checksum = twox_hash::XxHash3_64::oneshot(&bytes);
    bytes.extend(checksum.to_le_bytes());
    bytes
}

#[test]
fn an_empty_shard_is_restored() {
    let shard = Shard::with_outcome_budget(EPOCH, 1);
    assert_eq!(restored(&shard), shard);
}

#[test]
fn a_shard_with_some_of_everything_is_restored() {
    let shard = full();
    assert_eq!(shard.prepared_count(), 2);
    assert_eq!(restored(&shard), shard);
    assert_eq!(restored(&shard).bytes(), shard.bytes());
}

/// What equality might overlook is asked for.
#[test]
fn a_restored_shard_remembers() {
    let mut shard = restored(&full());
    let holder = AttemptId(1);
    assert_eq!(shard.apply(&put("written", "2")), Reply::Locked(holder));
    assert_eq!(shard.apply(&put("a", "2")), Reply::Locked(holder));
    let again = prepare(3, part(&[], &[], &["finalized"]));
    let refused = Reply::Refused(Refusal::AlreadyFinalized);
    assert_eq!(shard.apply(&again), refused);
    let same = full().apply(&commit(4, &[THERE], &[]));
    assert_eq!(shard.apply(&commit(4, &[THERE], &[])), same);
    assert_eq!(shard.clock(), NOW);
    let _ = shard.apply(&finalize(1));
    assert_eq!(shard.apply(&put("a", "2")), Reply::Locked(AttemptId(2)));
    let _ = shard.apply(&finalize(2));
    assert!(shard.is_unlocked());
}

/// Orders by expiry and sums of bytes are computed again: all is dropped when it is due.
#[test]
fn a_restored_shard_forgets_in_time() {
    let (mut shard, mut other) = (full(), restored(&full()));
    for now in [EXPIRES.0, EXPIRES.0 + 1, 700_000, 2_000_000] {
        let tick = Command::Forget(Forget {
            finalized: Vec::new(),
            acknowledged: Vec::new(),
            now: LogTime(now),
        });
        assert_eq!(other.apply(&tick), shard.apply(&tick));
        assert_eq!(other, shard, "at {now}");
        assert_eq!(other.bytes(), shard.bytes(), "at {now}");
    }
}

#[test]
fn equal_shards_have_equal_snapshots_however_they_came_to_be() {
    let mut one = Shard::new(EPOCH);
    let mut other = Shard::new(EPOCH);
    for name in ["a", "b", "c"] {
        let _ = one.apply(&put(name, "1"));
    }
    // The same entries under the same counters, in slots of another order.
    let commands = [put("a", "1"), put("b", "1"), put("c", "1")];
    let mut before = Shard::new(EPOCH);
    for command in &commands {
        let _ = before.apply(command);
    }
    other.clone_from(&restored(&before));
    assert_eq!(one, other);
    assert_eq!(one.snapshot(), other.snapshot());
    assert_eq!(one.digest(), other.digest());
}

#[test]
fn shards_that_differ_in_anything_have_other_digests() {
    let full = full();
    let differ = |command: &Command| {
        let mut other = full.clone();
        let _ = other.apply(command);
        assert_ne!(other, full, "{command:?}");
        assert_ne!(other.digest(), full.digest(), "{command:?}");
    };
    differ(&put("b", ""));
    differ(&finalize(1));
    differ(&finalize(9));
    differ(&resolve_attempt(9));
    differ(&Command::Forget(Forget {
        finalized: Vec::new(),
        acknowledged: vec![TransactionId(5)],
        now: NOW,
    }));
    differ(&Command::Forget(Forget {
        finalized: Vec::new(),
        acknowledged: Vec::new(),
        now: LogTime(NOW.0 + 1),
    }));
    let epoch = Shard::new(EPOCH + 1).digest();
    assert_ne!(epoch, Shard::new(EPOCH).digest());
    let budget = Shard::with_outcome_budget(EPOCH, 1).digest();
    assert_ne!(budget, Shard::new(EPOCH).digest());
}

#[test]
fn what_is_cut_off_or_damaged_is_refused() {
    let snapshot = full().snapshot();
    for length in 0..snapshot.len() {
        assert!(Shard::restore(&snapshot[..length]).is_err(), "{length}");
    }
    for index in 0..snapshot.len() {
        let mut damaged = snapshot.clone();
        damaged[index] ^= 0x10;
        assert!(Shard::restore(&damaged).is_err(), "byte {index}");
    }
    let mut longer = snapshot;
    longer.push(0);
    assert_eq!(Shard::restore(&longer), Err(InvalidSnapshot::Damaged));
}

#[test]
fn what_makes_no_sense_is_refused_although_the_checksum_is_right() {
    let snapshot = full().snapshot();
    let same = forged(&snapshot, |_| {});
    assert_eq!(same, snapshot, "the test knows the checksum");
    let longer = forged(&snapshot, |bytes| bytes.push(0));
    let malformed = |part| Err(InvalidSnapshot::Malformed { part });
    assert_eq!(Shard::restore(&longer), malformed("last bytes"));
    let begin = b"trandb shard 1".len();
    // Counter, the second number of the head, says that no version was ever given.
    let versions = forged(&snapshot, |bytes| bytes[begin + 1] = 0);
    assert_eq!(Shard::restore(&versions), malformed("entries"));
    for length in begin..snapshot.len() - 8 {
        let short = forged(&snapshot, |bytes| bytes.truncate(length));
        assert!(
            matches!(
                Shard::restore(&short),
                Err(InvalidSnapshot::Malformed { .. })
            ),
            "{length}"
        );
    }
}

#[test]
fn no_key_stands_there_twice() {
    let mut shard = Shard::with_outcome_budget(EPOCH, 1);
    for name in ["key a", "key b"] {
        let _ = shard.apply(&put(name, "1"));
    }
    let twice = forged(&shard.snapshot(), |bytes| {
        let place = bytes.windows(5).position(|word| word == b"key b");
        bytes[place.expect("it is there") + 4] = b'a';
    });
    let malformed = InvalidSnapshot::Malformed { part: "entries" };
    assert_eq!(Shard::restore(&twice), Err(malformed));
}

#[test]
fn another_version_is_refused_as_such() {
    let mut snapshot = full().snapshot();
    snapshot[b"trandb shard ".len()] = b'2';
    assert_eq!(Shard::restore(&snapshot), Err(InvalidSnapshot::Unknown));
    assert_eq!(Shard::restore(b""), Err(InvalidSnapshot::Unknown));
}

proptest! {
    /// It never panics, and what it takes is a snapshot again.
    #[test]
    fn a_forged_snapshot_is_refused_or_is_one(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let snapshot = full().snapshot();
        let begin = b"trandb shard 1".len();
        let bytes = forged(&snapshot, |bytes| {
            for (index, byte) in &changes {
                let index = begin + index.index(bytes.len() - begin);
                bytes[index] = *byte;
            }
        });
        if let Ok(shard) = Shard::restore(&bytes) {
            prop_assert_eq!(restored(&shard), shard);
        }
    }
}
