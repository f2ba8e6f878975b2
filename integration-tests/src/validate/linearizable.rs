//! Each key is linearizable: the checker's word, by values and versions. Where there are
//! transactions, all keys together are judged otherwise ([`super::serializable`]).

use std::{num::NonZeroUsize, time::Duration};

use trandb_checker::{
    Evidence, Verdict, decode,
    history::Operations,
    linearizability::{
        self, Options,
        models::{Kv, Versions},
    },
};

use super::{found, said, serializable};
use crate::world::Run;

/// What the search may remember, in bytes: a run that needs more is too large for this judge, and
/// fails.
const MEMORY_BYTES_MAX: usize = 1 << 30;

/// And how long it may search. Every write of unknown outcome may have happened at any later time,
/// so that with some fifty of them on one key the search does not end: one run in a hundred thousand
/// has so many.
const TIME_MAX: Duration = Duration::from_secs(20);

pub(super) fn check(run: &Run) -> Vec<Evidence> {
    if run.history.has_transactions() {
        return Vec::new();
    }
    let events = run.history.events().into_iter().map(Ok);
    let operations = match decode::operations(&decode::Kv, Operations::new(events)) {
        Ok(operations) => operations,
        Err(bad) => return vec![found("unusable-history", bad.reason, &[])],
    };
    let model = Kv {
        versions: Versions::Ordered,
        absent: None,
    };
    let options = Options {
        threads: NonZeroUsize::MIN,
        memory_bytes_max: MEMORY_BYTES_MAX,
        time_limit: Some(TIME_MAX),
        ..Options::default()
    };
    match linearizability::check(&model, &operations, &options) {
        // The other judge goes by versions and searches for the order of deletes alone.
        Verdict::Unknown(_) if serializable::is_certain(run) => Vec::new(),
        verdict => said(verdict),
    }
}
