//! The log of a replica: in memory, as commands, not as bytes.
//!
//! It keeps no promise beyond the life of its process, and need not: the process never comes back
//! under the same number.
//!
//! Tests: below.

use std::{
    collections::VecDeque,
    io,
    ops::{Bound, RangeBounds},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use openraft::{
    LogState, OptionalSend, RaftLogReader,
    entry::RaftEntry,
    storage::{IOFlushed, RaftLogStorage},
};
use tokio::sync::Notify;

use crate::{group::StateMachine, identity::NodeId};

use super::types::{EntryOf, LogId, Types, VoteOf};

/// Most bytes of entries in one message to another replica, if it is more than one entry.
const APPEND_BYTES_MAX: usize = 1024 * 1024;

/// What an entry without a command takes.
const EMPTY_ENTRY_BYTES: usize = 128;

/// The log; its clones are the same log.
pub(super) struct Log<S: StateMachine>(Arc<Shared<S>>);

struct Shared<S: StateMachine> {
    inner: Mutex<Inner<S>>,
    /// Told when there is much to drop.
    much: Notify,
    much_bytes: usize,
}

struct Inner<S: StateMachine> {
    /// Consecutive, and behind `purged` if anything was.
    entries: VecDeque<EntryOf<S>>,
    /// Of `entries`.
    bytes: usize,
    purged: Option<LogId>,
    vote: Option<VoteOf>,
    committed: Option<LogId>,
}

impl<S: StateMachine> Clone for Log<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

fn entry_bytes<S: StateMachine>(entry: &EntryOf<S>) -> usize {
    match &entry.payload {
        openraft::EntryPayload::Normal(proposal) => S::command_bytes(&proposal.0),
        _ => EMPTY_ENTRY_BYTES,
    }
}

impl<S: StateMachine> Inner<S> {
    /// The index of the first entry, or of the next one if there is none.
    fn first(&self) -> u64 {
        match self.entries.front() {
            Some(entry) => entry.log_id().index(),
            None => self.purged.map_or(0, |id| id.index() + 1),
        }
    }

    /// The index behind the last entry.
    fn end(&self) -> u64 {
        self.first() + self.entries.len() as u64
    }

    /// How many entries have a smaller index.
    fn before(&self, index: u64) -> usize {
        let before = index.clamp(self.first(), self.end()) - self.first();
        usize::try_from(before).unwrap_or(usize::MAX)
    }

    fn last_id(&self) -> Option<LogId> {
        let last = self.entries.back().map(RaftEntry::log_id);
        last.or(self.purged)
    }

    fn forget_bytes(&mut self, dropped: &VecDeque<EntryOf<S>>) {
        self.bytes -= dropped.iter().map(entry_bytes::<S>).sum::<usize>();
    }
}

impl<S: StateMachine> Log<S> {
    /// An empty log that tells when it has grown to `much_bytes`.
    pub(super) fn new(much_bytes: usize) -> Self {
        let inner = Inner {
            entries: VecDeque::new(),
            bytes: 0,
            purged: None,
            vote: None,
            committed: None,
        };
        Self(Arc::new(Shared {
            inner: Mutex::new(inner),
            much: Notify::new(),
            much_bytes,
        }))
    }

    /// An empty log that remembers the vote of this one.
    pub(super) fn vote_alone(&self, much_bytes: usize) -> Self {
        let empty = Self::new(much_bytes);
        empty.lock().vote = self.lock().vote;
        empty
    }

    fn lock(&self) -> MutexGuard<'_, Inner<S>> {
        // Nothing that holds it leaves it half changed.
        let inner = self.0.inner.lock();
        inner.unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it has voted for `candidate` in `term`, and for nobody later.
    pub(super) fn has_voted_for(&self, candidate: NodeId, term: u64) -> bool {
        let vote = self.lock().vote;
        vote.is_some_and(|vote| {
            (vote.leader_id.term, vote.leader_id.voted_for) == (term, candidate)
        })
    }

    /// Of all entries.
    pub(super) fn bytes(&self) -> usize {
        self.lock().bytes
    }

    /// Waits until it has grown to be much.
    pub(super) async fn much(&self) {
        self.0.much.notified().await;
    }

    /// Ends a wait for [`much`](Self::much).
    pub(super) fn wake(&self) {
        self.0.much.notify_one();
    }

    /// The entry up to which may be dropped so that at most `bytes` are left; none: nothing need
    /// be dropped.
    pub(super) fn cut(&self, bytes: usize) -> Option<u64> {
        let inner = self.lock();
        let mut left = inner.bytes;
        let mut cut = None;
        for (index, entry) in (inner.first()..).zip(&inner.entries) {
            if left <= bytes {
                break;
            }
            left -= entry_bytes::<S>(entry);
            cut = Some(index);
        }
        cut
    }
}

impl<S: StateMachine> RaftLogReader<Types<S>> for Log<S> {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + std::fmt::Debug + OptionalSend>(
        &mut self,
        range: R,
    ) -> Result<Vec<EntryOf<S>>, io::Error> {
        let inner = self.lock();
        let from = match range.start_bound() {
            Bound::Included(index) => *index,
            Bound::Excluded(index) => index + 1,
            Bound::Unbounded => 0,
        };
        let to = match range.end_bound() {
            Bound::Included(index) => index + 1,
            Bound::Excluded(index) => *index,
            Bound::Unbounded => u64::MAX,
        };
        let (from, to) = (inner.before(from), inner.before(to));
        Ok(inner.entries.range(from..to.max(from)).cloned().collect())
    }

    async fn read_vote(&mut self) -> Result<Option<VoteOf>, io::Error> {
        Ok(self.lock().vote)
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<EntryOf<S>>, io::Error> {
        let inner = self.lock();
        let (from, to) = (inner.before(start), inner.before(end));
        let mut bytes = 0;
        let some = inner.entries.range(from..to.max(from)).take_while(|entry| {
            let first = bytes == 0;
            bytes += entry_bytes::<S>(entry);
            first || bytes <= APPEND_BYTES_MAX
        });
        Ok(some.cloned().collect())
    }
}

impl<S: StateMachine> RaftLogStorage<Types<S>> for Log<S> {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types<S>>, io::Error> {
        let inner = self.lock();
        Ok(LogState {
            last_purged_log_id: inner.purged,
            last_log_id: inner.last_id(),
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &VoteOf) -> Result<(), io::Error> {
        self.lock().vote = Some(*vote);
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        self.lock().committed = committed;
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        Ok(self.lock().committed)
    }

    async fn append<I>(&mut self, entries: I, done: IOFlushed<Types<S>>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = EntryOf<S>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let much = {
            let mut inner = self.lock();
            for entry in entries {
                let begins = inner.entries.is_empty() && inner.purged.is_none();
                if entry.log_id().index() != inner.end() && !begins {
                    return Err(io::Error::other("a hole in the log"));
                }
                inner.bytes += entry_bytes::<S>(&entry);
                inner.entries.push_back(entry);
            }
            inner.bytes >= self.0.much_bytes
        };
        done.io_completed(Ok(()));
        if much {
            self.0.much.notify_one();
        }
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> Result<(), io::Error> {
        let mut inner = self.lock();
        let kept = inner.before(last.map_or(0, |id| id.index() + 1));
        let dropped = inner.entries.split_off(kept);
        inner.forget_bytes(&dropped);
        Ok(())
    }

    async fn purge(&mut self, upto: LogId) -> Result<(), io::Error> {
        let mut inner = self.lock();
        let dropped = inner.before(upto.index() + 1);
        let kept = inner.entries.split_off(dropped);
        let dropped = std::mem::replace(&mut inner.entries, kept);
        inner.forget_bytes(&dropped);
        // Behind an installed snapshot the log begins anew.
        inner.purged = inner.purged.max(Some(upto));
        Ok(())
    }
}

#[cfg(all(test, not(simulation)))]
mod tests {
    use std::sync::Arc;

    use openraft::{
        EntryPayload, StorageError,
        testing::log::{StoreBuilder, Suite},
    };
    use trandb_common::{Key, Value};
    use trandb_engine::{Command, Condition, Shard};

    use super::*;
    use crate::group::Position;
    use crate::group::raft::{
        machine::Machine,
        types::{Proposal, log_id},
    };

    impl From<u64> for NodeId {
        fn from(number: u64) -> Self {
            Self(number)
        }
    }

    struct Builder;

    impl StoreBuilder<Types<Shard>, Log<Shard>, Machine<Shard>> for Builder {
        async fn build(
            &self,
        ) -> Result<((), Log<Shard>, Machine<Shard>), StorageError<Types<Shard>>> {
            Ok(((), Log::new(usize::MAX), Machine::new(Shard::new(1))))
        }
    }

    #[tokio::test]
    async fn it_is_what_openraft_asks_of_a_log_and_a_state_machine() {
        Suite::test_all(Builder).await.expect("all holds");
    }

    fn at(index: u64) -> LogId {
        log_id(Position { term: 1, index })
    }

    fn entry(index: u64, value_bytes: usize) -> EntryOf<Shard> {
        let command = Command::Put {
            key: Key::new("k").expect("legal"),
            value: Value::try_from(vec![0; value_bytes]).expect("legal"),
            condition: Condition::default(),
        };
        EntryOf::<Shard> {
            log_id: at(index),
            payload: EntryPayload::Normal(Proposal(Arc::new(command))),
        }
    }

    /// Entries from 0, with values of these sizes.
    async fn log(much_bytes: usize, values: &[usize]) -> Log<Shard> {
        let mut log = Log::new(much_bytes);
        let entries = (0..).zip(values).map(|(index, bytes)| entry(index, *bytes));
        let entries: Vec<_> = entries.collect();
        let appended = log.append(entries, IOFlushed::noop()).await;
        appended.expect("consecutive");
        log
    }

    fn indexes(entries: &[EntryOf<Shard>]) -> Vec<u64> {
        entries.iter().map(|entry| entry.log_id.index()).collect()
    }

    #[tokio::test]
    async fn its_bytes_are_those_of_its_entries() {
        let mut log = log(usize::MAX, &[0, 1_000, 2_000, 3_000]).await;
        let all = log.bytes();
        assert!((6_000..8_000).contains(&all), "{all}");
        log.truncate_after(Some(at(2))).await.expect("there");
        let three = log.bytes();
        assert!(all - three >= 3_000, "{three} of {all}");
        log.purge(at(1)).await.expect("there");
        assert!(three - log.bytes() >= 1_000, "{} of {three}", log.bytes());
        log.truncate_after(Some(at(1))).await.expect("there");
        assert_eq!(log.bytes(), 0);
    }

    #[tokio::test]
    async fn a_hole_is_refused() {
        let mut log = log(usize::MAX, &[0]).await;
        let appended = log.append([entry(2, 0)], IOFlushed::noop()).await;
        assert!(appended.is_err());
    }

    /// A follower of which one entry fills a message must get it all the same.
    #[tokio::test]
    async fn a_message_has_at_least_one_entry_and_not_much_more_than_its_bytes() {
        let large = APPEND_BYTES_MAX + 1;
        let half = APPEND_BYTES_MAX / 2 - 1_000;
        let mut log = log(usize::MAX, &[large, half, half, half]).await;
        for (from, expected) in [(0, vec![0]), (1, vec![1, 2]), (2, vec![2, 3])] {
            let some = log.limited_get_log_entries(from, 4).await.expect("there");
            assert_eq!(indexes(&some), expected);
        }
    }

    #[tokio::test]
    async fn it_tells_when_it_has_grown_large() {
        let small = log(10_000, &[0]).await;
        let told = tokio::time::timeout(std::time::Duration::ZERO, small.much()).await;
        assert!(told.is_err());
        log(10_000, &[10_000]).await.much().await;
    }

    #[tokio::test]
    async fn it_is_cut_where_little_enough_is_left() {
        let log = log(usize::MAX, &[1_000, 1_000, 1_000, 1_000]).await;
        assert_eq!(log.cut(log.bytes()), None);
        assert_eq!(log.cut(log.bytes() - 1), Some(0));
        assert_eq!(log.cut(log.bytes() / 2), Some(1));
        assert_eq!(log.cut(0), Some(3));
    }

    #[tokio::test]
    async fn behind_a_snapshot_it_begins_anew() {
        let mut log = log(usize::MAX, &[0, 0]).await;
        log.purge(at(10)).await.expect("dropped");
        let state = log.get_log_state().await.expect("there");
        assert_eq!(state.last_log_id, Some(at(10)));
        let appended = log.append([entry(11, 0)], IOFlushed::noop()).await;
        assert!(appended.is_ok());
    }
}
