//! Who may speak to whom, as pure rules.
//!
//! | Hello | taken if | may ask |
//! |---|---|---|
//! | cluster, from, to all given | the cluster is ours, `to` is us, `from` is not | anything |
//! | any of them missing | what is given does not contradict | [`GroupId::BOOTSTRAP`] alone |
//!
//! Both sides check: the caller whether it has reached the node that it meant, the other whether
//! it is the one that is meant. So nobody ever answers in the name of a predecessor at the same
//! address, although it has lost all that the predecessor knew: an acknowledgement or a vote of
//! such a node would be a lie. Every request names its node again, and is checked again.
//!
//! What is not here: authentication. Whoever reaches the port and knows the cluster's id may say
//! that it is any node but this one: the ports of peers belong into a network of their own.

use std::sync::{Arc, OnceLock};

use super::frame::{Hello, VERSION};
use crate::{
    identity::{ClusterId, GroupId, NodeId},
    transport::Refusal,
};

/// A node of a cluster.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Member {
    /// Which cluster.
    pub cluster: ClusterId,
    /// Which node of it.
    pub node: NodeId,
}

/// Who this process is: at first nobody, then one member of one cluster for as long as it runs.
/// Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Identity(Arc<OnceLock<Member>>);

impl Identity {
    /// Of a process that has not joined a cluster yet.
    pub fn nobody() -> Self {
        Self::default()
    }

    /// Of a member.
    pub fn of(member: Member) -> Self {
        Self(Arc::new(OnceLock::from(member)))
    }

    /// Joins the cluster.
    ///
    /// # Errors
    ///
    /// Who it is already: nobody ever becomes somebody else.
    pub fn become_member(&self, member: Member) -> Result<(), Member> {
        self.0.set(member).map_err(|_| self.get())
    }

    /// Who it is now; the default for nobody.
    pub fn get(&self) -> Member {
        self.0.get().copied().unwrap_or_default()
    }
}

/// What a caller may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Both know each other: anything.
    Known,
    /// One of the two has no number, or did not say whom it means: bootstrap calls.
    Stranger,
}

/// What `me` says when it calls `to`, or answers it.
pub(super) fn hello(me: Member, to: NodeId) -> Hello {
    Hello {
        version: VERSION,
        cluster: me.cluster,
        from: me.node,
        to,
    }
}

/// Whether `me` listens to who says `hello`.
pub(super) fn admit(me: Member, hello: &Hello) -> Result<Standing, Refusal> {
    let Hello {
        cluster, from, to, ..
    } = *hello;
    if contradict(me.cluster, cluster) {
        return Err(Refusal::WrongCluster { here: me.cluster });
    }
    if from == me.node && from != NodeId::NOBODY {
        return Err(Refusal::SameNode);
    }
    if to != me.node && to != NodeId::NOBODY {
        return Err(Refusal::WrongNode { here: me.node });
    }
    let all_given = cluster != ClusterId::NONE && from != NodeId::NOBODY && to != NodeId::NOBODY;
    Ok(if all_given {
        Standing::Known
    } else {
        Standing::Stranger
    })
}

/// Whether who answers a Hello of `me` with its own is the node `to` that was meant. The refusal is
/// the one that the node would have given.
pub(super) fn check_answer(me: Member, to: NodeId, answer: &Hello) -> Result<(), Refusal> {
    if contradict(me.cluster, answer.cluster) {
        return Err(Refusal::WrongCluster {
            here: answer.cluster,
        });
    }
    if answer.from != to && to != NodeId::NOBODY {
        return Err(Refusal::WrongNode { here: answer.from });
    }
    Ok(())
}

fn contradict(ours: ClusterId, theirs: ClusterId) -> bool {
    ours != theirs && ours != ClusterId::NONE && theirs != ClusterId::NONE
}

/// Whether a request to the node `to` and `group` of it may go to the handler of `me`.
pub(super) fn admit_request(
    me: Member,
    standing: Standing,
    to: NodeId,
    group: GroupId,
) -> Result<(), Refusal> {
    let bootstraps = group == GroupId::BOOTSTRAP;
    let is_anybody = to == NodeId::NOBODY && bootstraps;
    if to != me.node && !is_anybody {
        return Err(Refusal::WrongNode { here: me.node });
    }
    if standing == Standing::Stranger && !bootstraps {
        return Err(Refusal::BootstrapOnly);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Member = Member {
        cluster: ClusterId(9),
        node: NodeId(7),
    };
    const NOBODY: Member = Member {
        cluster: ClusterId::NONE,
        node: NodeId::NOBODY,
    };

    fn said(me: Member, cluster: u128, from: u64, to: u64) -> Result<Standing, Refusal> {
        let (cluster, from, to) = (ClusterId(cluster), NodeId(from), NodeId(to));
        let hello = Hello {
            version: VERSION,
            cluster,
            from,
            to,
        };
        admit(me, &hello)
    }

    #[test]
    fn a_member_listens_to_members_of_its_cluster_who_mean_it() {
        assert_eq!(said(HERE, 9, 1, 7), Ok(Standing::Known));
        let wrong_cluster = Refusal::WrongCluster { here: ClusterId(9) };
        assert_eq!(said(HERE, 8, 1, 7), Err(wrong_cluster));
        let wrong_node = Refusal::WrongNode { here: NodeId(7) };
        assert_eq!(said(HERE, 9, 1, 6), Err(wrong_node));
        assert_eq!(said(HERE, 9, 7, 7), Err(Refusal::SameNode));
    }

    #[test]
    fn whoever_leaves_something_open_is_a_stranger_and_may_not_contradict() {
        assert_eq!(said(HERE, 0, 0, 0), Ok(Standing::Stranger));
        assert_eq!(said(HERE, 9, 1, 0), Ok(Standing::Stranger));
        assert_eq!(said(HERE, 0, 0, 7), Ok(Standing::Stranger));
        assert_eq!(said(HERE, 0, 1, 7), Ok(Standing::Stranger));
        for hello in [(8, 1, 0), (8, 0, 0), (0, 0, 6), (0, 7, 0)] {
            let (cluster, from, to) = hello;
            assert!(said(HERE, cluster, from, to).is_err(), "{hello:?}");
        }
    }

    #[test]
    fn nobody_is_nobody_in_particular() {
        assert_eq!(said(NOBODY, 9, 1, 0), Ok(Standing::Stranger));
        assert_eq!(said(NOBODY, 0, 0, 0), Ok(Standing::Stranger));
        let wrong_node = Refusal::WrongNode {
            here: NodeId::NOBODY,
        };
        assert_eq!(said(NOBODY, 9, 1, 7), Err(wrong_node));
    }

    #[test]
    fn a_caller_speaks_only_to_the_node_that_it_meant() {
        let answer = |me, to, answer: Member| check_answer(me, to, &hello(answer, NodeId(7)));
        let other = Member {
            node: NodeId(1),
            ..HERE
        };
        assert_eq!(answer(HERE, NodeId(1), other), Ok(()));
        assert_eq!(answer(HERE, NodeId::NOBODY, other), Ok(()));
        assert_eq!(answer(HERE, NodeId::NOBODY, NOBODY), Ok(()));
        assert_eq!(answer(NOBODY, NodeId::NOBODY, other), Ok(()));
        let wrong_node = Refusal::WrongNode { here: NodeId(1) };
        assert_eq!(answer(HERE, NodeId(2), other), Err(wrong_node));
        let stranger = Member {
            cluster: ClusterId(8),
            ..other
        };
        let wrong_cluster = Refusal::WrongCluster { here: ClusterId(8) };
        assert_eq!(answer(HERE, NodeId(1), stranger), Err(wrong_cluster));
        let mute = Refusal::WrongNode {
            here: NodeId::NOBODY,
        };
        assert_eq!(answer(HERE, NodeId(1), NOBODY), Err(mute));
    }

    #[test]
    fn every_request_names_its_node_again() {
        use Standing::{Known, Stranger};
        let asked = |standing, to, group| admit_request(HERE, standing, NodeId(to), group);
        let wrong_node = Err(Refusal::WrongNode { here: NodeId(7) });
        for group in [GroupId::SYSTEM, GroupId(3)] {
            assert_eq!(asked(Known, 7, group), Ok(()));
            assert_eq!(asked(Known, 6, group), wrong_node);
            assert_eq!(asked(Known, 0, group), wrong_node);
            assert_eq!(asked(Stranger, 7, group), Err(Refusal::BootstrapOnly));
        }
        for standing in [Known, Stranger] {
            assert_eq!(asked(standing, 7, GroupId::BOOTSTRAP), Ok(()));
            assert_eq!(asked(standing, 0, GroupId::BOOTSTRAP), Ok(()));
            assert_eq!(asked(standing, 6, GroupId::BOOTSTRAP), wrong_node);
        }
    }

    /// A request to nobody in particular must not reach a group of a node that is nobody.
    #[test]
    fn nobody_has_no_groups() {
        let asked = admit_request(NOBODY, Standing::Stranger, NodeId::NOBODY, GroupId::SYSTEM);
        assert_eq!(asked, Err(Refusal::BootstrapOnly));
    }

    #[test]
    fn nobody_becomes_somebody_once() {
        let identity = Identity::nobody();
        assert_eq!(identity.get(), NOBODY);
        let clone = identity.clone();
        assert_eq!(identity.become_member(HERE), Ok(()));
        assert_eq!(clone.get(), HERE);
        assert_eq!(clone.become_member(NOBODY), Err(HERE));
    }
}
