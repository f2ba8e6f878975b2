//! Many keys, some of them with names that are easily mistaken on their way.

use super::{Call, Condition, Content, Workload, any};

/// What must reach the service byte by byte.
const NAMES: [&str; 12] = [
    "a/b",
    "a//b/",
    "/",
    "...",
    "%2F",
    "a%",
    "a b",
    "a+b",
    "ä",
    "\u{1F980}",
    "\"",
    "?x=1&y#z",
];

pub(super) const MANY_KEYS: Workload = Workload {
    name: "many-keys",
    about: "a few calls on each of many keys, with names of all kinds",
    functions: &["put", "get", "list"],
    transactional: false,
    clients: 1..=5,
    steps: 20..=60,
    calls: |rng| {
        let count = rng.usize(10..=200);
        let mut keys: Vec<String> = (0..count).map(|number| format!("k/{number}")).collect();
        keys.extend(NAMES.map(str::to_owned));
        keys.push("x".repeat(24));
        keys.push("x".repeat(25));
        keys.push("\u{20AC}".repeat(341));
        Box::new(move |rng, turn| {
            let key = any(rng, &keys).clone();
            match rng.u32(..10) {
                0 => Call::List {
                    prefix: (*rng.choice(&["", "k/", "k/1", "a"]).unwrap_or(&"")).to_owned(),
                    limit: rng.usize(1..=100),
                },
                1..=3 => Call::Get { key },
                4 => Call::Delete {
                    key,
                    condition: Condition::None,
                },
                _ => Call::Put {
                    key,
                    content: Content::new(turn, rng.usize(..40)),
                    condition: Condition::None,
                },
            }
        })
    },
};
