//! Compare-and-set: writes and deletes that depend on what their client saw last.

use super::{Call, Condition, Content, Workload, any, keys};

pub(super) const COMPARE_AND_SET: Workload = Workload {
    name: "compare-and-set",
    about: "conditional writes and deletes of a few keys",
    functions: &["get", "put", "delete"],
    transactional: false,
    clients: 2..=5,
    steps: 5..=60,
    calls: |rng| {
        let keys = keys(rng.usize(1..=3));
        let deletes = rng.u32(0..=30);
        Box::new(move |rng, turn| {
            let key = any(rng, &keys).clone();
            let condition = match rng.u32(..10) {
                0 => Condition::None,
                1..=2 => Condition::Absent,
                _ => Condition::LastSeen,
            };
            match rng.u32(..100) {
                drawn if drawn < deletes => Call::Delete { key, condition },
                drawn if drawn % 3 == 0 => Call::Get { key },
                _ => Call::Put {
                    key,
                    content: Content::new(turn, rng.usize(..100)),
                    condition,
                },
            }
        })
    },
};
