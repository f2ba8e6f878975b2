//! Replicas that have applied the same index are equal, and so were their logs up to there.

use std::collections::BTreeMap;

use trandb_cluster::{group::Position, identity::NodeId};

/// The state after each index, by the first replica that was seen there.
#[derive(Default)]
pub(crate) struct Digests(BTreeMap<u64, (Position, u64, NodeId)>);

impl Digests {
    pub(crate) fn look(&mut self, node: NodeId, at: Position, digest: u64) -> Result<(), String> {
        let seen = (at, digest, node);
        let first = *self.0.entry(at.index).or_insert(seen);
        if (first.0, first.1) == (at, digest) {
            return Ok(());
        }
        Err(format!(
            "replicas differ at index {}: {} had term {} and digest {:016x}, {node} has term {} \
             and digest {digest:016x}",
            at.index, first.2, first.0.term, first.1, at.term
        ))
    }

    /// 0 if nobody was seen there.
    pub(crate) fn of(&self, index: u64) -> u64 {
        self.0.get(&index).map_or(0, |(_, digest, _)| *digest)
    }
}
