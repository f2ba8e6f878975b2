//! The invariants notice what they are for.

use trandb_cluster::{
    group::{Membership, Position, Role, Status},
    identity::NodeId,
};
use trandb_common::{Key, Value, Version};
use trandb_engine::Found;

use super::invariants::{Digests, History, Leaders};

fn leader(node: u64, term: u64) -> Status {
    Status {
        node: NodeId(node),
        term,
        role: Role::Leader,
        leader: Some(NodeId(node)),
        followed: true,
        last: None,
        applied: None,
        purged: None,
        membership: Membership::default(),
        membership_committed: true,
        replicated: [].into(),
        log_bytes: 0,
    }
}

#[test]
fn two_leaders_in_a_term_are_noticed() {
    let mut leaders = Leaders::default();
    assert_eq!(leaders.look(&leader(1, 1)), Ok(true));
    assert_eq!(leaders.look(&leader(1, 1)), Ok(false));
    assert_eq!(leaders.look(&leader(2, 2)), Ok(true));
    assert!(leaders.look(&leader(2, 1)).is_err());
}

#[test]
fn replicas_that_differ_are_noticed() {
    let at = |term, index| Position { term, index };
    let mut digests = Digests::default();
    assert_eq!(digests.look(NodeId(1), at(1, 7), 42), Ok(()));
    assert_eq!(digests.look(NodeId(2), at(1, 7), 42), Ok(()));
    assert!(digests.look(NodeId(3), at(1, 7), 43).is_err());
    assert!(digests.look(NodeId(3), at(2, 7), 42).is_err());
}

struct Told {
    history: History,
    key: Key,
}

impl Told {
    fn new() -> Self {
        Self {
            history: History::default(),
            key: Key::new("k").expect("legal"),
        }
    }

    fn value(text: &str) -> Value {
        Value::try_from(text).expect("legal")
    }

    fn version(counter: u64) -> Version {
        Version { epoch: 1, counter }
    }

    fn written(&mut self, text: &str, counter: u64) {
        let value = Self::value(text);
        let floor = self.history.begin_put(&self.key, &value);
        let version = Self::version(counter);
        self.history.acknowledged(&self.key, &value, version, floor);
    }

    fn read(&mut self, text: &str, counter: u64, floor: u64) {
        let found = Found {
            value: Self::value(text),
            version: Self::version(counter),
        };
        self.history.read(&self.key, Some(&found), floor);
    }
}

#[test]
fn a_stale_read_is_noticed() {
    let mut told = Told::new();
    told.written("a", 1);
    told.written("b", 2);
    told.read("a", 1, 1);
    assert_eq!(told.history.take_violation(), None, "it began before");
    let floor = told.history.begin_read(&told.key);
    told.read("a", 1, floor);
    assert!(told.history.take_violation().is_some());
}

#[test]
fn a_version_with_two_values_is_noticed() {
    let mut told = Told::new();
    told.written("a", 1);
    told.written("b", 2);
    told.read("b", 1, 0);
    assert!(told.history.take_violation().is_some());
}

#[test]
fn a_version_that_is_given_twice_is_noticed() {
    let mut told = Told::new();
    told.written("a", 1);
    told.written("b", 1);
    assert!(told.history.take_violation().is_some());
}

#[test]
fn a_value_that_nobody_wrote_is_noticed() {
    let mut told = Told::new();
    told.read("phantom", 1, 0);
    assert!(told.history.take_violation().is_some());
}
