//! What is not decided is never called legal.

use std::{
    num::NonZeroUsize,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use trandb_checker::{
    Verdict,
    history::{Interval, OperationId, Value},
    linearizability::{
        Operation, Options, check, check_counted,
        models::{Kv, KvAction, KvOp, Mutex, MutexOp, RegisterAction, RegisterOp, Registers},
    },
};

fn operation<O>(id: u64, call: u64, ret: u64, op: O) -> Operation<O> {
    Operation {
        id: OperationId(usize::try_from(id).expect("small")),
        process: 0,
        interval: Interval { call, ret },
        unknown: ret == Interval::NEVER,
        op,
    }
}

/// Many concurrent appends, and then a text that none of their orders gives.
fn hard() -> Vec<Operation<KvOp>> {
    const APPENDS: u64 = 12;
    let op = |action| KvOp {
        key: Value::Nil,
        action,
    };
    let mut history: Vec<_> = (0..APPENDS)
        .map(|number| {
            let text = Value::Text(number.to_string().into());
            operation(number, number, APPENDS + number, op(KvAction::Append(text)))
        })
        .collect();
    let found = KvAction::Get {
        value: Some(Value::Text("none".into())),
        version: None,
    };
    history.push(operation(APPENDS, 2 * APPENDS, 2 * APPENDS + 1, op(found)));
    history
}

#[test]
fn time_and_memory_end_in_unknown() {
    let model = Kv::default();
    let no_time = Options {
        time_limit: Some(Duration::ZERO),
        ..Options::default()
    };
    let verdict = check(&model, &hard(), &no_time);
    assert_eq!(verdict, Verdict::Unknown("time is up".into()));
    let no_memory = Options {
        memory_bytes_max: 1 << 20,
        ..Options::default()
    };
    let verdict = check(&model, &hard(), &no_memory);
    assert_eq!(
        verdict,
        Verdict::Unknown("the search would remember more than 1.0 MiB".into())
    );
}

#[test]
fn an_easy_part_is_found_illegal_beside_a_hard_one() {
    let model = Kv::default();
    let mut history = hard();
    let action = KvAction::Get {
        value: Some(Value::Int(1)),
        version: None,
    };
    // A key that comes behind the hard one in every order.
    let op = KvOp {
        key: Value::Text("z".into()),
        action,
    };
    history.push(operation(99, 1000, 1001, op));
    for threads in [1, 2, 4] {
        let threads = NonZeroUsize::new(threads).expect("some");
        let options = Options {
            threads,
            memory_bytes_max: 64 << 20,
            ..Options::default()
        };
        let Verdict::Illegal(evidence) = check(&model, &history, &options) else {
            panic!("the part with key z is illegal");
        };
        assert_eq!(evidence[0].operations[0].id, OperationId(99));
    }
}

#[test]
fn more_open_operations_than_there_are_slots_end_in_unknown() {
    let count = 5000;
    let history: Vec<_> = (0..count)
        .map(|number| operation(number, number, count + number, MutexOp::Acquire))
        .collect();
    let verdict = check(&Mutex, &history, &Options::default());
    assert!(matches!(verdict, Verdict::Unknown(reason) if reason.contains("4096")));
}

#[test]
fn many_open_operations_fit_into_wider_slots() {
    for count in [64u64, 66, 130, 300, 1100] {
        let acquires = (0..count).map(|number| {
            let op = if number % 2 == 0 {
                MutexOp::Acquire
            } else {
                MutexOp::Release
            };
            operation(number, number, count + number, op)
        });
        let mut history: Vec<_> = acquires.collect();
        assert_eq!(
            check(&Mutex, &history, &Options::default()),
            Verdict::Ok,
            "{count}"
        );
        history.push(operation(9999, 2 * count, 2 * count + 1, MutexOp::Release));
        let options = Options {
            memory_bytes_max: 16 << 20,
            ..Options::default()
        };
        assert!(
            !check(&Mutex, &history, &options).is_ok(),
            "one release too many of {count}"
        );
    }
}

#[test]
fn what_no_recorder_may_write_is_not_judged() {
    let write = |value| RegisterOp {
        key: Value::Nil,
        action: RegisterAction::Write(Value::Int(value)),
    };
    let unfit = [
        vec![operation(0, 5, 5, write(1))],
        vec![operation(0, 5, 4, write(1))],
        vec![operation(0, 1, 2, write(1)), operation(1, 2, 3, write(2))],
        vec![Operation {
            unknown: false,
            ..operation(0, 1, Interval::NEVER, write(1))
        }],
    ];
    for history in unfit {
        let verdict = check(&Registers::default(), &history, &Options::default());
        assert!(
            matches!(verdict, Verdict::Unknown(_)),
            "{history:?}: {verdict:?}"
        );
    }
}

#[test]
fn decided_operations_are_counted() {
    let decided = AtomicUsize::new(0);
    let history: Vec<_> = (0..10u64)
        .map(|number| {
            let key = Value::Int(i64::try_from(number % 3).expect("small"));
            let op = RegisterOp {
                key,
                action: RegisterAction::Read(Some(Value::Nil)),
            };
            operation(number, 2 * number, 2 * number + 1, op)
        })
        .collect();
    let options = Options {
        decided: Some(&decided),
        ..Options::default()
    };
    let (verdict, counts) = check_counted(&Registers::default(), &history, &options);
    assert_eq!((verdict, counts.parts), (Verdict::Ok, 3));
    assert_eq!(decided.load(Ordering::Relaxed), 10);
}
