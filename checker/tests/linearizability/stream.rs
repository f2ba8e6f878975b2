//! Judging while recording. That it agrees with the oracle is seen in `small` and `cases`.

use trandb_checker::{
    Verdict,
    history::{OperationId, Value},
    linearizability::{
        Stream,
        models::{RegisterAction, RegisterOp, Registers},
    },
};

fn register(action: RegisterAction) -> RegisterOp {
    RegisterOp {
        key: Value::Nil,
        action,
    }
}

#[test]
fn the_verdict_comes_with_the_return_that_decides_it_and_stays() {
    let model = Registers::default();
    let mut stream = Stream::new(&model);
    let write = || register(RegisterAction::Write(Value::Int(1)));
    stream.call(OperationId(0));
    stream.ok(OperationId(0), write());
    stream.call(OperationId(1));
    assert_eq!(stream.verdict(), None);
    stream.ok(
        OperationId(1),
        register(RegisterAction::Read(Some(Value::Int(2)))),
    );
    assert!(stream.verdict().is_some_and(Verdict::is_illegal));
    stream.call(OperationId(2));
    stream.ok(OperationId(2), write());
    assert!(stream.finish().is_illegal());
}

#[test]
fn what_failed_did_not_happen() {
    let model = Registers::default();
    let mut stream = Stream::new(&model);
    stream.call(OperationId(0));
    stream.failed(OperationId(0));
    stream.call(OperationId(1));
    stream.ok(
        OperationId(1),
        register(RegisterAction::Read(Some(Value::Nil))),
    );
    assert_eq!(stream.finish(), Verdict::Ok);
}

#[test]
fn an_operation_that_was_never_answered_is_no_verdict() {
    let model = Registers::default();
    let mut stream = Stream::new(&model);
    stream.call(OperationId(0));
    assert!(matches!(stream.finish(), Verdict::Unknown(reason) if reason.contains("#0")));
}

#[test]
fn a_long_history_keeps_nothing_but_what_is_open() {
    let model = Registers::default();
    let mut stream = Stream::new(&model);
    for round in 0..200_000 {
        let id = OperationId(2 * round);
        let value = Value::Int(i64::try_from(round).expect("small"));
        stream.call(id);
        stream.ok(id, register(RegisterAction::Write(value.clone())));
        let id = OperationId(2 * round + 1);
        stream.call(id);
        stream.ok(id, register(RegisterAction::Read(Some(value))));
        assert_eq!(stream.held(), 0, "nothing is open");
    }
    assert_eq!(stream.finish(), Verdict::Ok);
}
