//! Makes each group's voters those that the map desires: at the group's leader, one change at a
//! time, again and again.
//!
//! What is to be done next is a pure function of the group's membership and the map. The map may be
//! old, the membership never is at a leader that can still change it. So who the map does not know
//! yet, by its number, came later than the map: then nothing is done until the map has come too.
//!
//! Tests: below; `tests/simulation` with nodes that end in between.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};
use trandb_engine::ShardId;

use crate::{
    group::{Group as _, Membership, RaftGroup, Role, StateMachine, replace},
    identity::NodeId,
    peer::network::Network,
    system::System,
    task,
    transport::Address,
};

use super::{Groups, Inner};

/// How often who leads compares.
const LOOK: Duration = Duration::from_millis(100);

/// How long one change may take before it is looked at anew.
const CHANGE_MAX: Duration = Duration::from_secs(3);

/// The next change.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// Puts `new` into the place of those who were there before.
    Replace {
        dead: BTreeSet<NodeId>,
        new: Address,
    },
    /// Takes members away that nobody desires and that do not vote.
    Remove(BTreeSet<NodeId>),
}

/// What to do next so that `desired` vote; none: all is well, or the map is old.
fn next(membership: &Membership, map: &System, desired: &BTreeSet<NodeId>) -> Option<Step> {
    let members: BTreeSet<NodeId> = membership.members.keys().copied().collect();
    if members.last().is_some_and(|last| *last > map.last()) {
        return None;
    }
    let missing = desired.iter().find(|node| !membership.is_voter(**node));
    if let Some(new) = missing {
        let occupant = map.occupant(*new)?;
        let dead = members.difference(desired).filter(|node| {
            // Who is remembered by no slot is remembered no longer: it ended long ago.
            let of_this = occupant.predecessors.contains(node);
            of_this || !is_remembered(map, **node)
        });
        return Some(Step::Replace {
            dead: dead.copied().collect(),
            new: Address {
                node: *new,
                at: occupant.description.at.clone(),
            },
        });
    }
    let idle = members.difference(desired).copied();
    let idle: BTreeSet<NodeId> = idle.collect();
    (!idle.is_empty()).then_some(Step::Remove(idle))
}

fn is_remembered(map: &System, node: NodeId) -> bool {
    let mut slots = map.slots().values();
    slots.any(|occupant| occupant.predecessors.contains(&node))
}

/// Begins for all groups of a member.
pub(super) fn spawn_all<N: Network>(inner: &Arc<Inner<N>>) {
    let Some(groups) = inner.groups.get() else {
        return;
    };
    let system = groups.system.clone();
    task::spawn(run(Arc::clone(inner), system, System::voters));
    for (shard, group) in (0..).map(ShardId).zip(&groups.shards) {
        let desired = move |map: &System| {
            let placement = map.placement(shard);
            placement.map_or_else(BTreeSet::new, |placement| placement.voters.clone())
        };
        task::spawn(run(Arc::clone(inner), group.clone(), desired));
    }
}

async fn run<N: Network, S: StateMachine>(
    inner: Arc<Inner<N>>,
    group: RaftGroup<S>,
    desired: impl Fn(&System) -> BTreeSet<NodeId> + Send,
) {
    loop {
        sleep(LOOK).await;
        if inner.is_stopping() {
            return;
        }
        let Some(groups) = inner.groups.get() else {
            return;
        };
        if let Some(step) = look(groups, &group, &desired) {
            change(&group, step).await;
        }
    }
}

fn look<S: StateMachine>(
    groups: &Groups,
    group: &RaftGroup<S>,
    desired: &impl Fn(&System) -> BTreeSet<NodeId>,
) -> Option<Step> {
    let status = group.status();
    if status.role != Role::Leader || status.membership.is_joint() {
        return None;
    }
    let step = |map: &System| next(&status.membership, map, &desired(map));
    groups.system.read_with(step)
}

async fn change<S: StateMachine>(group: &RaftGroup<S>, step: Step) {
    let deadline = Instant::now() + CHANGE_MAX;
    let changed = match step.clone() {
        Step::Replace { dead, new } => replace(group, &dead, new, deadline).await,
        Step::Remove(idle) => {
            let position = group.status().membership.position;
            let nobody = BTreeSet::new();
            group.swap_voters(position, idle, nobody, deadline).await
        }
    };
    match changed {
        Ok(()) => tracing::info!(?step, "the group's members have changed"),
        // It will be looked at again.
        Err(error) => tracing::debug!(?step, %error, "the group's members are not changed yet"),
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;

    use crate::{
        founding::{Charter, Founder, Founding, Nonce},
        group::Position,
        identity::ClusterId,
        system::{Command, Description, Register},
    };

    use super::*;

    fn description(slot: &str) -> Description {
        Description {
            slot: slot.to_owned(),
            at: format!("{slot}:8081"),
            client_at: String::new(),
            zone: String::new(),
        }
    }

    /// Slots a to e, whose occupants are 1 to 5.
    fn founded() -> System {
        let founder = |(nonce, slot): (u128, &str)| Founder {
            nonce: Nonce(nonce),
            description: description(slot),
        };
        System::new(&Founding {
            cluster: ClusterId(1),
            charter: Charter {
                shards: NonZeroU16::MIN,
                version_epoch: 1,
                outcome_bytes: 1,
            },
            founders: (1..).zip(["a", "b", "c", "d", "e"]).map(founder).collect(),
        })
    }

    fn register(map: &mut System, slot: &str) {
        let _ = map.apply(&Command::Register(Register {
            nonce: Nonce(100 + u128::from(map.last().0)),
            supersedes: map.slots()[slot].node,
            description: description(slot),
        }));
    }

    fn ids<const N: usize>(ids: [u64; N]) -> BTreeSet<NodeId> {
        ids.map(NodeId).into()
    }

    fn membership<const N: usize>(voters: [u64; N], learners: &[u64]) -> Membership {
        let voters = ids(voters);
        let learners = learners.iter().map(|node| NodeId(*node));
        let members = voters.iter().copied().chain(learners);
        Membership {
            position: Some(Position { term: 1, index: 1 }),
            members: members.map(|node| (node, String::new())).collect(),
            voters: vec![voters],
        }
    }

    fn step(membership: &Membership, map: &System) -> Option<Step> {
        next(membership, map, &map.voters())
    }

    fn replaces<const N: usize>(dead: [u64; N], new: u64, slot: &str) -> Step {
        Step::Replace {
            dead: ids(dead),
            new: Address {
                node: NodeId(new),
                at: format!("{slot}:8081"),
            },
        }
    }

    #[test]
    fn nothing_is_done_when_all_is_well() {
        assert_eq!(step(&membership([1, 2, 3, 4, 5], &[]), &founded()), None);
    }

    #[test]
    fn who_comes_anew_takes_the_place_of_its_own_predecessors_alone() {
        let mut map = founded();
        register(&mut map, "b");
        register(&mut map, "d");
        register(&mut map, "b");
        // d is node 7, b is node 8 after node 6, which never got the vote.
        let first = membership([1, 2, 3, 4, 5], &[6]);
        assert_eq!(step(&first, &map), Some(replaces([4], 7, "d")));
        let second = membership([1, 2, 3, 5, 7], &[6, 8]);
        assert_eq!(step(&second, &map), Some(replaces([2, 6], 8, "b")));
        assert_eq!(step(&membership([1, 3, 5, 7, 8], &[]), &map), None);
    }

    #[test]
    fn an_old_map_takes_nobody_away() {
        let mut map = founded();
        let newer = membership([1, 3, 4, 5, 6], &[]);
        assert_eq!(step(&newer, &map), None, "node 2 is desired here still");
        register(&mut map, "b");
        assert_eq!(step(&newer, &map), None, "and now it is not");
    }

    #[test]
    fn learners_that_nobody_desires_are_taken_away() {
        let mut map = founded();
        register(&mut map, "b");
        register(&mut map, "b");
        let left_over = membership([1, 3, 4, 5, 7], &[6]);
        assert_eq!(step(&left_over, &map), Some(Step::Remove(ids([6]))));
    }
}
