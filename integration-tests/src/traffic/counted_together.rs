//! Counters that are counted up by transactions, some of them together. Judged as counters besides
//! (`validate::counters`).

use super::{Call, Content, Transaction, Workload, Write, any, keys, some};

pub(super) const COUNTED_TOGETHER: Workload = Workload {
    name: "counted-together",
    about: "numbers that are counted up by transactions, some at a time",
    functions: &["transaction", "get-many", "get"],
    transactional: true,
    clients: 2..=5,
    steps: 4..=25,
    calls: |rng| {
        let keys = keys(rng.usize(1..=4));
        Box::new(move |rng, turn| match rng.u32(..10) {
            0 => Call::Get {
                key: any(rng, &keys).clone(),
            },
            1..=2 => Call::GetMany {
                keys: some(rng, &keys, 2..=4),
            },
            _ => {
                let counted = some(rng, &keys, 1..=3);
                let writes = counted.iter();
                let writes = writes.map(|key| Write::put(key, Content::next(turn)));
                let writes = writes.collect();
                Call::Transaction(Transaction::interactive(counted, writes))
            }
        })
    },
};
