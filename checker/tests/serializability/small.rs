//! Small histories of all sorts: what a serial database answered, partly forgotten, and then
//! changed here and there, so that about half of them are legal.

use fastrand::Rng;
use trandb_checker::generate::{self, Parameters};
use trandb_checker::history::{Outcome, Value};
use trandb_checker::serializability::{ListOp, RegisterOp, Transaction, Version};

/// How a small history of registers tells versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Versions {
    All,
    Some,
    None,
}

fn parameters(random: &mut Rng) -> Parameters {
    let transactions = random.usize(2..=5);
    Parameters {
        transactions,
        keys: random.usize(1..=3),
        writes_per_key: 100,
        ops: random.usize(1..=8 / transactions),
        processes: random.usize(2..=3),
        failed_percent: *random.choice(&[0, 0, 20]).expect("not empty"),
        unknown_percent: *random.choice(&[0, 20, 40]).expect("not empty"),
        seed: random.u64(..),
    }
}

pub(crate) fn lists(seed: u64) -> Vec<Transaction<ListOp>> {
    let mut random = Rng::with_seed(seed);
    let mut history = generate::list_append(&parameters(&mut random));
    forget(&mut history, &mut random, |op, _| {
        if let ListOp::Read { list, .. } = op {
            *list = None;
        }
    });
    for _ in 0..random.usize(..4) {
        change_list(&mut history, &mut random);
    }
    history
}

pub(crate) fn registers(seed: u64, versions: Versions) -> Vec<Transaction<RegisterOp>> {
    let mut random = Rng::with_seed(seed);
    let mut history = generate::registers(&parameters(&mut random));
    let forgets = *random.choice(&[1, 50, 50]).expect("not empty");
    let removes = random.u8(..3) == 0;
    for op in history.iter_mut().flat_map(|one| &mut one.ops) {
        let (RegisterOp::Write { version, .. } | RegisterOp::Read { version, .. }) = op;
        let keeps = match versions {
            Versions::All => true,
            Versions::Some => random.u8(..100) >= forgets,
            Versions::None => false,
        };
        *version = version.filter(|_| keeps);
    }
    forget(&mut history, &mut random, |op, _| {
        if let RegisterOp::Read { value, .. } = op {
            *value = None;
        }
    });
    for _ in 0..random.usize(..4) {
        change_register(&mut history, &mut random);
    }
    if removes && versions != Versions::None {
        remove_some(&mut history, &mut random, versions == Versions::Some);
    }
    history
}

/// Forgets a few answers and times, and lets a few transactions become unknown that are not.
fn forget<M>(
    history: &mut [Transaction<M>],
    random: &mut Rng,
    mut answer: impl FnMut(&mut M, &mut Rng),
) {
    let without_times = random.u8(..8) == 0;
    for one in history.iter_mut() {
        if without_times || random.u8(..20) == 0 {
            one.interval = None;
        }
        if random.u8(..20) == 0 {
            one.outcome = Outcome::Unknown;
        }
        for op in &mut one.ops {
            if random.u8(..20) == 0 {
                answer(op, random);
            }
        }
    }
}

/// Turns the writes of a value into removals, wherever that value was read.
fn remove_some(history: &mut [Transaction<RegisterOp>], random: &mut Rng, versionless: bool) {
    let unknown = history
        .iter_mut()
        .filter(|one| one.outcome == Outcome::Unknown);
    for op in unknown.flat_map(|one| &mut one.ops) {
        match op {
            RegisterOp::Write { version, .. } => *version = None,
            RegisterOp::Read { value, .. } => *value = None,
        }
    }
    let mut removed = Vec::new();
    for op in history.iter_mut().flat_map(|one| &mut one.ops) {
        if let RegisterOp::Write { value, version, .. } = op
            && (versionless || version.is_some())
            && random.u8(..3) == 0
        {
            removed.push(std::mem::take(value));
        }
    }
    for op in history.iter_mut().flat_map(|one| &mut one.ops) {
        if let RegisterOp::Read {
            value: Some(value),
            version,
            ..
        } = op
            && removed.contains(value)
        {
            *value = Value::Nil;
            if random.bool() {
                *version = None;
            }
        }
    }
}

/// A transaction's order, outcome or time.
fn change_any<M>(history: &mut [Transaction<M>], random: &mut Rng) {
    let place = random.usize(..history.len());
    let latest = history.len() as u64 * 2;
    let one = &mut history[place];
    match random.u8(..5) {
        0 => one.outcome = Outcome::Failed,
        1 => one.process = random.i64(0..2),
        2 if one.ops.len() > 1 => {
            let op = random.usize(1..one.ops.len());
            one.ops.swap(op, op - 1);
        }
        _ => {
            if let Some(interval) = &mut one.interval {
                interval.ret = random.u64(interval.call..=latest.max(interval.call));
            }
        }
    }
}

fn change_list(history: &mut [Transaction<ListOp>], random: &mut Rng) {
    let elements: Vec<Value> = history
        .iter()
        .flat_map(|one| &one.ops)
        .filter_map(|op| match op {
            ListOp::Append { element, .. } => Some(element.clone()),
            ListOp::Read { .. } => None,
        })
        .collect();
    let mut lists: Vec<&mut Vec<Value>> = history
        .iter_mut()
        .flat_map(|one| &mut one.ops)
        .filter_map(|op| match op {
            ListOp::Read { list, .. } => list.as_mut(),
            ListOp::Append { .. } => None,
        })
        .collect();
    if lists.is_empty() || random.u8(..3) == 0 {
        return change_any(history, random);
    }
    let place = random.usize(..lists.len());
    let other = lists[random.usize(..lists.len())].clone();
    let list = &mut *lists[place];
    match random.u8(..5) {
        0 => drop(list.pop()),
        1 => *list = other,
        2 if list.len() > 1 => {
            let at = random.usize(1..list.len());
            list.swap(at, at - 1);
        }
        3 if !list.is_empty() => drop(list.remove(random.usize(..list.len()))),
        _ => list.extend(random.choice(&elements).cloned()),
    }
}

fn change_register(history: &mut [Transaction<RegisterOp>], random: &mut Rng) {
    let states: Vec<(Value, Option<Version>)> = history
        .iter()
        .flat_map(|one| &one.ops)
        .filter_map(|op| match op {
            RegisterOp::Write { value, version, .. } => Some((value.clone(), *version)),
            RegisterOp::Read { .. } => None,
        })
        .collect();
    let mut ops: Vec<&mut RegisterOp> = history.iter_mut().flat_map(|one| &mut one.ops).collect();
    if ops.is_empty() || random.u8(..4) == 0 {
        return change_any(history, random);
    }
    let place = random.usize(..ops.len());
    match &mut *ops[place] {
        RegisterOp::Write { version, .. } => {
            if version.is_some() {
                *version = Some(Version::from(random.i64(0..8)));
            }
        }
        RegisterOp::Read { value, version, .. } => match random.u8(..4) {
            0 => (*value, *version) = (Some(Value::Nil), None),
            1 if version.is_some() => *version = Some(Version::from(random.i64(0..8))),
            _ => {
                if let Some((other, at)) = random.choice(&states) {
                    (*value, *version) = (Some(other.clone()), *at);
                }
            }
        },
    }
}
