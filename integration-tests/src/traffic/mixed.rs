//! Everything on the same keys: transactions of all kinds, and plain reads, writes, deletes and
//! listings.

use fastrand::Rng;

use super::{Call, Condition, Content, Style, Transaction, Turn, Workload, Write, any, keys, some};

pub(super) const MIXED: Workload = Workload {
    name: "mixed",
    about: "transactions of all kinds among plain calls on the same keys",
    functions: &[
        "transaction",
        "get-many",
        "get",
        "stat",
        "put",
        "delete",
        "list",
    ],
    transactional: true,
    clients: 2..=5,
    steps: 5..=30,
    calls: |rng| {
        let keys = keys(rng.usize(1..=6));
        let plain = rng.u32(0..=70);
        Box::new(move |rng, turn| {
            if rng.u32(..100) < plain {
                return plain_call(rng, turn, &keys);
            }
            match rng.u32(..10) {
                0..=1 => Call::GetMany {
                    keys: some(rng, &keys, 2..=6),
                },
                2..=3 => Call::Transaction(Transaction::at_once(
                    some(rng, &keys, 0..=3),
                    puts(rng, turn, &keys),
                )),
                4 => Call::Transaction(Transaction {
                    style: Style::AtOnceIfUnchanged,
                    ..Transaction::at_once(some(rng, &keys, 0..=2), changes(rng, turn, &keys))
                }),
                _ => {
                    let writes = changes(rng, turn, &keys);
                    let mut reads = some(rng, &keys, 0..=3);
                    let deleted = writes.iter().filter(|write| write.content.is_none());
                    for write in deleted {
                        if !reads.contains(&write.key) {
                            reads.push(write.key.clone());
                        }
                    }
                    Call::Transaction(Transaction::interactive(reads, writes))
                }
            }
        })
    },
};

fn plain_call(rng: &mut Rng, turn: Turn, keys: &[String]) -> Call {
    let key = any(rng, keys).clone();
    let condition = *rng.choice(CONDITIONS).unwrap_or(&Condition::None);
    match rng.u32(..20) {
        0 => Call::List {
            prefix: String::new(),
            limit: rng.usize(1..=8),
        },
        1..=2 => Call::Stat { key },
        3..=9 => Call::Get { key },
        // Who writes with ids learns what became of it; two deletes of which that is unknown
        // would not be told apart.
        10..=12 if turn.writes_with_ids(true) => Call::Delete {
            key,
            condition: Condition::LastSeen,
        },
        _ => Call::Put {
            key,
            content: Content::new(turn, rng.usize(..100)),
            condition,
        },
    }
}

const CONDITIONS: &[Condition] = &[Condition::None, Condition::Absent, Condition::LastSeen];

fn puts(rng: &mut Rng, turn: Turn, keys: &[String]) -> Vec<Write> {
    let written = some(rng, keys, 1..=4).into_iter();
    let puts = written.map(|key| Write::put(key, Content::new(turn, rng.usize(..100))));
    puts.collect()
}

/// Puts, and some deletes.
fn changes(rng: &mut Rng, turn: Turn, keys: &[String]) -> Vec<Write> {
    let mut writes = puts(rng, turn, keys);
    for write in &mut writes {
        if rng.u32(..4) == 0 {
            write.content = None;
        }
    }
    writes
}
