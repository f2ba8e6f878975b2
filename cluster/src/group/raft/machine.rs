//! Applies the log to the state.
//!
//! # Snapshots are taken when they are needed
//!
//! A snapshot serves two ends: the log before it can be dropped, and a replica that needs what was
//! dropped gets it instead. The state is in memory anyway, so the first end needs no copy: openraft
//! is told of a snapshot that is nothing but a place in the log. The copy is made when a replica
//! asks, from the state as it is then. That it is newer than the place that was announced does no
//! harm: it carries its own place, and the sender goes on from there.
//!
//! Tests: with the group, `tests/simulation`.

use std::{
    io,
    sync::{Arc, PoisonError, RwLock},
};

use futures_util::{Stream, StreamExt as _};
use openraft::{
    EntryPayload, OptionalSend, RaftSnapshotBuilder,
    entry::RaftEntry as _,
    storage::{EntryResponder, RaftStateMachine},
};

use crate::group::StateMachine;

use super::types::{EntryOf, LogId, Snapshot, SnapshotMeta, StoredMembership, Types};

/// Most entries that are applied before readers get their turn.
const APPLY_MAX: usize = 64;

/// The state with its place in the log.
pub(super) struct Applied<S> {
    pub(super) last: Option<LogId>,
    pub(super) membership: StoredMembership,
    pub(super) state: S,
}

impl<S: StateMachine> Applied<S> {
    fn apply(&mut self, entry: &EntryOf<S>) -> Option<S::Reply> {
        let id = entry.log_id();
        self.last = Some(id);
        match &entry.payload {
            EntryPayload::Blank => None,
            EntryPayload::Normal(proposal) => Some(self.state.apply(&proposal.0)),
            EntryPayload::Membership(membership) => {
                self.membership = StoredMembership::new(Some(id), membership.clone());
                None
            }
        }
    }
}

/// What a replica has applied; its clones are the same.
pub(super) struct Machine<S>(Arc<RwLock<Applied<S>>>);

impl<S> Clone for Machine<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S: StateMachine> Machine<S> {
    pub(super) fn new(state: S) -> Self {
        Self(Arc::new(RwLock::new(Applied {
            last: None,
            membership: StoredMembership::default(),
            state,
        })))
    }

    /// Looks at it; nothing is applied meanwhile.
    pub(super) fn with<R>(&self, look: impl FnOnce(&Applied<S>) -> R) -> R {
        // If applying panics, openraft ends the replica: then no barrier lets a reader in.
        look(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn change<R>(&self, change: impl FnOnce(&mut Applied<S>) -> R) -> R {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner))
    }

    fn meta(&self) -> SnapshotMeta {
        self.with(meta)
    }
}

fn meta<S>(applied: &Applied<S>) -> SnapshotMeta {
    SnapshotMeta {
        last_log_id: applied.last,
        last_membership: applied.membership.clone(),
    }
}

/// Announces a place in the log.
pub(super) struct Announce<S: StateMachine>(Machine<S>);

impl<S: StateMachine> RaftSnapshotBuilder<Types<S>> for Announce<S> {
    type SnapshotData = Option<S>;

    async fn build_snapshot(&mut self) -> Result<Snapshot<S>, io::Error> {
        Ok(Snapshot::<S> {
            meta: self.0.meta(),
            snapshot: None,
        })
    }
}

impl<S: StateMachine> RaftStateMachine<Types<S>> for Machine<S> {
    type SnapshotData = Option<S>;
    type SnapshotBuilder = Announce<S>;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        Ok(self.with(|applied| (applied.last, applied.membership.clone())))
    }

    async fn apply<E>(&mut self, entries: E) -> Result<(), io::Error>
    where
        E: Stream<Item = Result<EntryResponder<Types<S>>, io::Error>> + Unpin + OptionalSend,
    {
        let mut entries = entries.ready_chunks(APPLY_MAX);
        while let Some(some) = entries.next().await {
            let some = some.into_iter().collect::<Result<Vec<_>, _>>()?;
            let replies: Vec<_> = self.change(|applied| {
                let apply = |(entry, responder)| (applied.apply(&entry), responder);
                some.into_iter().map(apply).collect()
            });
            for (reply, responder) in replies {
                if let Some(responder) = responder {
                    responder.send(reply);
                }
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Announce<S> {
        Announce(self.clone())
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: Option<S>,
    ) -> Result<(), io::Error> {
        let state = snapshot.ok_or_else(|| io::Error::other("a snapshot without its state"))?;
        self.change(|applied| {
            let mut state = state;
            state.take_place_of(&applied.state);
            *applied = Applied {
                last: meta.last_log_id,
                membership: meta.last_membership.clone(),
                state,
            };
        });
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<S>>, io::Error> {
        Ok(self.with(|applied| {
            applied.last?;
            Some(Snapshot::<S> {
                meta: meta(applied),
                snapshot: Some(applied.state.clone()),
            })
        }))
    }
}
