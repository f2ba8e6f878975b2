//! What must hold, one file each; what whole nodes are held to as well is shared with them.
//!
//! | property | Raft (Ongaro and Ousterhout, 2014) | file |
//! |---|---|---|
//! | at most one leader a term | Election Safety, figure 3 | `simulation::Leaders` |
//! | replicas at one index are equal | Log Matching and State Machine Safety, figure 3 | `simulation::Digests` |
//! | what is acknowledged is kept | Leader Completeness, figure 3 | `acknowledged_is_kept` |
//! | reads are linearizable | section 8 | `reads_are_linearizable` |
//! | what is refused never happens | | `refused_never_happens` |
//! | in peace all agree | | `converges` |

use super::{node::GROUP, world::World};

pub(crate) mod acknowledged_is_kept;
mod converges;
mod reads_are_linearizable;
pub(crate) mod refused_never_happens;

pub(crate) use converges::converged;
pub(crate) use reads_are_linearizable::History;

use trandb_cluster::{
    group::{Group as _, Membership, Role, Status},
    simulation::{Digests, Leaders},
};

fn voters(membership: &Membership) -> String {
    let sets = membership.voters.iter().map(|set| {
        let nodes: Vec<String> = set.iter().map(ToString::to_string).collect();
        nodes.join(" ")
    });
    sets.collect::<Vec<_>>().join(" and ")
}

/// All that is remembered from tick to tick.
#[derive(Default)]
pub(crate) struct Invariants {
    leaders: Leaders,
    digests: Digests,
    last: Vec<Status>,
    was_joint: bool,
}

impl Invariants {
    /// Whether a change of membership is half done since this tick.
    pub(crate) fn after_tick(&mut self, world: &mut World) -> Result<bool, String> {
        let statuses: Vec<Status> = world.alive().map(|(_, group)| group.status()).collect();
        if let Some(violation) = world.history.take_violation() {
            return Err(violation);
        }
        if statuses == self.last {
            return Ok(false);
        }
        for status in &statuses {
            if status.role == Role::Leader {
                let is_new = self.leaders.look(GROUP, status.term, status.node)?;
                world.counts.elections += usize::from(is_new);
            }
        }
        for (_, group) in world.alive() {
            let status = group.status();
            let changed = !self
                .last
                .iter()
                .any(|last| last.node == status.node && last.applied == status.applied);
            if changed && let Some(applied) = status.applied {
                group.read_with(|shard| {
                    let digest = shard.digest();
                    self.digests.look(status.node, applied, digest)?;
                    acknowledged_is_kept::look(status.node, shard, &world.history)?;
                    refused_never_happens::look(status.node, shard, &world.history)
                })?;
            }
        }
        let snapshots = world.alive().filter(|(_, group)| {
            // Only a snapshot takes a replica over more than its log has.
            let now = group.status();
            let before = self.last.iter().find(|last| last.node == now.node);
            let had = before.and_then(|before| before.last);
            now.purged
                .is_some_and(|purged| had.is_none_or(|had| purged.index > had))
        });
        let snapshots = snapshots.count();
        world.counts.snapshots += snapshots;
        // Half done is what a successor of the leader would find.
        let followers = statuses.iter().filter(|status| status.role != Role::Leader);
        let have_it = followers.filter(|status| status.membership.is_joint());
        let joint = have_it.count() >= statuses.len().div_ceil(2).max(2) - 1;
        let begins = joint && !self.was_joint;
        world.counts.joint += usize::from(begins);
        self.was_joint = joint;
        let news = statuses.iter().filter(|now| !self.last.contains(now));
        for status in news {
            world.trace.add(format_args!(
                "{} {:?} term {} leader {} log {}..{} applied {} digest {:016x} voters {}",
                status.node,
                status.role,
                status.term,
                status.leader.unwrap_or_default(),
                status.purged.map_or(0, |purged| purged.index + 1),
                status.last.map_or(0, |last| last + 1),
                status.applied.map_or(0, |applied| applied.index),
                status.applied.map_or(0, |at| self.digests.of(at.index)),
                voters(&status.membership),
            ));
        }
        self.last = statuses;
        Ok(begins)
    }

    /// When all agree.
    pub(crate) fn at_the_end(world: &World) -> Result<(), String> {
        for (process, group) in world.alive() {
            group.read_with(|shard| {
                acknowledged_is_kept::look_at_the_end(process.node, shard, &world.history)?;
                refused_never_happens::look(process.node, shard, &world.history)
            })?;
        }
        Ok(())
    }
}
