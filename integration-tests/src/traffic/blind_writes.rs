//! Transactions that write several keys without looking at any, and reads of all of them.

use super::{Call, Condition, Content, Transaction, Workload, Write, any, keys, some};

pub(super) const BLIND_WRITES: Workload = Workload {
    name: "blind-writes",
    about: "transactions that write keys without reading, and reads of all of them",
    functions: &["transaction", "get-many", "get", "put"],
    transactional: true,
    clients: 2..=5,
    steps: 4..=30,
    calls: |rng| {
        let keys = keys(rng.usize(2..=6));
        let plain = rng.u32(0..=30);
        Box::new(move |rng, turn| {
            let key = any(rng, &keys).clone();
            match rng.u32(..100) {
                drawn if drawn < plain && drawn % 2 == 0 => Call::Get { key },
                drawn if drawn < plain => Call::Put {
                    key,
                    content: Content::new(turn, rng.usize(..50)),
                    condition: Condition::None,
                },
                drawn if drawn % 3 == 0 => Call::GetMany { keys: keys.clone() },
                _ => {
                    let writes = some(rng, &keys, 1..=keys.len()).into_iter();
                    let writes =
                        writes.map(|key| Write::put(key, Content::new(turn, rng.usize(..50))));
                    let writes = writes.collect();
                    Call::Transaction(Transaction::at_once(Vec::new(), writes))
                }
            }
        })
    },
};
