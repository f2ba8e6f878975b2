//! A write that was refused as not committed is seen nowhere, ever.

use trandb_cluster::identity::NodeId;
use trandb_engine::{Read, Shard};

use super::History;

pub(crate) fn look(node: NodeId, shard: &Shard, history: &History) -> Result<(), String> {
    for key in history.keys() {
        if let Read::Done(Some(found)) = shard.read(key)
            && history.was_refused(key, &found.value)
        {
            return Err(format!(
                "{:?} of {key} was refused as not committed, {node} has it",
                found.value
            ));
        }
    }
    Ok(())
}
