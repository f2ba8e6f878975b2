//! Keys of which a few are wanted most of the time, as in most real traffic.

use super::{Call, Condition, Content, Workload, keys};

pub(super) const ZIPFIAN: Workload = Workload {
    name: "zipfian",
    about: "keys of which the nth is wanted n times less often than the first",
    functions: &["get", "put"],
    transactional: false,
    clients: 2..=5,
    steps: 20..=60,
    calls: |rng| {
        let keys = keys(rng.usize(5..=100));
        let weights =
            (1..=keys.len()).map(|rank| 1.0 / f64::from(u32::try_from(rank).unwrap_or(1)));
        let total: f64 = weights.clone().sum();
        let weights: Vec<f64> = weights.collect();
        Box::new(move |rng, turn| {
            let mut drawn = rng.f64() * total;
            let hit = weights.iter().position(|weight| {
                drawn -= weight;
                drawn < 0.0
            });
            let key = keys[hit.unwrap_or(0)].clone();
            match rng.u32(..10) {
                0..=4 => Call::Get { key },
                5 => Call::Delete {
                    key,
                    condition: Condition::LastSeen,
                },
                6..=7 => Call::Put {
                    key,
                    content: Content::new(turn, rng.usize(..100)),
                    condition: Condition::LastSeen,
                },
                _ => Call::Put {
                    key,
                    content: Content::new(turn, rng.usize(..100)),
                    condition: Condition::None,
                },
            }
        })
    },
};
