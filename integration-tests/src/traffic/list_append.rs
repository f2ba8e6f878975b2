//! Lists that grow: transactions read some and append to some, and others append by
//! compare-and-set. Judged as lists besides (`validate::lists`).

use super::{Call, Condition, Content, Transaction, Workload, Write, any, keys, some};

pub(super) const LIST_APPEND: Workload = Workload {
    name: "list-append",
    about: "transactions that read lists and append to them, beside plain reads and appends",
    functions: &["transaction", "get-many", "get", "put"],
    transactional: true,
    clients: 2..=5,
    steps: 4..=20,
    calls: |rng| {
        let keys = keys(rng.usize(1..=5));
        let plain = rng.u32(0..=40);
        Box::new(move |rng, turn| {
            let key = any(rng, &keys).clone();
            match rng.u32(..100) {
                drawn if drawn < plain && drawn % 2 == 0 => Call::Get { key },
                drawn if drawn < plain => Call::Put {
                    key,
                    content: Content::appended(turn),
                    condition: Condition::LastSeen,
                },
                drawn if drawn % 4 == 0 => Call::GetMany {
                    keys: some(rng, &keys, 2..=4),
                },
                _ => {
                    let appended = some(rng, &keys, 1..=2);
                    let mut reads = some(rng, &keys, 0..=2);
                    reads.retain(|key| !appended.contains(key));
                    reads.extend(appended.iter().cloned());
                    let writes = appended.into_iter();
                    let writes = writes.map(|key| Write::put(key, Content::appended(turn)));
                    Call::Transaction(Transaction::interactive(reads, writes.collect()))
                }
            }
        })
    },
};
