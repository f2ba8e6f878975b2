//! Names for transactions.

use std::sync::atomic::{AtomicU64, Ordering};

use trandb_common::TransactionId;

/// Makes ids that nobody has made before.
#[derive(Debug)]
pub(crate) enum Ids {
    /// From the operating system's randomness (UUID version 4).
    Random,
    /// The same ones in every run, for simulations.
    Seeded { seed: u64, made: AtomicU64 },
}

impl Ids {
    pub(crate) fn new(seed: Option<u64>) -> Self {
        match seed {
            None => Self::Random,
            Some(seed) => Self::Seeded {
                seed,
                made: AtomicU64::new(0),
            },
        }
    }

    pub(crate) fn next(&self) -> TransactionId {
        let uuid = match self {
            Self::Random => uuid::Uuid::new_v4(),
            Self::Seeded { seed, made } => {
                let made = made.fetch_add(1, Ordering::Relaxed);
                let bits = u128::from(*seed) << 64 | u128::from(made);
                uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid()
            }
        };
        TransactionId(uuid.as_u128())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn made(seed: Option<u64>) -> Vec<TransactionId> {
        let ids = Ids::new(seed);
        (0..1000).map(|_| ids.next()).collect()
    }

    #[test]
    fn seeded_ids_repeat_and_no_two_are_alike() {
        assert_eq!(made(Some(7)), made(Some(7)));
        let all = [made(None), made(None), made(Some(7)), made(Some(8))].concat();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
    }
}
