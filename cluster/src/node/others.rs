//! What a node asks the others now and then: whether they are there, and who is in its own place.
//!
//! Who is replaced or removed hears of it from nobody, since its groups do not send to it any more: a
//! process that stood still for long enough, or two that were given one name. So a node asks the
//! others who is in its place. The numbers at a place only grow, so that a higher one is a successor,
//! however old the map of who says so; and a number that was removed never comes back. It goes on until
//! nobody needs its votes any more.
//!
//! Who does not answer is silent: for people to see, and so that others come first where a replica is to
//! be moved or led. No guarantee rests on it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use crate::{
    founding::Answer,
    identity::{GroupId, NodeId},
    peer::{Member, network::Network},
    system::System,
    transport::{Address, Request, Transport as _},
};

use super::{
    EPOCH, Groups, Inner,
    forward::{Forwarded, decode, encode},
    giving_up,
    joining::ask,
};

/// Between two questions.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// After so many questions without an answer, one after another, somebody is silent. Not after one:
/// a single answer may be late.
const UNANSWERED_MAX: u32 = 2;

/// Why a node is a member no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    /// This one has come to its place.
    Succeeded(NodeId),
    /// Its place was removed, and others hold what it held.
    Removed,
}

/// Who does not answer.
#[derive(Debug, Default)]
pub(super) struct Silence(Mutex<BTreeMap<NodeId, u32>>);

impl Silence {
    /// Nothing panics while it holds the lock, so a poisoned one is as good as any.
    fn unanswered(&self) -> MutexGuard<'_, BTreeMap<NodeId, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the answers to one round of questions: to whom, and whether there was one.
    fn hear(&self, answers: impl Iterator<Item = (NodeId, bool)>) {
        let mut unanswered = self.unanswered();
        let before = std::mem::take(&mut *unanswered);
        let silent = answers.filter(|(_, answered)| !answered);
        unanswered.extend(silent.map(|(node, _)| {
            let so_far = before.get(&node).copied().unwrap_or(0);
            (node, so_far.saturating_add(1))
        }));
    }

    /// Who is silent.
    pub(super) fn nodes(&self) -> BTreeSet<NodeId> {
        let unanswered = self.unanswered();
        let silent = unanswered
            .iter()
            .filter(|(_, times)| **times >= UNANSWERED_MAX);
        silent.map(|(node, _)| *node).collect()
    }
}

/// Of a member, until it stops or has a successor.
pub(super) async fn watch<N: Network>(inner: Arc<Inner<N>>) {
    loop {
        sleep(ASK_EVERY).await;
        if inner.is_stopping() {
            return;
        }
        let Some(groups) = inner.groups.get() else {
            return;
        };
        let question = inner.who();
        let asked = inner.others(groups).into_iter().map(async |other| {
            let answer = ask(&inner, &other.at, &question).await;
            (other.node, answer)
        });
        let answers = join_all(asked).await;
        let me = inner.identity.get();
        let heard = answers
            .iter()
            .map(|(node, answer)| (*node, is_there(me, answer.as_ref())));
        inner.silence.hear(heard);
        let gone = answers
            .iter()
            .find_map(|(_, answer)| gone(me, answer.as_ref()?));
        let Some(gone) = gone else {
            continue;
        };
        if !inner.unwanted.swap(true, Ordering::Relaxed) {
            match gone {
                Gone::Succeeded(by) => {
                    tracing::error!(%by, "another node has come to this one's place");
                }
                Gone::Removed => tracing::warn!("this node was removed from the cluster"),
            }
        }
        // It is told of no changes any more, and has to know who should hold what it holds.
        if let Some(map) = inner.map_of_others(groups).await {
            groups.set_newer_map(map);
        }
        if giving_up::has_given_up_all(&inner, groups).await {
            inner.gone.send_replace(Some(gone));
            return;
        }
    }
}

/// Whether the answer is one of a member of this cluster. Who has come to a place and is no member
/// yet, or one of another cluster, does not answer for who was there.
fn is_there(me: Member, answer: Option<&Answer>) -> bool {
    matches!(answer, Some(Answer::Member { cluster, .. }) if *cluster == me.cluster)
}

impl<N: Network> Inner<N> {
    /// The newest map that any of the others has.
    async fn map_of_others(&self, groups: &Groups) -> Option<System> {
        let asked = self.others(groups).into_iter().map(async |other| {
            let request = Request {
                group: GroupId::FORWARD,
                epoch: EPOCH,
                body: encode(&Forwarded::Map),
            };
            let deadline = Instant::now() + ASK_EVERY;
            let answer = self.peers.call(&other, request, deadline).await.ok()?;
            decode::<System>(&answer)
        });
        let maps = join_all(asked).await.into_iter().flatten();
        maps.max_by_key(System::version)
    }

    /// Who and where the others are, as this node's own map has it.
    pub(super) fn others(&self, groups: &Groups) -> Vec<Address> {
        let mine = &self.config.description.slot;
        groups.map(|map| {
            let others = map.slots().iter().filter(|(slot, _)| *slot != mine);
            let others = others.map(|(_, one)| Address {
                node: one.node,
                at: one.description.at.clone(),
            });
            others.collect()
        })
    }
}

/// Whether this node is a member no longer, by what another one answers.
fn gone(me: Member, answer: &Answer) -> Option<Gone> {
    match answer {
        Answer::Member {
            cluster,
            occupant: Some(occupant),
            removed,
            ..
        } if *cluster == me.cluster => {
            if *occupant > me.node {
                Some(Gone::Succeeded(*occupant))
            } else {
                (*removed && *occupant == me.node).then_some(Gone::Removed)
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::{founding::Nonce, identity::ClusterId};

    use super::*;

    #[test]
    fn a_later_occupant_or_a_removal_ends_it_and_nothing_that_is_older_or_of_others() {
        let me = Member {
            cluster: ClusterId(1),
            node: NodeId(5),
        };
        let answer = |cluster, occupant: Option<u64>, removed| Answer::Member {
            nonce: Nonce(1),
            slot: "b".to_owned(),
            cluster: ClusterId(cluster),
            occupant: occupant.map(NodeId),
            removed,
        };
        let said = |cluster, occupant, removed| gone(me, &answer(cluster, occupant, removed));
        assert_eq!(said(1, Some(5), false), None);
        assert_eq!(said(1, Some(5), true), Some(Gone::Removed));
        assert_eq!(said(1, Some(6), false), Some(Gone::Succeeded(NodeId(6))));
        assert_eq!(said(1, Some(6), true), Some(Gone::Succeeded(NodeId(6))));
        // Maps from before it came.
        assert_eq!(said(1, Some(4), false), None);
        assert_eq!(said(1, Some(4), true), None);
        assert_eq!(said(1, None, false), None);
        assert_eq!(said(2, Some(6), true), None);
        assert!(is_there(me, Some(&answer(1, None, false))));
        assert!(
            !is_there(me, Some(&answer(2, None, false))),
            "of another cluster"
        );
        assert!(!is_there(me, None));
    }

    #[test]
    fn who_has_not_answered_twice_is_silent_until_it_answers_or_is_gone() {
        let silence = Silence::default();
        let heard = |answers: &[(u64, bool)]| {
            let answers = answers.iter().map(|(node, heard)| (NodeId(*node), *heard));
            silence.hear(answers);
            silence
                .nodes()
                .iter()
                .map(|node| node.0)
                .collect::<Vec<_>>()
        };
        assert_eq!(heard(&[(2, false), (3, true)]), [0; 0], "it may be late");
        assert_eq!(heard(&[(2, false), (3, false)]), [2]);
        assert_eq!(heard(&[(2, false), (3, true)]), [2]);
        assert_eq!(heard(&[(2, true), (3, false)]), [0; 0]);
        assert_eq!(heard(&[(2, false), (3, false)]), [3]);
        assert_eq!(
            heard(&[(2, false), (4, true)]),
            [2],
            "another is in its place"
        );
        assert_eq!(silence.unanswered().len(), 1);
    }
}
