//! A published checker (`todc-utils`, Wing and Gong's algorithm) on histories that it can read:
//! those without unknown outcomes.

use proptest::prelude::*;
use todc_utils::{Action, History, Specification, linearizability::WGLChecker};
use trandb_checker::{
    history::Value,
    linearizability::{
        Model, Operation, Options, check,
        models::{RegisterOp, Registers, Set, SetOp},
    },
};

use crate::generate;

/// Our sequential model in its terms: only the search differs.
struct Register;

const REGISTERS: Registers = Registers {
    initial: Value::Int(0),
};

impl Specification for Register {
    type State = Value;
    type Operation = RegisterOp;

    fn init() -> Value {
        REGISTERS.initial()
    }

    fn apply(operation: &RegisterOp, state: &Value) -> (bool, Value) {
        let next = REGISTERS.step(state, operation);
        (next.is_some(), next.unwrap_or_else(|| state.clone()))
    }
}

struct Elements;

impl Specification for Elements {
    type State = std::collections::BTreeSet<Value>;
    type Operation = SetOp;

    fn init() -> Self::State {
        Set.initial()
    }

    fn apply(operation: &SetOp, state: &Self::State) -> (bool, Self::State) {
        let next = Set.step(state, operation);
        (next.is_some(), next.unwrap_or_else(|| state.clone()))
    }
}

fn second_opinion<S>(history: &[Operation<S::Operation>]) -> bool
where
    S: Specification<Operation: PartialEq, State: Clone + Eq + std::hash::Hash>,
{
    let mut actions: Vec<_> = history
        .iter()
        .flat_map(|operation| {
            let process = usize::try_from(operation.process).expect("small");
            let op = &operation.op;
            [
                (operation.interval.call, process, Action::Call(op.clone())),
                (
                    operation.interval.ret,
                    process,
                    Action::Response(op.clone()),
                ),
            ]
        })
        .collect();
    actions.sort_by_key(|(tick, ..)| *tick);
    let actions = actions
        .into_iter()
        .map(|(_, process, action)| (process, action))
        .collect();
    WGLChecker::<S>::is_linearizable(History::from_actions(actions))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn registers(mut history in prop_oneof![
        generate::history(generate::register_op()),
        generate::legal_registers().boxed(),
    ]) {
        history.retain(|operation| !operation.unknown);
        for operation in &mut history {
            operation.op.key = Value::Nil;
        }
        prop_assume!(!history.is_empty());
        let verdict = check(&REGISTERS, &history, &Options::default());
        prop_assert_eq!(verdict.is_ok(), second_opinion::<Register>(&history), "{:?}", verdict);
    }

    #[test]
    fn sets(mut history in generate::history(generate::set_op())) {
        history.retain(|operation| !operation.unknown);
        prop_assume!(!history.is_empty());
        let verdict = check(&Set, &history, &Options::default());
        prop_assert_eq!(verdict.is_ok(), second_opinion::<Elements>(&history), "{:?}", verdict);
    }
}
