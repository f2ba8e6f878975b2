//! Commands that come once, and whose replies are certainly heard: what they leave behind.

use std::num::NonZeroU16;

use trandb_common::{TransactionId, Value, Version};
use trandb_engine::{
    AttemptId, Command, Commit, Condition, Digest, Known, LogTime, PartVersions, Refusal, Reply,
    Shard, ShardId,
};

use super::{
    cases::body,
    system::{EPOCH, transaction},
};

const ID: TransactionId = TransactionId(100);

fn commit(text: &str, promised: bool, participants: &[u16]) -> Command {
    commit_of(ID, text, promised, participants)
}

fn commit_of(id: TransactionId, text: &str, promised: bool, participants: &[u16]) -> Command {
    let transaction = transaction(id.0, body(text, NonZeroU16::MIN));
    let yes = |shard: &u16| PartVersions {
        shard: ShardId(*shard),
        first: Version {
            epoch: EPOCH,
            counter: 7,
        },
    };
    Command::Commit(Box::new(Commit {
        transaction: id,
        promised,
        digest: Digest([7; 32]),
        attempt: AttemptId(id.0),
        home: ShardId(0),
        expires: LogTime(5_000),
        now: LogTime(0),
        part: transaction.body.operations().clone(),
        participants: participants.iter().map(yes).collect(),
        read_bytes: 0,
    }))
}

/// A shard, `command` applied in each of the two ways; the reply is the same.
fn both(command: &Command) -> [Shard; 2] {
    let [mut recorded, mut spared] = [Shard::new(EPOCH), Shard::new(EPOCH)];
    assert_eq!(recorded.apply(command), spared.apply_once(command));
    assert!(recorded.known(ID).is_some());
    [recorded, spared]
}

#[test]
fn nobody_asks_for_what_was_not_promised_and_lies_in_one_shard() {
    let command = commit("x@0=a", false, &[]);
    let [recorded, spared] = both(&command);
    assert_eq!(spared.known(ID), None);
    assert!(spared.bytes() < recorded.bytes(), "no record is counted");
    assert_eq!(
        spared.list("", None, None, 9),
        recorded.list("", None, None, 9)
    );
    assert_eq!(spared.len(), 1, "it is committed");
    let [_, spared] = both(&commit("x@0?1 x@0=a", false, &[]));
    assert_eq!(spared.known(ID), None, "its check has failed");
    assert_eq!(spared.bytes(), 0);
}

#[test]
fn what_was_promised_or_others_take_part_in_is_recorded_all_the_same() {
    let [recorded, once] = both(&commit("x@0=a", true, &[]));
    assert_eq!(once.known(ID), Some(Known::Committed));
    assert_eq!(once.bytes(), recorded.bytes());
    let [recorded, once] = both(&commit("x@0=a", false, &[1]));
    assert_eq!(once.known(ID), Some(Known::Committed));
    assert_eq!(once.bytes(), recorded.bytes());
    let [_, once] = both(&commit("x@0?1 x@0=a", true, &[]));
    assert_eq!(once.known(ID), Some(Known::Aborted));
}

/// Records have a budget. What leaves none needs no room.
#[test]
fn without_a_record_there_is_room() {
    let mut shard = Shard::with_outcome_budget(EPOCH, 0);
    let fill = |id| commit_of(TransactionId(1_000 + id), "x@0=a", false, &[]);
    let replies = (0_u128..100_000).map(|id| shard.apply(&fill(id)));
    let full = Reply::Refused(Refusal::Overloaded);
    assert!(replies.into_iter().any(|reply| reply == full));
    let reply = shard.apply_once(&commit("x@0=a", false, &[]));
    assert!(matches!(reply, Reply::Decided(_)), "{reply:?}");
}

/// The limit of memory rests on it: what a commit may add is no less than what it adds.
#[test]
fn a_commit_grows_by_its_record_and_its_values() {
    for (text, participants) in [("x@0=a", &[][..]), ("x@0=a y@0=b z@0!", &[1, 2])] {
        let command = commit(text, true, participants);
        let mut shard = Shard::new(EPOCH);
        let (most, growth) = (Shard::growth_max(&command), shard.growth(&command));
        let _ = shard.apply(&command);
        assert_eq!(growth, shard.bytes(), "{text}: nothing was there before");
        assert_eq!(most, growth, "{text}: the shard was empty");
        let record = shard.bytes() - entries(&shard);
        let again = commit_of(TransactionId(200), text, true, participants);
        assert_eq!(
            shard.growth(&again),
            record,
            "{text}: values take the place of their like"
        );
        assert_eq!(Shard::growth_max(&again), most);
    }
}

/// What the values of a shard count for.
fn entries(shard: &Shard) -> u64 {
    let mut fresh = Shard::new(EPOCH);
    for listed in shard.list("", None, None, 9) {
        let _ = fresh.apply(&Command::Put {
            key: listed.key.clone(),
            value: Value::copy_from(b"a").expect("legal"),
            condition: Condition::default(),
        });
    }
    fresh.bytes()
}

/// States that differ in anything are told apart: the models count on it.
#[test]
fn shards_that_differ_have_other_hashes() {
    let hash = |command: Option<&Command>| {
        let mut shard = Shard::new(EPOCH);
        if let Some(command) = command {
            let _ = shard.apply(command);
        }
        let mut hasher = std::hash::DefaultHasher::new();
        std::hash::Hash::hash(&shard, &mut hasher);
        std::hash::Hasher::finish(&hasher)
    };
    let [a, b] = ["x@0=a", "x@0=b"].map(|text| commit(text, false, &[]));
    let c = commit("x@0=a", true, &[]);
    let all = [None, Some(&a), Some(&b), Some(&c)].map(hash);
    assert_eq!(std::collections::BTreeSet::from(all).len(), 4);
    assert_eq!(hash(Some(&a)), hash(Some(&a)));
}
