//! Hand-made histories: each illegal one beside its nearest legal neighbour.

use trandb_checker::{
    Verdict,
    history::{Interval, OperationId, Value},
    linearizability::{
        Model, Operation, Options, Stream, check, is_linearizable_by_trying_all,
        models::{
            Condition, Kv, KvAction, KvOp, MultiRegister, MultiRegisterAccess, Mutex, MutexOp,
            RegisterAction, RegisterOp, Registers, Set, SetOp, Versions,
        },
    },
};

/// The tick of a return that never comes.
const NEVER: u64 = Interval::NEVER;

/// Operations from their calls, returns and what was done.
pub(crate) fn history<O>(operations: impl IntoIterator<Item = (u64, u64, O)>) -> Vec<Operation<O>> {
    let operations = operations.into_iter().enumerate();
    operations
        .map(|(id, (call, ret, op))| Operation {
            id: OperationId(id),
            process: i64::try_from(id).expect("small"),
            interval: Interval { call, ret },
            unknown: ret == NEVER,
            op,
        })
        .collect()
}

fn verdict<M: Model>(model: &M, history: &[Operation<M::Op>]) -> bool {
    let verdict = check(model, history, &Options::default());
    assert!(!matches!(verdict, Verdict::Unknown(_)), "{verdict:?}");
    assert_eq!(
        is_linearizable_by_trying_all(model, history),
        verdict.is_ok(),
        "{verdict:?}"
    );
    assert_eq!(
        Stream::judge(model, history).is_ok(),
        verdict.is_ok(),
        "the stream differs"
    );
    verdict.is_ok()
}

fn int(value: i64) -> Value {
    Value::Int(value)
}

pub(crate) fn read(value: i64) -> RegisterOp {
    RegisterOp {
        key: Value::Nil,
        action: RegisterAction::Read(Some(int(value))),
    }
}

pub(crate) fn write(value: i64) -> RegisterOp {
    RegisterOp {
        key: Value::Nil,
        action: RegisterAction::Write(int(value)),
    }
}

fn cas(expected: i64, new: i64) -> RegisterOp {
    let action = RegisterAction::Cas {
        expected: int(expected),
        new: int(new),
    };
    RegisterOp {
        key: Value::Nil,
        action,
    }
}

pub(crate) fn failed_cas(expected: i64) -> RegisterOp {
    let action = RegisterAction::FailedCas {
        expected: int(expected),
    };
    RegisterOp {
        key: Value::Nil,
        action,
    }
}

fn registers(operations: impl IntoIterator<Item = (u64, u64, RegisterOp)>) -> bool {
    verdict(&Registers { initial: int(0) }, &history(operations))
}

#[test]
fn a_read_after_a_write_sees_it() {
    assert!(!registers([(0, 1, write(1)), (2, 3, read(0))]));
    assert!(registers([(0, 2, write(1)), (1, 3, read(0))]));
}

#[test]
fn what_one_read_saw_the_next_sees_too() {
    assert!(!registers([
        (0, 9, write(1)),
        (1, 2, read(1)),
        (3, 4, read(0))
    ]));
    assert!(registers([
        (0, 9, write(1)),
        (1, 3, read(1)),
        (2, 4, read(0))
    ]));
}

#[test]
fn a_value_that_was_overwritten_does_not_come_back() {
    assert!(!registers([
        (0, 1, write(1)),
        (2, 3, write(2)),
        (4, 5, read(1))
    ]));
    assert!(registers([
        (0, 2, write(1)),
        (1, 3, write(2)),
        (4, 5, read(1))
    ]));
}

#[test]
fn a_value_that_nobody_wrote_is_never_read() {
    assert!(!registers([(0, 1, write(1)), (2, 3, read(2))]));
    assert!(registers([(0, 1, write(1)), (2, 3, read(1))]));
}

#[test]
fn an_unknown_write_happens_once_at_any_time_or_never() {
    let later = [(0, NEVER, write(1)), (2, 3, read(0)), (4, 5, read(1))];
    assert!(registers(later.clone()));
    assert!(!registers(later.into_iter().chain([(6, 7, read(0))])));
    assert!(registers([(0, NEVER, write(1)), (2, 3, read(0))]));
    let twice = [(1, 2, read(1)), (3, 4, write(2)), (5, 6, read(1))];
    assert!(!registers(
        [(0, NEVER, write(1))].into_iter().chain(twice.clone())
    ));
    assert!(registers(
        [(0, NEVER, write(1)), (7, NEVER, read(1))]
            .into_iter()
            .chain([(1, 2, read(1)), (3, 4, write(2)), (5, 6, read(2)),])
    ));
}

#[test]
fn unknown_operations_may_need_each_other() {
    let chain = [
        (0, NEVER, cas(0, 1)),
        (1, NEVER, cas(1, 2)),
        (2, NEVER, cas(2, 3)),
    ];
    assert!(registers(chain.clone().into_iter().chain([(
        4,
        5,
        read(3)
    )])));
    assert!(!registers(chain[1..].iter().cloned().chain([(
        4,
        5,
        read(3)
    )])));
}

#[test]
fn an_unknown_operation_is_not_used_before_its_call() {
    assert!(!registers([(0, 1, read(1)), (2, NEVER, write(1))]));
    assert!(registers([(0, 3, read(1)), (2, NEVER, write(1))]));
}

#[test]
fn of_two_compare_and_sets_from_one_value_one_wins() {
    assert!(!registers([(0, 2, cas(0, 1)), (1, 3, cas(0, 2))]));
    assert!(registers([(0, 2, cas(0, 1)), (1, 3, failed_cas(0))]));
    assert!(!registers([(0, 1, failed_cas(0))]));
}

#[test]
fn a_lock_has_one_holder() {
    use MutexOp::{Acquire, Release};
    let verdict =
        |operations: &[(u64, u64, MutexOp)]| verdict(&Mutex, &history(operations.iter().copied()));
    assert!(!verdict(&[(0, 1, Acquire), (2, 3, Acquire)]));
    assert!(verdict(&[
        (0, 1, Acquire),
        (2, 5, Acquire),
        (3, 4, Release)
    ]));
    assert!(!verdict(&[(0, 1, Release)]));
    assert!(verdict(&[
        (0, 1, Acquire),
        (2, NEVER, Release),
        (3, 4, Acquire)
    ]));
}

#[test]
fn a_set_keeps_what_was_added() {
    let verdict = |operations: Vec<(u64, u64, SetOp)>| verdict(&Set, &history(operations));
    let add = |element| SetOp::Add(int(element));
    assert!(!verdict(vec![
        (0, 1, add(1)),
        (2, 3, add(2)),
        (4, 5, SetOp::read(vec![int(1)]))
    ]));
    assert!(verdict(vec![
        (0, 1, add(1)),
        (2, 5, add(2)),
        (3, 4, SetOp::read(vec![int(1)]))
    ]));
    assert!(!verdict(vec![
        (0, 1, add(1)),
        (2, 3, SetOp::Contains(int(1), false))
    ]));
    assert!(verdict(vec![
        (0, 1, add(1)),
        (2, 3, SetOp::Remove(int(1))),
        (4, 5, SetOp::Contains(int(1), false)),
    ]));
}

#[test]
fn several_registers_are_read_at_one_moment() {
    let transfer = vec![
        MultiRegisterAccess::Write(int(1), int(5)),
        MultiRegisterAccess::Write(int(2), int(5)),
    ];
    let both = |one, other| {
        vec![
            MultiRegisterAccess::Read(int(1), Some(int(one))),
            MultiRegisterAccess::Read(int(2), Some(int(other))),
        ]
    };
    let verdict = |operations: Vec<(u64, u64, Vec<MultiRegisterAccess>)>| {
        verdict(&MultiRegister { initial: int(0) }, &history(operations))
    };
    assert!(!verdict(vec![(0, 3, transfer.clone()), (1, 2, both(5, 0))]));
    assert!(verdict(vec![(0, 3, transfer.clone()), (1, 2, both(5, 5))]));
    assert!(verdict(vec![(0, 3, transfer), (1, 2, both(0, 0))]));
}

fn kv(versions: Versions, operations: Vec<(u64, u64, KvAction)>) -> bool {
    let operations = operations.into_iter().map(|(call, ret, action)| {
        (
            call,
            ret,
            KvOp {
                key: Value::Nil,
                action,
            },
        )
    });
    verdict(
        &Kv {
            versions,
            absent: None,
        },
        &history(operations),
    )
}

fn put(value: i64, version: i64) -> KvAction {
    KvAction::Put {
        value: int(value),
        condition: None,
        version: Some(int(version)),
    }
}

fn put_if(value: i64, condition: Condition, version: i64) -> KvAction {
    KvAction::Put {
        value: int(value),
        condition: Some(condition),
        version: Some(int(version)),
    }
}

fn get(value: i64, version: i64) -> KvAction {
    KvAction::Get {
        value: Some(int(value)),
        version: Some(int(version)),
    }
}

const OPAQUE: Versions = Versions::Opaque;

#[test]
fn a_value_has_the_version_that_its_write_was_given() {
    assert!(!kv(OPAQUE, vec![(0, 1, put(1, 1)), (2, 3, get(1, 2))]));
    assert!(kv(OPAQUE, vec![(0, 1, put(1, 1)), (2, 3, get(1, 1))]));
}

#[test]
fn versions_grow_where_they_are_known_to() {
    let backwards = vec![(0, 1, put(1, 2)), (2, 3, put(2, 1))];
    assert!(!kv(Versions::Ordered, backwards.clone()));
    assert!(kv(OPAQUE, backwards));
    let overlapping = vec![(0, 2, put(1, 2)), (1, 3, put(2, 1)), (4, 5, get(1, 2))];
    assert!(kv(Versions::Ordered, overlapping));
    let wrong_last = vec![(0, 2, put(1, 2)), (1, 3, put(2, 1)), (4, 5, get(2, 1))];
    assert!(!kv(Versions::Ordered, wrong_last));
}

#[test]
fn a_lost_update_is_flagged() {
    let version = |number| Condition::Version(int(number));
    let begin = (0, 1, put(1, 1));
    let both = vec![
        begin.clone(),
        (2, 4, put_if(2, version(1), 2)),
        (3, 5, put_if(3, version(1), 3)),
    ];
    assert!(!kv(OPAQUE, both));
    let refused = KvAction::ConditionFailed {
        condition: version(1),
        current: Some(int(2)),
    };
    assert!(kv(
        OPAQUE,
        vec![begin, (2, 4, put_if(2, version(1), 2)), (3, 5, refused)]
    ));
}

#[test]
fn of_two_creations_one_is_refused() {
    let create = |value, version| put_if(value, Condition::Absent, version);
    assert!(!kv(
        OPAQUE,
        vec![(0, 2, create(1, 1)), (1, 3, create(2, 2))]
    ));
    let deleted = vec![
        (0, 1, create(1, 1)),
        (
            2,
            3,
            KvAction::Delete {
                condition: Some(Condition::Present),
            },
        ),
        (4, 5, create(2, 2)),
    ];
    assert!(kv(OPAQUE, deleted));
}

#[test]
fn a_condition_is_refused_only_if_it_does_not_hold() {
    let refused = |condition, current| KvAction::ConditionFailed { condition, current };
    let absent = || refused(Condition::Absent, None);
    assert!(!kv(OPAQUE, vec![(0, 1, absent())]));
    assert!(kv(OPAQUE, vec![(0, 1, put(1, 1)), (2, 3, absent())]));
    let present = || refused(Condition::Present, Some(Value::Nil));
    assert!(kv(OPAQUE, vec![(0, 1, present())]));
    assert!(!kv(OPAQUE, vec![(0, 1, put(1, 1)), (2, 3, present())]));
    let other = |asked| refused(Condition::Version(int(asked)), None);
    assert!(!kv(OPAQUE, vec![(0, 1, put(1, 1)), (2, 3, other(1))]));
    assert!(kv(OPAQUE, vec![(0, 1, put(1, 1)), (2, 3, other(2))]));
}

#[test]
fn a_deleted_value_is_gone() {
    let delete = KvAction::Delete { condition: None };
    let begin = [(0, 1, put(1, 1)), (2, 3, delete)];
    assert!(!kv(
        OPAQUE,
        begin.iter().cloned().chain([(4, 5, get(1, 1))]).collect()
    ));
    assert!(kv(
        OPAQUE,
        begin
            .into_iter()
            .chain([(4, 5, KvAction::GetAbsent)])
            .collect()
    ));
}

#[test]
fn an_unknown_put_has_one_version_as_soon_as_it_was_seen() {
    let unknown = KvAction::Put {
        value: int(1),
        condition: None,
        version: None,
    };
    let begin = [(0, NEVER, unknown), (1, 2, get(1, 7))];
    assert!(kv(
        OPAQUE,
        begin.iter().cloned().chain([(3, 4, get(1, 7))]).collect()
    ));
    assert!(!kv(
        OPAQUE,
        begin.into_iter().chain([(3, 4, get(1, 8))]).collect()
    ));
}
