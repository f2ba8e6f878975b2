//! Small histories.

use std::collections::VecDeque;

use proptest::{collection::vec, prelude::*};
use trandb_checker::{
    history::{Interval, OperationId, Value},
    linearizability::{
        Operation,
        models::{
            Condition, KvAction, KvOp, MultiRegisterAccess, MultiRegisterOp, MutexOp,
            RegisterAction, RegisterOp, SetOp,
        },
    },
};

pub(crate) const OPERATIONS_MAX: usize = 8;
const PROCESSES: usize = 4;

/// Any histories of such operations: mostly illegal ones.
pub(crate) fn history<O: Clone + std::fmt::Debug + 'static>(
    op: impl Strategy<Value = O> + 'static,
) -> BoxedStrategy<Vec<Operation<O>>> {
    history_with_unknown(0.2, op)
}

/// The same, with this share of unknown outcomes.
pub(crate) fn history_with_unknown<O: Clone + std::fmt::Debug + 'static>(
    share: f64,
    op: impl Strategy<Value = O> + 'static,
) -> BoxedStrategy<Vec<Operation<O>>> {
    let operation = (0..PROCESSES, prop::bool::weighted(share), op);
    (
        vec(operation, 1..=OPERATIONS_MAX),
        vec(any::<u8>(), 2 * OPERATIONS_MAX),
    )
        .prop_map(|(operations, turns)| interleave(operations, &turns))
        .boxed()
}

/// Lets processes take turns: the one whose turn it is returns, or calls its next operation.
pub(crate) fn interleave<O: Clone>(
    operations: Vec<(usize, bool, O)>,
    turns: &[u8],
) -> Vec<Operation<O>> {
    let mut queues: Vec<VecDeque<_>> = vec![VecDeque::new(); PROCESSES];
    for (process, unknown, op) in operations {
        queues[process].push_back((unknown, op));
    }
    let mut open = [None; PROCESSES];
    let mut done: Vec<Operation<O>> = Vec::new();
    let mut turns = turns.iter().copied().chain(std::iter::repeat(0));
    for tick in 0.. {
        let busy: Vec<_> = (0..PROCESSES)
            .filter(|process| open[*process].is_some() || !queues[*process].is_empty())
            .collect();
        if busy.is_empty() {
            break;
        }
        let turn = usize::from(turns.next().expect("endless"));
        let process = busy[turn % busy.len()];
        if let Some(operation) = open[process].take() {
            let operation: &mut Operation<O> = &mut done[operation];
            if !operation.unknown {
                operation.interval.ret = tick;
            }
        } else if let Some((unknown, op)) = queues[process].pop_front() {
            open[process] = Some(done.len());
            done.push(Operation {
                id: OperationId(done.len()),
                process: i64::try_from(process).expect("few"),
                interval: Interval {
                    call: tick,
                    ret: Interval::NEVER,
                },
                unknown,
                op,
            });
        }
    }
    done
}

pub(crate) fn value() -> impl Strategy<Value = Value> + Clone {
    (0i64..3).prop_map(Value::Int)
}

pub(crate) fn register_op() -> impl Strategy<Value = RegisterOp> {
    let action = prop_oneof![
        4 => prop::option::weighted(0.9, value()).prop_map(RegisterAction::Read),
        3 => value().prop_map(RegisterAction::Write),
        2 => (value(), value()).prop_map(|(expected, new)| RegisterAction::Cas { expected, new }),
        1 => value().prop_map(|expected| RegisterAction::FailedCas { expected }),
    ];
    (0i64..10, action).prop_map(|(key, action)| RegisterOp {
        key: Value::Int(i64::from(key == 0)),
        action,
    })
}

pub(crate) fn kv_op() -> impl Strategy<Value = KvOp> {
    let version = || (1i64..4).prop_map(Value::Int);
    let known = move || prop::option::weighted(0.7, version());
    let condition = move || {
        prop_oneof![
            Just(Condition::Absent),
            Just(Condition::Present),
            version().prop_map(Condition::Version),
        ]
    };
    let asked = move || prop::option::weighted(0.3, condition());
    let current = prop_oneof![Just(None), Just(Some(Value::Nil)), version().prop_map(Some)];
    let action = prop_oneof![
        2 => Just(KvAction::GetAbsent),
        4 => (prop::option::weighted(0.7, value()), known())
            .prop_map(|(value, version)| KvAction::Get { value, version }),
        4 => (value(), asked(), known())
            .prop_map(|(value, condition, version)| KvAction::Put { value, condition, version }),
        1 => value().prop_map(KvAction::Append),
        2 => asked().prop_map(|condition| KvAction::Delete { condition }),
        2 => (condition(), current)
            .prop_map(|(condition, current)| KvAction::ConditionFailed { condition, current }),
    ];
    action.prop_map(|action| KvOp {
        key: Value::Nil,
        action,
    })
}

pub(crate) fn set_op() -> impl Strategy<Value = SetOp> {
    prop_oneof![
        4 => value().prop_map(SetOp::Add),
        2 => value().prop_map(SetOp::Remove),
        2 => (value(), any::<bool>()).prop_map(|(element, found)| SetOp::Contains(element, found)),
        2 => vec(value(), 0..3).prop_map(|mut elements| {
            elements.sort_unstable();
            elements.dedup();
            SetOp::read(elements)
        }),
        1 => Just(SetOp::Read(None)),
    ]
}

pub(crate) fn mutex_op() -> impl Strategy<Value = MutexOp> {
    prop_oneof![Just(MutexOp::Acquire), Just(MutexOp::Release)]
}

pub(crate) fn multi_register_op() -> impl Strategy<Value = MultiRegisterOp> {
    let key = || (0i64..2).prop_map(Value::Int);
    let access = prop_oneof![
        (key(), prop::option::weighted(0.9, value()))
            .prop_map(|(key, found)| MultiRegisterAccess::Read(key, found)),
        (key(), value()).prop_map(|(key, new)| MultiRegisterAccess::Write(key, new)),
    ];
    vec(access, 1..3)
}

/// A history of a register that really was one, and answered at some moment of each operation.
pub(crate) fn legal_registers() -> impl Strategy<Value = Vec<Operation<RegisterOp>>> {
    let operation = (0..PROCESSES, prop::bool::weighted(0.15), register_op());
    let operations = vec(operation, 2..=OPERATIONS_MAX);
    (operations, vec(any::<u8>(), 3 * OPERATIONS_MAX)).prop_map(|(operations, turns)| {
        let mut history = interleave(operations, &turns);
        for operation in &mut history {
            operation.op.key = Value::Nil;
        }
        // Each takes effect at one of the ticks between its call and its return, in this order.
        let mut order: Vec<_> = (0..history.len()).collect();
        order.sort_by_key(|place| moment(history[*place].interval, turns[*place]));
        let mut state = Value::Int(0);
        for place in order {
            let operation = &mut history[place];
            // Half of the unknown ones never happen.
            if !(operation.unknown && turns[place] % 2 == 0) {
                operation.op.action = answer(&mut state, &operation.op.action);
            }
        }
        history
    })
}

/// A moment between a call and a return, chosen by `turn`; soon after the call if there is no
/// return. Twice as fine as ticks, so that none is a call or a return.
pub(crate) fn moment(interval: Interval, turn: u8) -> u64 {
    let length = interval.ret.min(interval.call + 6) - interval.call;
    2 * interval.call + 1 + 2 * (u64::from(turn) % length)
}

fn answer(state: &mut Value, action: &RegisterAction) -> RegisterAction {
    match action {
        RegisterAction::Read(_) => RegisterAction::Read(Some(state.clone())),
        RegisterAction::Write(new) => {
            *state = new.clone();
            action.clone()
        }
        RegisterAction::Cas { expected, new } if expected == state => {
            *state = new.clone();
            action.clone()
        }
        RegisterAction::Cas { expected, .. } => RegisterAction::FailedCas {
            expected: expected.clone(),
        },
        RegisterAction::FailedCas { .. } => {
            let expected = Value::Int(99);
            RegisterAction::FailedCas { expected }
        }
    }
}
