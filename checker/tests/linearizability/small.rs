//! All models on small histories: the same verdict as the oracle's, from the search and from the
//! stream.

use proptest::prelude::*;
use trandb_checker::{
    Verdict,
    history::Value,
    linearizability::{
        Model, Operation, Options, Stream, check, is_linearizable_by_trying_all,
        models::{Kv, MultiRegister, Mutex, Registers, Set, Versions},
    },
};

use crate::generate;

fn agrees<M: Model>(model: &M, history: &[Operation<M::Op>]) -> Result<(), TestCaseError> {
    let expected = is_linearizable_by_trying_all(model, history);
    let verdict = check(model, history, &Options::default());
    prop_assert!(!matches!(verdict, Verdict::Unknown(_)), "{verdict:?}");
    prop_assert_eq!(verdict.is_ok(), expected, "the search says {:?}", verdict);
    let verdict = Stream::judge(model, history);
    prop_assert_eq!(verdict.is_ok(), expected, "the stream says {:?}", verdict);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn registers(history in generate::history(generate::register_op())) {
        agrees(&Registers { initial: Value::Int(0) }, &history)?;
    }

    #[test]
    fn registers_of_which_little_is_known(
        history in generate::history_with_unknown(0.6, generate::register_op()),
    ) {
        agrees(&Registers { initial: Value::Int(0) }, &history)?;
    }

    #[test]
    fn registers_that_really_were_some(history in generate::legal_registers()) {
        let model = Registers { initial: Value::Int(0) };
        prop_assert!(is_linearizable_by_trying_all(&model, &history));
        agrees(&model, &history)?;
    }

    #[test]
    fn keys_with_opaque_versions(history in generate::history(generate::kv_op())) {
        agrees(&Kv::default(), &history)?;
    }

    #[test]
    fn keys_with_ordered_versions(history in generate::history(generate::kv_op())) {
        agrees(&Kv { versions: Versions::Ordered, absent: None }, &history)?;
    }

    #[test]
    fn keys_that_begin_empty(history in generate::history(generate::kv_op())) {
        let absent = Some(Value::Text("".into()));
        agrees(&Kv { versions: Versions::Opaque, absent }, &history)?;
    }

    #[test]
    fn sets(history in generate::history(generate::set_op())) {
        agrees(&Set, &history)?;
    }

    #[test]
    fn locks(history in generate::history(generate::mutex_op())) {
        agrees(&Mutex, &history)?;
    }

    #[test]
    fn several_registers_at_once(history in generate::history(generate::multi_register_op())) {
        agrees(&MultiRegister { initial: Value::Int(0) }, &history)?;
    }
}
