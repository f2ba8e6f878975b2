//! The harness is tested itself: stores that are broken on purpose must be found, and shown by a
//! schedule of a few steps.
//!
//! Each [`Bug`] breaks one promise. It stands behind the same seam as TranDB's own shards, and
//! says nothing about where it is.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU16,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::time::Instant;
use trandb_client::Version;
use trandb_common::{Key, TransactionId, wire::ListedKey};
use trandb_engine::{
    AttemptId, Command, Condition, Decided, Decision, Found as Held, Known, LogTime, Read, Reply,
    ShardId,
};
use trandb_integration_tests::{
    campaign::search,
    faults::seam::OverLocal,
    report::Found,
    scenario::Scenario,
    seed::{Seed, Seeds},
    traffic,
    world::{Run, run_simulated_on},
};
use trandb_server::{
    Local, Shards,
    shards::{LeftBehind, Listing, ShardError},
};

use crate::determinism;

/// What is wrong with the store. It happens to every third command that it can happen to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bug {
    /// A put is acknowledged, and not done.
    PutForgotten,
    /// A delete is acknowledged, and not done.
    DeleteForgotten,
    /// A put is done without regard to its condition: the update in between is lost.
    ConditionIgnored,
    /// A put is refused, and done all the same.
    RefusedPutDone,
    /// A put is done twice.
    PutDoneTwice,
    /// A put is answered with the version that the key had before.
    VersionReused,
    /// A read shows what the key held before.
    StaleRead,
    /// A read shows no value where there is one.
    ValueHidden,
    /// A listing leaves a key out.
    KeyNotListed,
    /// A listing shows a key that nobody wrote.
    PhantomListed,
    /// A listing shows another size.
    SizeWrong,
    /// A put leaves its shard to nobody.
    ShardKept,
    /// A put leaves a lock behind.
    LockLeft,
    /// A delete panics.
    Panics,
    /// A part of a transaction is carried out without regard to its checks.
    CheckSkipped,
    /// The home commits, and does not write its own part.
    HomePartLost,
    /// A participant drops what was committed.
    CommitDropped,
    /// A participant reads without a lock.
    ReadUnlocked,
    /// The home commits, and says that it has not.
    CommitDenied,
    /// The home tells other versions than it has written.
    VersionsMixedUp,
    /// What was committed is not known any more.
    OutcomeForgotten,
    /// A participant says that it is done, and keeps its locks; nobody finds them.
    NeverFinalized,
}

/// How a bug shows itself.
struct Case {
    bug: Bug,
    workload: &'static str,
    /// What the smallest case is called first of all.
    anomaly: &'static str,
    /// What other rules say of it, each by itself.
    also: &'static [&'static str],
    /// Of the smallest case.
    steps_max: usize,
}

const fn case(
    bug: Bug,
    workload: &'static str,
    anomaly: &'static str,
    also: &'static [&'static str],
    steps_max: usize,
) -> Case {
    Case {
        bug,
        workload,
        anomaly,
        also,
        steps_max,
    }
}

const ILLEGAL: &str = "not-linearizable";

const CASES: &[Case] = &[
    case(
        Bug::PutForgotten,
        "registers",
        ILLEGAL,
        &["version-went-back"],
        8,
    ),
    case(
        Bug::DeleteForgotten,
        "put-delete-list",
        "memory-leaked",
        &[],
        8,
    ),
    case(Bug::DeleteForgotten, "hot-key", ILLEGAL, &[], 8),
    case(Bug::ConditionIgnored, "compare-and-set", ILLEGAL, &[], 8),
    case(
        Bug::ConditionIgnored,
        "counters",
        ILLEGAL,
        &["counter-out-of-range"],
        10,
    ),
    case(
        Bug::RefusedPutDone,
        "compare-and-set",
        ILLEGAL,
        &["refused-write-seen"],
        8,
    ),
    case(Bug::PutDoneTwice, "registers", ILLEGAL, &[], 8),
    case(
        Bug::VersionReused,
        "hot-key",
        ILLEGAL,
        &["version-reused"],
        8,
    ),
    case(
        Bug::StaleRead,
        "registers",
        ILLEGAL,
        &["version-went-back"],
        8,
    ),
    case(Bug::ValueHidden, "zipfian", ILLEGAL, &["lost-write"], 8),
    case(Bug::KeyNotListed, "put-delete-list", ILLEGAL, &[], 8),
    case(Bug::KeyNotListed, "creates", ILLEGAL, &["lost-element"], 8),
    case(
        Bug::PhantomListed,
        "put-delete-list",
        ILLEGAL,
        &["wrong-page"],
        8,
    ),
    case(Bug::SizeWrong, "put-delete-list", "version-reused", &[], 8),
    case(Bug::LockLeft, "registers", "left-behind", &[], 8),
    case(Bug::ShardKept, "zipfian", "left-behind", &[], 8),
    case(Bug::Panics, "put-delete-list", "panic", &[], 8),
    case(Bug::CheckSkipped, "write-skew", "G1c-process", &[], 8),
    case(
        Bug::CheckSkipped,
        "counted-together",
        "lost-update",
        &["counter-out-of-range"],
        8,
    ),
    case(Bug::CheckSkipped, "list-append", "G1c", &["lost-update"], 8),
    case(
        Bug::HomePartLost,
        "bank",
        "lost-update",
        &["wrong-total"],
        8,
    ),
    case(
        Bug::CommitDropped,
        "bank",
        "lost-update",
        &["wrong-total"],
        8,
    ),
    case(Bug::CommitDropped, "blind-writes", "G-single", &[], 8),
    case(Bug::ReadUnlocked, "long-fork", "G1c-process", &[], 8),
    case(
        Bug::CommitDenied,
        "mixed",
        "G1a",
        &["outcome-changed", "refused-write-seen"],
        8,
    ),
    case(
        Bug::VersionsMixedUp,
        "blind-writes",
        "version-reuse",
        &["version-went-back"],
        8,
    ),
    case(Bug::OutcomeForgotten, "bank", "outcome-changed", &[], 8),
    case(Bug::NeverFinalized, "blind-writes", "left-behind", &[], 8),
];

/// Seeds until each must have been found.
const SEEDS_MAX: u64 = 20;

#[test]
fn every_bug_is_found_and_shown_by_a_few_steps() {
    determinism::required();
    let mut surprises = Vec::new();
    for case in CASES {
        let found = find(case.bug, case.workload);
        let smallest = &found.smallest;
        let steps = smallest.scenario.schedule.steps().count();
        let named: BTreeSet<&str> = smallest
            .evidence
            .iter()
            .map(|e| e.anomaly.as_str())
            .collect();
        let (bug, tried) = (case.bug, found.tried);
        let shown = format!(
            "{bug:?} in {}: {named:?}, {steps} steps, {tried} seeds",
            case.workload
        );
        println!("{shown}");
        let all = case.also.iter().all(|name| named.contains(name));
        if smallest.anomaly() != case.anomaly || !all || steps > case.steps_max {
            surprises.push(format!("{shown}\n{found}"));
        }
    }
    assert!(surprises.is_empty(), "{}", surprises.join("\n"));
}

/// The order in which a person reads it: what is wrong, how to see it again, where the rest is.
#[test]
fn a_failure_says_what_how_and_where() {
    let found = find_for("report", Bug::PutForgotten, "registers");
    let text = found.to_string();
    let seed = format!("seed {}", found.seed);
    let mut rest = text.as_str();
    for part in [
        "found after ",
        &found.command(),
        "not-linearizable: ",
        "  > #",
        "The smallest scenario",
        "client 0",
        &seed,
        "commit ",
        &found.command(),
        "target/simulation",
    ] {
        let at = rest.find(part);
        let at = at.unwrap_or_else(|| panic!("{part:?} is missing, or too early, in\n{text}"));
        rest = &rest[at + part.len()..];
    }
    let line = text.lines().next_back().unwrap_or_default();
    let (_, folder) = line.rsplit_once(": ").expect("the folder comes last");
    for file in [
        "history.jsonl",
        "picture.html",
        "scenario.json",
        "trace.txt",
    ] {
        let path = std::path::Path::new(folder).join("smallest").join(file);
        let bytes =
            std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(!bytes.is_empty(), "{}", path.display());
    }
}

/// A stored scenario is the whole run: read again, it shows the same.
#[test]
fn a_stored_scenario_shows_the_same_again() {
    let found = find_for("stored", Bug::StaleRead, "registers");
    let stored = serde_json::to_vec(&found.smallest.scenario).expect("a scenario is JSON");
    let again: Scenario = serde_json::from_slice(&stored).expect("what was written");
    let run = run(Bug::StaleRead, &again);
    assert_eq!(run.trace, found.smallest.trace);
}

fn find(bug: Bug, workload: &str) -> Box<Found> {
    find_for("broken", bug, workload)
}

/// Each test saves what it finds in folders of its own.
fn find_for(test: &str, bug: Bug, workload: &str) -> Box<Found> {
    let test = format!("{test}-{bug:?}-{workload}");
    let workload = traffic::named(workload);
    let seeds = Seeds::fixed(Seed(5), SEEDS_MAX);
    let draw = |seed| Scenario::of(workload, seed);
    match search(&test, &seeds, draw, |scenario| run(bug, scenario)) {
        Err(found) => found,
        Ok(counts) => panic!("{bug:?} was not found: {counts}"),
    }
}

pub(crate) fn run(bug: Bug, scenario: &Scenario) -> Run {
    run_simulated_on(scenario, |local| Broken::new(local, bug))
}

struct Broken {
    local: Local,
    bug: Bug,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Commands that the bug could have happened to.
    chances: u64,
    /// What each key held before its last put.
    before: BTreeMap<Key, Held>,
}

impl Broken {
    fn new(local: Local, bug: Bug) -> Self {
        Self {
            local,
            bug,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it happens now.
    fn happens(&self, bug: Bug) -> bool {
        if self.bug != bug {
            return false;
        }
        let mut state = self.state();
        state.chances += 1;
        state.chances.is_multiple_of(3)
    }

    fn held(&self, shard: ShardId, key: &Key) -> Option<Held> {
        match self.local.try_read(shard, key) {
            Some(Read::Done(held)) => held,
            _ => None,
        }
    }

    fn show(&self, key: &Key, read: Read) -> Read {
        let Read::Done(Some(_)) = read else {
            return read;
        };
        if self.happens(Bug::ValueHidden) {
            return Read::Done(None);
        }
        match self.state().before.get(key).cloned() {
            Some(before) if self.bug == Bug::StaleRead => Read::Done(Some(before)),
            _ => read,
        }
    }

    /// What is done instead of the command; none if nothing is.
    async fn instead(&self, shard: ShardId, command: &Command, held: Option<&Held>) -> Instead {
        let Some(key) = command.key().cloned() else {
            return Instead::Nothing;
        };
        let Command::Put {
            value, condition, ..
        } = command
        else {
            assert!(!self.happens(Bug::Panics), "this store is broken");
            return match held {
                Some(_) if self.happens(Bug::DeleteForgotten) => Instead::Reply(Reply::Deleted),
                _ => Instead::Nothing,
            };
        };
        let unconditional = Command::Put {
            key: key.clone(),
            value: value.clone(),
            condition: Condition::default(),
        };
        let fails = !condition.holds(held.map(|held| held.version));
        let next = |held: &Held| Version {
            counter: held.version.counter + 1,
            ..held.version
        };
        match held {
            Some(held) if !fails && self.happens(Bug::PutForgotten) => {
                Instead::Reply(Reply::Written(next(held)))
            }
            Some(_) if fails && self.happens(Bug::ConditionIgnored) => {
                Instead::Command(unconditional)
            }
            Some(held) if fails && self.happens(Bug::RefusedPutDone) => {
                let version = held.version;
                let _ = self.local.try_execute(shard, &unconditional);
                Instead::Reply(Reply::ConditionFailed(Some(version)))
            }
            _ if !fails && self.happens(Bug::PutDoneTwice) => {
                let first = self.local.try_execute(shard, &unconditional);
                let _ = self.local.try_execute(shard, &unconditional);
                match first {
                    Some(Ok(reply)) => Instead::Reply(reply),
                    _ => Instead::Nothing,
                }
            }
            Some(held) if !fails && self.happens(Bug::VersionReused) => {
                match self.local.try_execute(shard, &unconditional) {
                    Some(Ok(_)) => Instead::Reply(Reply::Written(held.version)),
                    _ => Instead::Nothing,
                }
            }
            _ => {
                if self.happens(Bug::ShardKept) {
                    std::mem::forget(self.local.occupy(shard).await);
                }
                if self.happens(Bug::LockLeft) {
                    let _ = self
                        .local
                        .lock(shard, AttemptId(u128::MAX), &[], &[key])
                        .await;
                }
                Instead::Nothing
            }
        }
    }
}

impl Broken {
    /// Runs a command of a transaction.
    async fn transact(
        &self,
        shard: ShardId,
        mut command: Command,
        deadline: Instant,
    ) -> Result<Reply, ShardError> {
        let mut read = Vec::new();
        match &mut command {
            Command::Prepare(prepare) => {
                let part = Arc::make_mut(&mut prepare.part);
                if !part.checks.is_empty() && self.happens(Bug::CheckSkipped) {
                    part.checks.clear();
                }
                if !part.reads.is_empty() && self.happens(Bug::ReadUnlocked) {
                    read = std::mem::take(&mut part.reads);
                }
            }
            Command::Commit(commit) => {
                let part = Arc::make_mut(&mut commit.part);
                if !part.checks.is_empty() && self.happens(Bug::CheckSkipped) {
                    part.checks.clear();
                }
                let alone = commit.participants.is_empty() || part.writes.is_empty();
                if !alone && self.happens(Bug::HomePartLost) {
                    part.writes.clear();
                }
            }
            Command::Finalize(finalize) if finalize.decision == Decision::Commit => {
                if self.happens(Bug::NeverFinalized) {
                    return Ok(Reply::Finalized);
                }
                if self.happens(Bug::CommitDropped) {
                    finalize.decision = Decision::Abort;
                }
            }
            _ => {}
        }
        let mut reply = self.local.execute(shard, &command, deadline).await?;
        match &mut reply {
            Reply::Yes { reads, .. } if !read.is_empty() => {
                *reads = read.iter().map(|key| self.held(shard, key)).collect();
            }
            Reply::Decided(decided) => {
                if let Decided::Committed { versions, .. } = &mut **decided
                    && self.happens(Bug::VersionsMixedUp)
                {
                    versions[0].first.counter += 1;
                }
                if matches!(**decided, Decided::Committed { .. }) && self.happens(Bug::CommitDenied)
                {
                    **decided = Decided::Aborted { failed: Vec::new() };
                }
            }
            _ => {}
        }
        Ok(reply)
    }
}

enum Instead {
    Nothing,
    Command(Command),
    Reply(Reply),
}

impl OverLocal for Broken {
    fn local(&self) -> &Local {
        &self.local
    }
}

impl Shards for Broken {
    fn count(&self) -> NonZeroU16 {
        self.local.count()
    }

    async fn read(&self, shard: ShardId, key: &Key, deadline: Instant) -> Result<Read, ShardError> {
        let read = self.local.read(shard, key, deadline).await?;
        Ok(self.show(key, read))
    }

    async fn execute(
        &self,
        shard: ShardId,
        command: &Command,
        deadline: Instant,
    ) -> Result<Reply, ShardError> {
        let Some(key) = command.key() else {
            return self.transact(shard, command.clone(), deadline).await;
        };
        let held = self.held(shard, key);
        let done = match self.instead(shard, command, held.as_ref()).await {
            Instead::Reply(reply) => Ok(reply),
            Instead::Command(other) => self.local.execute(shard, &other, deadline).await,
            Instead::Nothing => self.local.execute(shard, command, deadline).await,
        };
        if let (Ok(Reply::Written(_)), Some(held)) = (&done, held) {
            self.state().before.insert(key.clone(), held);
        }
        done
    }

    async fn list(
        &self,
        shard: ShardId,
        listing: &Listing,
        deadline: Instant,
    ) -> Result<Vec<ListedKey>, ShardError> {
        let mut rows = self.local.list(shard, listing, deadline).await?;
        if rows.is_empty() {
            return Ok(rows);
        }
        if self.happens(Bug::KeyNotListed) {
            rows.pop();
        }
        if self.happens(Bug::SizeWrong) {
            rows[0].size += 1;
        }
        if self.happens(Bug::PhantomListed) {
            let key = format!("{}0", rows[0].key.as_str());
            rows[0].key = Key::new(&key).expect("a key");
        }
        Ok(rows)
    }

    async fn known(
        &self,
        shard: ShardId,
        transaction: TransactionId,
        deadline: Instant,
    ) -> Result<Option<Known>, ShardError> {
        let known = self.local.known(shard, transaction, deadline).await?;
        let forgotten = known == Some(Known::Committed) && self.happens(Bug::OutcomeForgotten);
        Ok(known.filter(|_| !forgotten))
    }

    async fn left_behind(
        &self,
        shard: ShardId,
        since: LogTime,
        limit: usize,
        deadline: Instant,
    ) -> Result<LeftBehind, ShardError> {
        if self.bug == Bug::NeverFinalized {
            return Ok(LeftBehind::default());
        }
        self.local.left_behind(shard, since, limit, deadline).await
    }

    fn released(&self, shard: ShardId) -> impl Future<Output = ()> + Send {
        self.local.released(shard)
    }
}
