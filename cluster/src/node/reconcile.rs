//! Makes each group's members those that the map desires: at the group's leader, one change at a
//! time, again and again. When nothing is left to change it sees to it that who should lead does.
//!
//! What is to be done next is a pure function of the group's membership and the map. The map may be
//! old, the membership never is at a leader that can still change it. So who the map does not know
//! yet, by its number, came later than the map: then nothing is done until the map has come too.
//!
//! A leader that should not be a member any more lets another lead first, which then takes it away.
//!
//! Tests: below; `tests/simulation` with nodes that end in between.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};
use trandb_engine::ShardId;

use crate::{
    group::{Group as _, Membership, RaftGroup, Role, StateMachine, Status, replace},
    identity::NodeId,
    peer::network::Network,
    system::{Placement, System},
    task,
    transport::Address,
};

use super::{Groups, Inner};

/// How often who leads compares.
const LOOK: Duration = Duration::from_millis(100);

/// How long one change may take before it is looked at anew.
const CHANGE_MAX: Duration = Duration::from_secs(3);

/// How many groups that this node leads may change at the same time.
pub(super) const CHANGES_MAX: usize = 4;

/// For how long another must have been the better leader before this one lets it: who has just
/// started has other things to do, and who comes and goes should not be followed.
const SETTLED: Duration = Duration::from_secs(3);

/// The next change.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// Gives `new` a vote, and takes these away with the same change.
    Replace { old: BTreeSet<NodeId>, new: Address },
    /// Takes members away that nobody desires; all that are desired have their votes.
    Remove(BTreeSet<NodeId>),
    /// Makes a node a member without a vote.
    Learner(Address),
    /// Lets a voter lead that is desired: this node is not.
    HandOver,
}

/// Who should be a member of a group.
struct Desired {
    voters: BTreeSet<NodeId>,
    learners: BTreeSet<NodeId>,
    leader: NodeId,
}

impl Desired {
    fn new(placement: &Placement) -> Self {
        Self {
            voters: placement.voters.clone(),
            learners: BTreeSet::new(),
            leader: placement.leader,
        }
    }

    /// Of the system group: who has no vote listens.
    fn of_system(map: &System) -> Self {
        let voters = &map.system().voters;
        Self {
            learners: map.members().difference(voters).copied().collect(),
            ..Self::new(map.system())
        }
    }

    fn contains(&self, node: NodeId) -> bool {
        self.voters.contains(&node) || self.learners.contains(&node)
    }
}

/// What the leader `me` does next so that all is as `desired`; none: it is, or the map is old. Of
/// those that are missing the `silent` come last.
fn next(
    me: NodeId,
    membership: &Membership,
    map: &System,
    desired: &Desired,
    silent: &BTreeSet<NodeId>,
) -> Option<Step> {
    let members: BTreeSet<NodeId> = membership.members.keys().copied().collect();
    if members.last().is_some_and(|last| *last > map.last()) {
        return None;
    }
    let missing = desired.voters.iter().copied();
    let missing: BTreeSet<NodeId> = missing.filter(|node| !membership.is_voter(*node)).collect();
    let exchange = |new: NodeId| {
        Some(match in_exchange(me, new, membership, map, desired) {
            Some(old) => Step::Replace {
                old,
                new: address(map, new)?,
            },
            None => Step::HandOver,
        })
    };
    if let Some(new) = missing.difference(silent).next() {
        return exchange(*new);
    }
    // Who has no vote can go and come whoever else is missing.
    let idle = members
        .iter()
        .filter(|node| !membership.is_voter(**node) && !desired.contains(**node));
    let idle: BTreeSet<NodeId> = idle.copied().collect();
    if !idle.is_empty() {
        return Some(Step::Remove(idle));
    }
    if let Some(learner) = desired.learners.difference(&members).next() {
        return Some(Step::Learner(address(map, *learner)?));
    }
    if let Some(new) = missing.first() {
        return exchange(*new);
    }
    let surplus = members.iter().copied();
    let surplus: BTreeSet<NodeId> = surplus
        .filter(|node| membership.is_voter(*node) && !desired.voters.contains(node))
        .collect();
    if surplus.contains(&me) {
        return Some(Step::HandOver);
    }
    (!surplus.is_empty()).then_some(Step::Remove(surplus))
}

/// Whom `new` takes the vote from: from those that have ended, or else from one that is desired no
/// longer, or from nobody. None: from `me` alone, who should not lead then.
fn in_exchange(
    me: NodeId,
    new: NodeId,
    membership: &Membership,
    map: &System,
    desired: &Desired,
) -> Option<BTreeSet<NodeId>> {
    let mut slots = map.slots().values();
    let mine = slots.find(|occupant| occupant.node == new);
    let has_ended = |node: NodeId| map.occupant(node).is_none();
    // The place of who has ended is for its own successor, if that is to come here.
    let is_for_another = |node: NodeId| {
        map.slots().values().any(|occupant| {
            let comes = occupant.node != new && desired.contains(occupant.node);
            comes && occupant.predecessors.contains(&node)
        })
    };
    let is_my_predecessor =
        |node: NodeId| mine.is_some_and(|occupant| occupant.predecessors.contains(&node));
    let members = membership.members.keys().copied();
    let mut old: BTreeSet<NodeId> = members
        .filter(|node| has_ended(*node) && (is_my_predecessor(*node) || !is_for_another(*node)))
        .collect();
    if old.iter().any(|node| membership.is_voter(*node)) {
        return Some(old);
    }
    let is_surplus = |node: &NodeId| {
        membership.is_voter(*node) && !has_ended(*node) && !desired.voters.contains(node)
    };
    let mut surplus = membership.members.keys().copied().filter(is_surplus);
    match surplus.clone().find(|node| *node != me) {
        Some(other) => {
            old.insert(other);
            Some(old)
        }
        None if surplus.next().is_none() => Some(old),
        None => {
            let mut others = desired.voters.iter();
            let somebody_else_can_lead = others.any(|node| membership.is_voter(*node));
            (!somebody_else_can_lead).then_some(old)
        }
    }
}

fn address(map: &System, node: NodeId) -> Option<Address> {
    let at = map.occupant(node)?.description.at.clone();
    Some(Address { node, at })
}

/// Who should lead instead of the leader of this status, and could at once.
fn better_leader(status: &Status, desired: &Desired, silent: &BTreeSet<NodeId>) -> Option<NodeId> {
    let better = desired.leader;
    let can = better != status.node && !silent.contains(&better) && status.could_lead(better);
    can.then_some(better)
}

/// Begins for all groups of a member.
pub(super) fn spawn_all<N: Network>(inner: &Arc<Inner<N>>) {
    let Some(groups) = inner.groups.get() else {
        return;
    };
    let system = groups.system.clone();
    let group = move |_: &Groups| Some(system.clone());
    let desired = |map: &System| Some(Desired::of_system(map));
    task::spawn(run(Arc::clone(inner), group, desired));
    for shard in (0..groups.count.get()).map(ShardId) {
        let group = move |groups: &Groups| groups.shard(shard);
        let desired = move |map: &System| map.placement(shard).map(Desired::new);
        task::spawn(run(Arc::clone(inner), group, desired));
    }
}

async fn run<N: Network, S: StateMachine>(
    inner: Arc<Inner<N>>,
    group: impl Fn(&Groups) -> Option<RaftGroup<S>> + Send,
    desired: impl Fn(&System) -> Option<Desired> + Send,
) {
    let mut better_since: Option<(NodeId, Instant)> = None;
    loop {
        sleep(LOOK).await;
        if inner.is_stopping() {
            return;
        }
        let Some(groups) = inner.groups.get() else {
            return;
        };
        // Most groups are led elsewhere.
        let Some(group) = group(groups).filter(RaftGroup::leads) else {
            better_since = None;
            continue;
        };
        let found = look(groups, &group, &desired, &inner.silence.nodes());
        let since = match (&found, better_since) {
            (Found::Better(better), Some((same, since))) if same == *better => since,
            _ => Instant::now(),
        };
        better_since = match found {
            Found::Better(better) => Some((better, since)),
            _ => None,
        };
        let is_due = match found {
            Found::Change(_) => true,
            Found::Better(_) => since.elapsed() >= SETTLED,
            Found::Nothing => false,
        };
        if !is_due {
            continue;
        }
        let _one_of_few = inner.changes.acquire().await;
        // It may have waited for long.
        match look(groups, &group, &desired, &inner.silence.nodes()) {
            Found::Change(step) => change(&inner, &group, &desired, groups, step).await,
            Found::Better(better) => {
                tracing::info!(%better, "lets another node lead");
                let _ = group.transfer_leadership(better).await;
            }
            Found::Nothing => {}
        }
    }
}

/// What is to be done for a group.
enum Found {
    Change(Step),
    /// Somebody else should lead.
    Better(NodeId),
    Nothing,
}

fn look<S: StateMachine>(
    groups: &Groups,
    group: &RaftGroup<S>,
    desired: &impl Fn(&System) -> Option<Desired>,
    silent: &BTreeSet<NodeId>,
) -> Found {
    let status = group.status();
    if status.role != Role::Leader || status.membership.is_joint() {
        return Found::Nothing;
    }
    groups.map(|map| {
        let Some(desired) = desired(map) else {
            return Found::Nothing;
        };
        let step = next(status.node, &status.membership, map, &desired, silent);
        match step {
            Some(step) => Found::Change(step),
            None if status
                .membership
                .members
                .keys()
                .all(|node| *node <= map.last()) =>
            {
                better_leader(&status, &desired, silent).map_or(Found::Nothing, Found::Better)
            }
            None => Found::Nothing,
        }
    })
}

async fn change<N: Network, S: StateMachine>(
    inner: &Inner<N>,
    group: &RaftGroup<S>,
    desired: &impl Fn(&System) -> Option<Desired>,
    groups: &Groups,
    step: Step,
) {
    let deadline = Instant::now() + CHANGE_MAX;
    let changed = match step.clone() {
        Step::Replace { old, new } => replace(group, &old, new, deadline).await,
        Step::Remove(surplus) => {
            let position = group.status().membership.position;
            let nobody = BTreeSet::new();
            group.swap_voters(position, surplus, nobody, deadline).await
        }
        Step::Learner(learner) => group.add_learner(learner, deadline).await,
        Step::HandOver => {
            let desired = groups.map(desired);
            let silent = inner.silence.nodes();
            let may = |node| {
                let desired = desired.as_ref();
                !silent.contains(&node) && desired.is_some_and(|one| one.voters.contains(&node))
            };
            match group.status().next_leader(may) {
                Some(to) => group.transfer_leadership(to).await,
                None => Ok(()),
            }
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
    use std::num::{NonZeroU8, NonZeroU16};

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
                replicas: NonZeroU8::new(5).expect("not 0"),
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

    /// At the leader `me` of the system group.
    fn step_of(me: u64, membership: &Membership, map: &System) -> Option<Step> {
        let desired = Desired::of_system(map);
        next(NodeId(me), membership, map, &desired, &BTreeSet::new())
    }

    fn step(membership: &Membership, map: &System) -> Option<Step> {
        step_of(1, membership, map)
    }

    fn replaces<const N: usize>(dead: [u64; N], new: u64, slot: &str) -> Step {
        Step::Replace {
            old: ids(dead),
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

    fn remove(map: &mut System, node: u64) {
        let _ = map.apply(&Command::Remove { node: NodeId(node) });
    }

    /// At the leader 1 of a group in which `voters` should vote.
    fn towards<const N: usize>(
        voters: [u64; N],
        membership: &Membership,
        silent: &[u64],
    ) -> Option<Step> {
        let desired = Desired {
            voters: ids(voters),
            learners: BTreeSet::new(),
            leader: NodeId::NOBODY,
        };
        let silent = silent.iter().copied().map(NodeId).collect();
        next(NodeId(1), membership, &founded(), &desired, &silent)
    }

    #[test]
    fn who_is_desired_elsewhere_is_exchanged_one_by_one() {
        let first = towards([1, 4, 5], &membership([1, 2, 3], &[]), &[]);
        assert_eq!(first, Some(replaces([2], 4, "d")));
        let second = towards([1, 4, 5], &membership([1, 3, 4], &[]), &[]);
        assert_eq!(second, Some(replaces([3], 5, "e")));
        let silent_last = towards([1, 4, 5], &membership([1, 2, 3], &[]), &[4]);
        assert_eq!(silent_last, Some(replaces([2], 5, "e")));
        let grows = towards([1, 4, 5], &membership([1], &[]), &[]);
        assert_eq!(grows, Some(replaces([], 4, "d")));
    }

    #[test]
    fn a_leader_that_is_not_desired_goes_last_and_lets_another_lead() {
        let others_first = towards([3, 4, 5], &membership([1, 2, 3], &[]), &[]);
        assert_eq!(others_first, Some(replaces([2], 4, "d")));
        let me_alone = towards([3, 4, 5], &membership([1, 3, 4], &[]), &[]);
        assert_eq!(me_alone, Some(Step::HandOver));
        let all_vote = towards([3, 4, 5], &membership([1, 3, 4, 5], &[]), &[]);
        assert_eq!(all_vote, Some(Step::HandOver));
        // Nobody who is desired could lead yet.
        let alone = towards([3, 4, 5], &membership([1], &[]), &[]);
        assert_eq!(alone, Some(replaces([], 3, "c")));
    }

    #[test]
    fn who_was_removed_has_its_vote_taken_by_another_if_there_is_one() {
        let mut map = founded();
        remove(&mut map, 2);
        // Of four members three vote; the fourth is to listen.
        let voters = map.system().voters.clone();
        assert_eq!(voters.len(), 3);
        let step = step(&membership([1, 2, 3, 4, 5], &[]), &map);
        let gone = ids([1, 2, 3, 4, 5]).difference(&voters).copied().collect();
        let expected = if voters.contains(&NodeId(1)) {
            Step::Remove(gone)
        } else {
            Step::HandOver
        };
        assert_eq!(step, Some(expected));
        let shard = Desired {
            voters: ids([1, 3, 4]),
            learners: BTreeSet::new(),
            leader: NodeId(1),
        };
        let of_shard = membership([1, 2, 3], &[]);
        let step = next(NodeId(1), &of_shard, &map, &shard, &BTreeSet::new());
        assert_eq!(step, Some(replaces([2], 4, "d")));
    }

    #[test]
    fn who_is_a_member_and_should_not_vote_becomes_a_learner() {
        let mut map = founded();
        remove(&mut map, 5);
        let voters = map.system().voters.clone();
        let Some(listens) = map.members().difference(&voters).next().copied() else {
            panic!("three of four vote");
        };
        let leader = voters.first().expect("some").0;
        let mut now = membership([], &[]);
        now.members = voters.iter().map(|node| (*node, String::new())).collect();
        now.voters = vec![voters];
        let slot = ["a", "b", "c", "d"][usize::try_from(listens.0).expect("small") - 1];
        let learner = Address {
            node: listens,
            at: format!("{slot}:8081"),
        };
        assert_eq!(step_of(leader, &now, &map), Some(Step::Learner(learner)));
    }

    #[test]
    fn who_is_missing_and_silent_keeps_nobody_waiting() {
        let mut map = founded();
        register(&mut map, "b");
        // Node 6 should have the vote of node 2, and does not answer.
        let silent = ids([6]);
        let after = |membership: &Membership, map: &System| {
            let desired = Desired::of_system(map);
            next(NodeId(1), membership, map, &desired, &silent)
        };
        let mut idle = membership([1, 2, 3, 4, 5], &[]);
        let _ = idle.members.insert(NodeId(0), String::new());
        assert_eq!(after(&idle, &map), Some(Step::Remove(ids([0]))));
        let _ = map.apply(&Command::Register(Register {
            nonce: Nonce(300),
            supersedes: NodeId::NOBODY,
            description: description("f"),
        }));
        let now = membership([1, 2, 3, 4, 5], &[]);
        let learner = Address {
            node: NodeId(7),
            at: "f:8081".to_owned(),
        };
        assert_eq!(after(&now, &map), Some(Step::Learner(learner)));
        let listening = membership([1, 2, 3, 4, 5], &[7]);
        assert_eq!(after(&listening, &map), Some(replaces([2], 6, "b")));
    }

    #[test]
    fn another_leads_if_it_could_at_once() {
        let status = |lacks: u64| Status {
            node: NodeId(1),
            term: 1,
            role: Role::Leader,
            leader: Some(NodeId(1)),
            followed: true,
            last: Some(1_000),
            applied: None,
            purged: None,
            membership: membership([1, 2], &[]),
            membership_committed: true,
            replicated: [(NodeId(2), Some(1_000 - lacks))].into(),
            log_bytes: 0,
        };
        let desired = |leader| Desired {
            voters: ids([1, 2]),
            learners: BTreeSet::new(),
            leader: NodeId(leader),
        };
        let better = |lacks, leader, silent: &[u64]| {
            let silent = silent.iter().copied().map(NodeId).collect();
            better_leader(&status(lacks), &desired(leader), &silent)
        };
        assert_eq!(better(0, 2, &[]), Some(NodeId(2)));
        assert_eq!(better(0, 2, &[2]), None, "it is silent");
        assert_eq!(better(900, 2, &[]), None, "it lacks much");
        assert_eq!(better(0, 1, &[]), None, "this one should lead");
        assert_eq!(better(0, 3, &[]), None, "it has no vote");
    }
}
