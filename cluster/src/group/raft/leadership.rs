//! What a replica claims when it leads, for whoever asks the others whether it is true.

use std::{collections::BTreeSet, sync::Arc};

use openraft::{ServerState, async_runtime::WatchReceiver as _};

use crate::{
    group::{ReadError, StateMachine},
    identity::NodeId,
    transport::Address,
};

use super::{
    Inner, address,
    types::{StoredMembership, position},
};

/// That a replica leads in a term in which it has applied an entry. True as long as a majority has
/// voted for it in this term, and for nobody later.
#[derive(Debug, Clone)]
pub struct Leadership {
    term: u64,
    membership: Arc<StoredMembership>,
}

impl Leadership {
    /// In which it leads.
    pub fn term(&self) -> u64 {
        self.term
    }

    /// Who else has a vote: more than a majority needs.
    pub fn voters(&self, me: NodeId) -> impl Iterator<Item = Address> {
        let voters = self
            .membership
            .voter_ids()
            .filter(move |voter| *voter != me);
        voters.filter_map(|node| {
            let at = self.membership.membership().get_node(&node)?;
            Some(Address {
                node,
                at: at.clone(),
            })
        })
    }

    /// Whether `nodes` are a majority; of both sets of voters, while they change.
    pub fn is_majority(&self, nodes: &BTreeSet<NodeId>) -> bool {
        let mut sets = self.membership.membership().get_joint_config().iter();
        sets.all(|voters| 2 * voters.intersection(nodes).count() > voters.len())
    }
}

impl<S: StateMachine> Inner<S> {
    /// Who leads instead of this replica, as it believes; none: it leads, or nobody.
    #[allow(clippy::significant_drop_tightening)]
    pub(super) fn leads_instead(&self) -> Option<Address> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let leader = metrics
            .current_leader
            .filter(|leader| *leader != self.node)?;
        let at = metrics.membership_config.membership().get_node(&leader)?;
        address(Some(leader), Some(at.clone()))
    }

    /// Read after whatever the leadership is to be confirmed for.
    #[allow(clippy::significant_drop_tightening)]
    pub(super) fn leadership(&self) -> Result<Leadership, ReadError> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        if metrics.running_state.is_err() {
            return Err(ReadError::Stopped);
        }
        let membership = &metrics.membership_config;
        let elsewhere = || {
            let leader = metrics.current_leader.filter(|leader| *leader != self.node);
            let at = leader.and_then(|leader| membership.membership().get_node(&leader));
            let leader = address(leader, at.cloned());
            ReadError::NotLeader { leader }
        };
        if metrics.state != ServerState::Leader {
            return Err(elsewhere());
        }
        let applied = self.machine.with(|applied| applied.last);
        let term = applied.as_ref().map(|last| position(last).term);
        match term {
            Some(term) if self.log.has_voted_for(self.node, term) => Ok(Leadership {
                term,
                membership: Arc::clone(membership),
            }),
            // New, or not any more.
            _ => Err(ReadError::NoMajority),
        }
    }
}

#[cfg(test)]
mod tests {
    use openraft::Membership;

    use super::*;

    fn leadership(sets: &[&[u64]]) -> Leadership {
        let sets: Vec<BTreeSet<NodeId>> = sets
            .iter()
            .map(|voters| voters.iter().copied().map(NodeId).collect())
            .collect();
        let nodes = sets.iter().flatten().map(|node| (*node, node.to_string()));
        let nodes: std::collections::BTreeMap<NodeId, String> = nodes.collect();
        let membership = Membership::new(sets, nodes).expect("legal");
        Leadership {
            term: 1,
            membership: Arc::new(StoredMembership::new(None, membership)),
        }
    }

    fn is_majority(leadership: &Leadership, nodes: &[u64]) -> bool {
        leadership.is_majority(&nodes.iter().copied().map(NodeId).collect())
    }

    #[test]
    fn more_than_half_of_the_voters_are_a_majority() {
        let three = leadership(&[&[1, 2, 3]]);
        assert!(!is_majority(&three, &[1]));
        assert!(!is_majority(&three, &[1, 7, 8]));
        assert!(is_majority(&three, &[1, 3]));
        let two = leadership(&[&[1, 2]]);
        assert!(!is_majority(&two, &[1]));
        assert!(is_majority(&two, &[1, 2]));
    }

    #[test]
    fn while_voters_change_it_takes_a_majority_of_both_sets() {
        let joint = leadership(&[&[1, 2, 3], &[1, 4, 5]]);
        assert!(!is_majority(&joint, &[1, 2, 3]));
        assert!(!is_majority(&joint, &[1, 4, 5]));
        assert!(is_majority(&joint, &[1, 2, 4]));
        let others: BTreeSet<u64> = joint.voters(NodeId(1)).map(|voter| voter.node.0).collect();
        assert_eq!(others, [2, 3, 4, 5].into());
    }
}
