//! Registers whose writes all leave different values, in `O(n log n)` without a search.
//!
//! A write and the reads of its value form a *cluster*: in every legal order they stand together,
//! with the write first. A cluster's *zone* lies between its first return and its last call. If
//! the first return comes first, the value was there during the whole zone, so no other cluster
//! may be there too; otherwise the cluster may stand at one moment of its zone (Gibbons and Korach
//! 1997, "Testing shared memories", theorem 4.5).
//!
//! An unknown write has happened if its value was read. Otherwise its zone has no end, so that its
//! cluster always finds a place: as good as left out.
//! Tests: `tests/linearizability/unique.rs` compares it with the search.

use std::collections::hash_map::Entry;

use super::model::Decision;
use crate::history::Interval;

/// What one operation did to the register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access<V> {
    /// Left this value.
    Write(V),
    /// Found this value.
    Read(V),
    /// Learnt nothing and left nothing.
    Nothing,
}

/// One operation as this algorithm sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item<V> {
    pub(super) interval: Interval,
    pub(super) unknown: bool,
    pub(super) access: Access<V>,
}

/// Decides a register that begins with `initial`; none if two writes leave the same value, or one
/// leaves the initial one.
pub(super) fn decide<V: Copy + Eq + std::hash::Hash>(
    initial: V,
    items: &[Item<V>],
) -> Option<Decision> {
    let clusters = match clusters(initial, items)? {
        Ok(clusters) => clusters,
        Err(core) => return Some(Decision::Illegal(core)),
    };
    let (mut forward, backward): (Vec<_>, Vec<_>) = clusters
        .into_iter()
        .partition(|cluster| cluster.first_return.0 < cluster.last_call.0);
    forward.sort_unstable_by_key(|cluster| cluster.first_return.0);
    let overlapping = forward
        .windows(2)
        .find(|pair| pair[1].first_return.0 < pair[0].last_call.0);
    if let Some([one, other]) = overlapping {
        return Some(Decision::Illegal(core_of(one, other)));
    }
    for inner in &backward {
        let after = forward.partition_point(|outer| outer.first_return.0 < inner.last_call.0);
        if let Some(outer) = after.checked_sub(1).map(|before| &forward[before])
            && inner.first_return.0 < outer.last_call.0
        {
            return Some(Decision::Illegal(core_of(outer, inner)));
        }
    }
    Some(Decision::Legal)
}

/// A tick, one later than the history's so that there is room before the first, and whose it is;
/// the initial write is nobody's.
type Tick = (u64, Option<usize>);

/// A value's write and reads.
#[derive(Debug, Clone, Copy)]
struct Cluster {
    write: Option<usize>,
    write_call: u64,
    first_return: Tick,
    last_call: Tick,
}

/// All clusters, or operations that cannot be in any legal history. None if
/// values are not unique.
fn clusters<V: Copy + Eq + std::hash::Hash>(
    initial: V,
    items: &[Item<V>],
) -> Option<Result<Vec<Cluster>, Vec<usize>>> {
    let mut clusters =
        std::collections::HashMap::with_hasher(foldhash::fast::FixedState::default());
    clusters.insert(
        initial,
        Cluster {
            write: None,
            write_call: 0,
            first_return: (0, None),
            last_call: (0, None),
        },
    );
    for (place, item) in items.iter().enumerate() {
        let Access::Write(value) = item.access else {
            continue;
        };
        let Entry::Vacant(entry) = clusters.entry(value) else {
            return None;
        };
        entry.insert(Cluster {
            write: Some(place),
            write_call: item.interval.call + 1,
            first_return: (item.interval.ret.saturating_add(1), Some(place)),
            last_call: (item.interval.call + 1, Some(place)),
        });
    }
    for (place, item) in items.iter().enumerate() {
        let (Access::Read(value), false) = (item.access, item.unknown) else {
            continue;
        };
        let Some(cluster) = clusters.get_mut(&value) else {
            return Some(Err(vec![place]));
        };
        let (call, ret) = (item.interval.call + 1, item.interval.ret.saturating_add(1));
        if ret < cluster.write_call {
            return Some(Err([Some(place), cluster.write]
                .into_iter()
                .flatten()
                .collect()));
        }
        cluster.first_return = cluster.first_return.min((ret, Some(place)));
        cluster.last_call = cluster.last_call.max((call, Some(place)));
    }
    let mut clusters: Vec<_> = clusters.into_values().collect();
    // The map's order must not decide which of two contradictions is told.
    clusters.sort_unstable_by_key(|cluster| cluster.last_call.0);
    Some(Ok(clusters))
}

/// The operations that keep two clusters from standing one after the other. The last to be called
/// is the one that cannot be placed.
fn core_of(one: &Cluster, other: &Cluster) -> Vec<usize> {
    let clusters = [one, other];
    let mut core: Vec<_> = clusters
        .iter()
        .flat_map(|cluster| [cluster.first_return, cluster.last_call])
        .chain(
            clusters
                .iter()
                .map(|cluster| (cluster.write_call, cluster.write)),
        )
        .filter_map(|(_, place)| place)
        .collect();
    core.sort_unstable();
    core.dedup();
    let last = clusters
        .iter()
        .map(|cluster| cluster.last_call)
        .max()
        .and_then(|(_, place)| place);
    core.sort_by_key(|place| Some(*place) != last);
    core
}
