//! Counters: read, add one, write if nobody wrote in between. Judged as counters besides
//! (`validate::counters`).

use super::{Call, Condition, Content, Workload, any, keys};

pub(super) const COUNTERS: Workload = Workload {
    name: "counters",
    about: "numbers that are counted up by compare-and-set",
    functions: &["get", "put"],
    transactional: false,
    clients: 2..=5,
    steps: 6..=60,
    calls: |rng| {
        let keys = keys(rng.usize(1..=2));
        let mut keys_of_clients = Vec::new();
        Box::new(move |rng, turn| {
            // A read, and then the write that rests on it.
            if turn.step % 2 == 0 {
                keys_of_clients.resize(turn.client + 1, String::new());
                keys_of_clients[turn.client].clone_from(any(rng, &keys));
            }
            let key = keys_of_clients[turn.client].clone();
            if turn.step % 2 == 0 {
                Call::Get { key }
            } else {
                Call::Put {
                    key,
                    content: Content::next(turn),
                    condition: Condition::LastSeen,
                }
            }
        })
    },
};
