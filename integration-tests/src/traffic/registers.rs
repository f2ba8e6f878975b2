//! Registers: reads and unconditional writes of unique values on a few keys.

use super::{Call, Condition, Content, Workload, any, keys};

pub(super) const REGISTERS: Workload = Workload {
    name: "registers",
    about: "reads and writes of a few keys",
    functions: &["get", "put", "stat"],
    transactional: false,
    clients: 1..=5,
    steps: 5..=60,
    calls: |rng| {
        let keys = keys(rng.usize(1..=4));
        let writes = rng.u32(20..=80);
        Box::new(move |rng, turn| {
            let key = any(rng, &keys).clone();
            match rng.u32(..100) {
                drawn if drawn < writes => Call::Put {
                    key,
                    content: Content::new(turn, rng.usize(..200)),
                    condition: Condition::None,
                },
                drawn if drawn % 10 == 0 => Call::Stat { key },
                _ => Call::Get { key },
            }
        })
    },
};
