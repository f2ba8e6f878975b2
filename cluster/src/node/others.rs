//! What a node asks the others now and then: whether they are there, and who is in its own place.
//!
//! Who is replaced hears of it from nobody, since its groups do not send to it any more: a process
//! that stood still for long enough, or two that were given one name. So a node asks the others who is
//! in its place. The numbers at a place only grow, so that a higher one is a successor, however old
//! the map of who says so.
//!
//! Who does not answer is silent, for people to see: nothing that the cluster decides rests on it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future::join_all;
use tokio::time::sleep;

use crate::{
    founding::Answer, group::Group as _, identity::NodeId, peer::network::Network, system::System,
};

use super::{Inner, joining::ask};

/// Between two questions.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// After so many questions without an answer, one after another, somebody is silent. Not after one:
/// a single answer may be late.
const UNANSWERED_MAX: u32 = 2;

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
        let question = inner.who();
        let asked = others(&inner).into_iter().map(async |(node, at)| {
            let answer = ask(&inner, &at, &question).await;
            (node, answer)
        });
        let answers = join_all(asked).await;
        // Who has come to a place and is no member yet does not answer for who was there.
        let is_there = |answer: &Option<Answer>| matches!(answer, Some(Answer::Member { .. }));
        let heard = answers
            .iter()
            .map(|(node, answer)| (*node, is_there(answer)));
        inner.silence.hear(heard);
        let successor = answers
            .iter()
            .find_map(|(_, answer)| successor(&inner, answer.as_ref()?));
        if let Some(successor) = successor {
            tracing::error!(%successor, "another node has come to this one's place");
            inner.successor.send_replace(Some(successor));
            return;
        }
    }
}

/// Who and where the others are, as this node's own map has it.
fn others<N: Network>(inner: &Inner<N>) -> Vec<(NodeId, String)> {
    let mine = &inner.config.description.slot;
    let addresses = |map: &System| {
        let others = map.slots().iter().filter(|(slot, _)| *slot != mine);
        let others = others.map(|(_, one)| (one.node, one.description.at.clone()));
        others.collect()
    };
    let groups = inner.groups.get();
    groups.map_or_else(Vec::new, |groups| groups.system.read_with(addresses))
}

/// Who is in this node's place, if it is a later one.
fn successor<N: Network>(inner: &Inner<N>, answer: &Answer) -> Option<NodeId> {
    let me = inner.identity.get();
    match answer {
        Answer::Member {
            cluster,
            occupant: Some(occupant),
            ..
        } if *cluster == me.cluster && *occupant > me.node => Some(*occupant),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
