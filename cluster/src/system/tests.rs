use std::num::NonZeroU8;

use proptest::prelude::*;

use crate::founding::{Charter, Founder};

use super::*;

fn description(slot: &str) -> Description {
    Description {
        slot: slot.to_owned(),
        at: format!("{slot}:8081"),
        client_at: format!("{slot}:8080"),
        zone: "z".to_owned(),
    }
}

fn founding() -> Founding {
    let founder = |(nonce, slot): (u128, &str)| Founder {
        nonce: Nonce(nonce),
        description: description(slot),
    };
    Founding {
        cluster: crate::identity::ClusterId(11),
        charter: Charter {
            shards: NonZeroU16::new(2).expect("not 0"),
            replicas: NonZeroU8::new(3).expect("not 0"),
            version_epoch: 5,
            outcome_bytes: 1_000,
        },
        founders: [(11, "a"), (12, "b"), (13, "c")].map(founder).to_vec(),
    }
}

fn founded() -> System {
    System::new(&founding())
}

fn register(nonce: u128, slot: &str, supersedes: u64) -> Command {
    Command::Register(Register {
        nonce: Nonce(nonce),
        supersedes: NodeId(supersedes),
        description: description(slot),
    })
}

fn ids<const N: usize>(ids: [u64; N]) -> BTreeSet<NodeId> {
    ids.map(NodeId).into()
}

fn voters(map: &System, shard: u16) -> BTreeSet<NodeId> {
    map.placement(ShardId(shard))
        .expect("a shard")
        .voters
        .clone()
}

#[test]
fn founders_have_the_first_numbers_and_vote_everywhere() {
    let map = founded();
    assert_eq!((map.version(), map.last()), (1, NodeId(3)));
    assert_eq!(map.system().voters, ids([1, 2, 3]));
    let leaders = [0, 1].map(|shard| map.placement(ShardId(shard)).expect("one").leader);
    assert_eq!(
        (map.system().leader, leaders),
        (NodeId(1), [2, 3].map(NodeId))
    );
    for shard in 0..2 {
        assert_eq!(voters(&map, shard), ids([1, 2, 3]));
    }
    assert_eq!(map.placement(ShardId(2)), None);
    assert_eq!(map.slots()["b"].node, NodeId(2));
}

#[test]
fn who_starts_anew_in_a_slot_supersedes_its_predecessor() {
    let mut map = founded();
    assert_eq!(
        map.apply(&register(20, "b", 2)),
        Reply::Registered(NodeId(4))
    );
    assert_eq!(map.version(), 2);
    assert_eq!(map.system().voters, ids([1, 3, 4]));
    assert_eq!(voters(&map, 1), ids([1, 3, 4]));
    assert_eq!(map.slots()["b"].predecessors, ids([2]));
    assert_eq!(map.occupant(NodeId(2)), None);
    assert_eq!(
        map.apply(&register(21, "b", 4)),
        Reply::Registered(NodeId(5))
    );
    assert_eq!(map.slots()["b"].predecessors, ids([2, 4]));
}

#[test]
fn the_same_start_has_one_number() {
    let mut map = founded();
    let _ = map.apply(&register(20, "b", 2));
    let before = map.clone();
    assert_eq!(
        map.apply(&register(20, "b", 2)),
        Reply::Registered(NodeId(4))
    );
    assert_eq!(map, before);
}

/// Sent twice, and the second copy comes when somebody else is there already.
#[test]
fn a_late_registration_changes_nothing() {
    let mut map = founded();
    let _ = map.apply(&register(20, "b", 2));
    let _ = map.apply(&register(21, "b", 4));
    let before = map.clone();
    assert_eq!(map.apply(&register(20, "b", 2)), Reply::Outdated(NodeId(5)));
    assert_eq!(map, before);
}

#[test]
fn a_new_name_is_a_new_slot_that_gets_its_share() {
    let mut map = founded();
    assert_eq!(
        map.apply(&register(20, "d", 7)),
        Reply::Outdated(NodeId::NOBODY)
    );
    assert_eq!(
        map.apply(&register(20, "d", 0)),
        Reply::Registered(NodeId(4))
    );
    assert_eq!(map.members(), ids([1, 2, 3, 4]));
    assert_eq!(map.system().voters, ids([1, 2, 3]), "three are enough");
    let holds = (0..2).filter(|shard| voters(&map, *shard).contains(&NodeId(4)));
    assert_eq!(holds.count(), 1);
    let _ = map.apply(&register(21, "e", 0));
    assert_eq!(map.system().voters, ids([1, 2, 3, 4, 5]), "two may die");
    for shard in 0..2 {
        assert_eq!(voters(&map, shard).len(), 3);
    }
}

#[test]
fn what_cannot_be_is_refused() {
    let mut map = founded();
    let before = map.clone();
    let long = "x".repeat(TEXT_BYTES_MAX + 1);
    assert_eq!(map.apply(&register(20, &long, 0)), Reply::Illegal);
    assert_eq!(map, before);
    for n in 4..=SLOTS_MAX as u128 {
        let reply = map.apply(&register(100 + n, &format!("n{n}"), 0));
        assert!(matches!(reply, Reply::Registered(_)), "{reply:?}");
    }
    let before = map.clone();
    assert_eq!(map.apply(&register(20, "one more", 0)), Reply::Full);
    assert_eq!(map, before);
    assert!(
        matches!(map.apply(&register(21, "b", 2)), Reply::Registered(_)),
        "who is there may start anew"
    );
}

fn remove(node: u64) -> Command {
    Command::Remove { node: NodeId(node) }
}

#[test]
fn who_is_removed_holds_nothing_and_what_it_held_others_hold() {
    let mut map = founded();
    let _ = map.apply(&register(20, "d", 0));
    assert_eq!(map.apply(&remove(1)), Reply::Removed);
    assert_eq!(map.members(), ids([2, 3, 4]));
    assert_eq!(map.system().voters, ids([2, 3, 4]));
    for shard in 0..2 {
        assert_eq!(voters(&map, shard), ids([2, 3, 4]));
    }
    let removed = Tenant {
        node: NodeId(1),
        removed: true,
    };
    assert_eq!(map.tenant("a"), Some(removed));
    let before = map.clone();
    assert_eq!(map.apply(&remove(1)), Reply::Noted, "once is enough");
    assert_eq!(map, before);
    let _ = map.apply(&remove(2));
    let _ = map.apply(&remove(3));
    assert_eq!(voters(&map, 0), ids([4]));
    assert_eq!(map.apply(&remove(4)), Reply::LastMember);
}

/// The registration of a process that was removed since.
#[test]
fn what_is_late_does_not_bring_a_removed_slot_back() {
    let mut map = founded();
    let _ = map.apply(&register(20, "d", 0));
    let _ = map.apply(&register(21, "d", 4));
    let _ = map.apply(&remove(5));
    let before = map.clone();
    assert_eq!(map.apply(&register(20, "d", 0)), Reply::Outdated(NodeId(5)));
    assert_eq!(map.apply(&register(21, "d", 4)), Reply::Outdated(NodeId(5)));
    assert_eq!(map, before);
    // Who knows of it is another.
    assert_eq!(
        map.apply(&register(22, "d", 5)),
        Reply::Registered(NodeId(6))
    );
    assert_eq!(map.slots()["d"].predecessors, ids([]));
    assert_eq!(map.tenant("d").map(|tenant| tenant.removed), Some(false));
}

#[test]
fn removed_slots_are_remembered_within_bounds() {
    let mut map = founded();
    for n in 0..2 * REMOVED_MAX as u128 {
        let _ = map.apply(&register(100 + n, &format!("n{n}"), 0));
        let _ = map.apply(&remove(map.last().0));
    }
    assert_eq!(map.removed.len(), REMOVED_MAX);
    assert_eq!(map.tenant("n0"), None);
    assert!(map.tenant(&format!("n{}", 2 * REMOVED_MAX - 1)).is_some());
}

#[test]
fn who_leaves_is_noted_until_somebody_else_comes() {
    let mut map = founded();
    let left = |node| Command::Left { node: NodeId(node) };
    assert_eq!(map.apply(&left(2)), Reply::Noted);
    assert_eq!((map.slots()["b"].state, map.version()), (State::Left, 2));
    assert_eq!(map.apply(&left(2)), Reply::Noted);
    assert_eq!(map.version(), 2);
    let _ = map.apply(&register(20, "b", 2));
    assert_eq!(map.apply(&left(2)), Reply::Noted);
    assert_eq!((map.slots()["b"].state, map.version()), (State::Up, 3));
}

#[test]
fn predecessors_are_bounded() {
    let mut map = founded();
    let mut occupant = 1;
    for nonce in 0..2 * PREDECESSORS_MAX as u128 {
        let reply = map.apply(&register(100 + nonce, "a", occupant));
        occupant = map.last().0;
        assert_eq!(reply, Reply::Registered(NodeId(occupant)));
    }
    let predecessors = &map.slots()["a"].predecessors;
    assert_eq!(predecessors.len(), PREDECESSORS_MAX);
    assert!(predecessors.contains(&NodeId(occupant - 1)), "the latest");
}

/// Few of each, so that they meet.
fn command() -> impl Strategy<Value = Command> {
    let slot = prop::sample::select(vec!["a", "b", "c", "d", "e"]);
    prop_oneof![
        4 => (10..30_u128, slot, 0..12_u64)
            .prop_map(|(nonce, slot, supersedes)| register(nonce, slot, supersedes)),
        1 => (0..12_u64).prop_map(|node| Command::Left { node: NodeId(node) }),
        1 => (0..12_u64).prop_map(remove),
    ]
}

proptest! {
    #[test]
    fn the_map_keeps_its_invariants(commands in prop::collection::vec(command(), 0..60)) {
        let mut map = founded();
        // Who has which number, ever.
        let mut numbers: BTreeMap<NodeId, Nonce> =
            founding().numbered().map(|(node, founder)| (node, founder.nonce)).collect();
        for command in &commands {
            let before = map.clone();
            let reply = map.apply(command);
            prop_assert_eq!(map != before, map.version() > before.version());
            prop_assert!(map.last() >= before.last());
            if let (Reply::Registered(node), Command::Register(register)) = (reply, command) {
                let nonce = *numbers.entry(node).or_insert(register.nonce);
                prop_assert_eq!(nonce, register.nonce, "a number belongs to one start");
                prop_assert_eq!(map.slots()[&register.description.slot].node, node);
            }
            let occupants: BTreeSet<NodeId> = map.slots().values().map(|one| one.node).collect();
            prop_assert!((1..=5).contains(&occupants.len()));
            let system = if occupants.len() < 5 { 3 } else { 5 };
            prop_assert_eq!(map.system().voters.len(), system.min(occupants.len()));
            let all = [map.system(), map.placement(ShardId(0)).unwrap(), map.placement(ShardId(1)).unwrap()];
            for placement in all {
                prop_assert!(placement.voters.is_subset(&occupants));
                prop_assert!(placement.voters.contains(&placement.leader));
            }
            for shard in 0..2 {
                prop_assert_eq!(voters(&map, shard).len(), 3.min(occupants.len()));
            }
            for occupant in map.slots().values() {
                let older = occupant.predecessors.iter().all(|node| *node < occupant.node);
                prop_assert!(older);
            }
            let sent = postcard::to_stdvec(command).expect("bytes").len();
            prop_assert!(System::command_bytes(command) >= sent);
        }
        let bytes = map.snapshot();
        let restored = System::restore(&bytes).expect("a snapshot");
        prop_assert_eq!(restored.snapshot(), bytes);
        prop_assert_eq!(restored, map);
    }

    #[test]
    fn any_bytes_are_a_snapshot_or_none(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = System::restore(&bytes);
    }
}
