//! A bank: transfers between accounts, and auditors who look at all of them at one moment. Judged as
//! a bank besides (`validate::bank`).

use super::{Call, Content, Transaction, Workload, Write, any, keys, some};

pub(super) const BANK: Workload = Workload {
    name: "bank",
    about: "transfers between accounts, and reads of all of them",
    functions: &["transaction", "get-many", "get"],
    transactional: true,
    clients: 2..=5,
    steps: 4..=25,
    calls: |rng| {
        let accounts = keys(rng.usize(2..=6));
        let audits = rng.u32(10..=50);
        Box::new(move |rng, turn| match rng.u32(..100) {
            drawn if drawn < audits && drawn % 5 == 0 => Call::Get {
                key: any(rng, &accounts).clone(),
            },
            drawn if drawn < audits && drawn % 5 == 1 => {
                Call::Transaction(Transaction::interactive(accounts.clone(), Vec::new()))
            }
            drawn if drawn < audits => Call::GetMany {
                keys: accounts.clone(),
            },
            _ => {
                let two = some(rng, &accounts, 2..=2);
                let amount = rng.i64(1..=20);
                let writes = two.iter().zip([-amount, amount]);
                let writes = writes
                    .map(|(account, amount)| Write::put(account, Content::plus(turn, amount)))
                    .collect();
                Call::Transaction(Transaction::interactive(two, writes))
            }
        })
    },
};
