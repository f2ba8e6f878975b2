//! Generated histories of some size: legal ones are found legal, whatever is left out of them.

use trandb_checker::generate::{self, Parameters};
use trandb_checker::history::Value;
use trandb_checker::serializability::{
    ListOp, Options, RegisterOp, check_list_append, check_registers,
};

fn parameters(seed: u64) -> Parameters {
    Parameters {
        transactions: 3_000,
        keys: 50,
        processes: 20,
        failed_percent: 5,
        unknown_percent: 5,
        seed,
        ..Parameters::default()
    }
}

#[test]
fn legal_lists_are_legal_and_a_lost_element_is_seen() {
    for seed in 0..5 {
        let mut history = generate::list_append(&parameters(seed));
        let verdict = check_list_append(&history, &Options::default()).expect("usable");
        assert!(verdict.is_ok(), "{verdict:?}");
        let ops = history.iter_mut().rev().flat_map(|one| &mut one.ops);
        let mut lists = ops.filter_map(|op| match op {
            ListOp::Read { list, .. } => list.as_mut().filter(|list| list.len() > 1),
            ListOp::Append { .. } => None,
        });
        lists.next().expect("a read").remove(0);
        let verdict = check_list_append(&history, &Options::default()).expect("usable");
        assert!(verdict.is_illegal(), "{verdict:?}");
    }
}

#[test]
fn legal_registers_are_legal_with_versions_and_without() {
    for seed in 0..5 {
        let mut history = generate::registers(&parameters(seed));
        let verdict = check_registers(&history, &Options::default()).expect("usable");
        assert!(verdict.is_ok(), "{verdict:?}");
        for op in history.iter_mut().flat_map(|one| &mut one.ops) {
            let (RegisterOp::Read { version, .. } | RegisterOp::Write { version, .. }) = op;
            *version = None;
        }
        let verdict = check_registers(&history, &Options::default()).expect("usable");
        assert!(verdict.is_ok(), "{verdict:?}");
    }
}

#[test]
fn a_stale_read_among_many_is_seen() {
    let mut history = generate::registers(&parameters(9));
    let ops = history.iter_mut().rev().flat_map(|one| &mut one.ops);
    let mut reads = ops.filter_map(|op| match op {
        RegisterOp::Read { value, version, .. } if version.is_some() => Some((value, version)),
        _ => None,
    });
    let (value, version) = reads.next().expect("a read");
    (*value, *version) = (Some(Value::Nil), None);
    let verdict = check_registers(&history, &Options::default()).expect("usable");
    assert!(verdict.is_illegal(), "{verdict:?}");
}
