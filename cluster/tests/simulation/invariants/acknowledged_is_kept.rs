//! What is acknowledged is never lost.

use trandb_cluster::identity::NodeId;
use trandb_engine::{Read, Shard};

use super::History;

/// Of a replica that has applied whatever it has: a version that was acknowledged has the value
/// that was acknowledged.
pub(crate) fn look(node: NodeId, shard: &Shard, history: &History) -> Result<(), String> {
    for key in history.keys() {
        if let Read::Done(Some(found)) = shard.read(key)
            && let Some(value) = history.acknowledged_value(key, found.version.counter)
            && *value != found.value
        {
            return Err(format!(
                "{key} {} was acknowledged as {value:?}, {node} has {:?}",
                found.version, found.value
            ));
        }
    }
    Ok(())
}

/// Of a replica that has applied all: each key has the last version that was acknowledged or read,
/// or a later one.
pub(crate) fn look_at_the_end(
    node: NodeId,
    shard: &Shard,
    history: &History,
) -> Result<(), String> {
    look(node, shard, history)?;
    for key in history.keys() {
        let Read::Done(found) = shard.read(key) else {
            return Err(format!("{key} is locked at {node}"));
        };
        let has = found.map_or(0, |found| found.version.counter);
        let floor = history.floor(key);
        if has < floor {
            return Err(format!(
                "lost: version {floor} of {key} was acknowledged or read, {node} has {has}"
            ));
        }
    }
    Ok(())
}
