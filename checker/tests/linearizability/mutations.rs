//! Legal histories with one thing changed: how many are flagged, and is every other one legal?

use proptest::{
    strategy::{Strategy as _, ValueTree as _},
    test_runner::TestRunner,
};
use trandb_checker::{
    history::Value,
    linearizability::{
        Operation, Options, check, is_linearizable_by_trying_all,
        models::{RegisterAction, RegisterOp, Registers},
    },
};

use crate::generate;

type History = Vec<Operation<RegisterOp>>;

type Mutate = fn(&History) -> Vec<History>;

const HISTORIES: usize = 2000;

const MODEL: Registers = Registers {
    initial: Value::Int(0),
};

/// Every history that comes from `history` by exchanging what two reads found.
fn swapped_results(history: &History) -> Vec<History> {
    let reads: Vec<_> = (0..history.len())
        .filter(|place| matches!(history[*place].op.action, RegisterAction::Read(_)))
        .collect();
    let mut mutants = Vec::new();
    for (number, one) in reads.iter().enumerate() {
        for other in &reads[number + 1..] {
            if history[*one].op != history[*other].op {
                let mut mutant = history.clone();
                let op = mutant[*one].op.clone();
                mutant[*one].op = std::mem::replace(&mut mutant[*other].op, op);
                mutants.push(mutant);
            }
        }
    }
    mutants
}

/// Every history that lacks one write.
fn dropped_writes(history: &History) -> Vec<History> {
    let changes = |action: &RegisterAction| {
        matches!(
            action,
            RegisterAction::Write(_) | RegisterAction::Cas { .. }
        )
    };
    let places = (0..history.len()).filter(|place| changes(&history[*place].op.action));
    places
        .map(|place| {
            let mut mutant = history.clone();
            mutant.remove(place);
            mutant
        })
        .collect()
}

/// Every history in which one operation returns before the next call that it overlapped.
fn moved_returns(history: &History) -> Vec<History> {
    let mut mutants = Vec::new();
    for (place, operation) in history.iter().enumerate().filter(|(_, o)| !o.unknown) {
        let overlapped = history
            .iter()
            .map(|other| other.interval.call)
            .filter(|call| operation.interval.call < *call && *call < operation.interval.ret);
        if let Some(call) = overlapped.min() {
            // Room for one more tick before that call.
            let mut mutant = history.clone();
            for other in &mut mutant {
                other.interval.call *= 2;
                other.interval.ret = other.interval.ret.saturating_mul(2);
            }
            mutant[place].interval.ret = 2 * call - 1;
            mutants.push(mutant);
        }
    }
    mutants
}

#[test]
fn every_mutant_that_is_not_flagged_is_legal() {
    let mut runner = TestRunner::deterministic();
    let histories: Vec<_> = (0..HISTORIES)
        .map(|_| {
            generate::legal_registers()
                .new_tree(&mut runner)
                .expect("a history")
                .current()
        })
        .collect();
    let kinds: [(&str, Mutate); 3] = [
        ("swapped results", swapped_results),
        ("a write dropped", dropped_writes),
        ("a return moved before a call", moved_returns),
    ];
    for (name, mutate) in kinds {
        let mutants: Vec<_> = histories.iter().flat_map(mutate).collect();
        let mut flagged = 0;
        for mutant in &mutants {
            let verdict = check(&MODEL, mutant, &Options::default());
            let legal = is_linearizable_by_trying_all(&MODEL, mutant);
            assert_eq!(verdict.is_ok(), legal, "{name}: {verdict:?} for {mutant:?}");
            flagged += usize::from(verdict.is_illegal());
        }
        println!(
            "{name}: {flagged} of {} flagged, all others are legal",
            mutants.len()
        );
        assert!(
            flagged * 20 > mutants.len(),
            "{name}: hardly any mutant is illegal"
        );
        assert!(flagged < mutants.len(), "{name}: no mutant is legal");
    }
}
