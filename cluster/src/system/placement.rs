//! Who should hold which group, and who should lead it: pure functions of who is there.
//!
//! Tests: below, with any members, zones and changes.

use std::collections::{BTreeMap, BTreeSet};

use crate::identity::NodeId;

/// A node that groups can be placed at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place<'a> {
    pub(super) node: NodeId,
    /// What it shares its fate with; empty if nobody says, and then with no other.
    pub(super) zone: &'a str,
    /// Whether it can lead, as far as it has said so.
    pub(super) is_up: bool,
}

/// The nodes, how many groups each holds, and whose fate is whose.
struct Spread<'a> {
    places: &'a [Place<'a>],
    zones: BTreeMap<NodeId, &'a str>,
    loads: BTreeMap<NodeId, usize>,
}

/// Gives each group `replicas` voters, or all there are: with as many zones in it as can be, all
/// nodes about equally often, and no more changes than that takes.
///
/// `places` are in an order that does not change when a node starts anew.
pub(super) fn spread(groups: &mut [&mut BTreeSet<NodeId>], places: &[Place<'_>], replicas: usize) {
    let size = replicas.min(places.len());
    let mut spread = Spread {
        places,
        zones: places
            .iter()
            .map(|place| (place.node, place.zone))
            .collect(),
        loads: places.iter().map(|place| (place.node, 0)).collect(),
    };
    for group in &mut *groups {
        group.retain(|node| spread.loads.contains_key(node));
        for node in group.iter() {
            spread.count(*node, 1);
        }
    }
    for group in &mut *groups {
        while group.len() > size {
            spread.take_one(group);
        }
        while group.len() < size {
            spread.add_one(group);
        }
    }
    // Each move makes fewer pairs share their fate, or as many and the loads more equal: it ends.
    while groups.iter_mut().any(|group| spread.part_zones(group)) {}
    while spread.level(groups) {}
}

impl Spread<'_> {
    fn load(&self, node: NodeId) -> usize {
        self.loads.get(&node).copied().unwrap_or(0)
    }

    fn count(&mut self, node: NodeId, change: isize) {
        if let Some(load) = self.loads.get_mut(&node) {
            *load = load.saturating_add_signed(change);
        }
    }

    /// How many others of `group` share the fate of `node`.
    fn company(&self, group: &BTreeSet<NodeId>, node: NodeId) -> usize {
        self.company_instead(group, node, node)
    }

    /// With how many of `group` node `to` shares its fate in the place of `from`.
    fn company_instead(&self, group: &BTreeSet<NodeId>, from: NodeId, to: NodeId) -> usize {
        let zone = |node| self.zones.get(&node).copied().unwrap_or_default();
        let mine = zone(to);
        if mine.is_empty() {
            return 0;
        }
        let others = group.iter().filter(|other| **other != from);
        others.filter(|other| zone(**other) == mine).count()
    }

    fn others<'a>(&'a self, group: &'a BTreeSet<NodeId>) -> impl Iterator<Item = NodeId> + 'a {
        let all = self.places.iter().map(|place| place.node);
        all.filter(|node| !group.contains(node))
    }

    fn take_one(&mut self, group: &mut BTreeSet<NodeId>) {
        let most = |node: &NodeId| (self.company(group, *node), self.load(*node));
        if let Some(node) = group.iter().copied().max_by_key(most) {
            group.remove(&node);
            self.count(node, -1);
        }
    }

    fn add_one(&mut self, group: &mut BTreeSet<NodeId>) {
        let least = |node: &NodeId| (self.company(group, *node), self.load(*node));
        if let Some(node) = self.others(group).min_by_key(least) {
            group.insert(node);
            self.count(node, 1);
        }
    }

    fn swap(&mut self, group: &mut BTreeSet<NodeId>, from: NodeId, to: NodeId) {
        group.remove(&from);
        group.insert(to);
        self.count(from, -1);
        self.count(to, 1);
    }

    /// Makes one move after which fewer nodes of the group share their fate; false: there is none.
    fn part_zones(&mut self, group: &mut BTreeSet<NodeId>) -> bool {
        let from = group.iter().copied();
        let from = from.max_by_key(|node| (self.company(group, *node), self.load(*node)));
        let Some(from) = from else { return false };
        let company = self.company(group, from);
        let better = |to: &NodeId| self.company_instead(group, from, *to) < company;
        let to = self.others(group).filter(better);
        let Some(to) = to.min_by_key(|to| (self.company_instead(group, from, *to), self.load(*to)))
        else {
            return false;
        };
        self.swap(group, from, to);
        true
    }

    /// Makes one move from a node that holds at least two groups more than another; false: there is
    /// none that makes no zone worse.
    fn level(&mut self, groups: &mut [&mut BTreeSet<NodeId>]) -> bool {
        let mut by_load: Vec<NodeId> = self.places.iter().map(|place| place.node).collect();
        by_load.sort_by_key(|node| self.load(*node));
        for &from in by_load.iter().rev() {
            for &to in &by_load {
                if self.load(from) < self.load(to) + 2 {
                    break;
                }
                let found = groups.iter_mut().find(|group| {
                    group.contains(&from)
                        && !group.contains(&to)
                        && self.company_instead(group, from, to) <= self.company(group, from)
                });
                if let Some(group) = found {
                    self.swap(group, from, to);
                    return true;
                }
            }
        }
        false
    }
}

/// Who should lead each group: one of its voters that is up, all about equally often.
pub(super) fn leaders<'a>(
    groups: impl Iterator<Item = &'a BTreeSet<NodeId>>,
    places: &[Place<'_>],
) -> Vec<NodeId> {
    let mut leads: BTreeMap<NodeId, usize> = BTreeMap::new();
    groups
        .map(|group| {
            let voters = places.iter().filter(|place| group.contains(&place.node));
            let fewest = voters.min_by_key(|place| {
                let so_far = leads.get(&place.node).copied().unwrap_or(0);
                (!place.is_up, so_far)
            });
            let leader = fewest.map_or(NodeId::NOBODY, |place| place.node);
            *leads.entry(leader).or_insert(0) += 1;
            leader
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ZONES: [&str; 4] = ["", "x", "y", "z"];

    fn places(zones: &[(usize, bool)]) -> Vec<Place<'static>> {
        let place = |(node, (zone, is_up)): (u64, &(usize, bool))| Place {
            node: NodeId(node),
            zone: ZONES[*zone],
            is_up: *is_up,
        };
        (1..).zip(zones).map(place).collect()
    }

    fn spread_over(groups: &mut [BTreeSet<NodeId>], places: &[Place<'_>], replicas: usize) {
        let mut groups: Vec<&mut BTreeSet<NodeId>> = groups.iter_mut().collect();
        spread(&mut groups, places, replicas);
    }

    fn loads(groups: &[BTreeSet<NodeId>], places: &[Place<'_>]) -> Vec<usize> {
        let load = |node| groups.iter().filter(|group| group.contains(&node)).count();
        places.iter().map(|place| load(place.node)).collect()
    }

    fn difference(counts: &[usize]) -> usize {
        counts.iter().max().unwrap_or(&0) - counts.iter().min().unwrap_or(&0)
    }

    fn zones_in(group: &BTreeSet<NodeId>, places: &[Place<'_>]) -> usize {
        let here = places.iter().filter(|place| group.contains(&place.node));
        let (nowhere, zones): (Vec<&str>, Vec<&str>) = here
            .map(|place| place.zone)
            .partition(|zone| zone.is_empty());
        nowhere.len() + zones.into_iter().collect::<BTreeSet<_>>().len()
    }

    #[test]
    fn a_fourth_node_gets_its_share_and_no_group_changes_twice() {
        let places = places(&[(0, true); 4]);
        let mut groups = vec![BTreeSet::from([1, 2, 3].map(NodeId)); 16];
        let before = groups.clone();
        spread_over(&mut groups, &places, 3);
        assert_eq!(loads(&groups, &places), [12; 4]);
        let moves = groups.iter().zip(&before);
        let moves: Vec<usize> = moves
            .map(|(now, then)| now.difference(then).count())
            .collect();
        assert_eq!(moves.iter().sum::<usize>(), 12, "as many as it should hold");
        assert_eq!(moves.iter().max(), Some(&1));
    }

    #[test]
    fn two_nodes_of_a_zone_do_not_hold_the_same_group_if_there_are_zones_enough() {
        let places = places(&[(1, true), (1, true), (2, true), (2, true), (3, true)]);
        let mut groups = vec![BTreeSet::from([1, 2, 3].map(NodeId)); 8];
        spread_over(&mut groups, &places, 3);
        for group in &groups {
            assert_eq!(zones_in(group, &places), 3, "{group:?}");
        }
        // The only one of its zone holds all; the others share the rest.
        assert_eq!(loads(&groups, &places), [4, 4, 4, 4, 8]);
    }

    #[test]
    fn who_has_left_leads_nothing_unless_nobody_else_can() {
        let places = places(&[(0, true), (0, false), (0, true)]);
        let all = BTreeSet::from([1, 2, 3].map(NodeId));
        let second = BTreeSet::from([NodeId(2)]);
        let groups = [&all, &all, &all, &second, &all];
        let leaders = leaders(groups.into_iter(), &places);
        assert_eq!(leaders, [1, 3, 1, 2, 3].map(NodeId));
    }

    proptest! {
        #[test]
        fn any_change_ends_in_full_groups_that_are_spread(
            zones in prop::collection::vec((0..4_usize, any::<bool>()), 1..9),
            before in prop::collection::vec(prop::collection::btree_set(0..12_u64, 0..6), 1..20),
            replicas in 1..6_usize,
        ) {
            let places = places(&zones);
            let mut groups: Vec<BTreeSet<NodeId>> = before
                .iter()
                .map(|group| group.iter().copied().map(NodeId).collect())
                .collect();
            spread_over(&mut groups, &places, replicas);
            let size = replicas.min(places.len());
            let nowhere = zones.iter().filter(|(zone, _)| *zone == 0).count();
            let named: BTreeSet<usize> = zones.iter().map(|(zone, _)| *zone).filter(|zone| *zone != 0).collect();
            let most_zones = size.min(nowhere + named.len());
            for group in &groups {
                prop_assert_eq!(group.len(), size);
                prop_assert!(group.iter().all(|node| (1..=zones.len() as u64).contains(&node.0)));
                prop_assert_eq!(zones_in(group, &places), most_zones, "{:?} of {:?}", group, places);
            }
            if named.is_empty() {
                prop_assert!(difference(&loads(&groups, &places)) <= 1, "{:?}", groups);
            }
            let settled = groups.clone();
            spread_over(&mut groups, &places, replicas);
            prop_assert_eq!(&groups, &settled, "nothing is left to do");
            let leaders = leaders(groups.iter(), &places);
            for (leader, group) in leaders.iter().zip(&groups) {
                prop_assert!(group.contains(leader));
            }
            if size == places.len() {
                // All hold all: then as many as are up share evenly.
                let up = places.iter().filter(|place| place.is_up);
                let led: Vec<usize> = up
                    .map(|place| leaders.iter().filter(|leader| **leader == place.node).count())
                    .collect();
                prop_assert!(difference(&led) <= 1, "{:?}", led);
            }
        }
    }
}
