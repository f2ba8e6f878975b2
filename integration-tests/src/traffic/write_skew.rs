//! Pairs of keys of which one at most may have a value: whoever writes one has seen that the other
//! is absent. Two that do so at the same time, one for each key, conflict by what they read alone.

use super::{Call, Content, Transaction, Workload, Write};

pub(super) const WRITE_SKEW: Workload = Workload {
    name: "write-skew",
    about: "transactions that write one key of a pair if both are absent",
    functions: &["transaction", "get-many", "get"],
    transactional: true,
    clients: 2..=5,
    steps: 4..=25,
    calls: |rng| {
        // All clients go through the pairs at about the same pace.
        let per_pair = rng.usize(1..=3);
        let back = rng.usize(..=2);
        Box::new(move |rng, turn| {
            let number = (turn.step / per_pair).saturating_sub(rng.usize(..=back));
            let pair = ["a", "b"].map(|side| format!("{side}{number}"));
            let own = pair[rng.usize(..2)].clone();
            match rng.u32(..10) {
                0 => Call::Get { key: own },
                1..=2 => Call::GetMany {
                    keys: pair.to_vec(),
                },
                // Away from it again.
                3 => Call::Transaction(Transaction::interactive(
                    vec![own.clone()],
                    vec![Write::delete(own)],
                )),
                _ => Call::Transaction(Transaction {
                    if_absent: true,
                    ..Transaction::interactive(
                        pair.to_vec(),
                        vec![Write::put(own, Content::new(turn, 0))],
                    )
                }),
            }
        })
    },
};
