//! Registers with unique values: the algorithm without a search, the search and the oracle agree.

use proptest::{collection::vec, prelude::*};
use trandb_checker::{
    history::{Interval, Value},
    linearizability::{
        Decision, Model, Operation, Options, Rank, check, is_linearizable_by_trying_all,
        models::{RegisterAction, RegisterOp, Registers},
    },
};

use crate::generate;

/// The same registers, always searched.
struct Searched(Registers);

impl Model for Searched {
    type Op = RegisterOp;
    type State = Value;
    type Part = Value;

    fn initial(&self) -> Value {
        self.0.initial()
    }

    fn step(&self, state: &Value, op: &RegisterOp) -> Option<Value> {
        self.0.step(state, op)
    }

    fn is_read(&self, op: &RegisterOp) -> bool {
        self.0.is_read(op)
    }

    fn part(&self, op: &RegisterOp) -> Value {
        self.0.part(op)
    }

    fn rank(&self, op: &RegisterOp) -> Option<Rank> {
        self.0.rank(op)
    }

    fn describe(&self, op: &RegisterOp) -> String {
        self.0.describe(op)
    }
}

/// Writes of 1, 2, 3 and so on, and reads of about as many values.
fn unique_writes(operations_max: usize) -> impl Strategy<Value = Vec<Operation<RegisterOp>>> {
    let operation = (
        0..4usize,
        prop::bool::weighted(0.2),
        prop::option::of(0i64..5),
    );
    let turns = vec(any::<u8>(), 2 * operations_max);
    (vec(operation, 1..=operations_max), turns).prop_map(|(operations, turns)| {
        let mut written = 0;
        let operations = operations.into_iter().map(|(process, unknown, read)| {
            let action = if let Some(back) = read {
                // Close to the latest, so that many are legal.
                RegisterAction::Read(Some(Value::Int((written - back + 2).max(0))))
            } else {
                written += 1;
                RegisterAction::Write(Value::Int(written))
            };
            (
                process,
                unknown,
                RegisterOp {
                    key: Value::Nil,
                    action,
                },
            )
        });
        generate::interleave(operations.collect(), &turns)
    })
}

const MODEL: Registers = Registers {
    initial: Value::Int(0),
};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5000))]

    #[test]
    fn it_applies_and_agrees_with_the_oracle(history in unique_writes(8)) {
        let part: Vec<_> = history.iter().collect();
        let decision = MODEL.decide(&part).expect("unique values");
        let expected = is_linearizable_by_trying_all(&MODEL, &history);
        prop_assert_eq!(decision == Decision::Legal, expected, "{:?}", decision);
        if let Decision::Illegal(core) = decision {
            let core: Vec<_> = core.into_iter().map(|place| history[place].clone()).collect();
            prop_assert!(!is_linearizable_by_trying_all(&MODEL, &core), "not by itself: {core:?}");
        }
    }

    #[test]
    fn it_agrees_with_the_search_on_longer_histories(history in unique_writes(40)) {
        let fast = check(&MODEL, &history, &Options::default());
        let searched = check(&Searched(MODEL), &history, &Options::default());
        prop_assert_eq!(fast.is_ok(), searched.is_ok(), "{:?} {:?}", fast, searched);
        prop_assert_eq!(fast.is_illegal(), searched.is_illegal());
    }
}

#[test]
fn it_does_not_apply_where_values_are_not_unique() {
    let write = |process, value| {
        let action = RegisterAction::Write(Value::Int(value));
        (
            process,
            false,
            RegisterOp {
                key: Value::Nil,
                action,
            },
        )
    };
    for values in [[1, 1], [0, 1]] {
        let history = generate::interleave(vec![write(0, values[0]), write(1, values[1])], &[]);
        assert_eq!(MODEL.decide(&history.iter().collect::<Vec<_>>()), None);
    }
    let cas = RegisterAction::Cas {
        expected: Value::Int(0),
        new: Value::Int(1),
    };
    let history = generate::interleave(
        vec![(
            0,
            false,
            RegisterOp {
                key: Value::Nil,
                action: cas,
            },
        )],
        &[],
    );
    assert_eq!(MODEL.decide(&history.iter().collect::<Vec<_>>()), None);
}

#[test]
fn the_end_of_time_is_no_return() {
    let mut history = generate::interleave(
        vec![(
            0,
            true,
            RegisterOp {
                key: Value::Nil,
                action: RegisterAction::Write(Value::Int(1)),
            },
        )],
        &[],
    );
    history[0].interval.ret = Interval::NEVER;
    assert_eq!(
        MODEL.decide(&history.iter().collect::<Vec<_>>()),
        Some(Decision::Legal)
    );
}
