//! Legal histories of any size, the same for the same seed: a serial database and clients that run
//! at the same time.
//!
//! Each transaction takes effect at one moment between its call and its return, so the history is
//! strictly serializable whatever the parameters; the checkers must say so, and their speed is
//! measured with it. Values are unique per key; no transaction is executed in part.

use std::collections::BTreeMap;

use crate::history::{Interval, OperationId, Outcome, Value};
use crate::serializability::{ListOp, RegisterOp, Transaction, Version};

/// What a generated history is like.
#[derive(Debug, Clone)]
pub struct Parameters {
    /// How many transactions it has.
    pub transactions: usize,
    /// How many keys are in use at a time.
    pub keys: usize,
    /// After so many writes a key is replaced by a fresh one; bounds the length of lists.
    pub writes_per_key: usize,
    /// Micro-operations of each transaction.
    pub ops: usize,
    /// How many run at a time at most.
    pub processes: usize,
    /// Of a hundred transactions, so many fail.
    pub failed_percent: u8,
    /// Of a hundred transactions, so many have an unknown outcome; half of these happen.
    pub unknown_percent: u8,
    /// Where chance begins.
    pub seed: u64,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            transactions: 1_000,
            keys: 100,
            writes_per_key: 64,
            ops: 4,
            processes: 10,
            failed_percent: 0,
            unknown_percent: 0,
            seed: 0,
        }
    }
}

/// A micro-operation that is to be done.
#[derive(Debug, Clone, Copy)]
enum Planned {
    Read(i64),
    Write(i64, i64),
}

/// Transactions that append to lists and read them.
pub fn list_append(parameters: &Parameters) -> Vec<Transaction<ListOp>> {
    let mut lists: BTreeMap<i64, Vec<Value>> = BTreeMap::new();
    simulate(parameters, |plan, effect| {
        let mut after: BTreeMap<i64, Vec<Value>> = BTreeMap::new();
        let ops = plan.iter().map(|&planned| match planned {
            Planned::Read(key) => ListOp::Read {
                key: Value::Int(key),
                list: effect.answers.then(|| {
                    let before = lists.get(&key).into_iter().flatten();
                    before
                        .chain(after.get(&key).into_iter().flatten())
                        .cloned()
                        .collect()
                }),
            },
            Planned::Write(key, element) => {
                after.entry(key).or_default().push(Value::Int(element));
                let (key, element) = (Value::Int(key), Value::Int(element));
                ListOp::Append { key, element }
            }
        });
        let ops = ops.collect();
        for (key, elements) in after.into_iter().filter(|_| effect.happens) {
            lists.entry(key).or_default().extend(elements);
        }
        ops
    })
}

/// Transactions on registers with versions: all writes of one transaction have the same one.
pub fn registers(parameters: &Parameters) -> Vec<Transaction<RegisterOp>> {
    let mut registers: BTreeMap<i64, (Value, Version)> = BTreeMap::new();
    let mut commits = 0;
    simulate(parameters, |plan, effect| {
        commits += 1;
        let version = Version::from(commits);
        let mut after: BTreeMap<i64, (Value, Version)> = BTreeMap::new();
        let ops = plan.iter().map(|&planned| match planned {
            Planned::Read(key) => {
                let state = after.get(&key).or_else(|| registers.get(&key));
                let value = state.map_or(Value::Nil, |(value, _)| value.clone());
                RegisterOp::Read {
                    key: Value::Int(key),
                    value: effect.answers.then_some(value),
                    version: state
                        .map(|&(_, version)| version)
                        .filter(|_| effect.answers),
                }
            }
            Planned::Write(key, value) => {
                after.insert(key, (Value::Int(value), version));
                RegisterOp::Write {
                    key: Value::Int(key),
                    value: Value::Int(value),
                    version: effect.answers.then_some(version),
                }
            }
        });
        let ops = ops.collect();
        if effect.happens {
            registers.extend(after);
        }
        ops
    })
}

/// What becomes of a transaction.
#[derive(Debug, Clone, Copy)]
struct Effect {
    /// Whether it takes effect.
    happens: bool,
    /// Whether its client hears of it.
    answers: bool,
}

/// What a process is about.
enum State {
    Idle,
    /// Called: which, and what it is to do.
    Called(usize, Vec<Planned>),
    /// Took effect, or not.
    Done(usize),
}

fn simulate<M>(
    parameters: &Parameters,
    mut execute: impl FnMut(&[Planned], Effect) -> Vec<M>,
) -> Vec<Transaction<M>> {
    let mut random = fastrand::Rng::with_seed(parameters.seed);
    let mut planner = Planner::new(parameters);
    let mut transactions: Vec<Transaction<M>> = Vec::with_capacity(parameters.transactions);
    let mut states: Vec<State> = (0..parameters.processes.max(1))
        .map(|_| State::Idle)
        .collect();
    let mut names: Vec<i64> = (0..).take(states.len()).collect();
    let mut new_names = (0..).skip(names.len());
    let (mut tick, mut ended) = (0, 0);
    while ended < parameters.transactions {
        let process = random.usize(..states.len());
        states[process] = match std::mem::replace(&mut states[process], State::Idle) {
            State::Idle if transactions.len() == parameters.transactions => State::Idle,
            State::Idle => {
                let number = transactions.len();
                transactions.push(Transaction {
                    id: OperationId(number),
                    process: names[process],
                    interval: Some(Interval {
                        call: tick,
                        ret: Interval::NEVER,
                    }),
                    outcome: outcome(parameters, &mut random),
                    ops: Vec::new(),
                });
                tick += 1;
                State::Called(number, planner.plan(&mut random))
            }
            State::Called(number, plan) => {
                let transaction = &mut transactions[number];
                let effect = match transaction.outcome {
                    Outcome::Ok => Effect {
                        happens: true,
                        answers: true,
                    },
                    Outcome::Failed => Effect {
                        happens: false,
                        answers: false,
                    },
                    Outcome::Unknown => Effect {
                        happens: random.bool(),
                        answers: false,
                    },
                };
                transaction.ops = execute(&plan, effect);
                State::Done(number)
            }
            State::Done(number) => {
                let transaction = &mut transactions[number];
                if transaction.outcome == Outcome::Unknown {
                    names[process] = new_names.next().unwrap_or_default();
                } else if let Some(interval) = &mut transaction.interval {
                    interval.ret = tick;
                    tick += 1;
                }
                ended += 1;
                State::Idle
            }
        };
    }
    transactions
}

fn outcome(parameters: &Parameters, random: &mut fastrand::Rng) -> Outcome {
    let percent = random.u8(..100);
    if percent < parameters.failed_percent {
        Outcome::Failed
    } else if percent - parameters.failed_percent < parameters.unknown_percent {
        Outcome::Unknown
    } else {
        Outcome::Ok
    }
}

/// Draws what transactions are to do.
struct Planner {
    ops: usize,
    writes_per_key: usize,
    /// The keys in use, and how often each was written.
    keys: Vec<(i64, usize)>,
    next_key: i64,
    next_value: i64,
}

impl Planner {
    fn new(parameters: &Parameters) -> Self {
        let count = parameters.keys.max(1);
        let keys = (0..).take(count).map(|key| (key, 0)).collect();
        Self {
            ops: parameters.ops,
            writes_per_key: parameters.writes_per_key.max(1),
            keys,
            next_key: (0..).nth(count).unwrap_or_default(),
            next_value: 0,
        }
    }

    fn plan(&mut self, random: &mut fastrand::Rng) -> Vec<Planned> {
        (0..self.ops).map(|_| self.op(random)).collect()
    }

    fn op(&mut self, random: &mut fastrand::Rng) -> Planned {
        let slot = random.usize(..self.keys.len());
        let (key, written) = self.keys[slot];
        if random.bool() {
            return Planned::Read(key);
        }
        self.next_value += 1;
        self.keys[slot].1 += 1;
        if written + 1 >= self.writes_per_key {
            self.keys[slot] = (self.next_key, 0);
            self.next_key += 1;
        }
        Planned::Write(key, self.next_value)
    }
}
