//! Keys that texts are appended to: what reads tell of the order agrees with trying all orders.

use proptest::{collection::vec, prelude::*};
use trandb_checker::{
    history::Value,
    linearizability::{
        Model as _, Operation, Options, check, is_linearizable_by_trying_all,
        models::{Kv, KvAction, KvOp, Versions},
    },
};

use crate::generate::{self, OPERATIONS_MAX};

fn model() -> Kv {
    Kv {
        versions: Versions::Opaque,
        absent: Some(text("")),
    }
}

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

/// Histories of a store that really appended, after which some reads are given what others found,
/// or a text with two letters exchanged.
fn history() -> impl Strategy<Value = Vec<Operation<KvOp>>> {
    let kind = prop_oneof![3 => Just('g'), 3 => Just('a'), 1 => Just('p')];
    let operations = vec(
        (0..4usize, prop::bool::weighted(0.15), kind),
        2..=OPERATIONS_MAX,
    );
    let turns = vec(any::<u8>(), 3 * OPERATIONS_MAX);
    (operations, turns, 0..4u8).prop_map(|(operations, turns, spoil)| {
        let operations =
            operations
                .into_iter()
                .enumerate()
                .map(|(number, (process, unknown, kind))| {
                    let letter = char::from(b'a' + u8::try_from(number).expect("few"));
                    let action = match kind {
                        'g' => KvAction::Get {
                            value: None,
                            version: None,
                        },
                        'a' => KvAction::Append(text(&letter.to_string())),
                        _ => {
                            let value = text(&letter.to_uppercase().to_string());
                            KvAction::Put {
                                value,
                                condition: None,
                                version: None,
                            }
                        }
                    };
                    (
                        process,
                        unknown,
                        KvOp {
                            key: Value::Nil,
                            action,
                        },
                    )
                });
        let mut history = generate::interleave(operations.collect(), &turns);
        answer(&mut history, &turns);
        if spoil > 0 {
            let reads = history
                .iter_mut()
                .filter_map(|operation| match &mut operation.op.action {
                    KvAction::Get {
                        value: Some(Value::Text(found)),
                        ..
                    } => Some(found),
                    _ => None,
                });
            let mut reads: Vec<_> = reads.collect();
            if let Some(last) = reads.len().checked_sub(1) {
                if spoil == 1 {
                    *reads[last] = reads[0].clone();
                } else {
                    let mut letters: Vec<_> = reads[last].chars().collect();
                    let by = usize::from(spoil - 1).min(letters.len());
                    letters.rotate_left(by);
                    *reads[last] = letters.into_iter().collect::<String>().into();
                }
            }
        }
        history
    })
}

/// Lets each take effect at some moment between its call and its return.
fn answer(history: &mut [Operation<KvOp>], turns: &[u8]) {
    let mut order: Vec<_> = (0..history.len()).collect();
    order.sort_by_key(|place| generate::moment(history[*place].interval, turns[*place]));
    let mut held = String::new();
    for place in order {
        if history[place].unknown && turns[place].is_multiple_of(2) {
            continue;
        }
        match &mut history[place].op.action {
            KvAction::Get { value, .. } => *value = Some(text(&held)),
            KvAction::Append(added) => held += &added.to_string(),
            KvAction::Put { value, .. } => held = value.to_string(),
            _ => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5000))]

    #[test]
    fn the_verdict_is_the_oracles(history in history()) {
        let verdict = check(&model(), &history, &Options::default());
        let expected = is_linearizable_by_trying_all(&model(), &history);
        prop_assert_eq!(verdict.is_ok(), expected, "{:?}", verdict);
    }
}

#[test]
fn appends_are_told_their_places_only_where_reads_leave_no_doubt() {
    let op = |action| KvOp {
        key: Value::Nil,
        action,
    };
    let append = |added| (0, false, op(KvAction::Append(text(added))));
    let get = |found| {
        (
            1,
            false,
            op(KvAction::Get {
                value: Some(text(found)),
                version: None,
            }),
        )
    };
    let refined = |operations| {
        let history = generate::interleave(operations, &[]);
        let part: Vec<_> = history.iter().collect();
        model().refine(&part)
    };
    let clear = refined(vec![append("ab"), append("c"), append("d"), get("cab")]);
    let clear = clear.expect("one way").into_iter().map(|op| op.action);
    let to = |before, added| KvAction::AppendTo {
        before: text(before),
        added: text(added),
    };
    let found = KvAction::Get {
        value: Some(text("cab")),
        version: None,
    };
    let expected = [to("c", "ab"), to("", "c"), KvAction::AppendUnseen, found];
    assert_eq!(clear.collect::<Vec<_>>(), expected);
    let ambiguous = vec![append("a"), append("b"), append("ab"), get("ab")];
    assert_eq!(refined(ambiguous), None, "two ways to take it apart");
    assert_eq!(
        refined(vec![append("a"), append("a"), get("a")]),
        None,
        "which one?"
    );
    assert_eq!(
        refined(vec![append("a"), get("x")]),
        None,
        "no way to take it apart"
    );
}
