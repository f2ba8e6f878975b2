//! Keys that come and go while others list them, page by page.

use super::{Call, Condition, Content, Workload, any};

pub(super) const PUT_DELETE_LIST: Workload = Workload {
    name: "put-delete-list",
    about: "writes and deletes of keys that others list",
    functions: &["put", "delete", "list", "get"],
    transactional: false,
    clients: 1..=5,
    steps: 5..=40,
    calls: |rng| {
        let groups = ["a/", "b/", ""];
        let count = rng.usize(2..=20);
        let keys: Vec<String> = (0..count)
            .map(|number| format!("{}k{number}", groups[rng.usize(..groups.len())]))
            .collect();
        let lists = rng.u32(10..=50);
        Box::new(move |rng, turn| {
            let key = any(rng, &keys).clone();
            match rng.u32(..100) {
                drawn if drawn < lists => Call::List {
                    prefix: groups[rng.usize(..groups.len())].to_owned(),
                    limit: rng.usize(1..=8),
                },
                drawn if drawn % 4 == 0 => Call::Get { key },
                drawn if drawn % 4 == 1 => Call::Delete {
                    key,
                    condition: Condition::None,
                },
                _ => Call::Put {
                    key,
                    content: Content::new(turn, rng.usize(..50)),
                    condition: Condition::None,
                },
            }
        })
    },
};
