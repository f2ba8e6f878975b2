//! Groups of keys that are each written once, by somebody, and read together: all who read a group
//! must agree on the order in which its keys came to be. Judged so besides (`validate::long_fork`).

use super::{Call, Condition, Content, Transaction, Workload, Write};

/// Keys of a group.
const GROUP: usize = 3;

pub(super) const LONG_FORK: Workload = Workload {
    name: "long-fork",
    about: "keys that are written once, and reads of groups of them",
    functions: &["get-many", "put", "transaction"],
    transactional: true,
    clients: 3..=6,
    steps: 6..=25,
    calls: |rng| {
        let per_group = rng.usize(3..=8);
        Box::new(move |rng, turn| {
            let group = turn.step / per_group;
            let key = |number: usize| format!("g{group}/{number}");
            // Who has a key of the group writes it in its first step there.
            if turn.step.is_multiple_of(per_group) && turn.client < GROUP {
                let (key, content) = (key(turn.client), Content::new(turn, rng.usize(..20)));
                return if rng.bool() {
                    let condition = Condition::None;
                    Call::Put {
                        key,
                        content,
                        condition,
                    }
                } else {
                    let writes = vec![Write::put(key, content)];
                    Call::Transaction(Transaction::at_once(Vec::new(), writes))
                };
            }
            let keys = (0..GROUP).map(key).collect();
            match rng.u32(..4) {
                0 => Call::Transaction(Transaction::interactive(keys, Vec::new())),
                _ => Call::GetMany { keys },
            }
        })
    },
};
