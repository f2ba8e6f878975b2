//! When nothing is in the way, all that live are voters of one uniform membership and have applied
//! the same.

use std::collections::BTreeSet;

use trandb_cluster::{
    group::{Group as _, Role, Status},
    identity::NodeId,
};

use super::super::world::World;

/// What is still apart; none: all agree.
pub(crate) fn converged(world: &World, hosts: usize) -> Option<String> {
    let statuses: Vec<Status> = world.alive().map(|(_, group)| group.status()).collect();
    let alive: BTreeSet<NodeId> = statuses.iter().map(|status| status.node).collect();
    if alive.len() != hosts {
        return Some(format!("{} of {hosts} processes live", alive.len()));
    }
    if !world.replacements.is_empty() {
        return Some(format!("to be replaced: {:?}", world.replacements));
    }
    for status in &statuses {
        if status.membership.voters != [alive.clone()] {
            return Some(format!(
                "{} has another membership: {status:?}",
                status.node
            ));
        }
    }
    let leaders = statuses.iter().filter(|s| s.role == Role::Leader);
    if leaders.count() != 1 {
        return Some("not one leader".to_owned());
    }
    let first = &statuses[0];
    let equal = |status: &Status| {
        let all = status.applied.map(|at| at.index) == status.last;
        all && status.applied == first.applied
    };
    if !statuses.iter().all(equal) {
        return Some("not all have applied the same".to_owned());
    }
    None
}
