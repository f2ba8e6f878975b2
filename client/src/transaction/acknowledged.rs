//! Transactions whose answers have arrived: the server is told with one of the next requests, so
//! that it need not keep their outcomes for those who might ask.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use trandb_common::{Key, TransactionId, wire::transaction::Acknowledged};

/// As many wait to be told; of more the oldest is forgotten, and its outcome expires by itself.
const WAITING_MAX: usize = 1024;

/// As many are told with one request.
const TOLD_MAX: usize = 64;

/// Those that have not been told yet.
#[derive(Debug, Default)]
pub(crate) struct AcknowledgedLater(Mutex<VecDeque<(TransactionId, Key)>>);

impl AcknowledgedLater {
    pub(super) fn add(&self, id: TransactionId, home: Key) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() == WAITING_MAX {
            waiting.pop_front();
        }
        waiting.push_back((id, home));
    }

    /// What to tell with the next request. If that is lost, the outcomes expire by themselves.
    pub(super) fn take(&self) -> Vec<Acknowledged> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let told = waiting.len().min(TOLD_MAX);
        let told = waiting.drain(..told);
        told.map(|(id, key)| Acknowledged {
            id,
            key: key.as_str().into(),
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_told_once_and_the_number_that_waits_is_bounded() {
        let later = AcknowledgedLater::default();
        let key = Key::new("k").expect("legal");
        for n in 0..1100 {
            later.add(TransactionId(n), key.clone());
        }
        let told: Vec<_> =
            std::iter::from_fn(|| Some(later.take()).filter(|told| !told.is_empty()))
                .inspect(|told| assert!(told.len() <= 64))
                .flatten()
                .map(|told| told.id.0)
                .collect();
        assert_eq!(told, (1100 - 1024..1100).collect::<Vec<_>>());
    }
}
