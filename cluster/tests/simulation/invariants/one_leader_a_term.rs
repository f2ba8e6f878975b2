//! At most one leader a term.

use std::collections::BTreeMap;

use trandb_cluster::{
    group::{Role, Status},
    identity::NodeId,
};

/// Who led in which term.
#[derive(Default)]
pub(crate) struct Leaders(BTreeMap<u64, NodeId>);

impl Leaders {
    /// Whether it leads, and did not before.
    pub(crate) fn look(&mut self, status: &Status) -> Result<bool, String> {
        if status.role != Role::Leader {
            return Ok(false);
        }
        match self.0.insert(status.term, status.node) {
            Some(other) if other != status.node => Err(format!(
                "two leaders in term {}: {other} and {}",
                status.term, status.node
            )),
            other => Ok(other.is_none()),
        }
    }
}
