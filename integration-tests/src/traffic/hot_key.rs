//! One key that everybody wants, in every way.

use super::{Call, Condition, Content, Workload};

pub(super) const HOT_KEY: Workload = Workload {
    name: "hot-key",
    about: "every kind of call on one key",
    functions: &["get", "stat", "put", "delete", "list"],
    transactional: false,
    clients: 2..=5,
    steps: 20..=60,
    calls: |_| {
        Box::new(move |rng, turn| {
            let key = "hot".to_owned();
            let condition = *rng.choice(CONDITIONS).unwrap_or(&Condition::None);
            match rng.u32(..20) {
                0 => Call::List {
                    prefix: "h".to_owned(),
                    limit: 1,
                },
                1 => Call::Stat { key },
                2..=7 => Call::Get { key },
                8..=11 => Call::Delete { key, condition },
                _ => Call::Put {
                    key,
                    content: Content::new(turn, rng.usize(..20)),
                    condition,
                },
            }
        })
    },
};

const CONDITIONS: &[Condition] = &[Condition::None, Condition::Absent, Condition::LastSeen];
