//! Legal histories with one change: which are flagged, and that those which are not are legal.

use fastrand::Rng;
use trandb_checker::generate::{self, Parameters};
use trandb_checker::history::{Outcome, Value};
use trandb_checker::serializability::{
    Consistency, ListOp, Options, RegisterOp, Transaction, check_list_append, check_registers,
};

use crate::oracle::{lists_are_legal, registers_are_legal};

const HISTORIES: u64 = 3_000;
const STRICT: Consistency = Consistency::StrictSerializable;

fn parameters(seed: u64) -> Parameters {
    Parameters {
        transactions: 4,
        keys: 2,
        ops: 2,
        processes: 3,
        seed,
        ..Parameters::default()
    }
}

/// Moves a return to before another transaction's call, where it was after it.
fn move_return<M>(history: &mut [Transaction<M>], random: &mut Rng) -> bool {
    let call = random.choice(history.iter()).and_then(|one| one.interval);
    let call = call.map_or(0, |interval| interval.call);
    let place = random.usize(..history.len());
    let one = &mut history[place];
    match &mut one.interval {
        Some(interval) if interval.call < call && call < interval.ret => {
            // Times are doubled, so that there is one between any two.
            interval.ret = call - 1;
            one.outcome == Outcome::Ok
        }
        _ => false,
    }
}

fn double_times<M>(history: &mut [Transaction<M>]) {
    for interval in history.iter_mut().filter_map(|one| one.interval.as_mut()) {
        interval.call *= 2;
        interval.ret = interval.ret.saturating_mul(2);
    }
}

/// Swaps what two reads of a key saw.
fn swap_reads<T: PartialEq>(mut reads: Vec<(Value, &mut T)>, random: &mut Rng) -> bool {
    if reads.len() < 2 {
        return false;
    }
    random.shuffle(&mut reads);
    let [one, two, ..] = &mut reads[..] else {
        return false;
    };
    let differ = one.0 == two.0 && one.1 != two.1;
    if differ {
        std::mem::swap(one.1, two.1);
    }
    differ
}

/// Removes one of the operations that are writes.
fn drop_write<M>(
    history: &mut [Transaction<M>],
    random: &mut Rng,
    is_write: impl Fn(&M) -> bool,
) -> bool {
    let place = random.usize(..history.len());
    let ops = &mut history[place].ops;
    let write = ops.iter().position(is_write);
    write.map(|write| ops.remove(write)).is_some()
}

/// Counts the changed histories that are flagged, and compares each verdict with the oracle.
fn share<M>(
    name: &str,
    make: impl Fn(&Parameters) -> Vec<Transaction<M>>,
    mutate: impl Fn(&mut [Transaction<M>], &mut Rng) -> bool,
    judge: impl Fn(&[Transaction<M>]) -> bool,
    is_legal: impl Fn(&[Transaction<M>]) -> bool,
) {
    let (mut changed, mut flagged) = (0, 0);
    for seed in 0..HISTORIES {
        let mut random = Rng::with_seed(seed);
        let mut history = make(&parameters(seed));
        double_times(&mut history);
        assert!(judge(&history), "seed {seed} is legal before the change");
        if !mutate(&mut history, &mut random) {
            continue;
        }
        changed += 1;
        let passed = judge(&history);
        assert_eq!(passed, is_legal(&history), "{name}: seed {seed}");
        flagged += u32::from(!passed);
    }
    println!("{name}: {flagged} of {changed} flagged, the others are legal");
    assert!(
        flagged > 0 && changed > 100,
        "{name}: {flagged} of {changed}"
    );
}

fn lists(name: &str, mutate: impl Fn(&mut [Transaction<ListOp>], &mut Rng) -> bool) {
    let judge = |history: &[Transaction<ListOp>]| {
        let verdict = check_list_append(history, &Options::new(STRICT)).expect("usable");
        assert!(verdict.is_ok() || verdict.is_illegal());
        verdict.is_ok()
    };
    let name = format!("lists, {name}");
    share(&name, generate::list_append, mutate, judge, |history| {
        lists_are_legal(history, STRICT)
    });
}

fn registers(name: &str, mutate: impl Fn(&mut [Transaction<RegisterOp>], &mut Rng) -> bool) {
    let judge = |history: &[Transaction<RegisterOp>]| {
        let verdict = check_registers(history, &Options::new(STRICT)).expect("usable");
        assert!(verdict.is_ok() || verdict.is_illegal());
        verdict.is_ok()
    };
    let name = format!("registers, {name}");
    share(&name, generate::registers, mutate, judge, |history| {
        registers_are_legal(history, STRICT)
    });
}

#[test]
fn of_lists() {
    lists("two results swapped", |history, random| {
        let ops = history.iter_mut().flat_map(|one| &mut one.ops);
        let reads = ops.filter_map(|op| match op {
            ListOp::Read { key, list } => Some((key.clone(), list)),
            ListOp::Append { .. } => None,
        });
        swap_reads(reads.collect(), random)
    });
    lists("a write dropped", |history, random| {
        drop_write(history, random, |op| matches!(op, ListOp::Append { .. }))
    });
    lists("a return moved before a call", move_return);
}

#[test]
fn of_registers() {
    registers("two results swapped", |history, random| {
        let ops = history.iter_mut().flat_map(|one| &mut one.ops);
        // Value and version are swapped in two steps of one draw.
        let reads: Vec<&mut RegisterOp> = ops
            .filter(|op| matches!(op, RegisterOp::Read { .. }))
            .collect();
        let keyed = reads.into_iter().map(|op| {
            let (RegisterOp::Read { key, .. } | RegisterOp::Write { key, .. }) = &*op;
            (key.clone(), op)
        });
        swap_reads(keyed.collect(), random)
    });
    registers("a write dropped", |history, random| {
        drop_write(history, random, |op| matches!(op, RegisterOp::Write { .. }))
    });
    registers("a return moved before a call", move_return);
}
