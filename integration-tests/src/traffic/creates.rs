//! Conditional creates that race: each key is created once, and stays. Judged as a set besides
//! (`validate::creates`).

use super::{Call, Condition, Content, Workload};

pub(super) const CREATES: Workload = Workload {
    name: "creates",
    about: "clients that race to create the same keys",
    functions: &["put", "get", "list"],
    transactional: false,
    clients: 2..=5,
    steps: 5..=40,
    calls: |rng| {
        // All clients go through the keys at about the same pace.
        let per_key = rng.usize(1..=3);
        Box::new(move |rng, turn| {
            let key = format!("k{}", turn.step / per_key);
            match rng.u32(..10) {
                0 => Call::List {
                    prefix: String::new(),
                    limit: 1_000,
                },
                1..=2 => Call::Get { key },
                _ => Call::Put {
                    key,
                    content: Content::new(turn, rng.usize(..30)),
                    condition: Condition::Absent,
                },
            }
        })
    },
};
