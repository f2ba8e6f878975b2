//! The order that is demanded whatever was read: that of each process, and real time.
//!
//! Real time is a line of auxiliary nodes, one for each moment at which a transaction is called
//! after others returned: those lead into it, it leads to what is called from then on and to the
//! next moment. So there are at most three edges a transaction, where the relation itself is
//! quadratic. A transaction with unknown outcome may take effect at any time after its call, hence
//! precedes nothing.

use foldhash::{HashMap, HashMapExt};

use super::graph::{Builder, Kind, index};
use super::{Consistency, Transaction};
use crate::history::Outcome;

/// Adds the edges that a consistency demands between transactions that happened.
pub(super) fn add<M>(
    builder: &mut Builder,
    transactions: &[Transaction<M>],
    happened: &[bool],
    consistency: Consistency,
) {
    if consistency >= Consistency::StrongSessionSerializable {
        add_processes(builder, transactions, happened);
    }
    if consistency >= Consistency::StrictSerializable {
        add_real_time(builder, transactions, happened);
    }
}

fn add_processes<M>(builder: &mut Builder, transactions: &[Transaction<M>], happened: &[bool]) {
    let mut last: HashMap<i64, u32> = HashMap::new();
    for node in by_id(transactions, happened) {
        let transaction = &transactions[node as usize];
        if let Some(&before) = last.get(&transaction.process) {
            builder.add(before, node, Kind::Process, 0);
        }
        if transaction.outcome == Outcome::Ok {
            last.insert(transaction.process, node);
        }
    }
}

/// The transactions that happened in the order of their calls.
pub(super) fn by_id<M>(transactions: &[Transaction<M>], happened: &[bool]) -> Vec<u32> {
    let mut nodes: Vec<u32> = (0..index(transactions.len()))
        .filter(|&node| happened[node as usize])
        .collect();
    nodes.sort_by_key(|&node| transactions[node as usize].id);
    nodes
}

fn add_real_time<M>(builder: &mut Builder, transactions: &[Transaction<M>], happened: &[bool]) {
    let mut calls = Vec::new();
    let mut returns = Vec::new();
    for (node, transaction) in transactions.iter().enumerate() {
        if let (true, Some(interval)) = (happened[node], transaction.interval) {
            calls.push((interval.call, index(node)));
            if transaction.outcome == Outcome::Ok {
                returns.push((interval.ret, index(node)));
            }
        }
    }
    calls.sort_unstable();
    returns.sort_unstable();
    let mut returns = returns.into_iter().peekable();
    let mut moment = None;
    for (call, node) in calls {
        if returns.peek().is_some_and(|&(ret, _)| ret < call) {
            let next = builder.auxiliary();
            if let Some(before) = moment {
                builder.add(before, next, Kind::Link, 0);
            }
            moment = Some(next);
            while let Some((_, returned)) = returns.next_if(|&(ret, _)| ret < call) {
                builder.add(returned, next, Kind::RealTime, 0);
            }
        }
        if let Some(moment) = moment {
            builder.add(moment, node, Kind::Link, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::history::{Interval, OperationId};

    fn transactions(intervals: &[(u64, u64, bool)]) -> Vec<Transaction<()>> {
        intervals
            .iter()
            .enumerate()
            .map(|(id, &(call, length, known))| Transaction {
                id: OperationId(id),
                process: 0,
                interval: Some(Interval {
                    call,
                    ret: call + length,
                }),
                outcome: if known { Outcome::Ok } else { Outcome::Unknown },
                ops: Vec::new(),
            })
            .collect()
    }

    proptest! {
        /// The line of moments reaches exactly what the definition says, and is of linear size.
        #[test]
        fn real_time_is_that_of_the_definition(
            intervals in prop::collection::vec((0_u64..30, 0_u64..12, prop::bool::weighted(0.9)), 0..24),
        ) {
            let transactions = transactions(&intervals);
            let count = transactions.len();
            let mut builder = Builder::new(count);
            add_real_time(&mut builder, &transactions, &vec![true; count]);
            prop_assert!(builder.arcs.len() <= 3 * count);
            let graph = builder.build();
            for (from, &(call, length, known)) in intervals.iter().enumerate() {
                let mut reached = vec![false; graph.nodes() as usize];
                let mut stack = vec![index(from)];
                while let Some(node) = stack.pop() {
                    for &(to, _) in graph.edges(node) {
                        if !std::mem::replace(&mut reached[to as usize], true) {
                            stack.push(to);
                        }
                    }
                }
                // Moments only: what a transaction reaches through another transaction is an
                // instance of the definition as well, which is transitive but for unknown ones.
                for (to, &(other, _, _)) in intervals.iter().enumerate() {
                    prop_assert_eq!(reached[to], known && call + length < other, "{} {}", from, to);
                }
            }
        }
    }
}
