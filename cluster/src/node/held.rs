//! A replica of a shard at this node. It is there always, so that a leader can make it a member at any
//! time; whether it has anything is the group's business.

use std::sync::{
    PoisonError, RwLock,
    atomic::{AtomicBool, Ordering},
};

use crate::{group::RaftGroup, transport::Address};

use super::replica::Replica;

/// A replica that can be exchanged for one that has nothing.
pub(super) struct Held {
    group: RwLock<RaftGroup<Replica>>,
    /// Nothing is answered to other replicas.
    closed: AtomicBool,
    /// Who answered last for the shard, where this node does not know who leads.
    answers: RwLock<Option<Address>>,
}

impl Held {
    pub(super) fn new(group: RaftGroup<Replica>) -> Self {
        Self {
            group: RwLock::new(group),
            closed: AtomicBool::new(false),
            answers: RwLock::new(None),
        }
    }

    /// The replica as it is now.
    pub(super) fn group(&self) -> RaftGroup<Replica> {
        // Nothing panics while it holds the lock.
        let group = self.group.read().unwrap_or_else(PoisonError::into_inner);
        group.clone()
    }

    /// The replica, if it may answer others.
    pub(super) fn open(&self) -> Option<RaftGroup<Replica>> {
        let is_closed = self.closed.load(Ordering::SeqCst);
        (!is_closed).then(|| self.group())
    }

    /// Answers nothing more to other replicas until the returned guard is dropped.
    pub(super) fn close(&self) -> Closed<'_> {
        self.closed.store(true, Ordering::SeqCst);
        Closed(self)
    }

    /// Who answered last for the shard.
    pub(super) fn answers(&self) -> Option<Address> {
        let answers = self.answers.read().unwrap_or_else(PoisonError::into_inner);
        answers.clone()
    }

    pub(super) fn set_answers(&self, who: Option<Address>) {
        *self.answers.write().unwrap_or_else(PoisonError::into_inner) = who;
    }
}

/// As long as it lives the replica answers no other.
pub(super) struct Closed<'a>(&'a Held);

impl Closed<'_> {
    /// Puts another replica in its place.
    pub(super) fn exchange(&self, group: RaftGroup<Replica>) {
        *self.0.group.write().unwrap_or_else(PoisonError::into_inner) = group;
    }
}

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        self.0.closed.store(false, Ordering::SeqCst);
    }
}
