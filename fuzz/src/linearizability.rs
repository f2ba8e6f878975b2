//! Small histories of registers and locks: the search, the stream and trying every order agree.

use arbitrary::{Arbitrary, Unstructured};
use trandb_checker::{
    Verdict,
    history::{Interval, OperationId, Value},
    linearizability::{
        Model, Operation, Options, Stream, check, is_linearizable_by_trying_all,
        models::{Mutex, MutexOp, RegisterAction, RegisterOp, Registers},
    },
};

/// Trying every order takes too long for more.
const OPERATIONS_MAX: usize = 8;
const PROCESSES: usize = 4;

/// Bytes say who calls or returns next, and what was called and answered.
pub fn linearizability(data: &[u8]) {
    let mut source = Unstructured::new(data);
    if source.arbitrary().unwrap_or(false) {
        agree(&Mutex, &history(&mut source, lock));
    } else {
        let model = Registers {
            initial: Value::Int(0),
        };
        agree(&model, &history(&mut source, register));
    }
}

fn agree<M: Model>(model: &M, history: &[Operation<M::Op>]) {
    let expected = is_linearizable_by_trying_all(model, history);
    let verdict = check(model, history, &Options::default());
    assert!(
        !matches!(verdict, Verdict::Unknown(_)),
        "{verdict:?} for {history:?}"
    );
    assert_eq!(
        verdict.is_ok(),
        expected,
        "the search: {verdict:?} for {history:?}"
    );
    let verdict = Stream::judge(model, history);
    assert_eq!(
        verdict.is_ok(),
        expected,
        "the stream: {verdict:?} for {history:?}"
    );
}

/// Processes take turns, as long as there are bytes; what has not returned then is unknown.
fn history<O>(
    source: &mut Unstructured<'_>,
    op: impl Fn(&mut Unstructured<'_>) -> arbitrary::Result<O>,
) -> Vec<Operation<O>> {
    let mut open = [None; PROCESSES];
    let mut history: Vec<Operation<O>> = Vec::new();
    for call in 0.. {
        let Ok(process) = source.choose_index(PROCESSES) else {
            break;
        };
        if source.is_empty() {
            break;
        }
        if let Some(operation) = open[process].take() {
            let operation: &mut Operation<O> = &mut history[operation];
            // One in eight is never heard of again.
            if source.ratio(7, 8).unwrap_or(true) {
                operation.interval.ret = call;
                operation.unknown = false;
            }
        } else if history.len() < OPERATIONS_MAX {
            let Ok(op) = op(source) else { break };
            open[process] = Some(history.len());
            history.push(Operation {
                id: OperationId(history.len()),
                process: i64::try_from(process).unwrap_or(0),
                interval: Interval {
                    call,
                    ret: Interval::NEVER,
                },
                unknown: true,
                op,
            });
        }
    }
    history
}

fn lock(source: &mut Unstructured<'_>) -> arbitrary::Result<MutexOp> {
    Ok(if bool::arbitrary(source)? {
        MutexOp::Acquire
    } else {
        MutexOp::Release
    })
}

fn register(source: &mut Unstructured<'_>) -> arbitrary::Result<RegisterOp> {
    let value = |source: &mut Unstructured<'_>| source.int_in_range(0i64..=2).map(Value::Int);
    let action = match source.int_in_range(0u8..=4)? {
        0 => RegisterAction::Read(None),
        1 => RegisterAction::Read(Some(value(source)?)),
        2 => RegisterAction::Write(value(source)?),
        3 => RegisterAction::Cas {
            expected: value(source)?,
            new: value(source)?,
        },
        _ => RegisterAction::FailedCas {
            expected: value(source)?,
        },
    };
    Ok(RegisterOp {
        key: Value::Nil,
        action,
    })
}
