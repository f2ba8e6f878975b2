//! Values at the edges of buffers and limits, from no byte to 4 MiB.

use fastrand::Rng;
use trandb_common::limits::VALUE_BYTES_MAX;

use super::{Call, Condition, Content, Turn, Workload, any, keys};

/// Where buffers end: those of a body that is read in pieces, and the largest value.
const EDGES: [usize; 5] = [1 << 10, 16 << 10, 64 << 10, 256 << 10, VALUE_BYTES_MAX];

pub(super) const LARGE_VALUES: Workload = Workload {
    name: "large-values",
    about: "values of no byte, of 4 MiB, and of a byte more or less than a buffer",
    functions: &["put", "get", "stat"],
    transactional: false,
    clients: 1..=3,
    steps: 3..=10,
    calls: |rng| {
        let keys = keys(rng.usize(1..=3));
        Box::new(move |rng, turn| {
            let key = any(rng, &keys).clone();
            match rng.u32(..10) {
                0 => Call::Stat { key },
                1..=3 => Call::Get { key },
                _ => Call::Put {
                    key,
                    content: content(rng, turn),
                    condition: *rng.choice(CONDITIONS).unwrap_or(&Condition::None),
                },
            }
        })
    },
};

const CONDITIONS: &[Condition] = &[Condition::None, Condition::None, Condition::LastSeen];

fn content(rng: &mut Rng, turn: Turn) -> Content {
    // The largest is slow: seldom.
    let edges = if rng.u32(..12) == 0 {
        EDGES.len()
    } else {
        EDGES.len() - 2
    };
    let edge = EDGES[rng.usize(..edges)];
    match rng.u32(..8) {
        0 => Content::Empty,
        1 => Content::new(turn, edge - 1),
        2..=5 => Content::new(turn, edge),
        _ => Content::new(turn, (edge + 1).min(VALUE_BYTES_MAX)),
    }
}
