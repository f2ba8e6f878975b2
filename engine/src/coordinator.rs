//! The coordinator: carries one transaction through two-phase commit.
//!
//! A pure machine: what happened goes in ([`Input`], with the time), what is to be done comes out
//! ([`Effect`]). It does not wait, count time, choose ids or jitter: whoever drives it does. It may
//! vanish after any step; what it leaves prepared, a [`Resolver`](crate::Resolver) brings to its
//! end.
//!
//! | state | input | what is sent | next |
//! |---|---|---|---|
//! | – | [`start`](Coordinator::start), one shard | `Commit` | committing |
//! | – | `start`, several | `Prepare` to all but the home | preparing |
//! | preparing | the last vote, all yes | `Commit` | committing |
//! | preparing | the last vote, a no among them, or too much was read | `Resolve` of the transaction | resolving |
//! | preparing | the last vote, otherwise; or `TimeOut` | `Resolve` of the attempt | resolving |
//! | committing | committed by this attempt | the answer; `Finalize` (commit) | finalizing |
//! | committing | decided otherwise | the answer, or `Again`; `Finalize` (abort) | done, pausing |
//! | committing | busy, one shard | `Again` | pausing |
//! | committing | expired | the answer, or `Again`; `Finalize` (abort) | done, pausing |
//! | committing | too much was read | `Resolve` of the transaction | resolving |
//! | committing | anything else, or `TimeOut` | `Resolve` of the attempt | resolving |
//! | resolving | committed by this attempt | the answer; `Finalize` (commit) | finalizing |
//! | resolving | decided otherwise | the answer, or `Again`; `Finalize` (abort) | done, pausing |
//! | resolving | no decision to be had | the answer | done |
//! | pausing | `Again` | as `start` | as `start` |
//! | pausing | `TimeOut` | the answer; or `Resolve` of the attempt | done, resolving |
//! | finalizing | the last `Finalized` | `Forget` to the home | done |
//!
//! `Again` is asked for only before `TimeOut`, and only where nothing of the attempt is left:
//! everything else is answered at once.
//!
//! # What the answer rests on
//!
//! - **Committed**: the home has said so.
//! - **Not committed** (I7): the home has recorded that the attempt is aborted, or no `Commit` of
//!   it can have entered the home's log. A proposal that was refused before it entered a log is
//!   not committed, and never will be ([`Fault::NotEntered`]).
//! - **Unknown**: a `Commit` has entered, was not seen applied, and the home could not be asked
//!   ([`Fault::Unknown`]).
//!
//! Nothing but the home's decision is finalized (I2): a coordinator that gives up asks the home to
//! record the abort first, and without its answer leaves the attempt to a resolver.
//!
//! Tests: `tests/transactions`: golden scripts, crashes after every step, and every interleaving of small
//! cases.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU16,
    sync::Arc,
    time::Duration,
};

use trandb_common::{
    Key,
    limits::{ATTEMPT_GRACE, TRANSACTION_BYTES_MAX},
};

use crate::{
    Answer, AttemptId, Call, Command, Commit, Decided, Decision, Digest, Effect, FailedCheck,
    Fault, Finalize, FinalizedPart, Forget, Found, Input, LogTime, NotCommitted, Operations,
    PartVersions, Prepare, Refusal, Reply, Resolve, ShardId, Step, Subject, Transaction,
    command::read_bytes,
};

/// Why an attempt is given up.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Why {
    /// Checks do not hold: nothing will help.
    Conflict(Vec<FailedCheck>),
    /// The reads find this many bytes, which are too many: nothing will help.
    TooMuchRead(u64),
    /// Another attempt may help.
    Busy(Option<(ShardId, AttemptId)>),
    /// Not now.
    Not(NotCommitted),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum State {
    Preparing {
        awaited: BTreeSet<ShardId>,
        yes: Vec<PartVersions>,
        /// The worst that was heard.
        against: Option<Why>,
    },
    Committing,
    Resolving(Why),
    /// Until `Again`. What is left of the attempt: `keep` says that it goes on.
    Pausing {
        keep: bool,
    },
    Finalizing {
        awaited: BTreeSet<ShardId>,
        finalized: Vec<ShardId>,
    },
    Done,
}

/// One transaction on its way; see the module's documentation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Coordinator {
    transaction: Transaction,
    digest: Digest,
    home: ShardId,
    parts: BTreeMap<ShardId, Arc<Operations>>,
    /// How long after its start an attempt expires.
    life: Duration,
    /// The latest time heard of, from a shard or from the inputs.
    clock: LogTime,
    attempt: AttemptId,
    expires: LogTime,
    state: State,
    /// What the participants of the attempt have read.
    reads: BTreeMap<Key, Option<Found>>,
    /// The values that they found, also those that a participant has kept back, in bytes.
    read_bytes: u64,
    /// Whether a `Commit` of the attempt may be in the home's log.
    entered: bool,
    /// Whether the client's time is over.
    late: bool,
}

impl Coordinator {
    /// A coordinator for `transaction` among `shards`, with the effects that begin it.
    ///
    /// `attempt` was never used before. `timeout` is the client's time, from `now` on; it is not
    /// measured here (see [`Input::TimeOut`]) but says when the attempt expires.
    pub fn start(
        transaction: Transaction,
        shards: NonZeroU16,
        attempt: AttemptId,
        timeout: Duration,
        now: LogTime,
    ) -> (Self, Vec<Effect>) {
        let mut coordinator = Self {
            digest: transaction.digest(),
            home: transaction.body.home(shards),
            parts: transaction.body.parts(shards),
            transaction,
            life: timeout.saturating_add(ATTEMPT_GRACE),
            clock: now,
            attempt,
            expires: now,
            state: State::Done,
            reads: BTreeMap::new(),
            read_bytes: 0,
            entered: false,
            late: false,
        };
        let effects = coordinator.begin(attempt, now);
        (coordinator, effects)
    }

    /// What follows from `input`. What comes too late, twice or for an earlier attempt changes
    /// nothing.
    pub fn step(&mut self, now: LogTime, input: Input) -> Vec<Effect> {
        match input {
            Input::Replied { call, .. } | Input::Failed { call, .. }
                if call.attempt != self.attempt =>
            {
                Vec::new()
            }
            Input::Replied { call, reply } => self.replied(call, reply, now),
            Input::Failed { call, fault } => self.failed(call, fault, now),
            Input::Again { attempt } => self.again(attempt, now),
            Input::TimeOut => self.time_out(now),
        }
    }

    /// Whether one shard carries out everything, in one command.
    pub fn is_within_one_shard(&self) -> bool {
        self.parts.len() == 1
    }

    /// Begins an attempt.
    fn begin(&mut self, attempt: AttemptId, now: LogTime) -> Vec<Effect> {
        self.clock = self.clock.max(now);
        self.attempt = attempt;
        self.expires = self.clock.after(self.life);
        self.entered = false;
        self.reads.clear();
        self.read_bytes = 0;
        let others: BTreeSet<_> = self.participants().collect();
        if others.is_empty() {
            return self.commit(Vec::new(), now);
        }
        let effects = others
            .iter()
            .map(|shard| self.prepare(*shard, now))
            .collect();
        self.state = State::Preparing {
            awaited: others,
            yes: Vec::new(),
            against: None,
        };
        effects
    }

    /// Everybody but the home.
    fn participants(&self) -> impl Iterator<Item = ShardId> {
        let all = self.parts.keys().copied();
        all.filter(|shard| *shard != self.home)
    }

    fn replied(&mut self, call: Call, reply: Reply, now: LogTime) -> Vec<Effect> {
        match (call.step, &mut self.state) {
            (Step::Prepare, State::Preparing { awaited, .. }) if awaited.contains(&call.shard) => {
                awaited.remove(&call.shard);
                self.vote(call.shard, reply, now)
            }
            (Step::Commit, State::Committing) => {
                self.entered = true;
                self.committing(reply, now)
            }
            (Step::Resolve, State::Resolving(why)) => {
                let why = why.clone();
                self.resolving(why, reply, now)
            }
            (Step::Finalize, State::Finalizing { awaited, finalized })
                if awaited.contains(&call.shard) =>
            {
                awaited.remove(&call.shard);
                if reply == Reply::Finalized {
                    finalized.push(call.shard);
                }
                self.maybe_forget(now)
            }
            _ => Vec::new(),
        }
    }

    fn failed(&mut self, call: Call, fault: Fault, now: LogTime) -> Vec<Effect> {
        match (call.step, &mut self.state) {
            (Step::Prepare, State::Preparing { awaited, .. }) if awaited.contains(&call.shard) => {
                awaited.remove(&call.shard);
                self.against(Why::Not(fault.reason()), now)
            }
            (Step::Commit, State::Committing) => {
                self.entered |= fault == Fault::Unknown;
                if self.participants().next().is_none() && !self.entered {
                    return self.end(Answer::NotCommitted(fault.reason()), Vec::new());
                }
                self.resolve(Why::Not(fault.reason()), now)
            }
            (Step::Resolve, State::Resolving(why)) => {
                let why = why.clone();
                self.undecided(&why)
            }
            (Step::Finalize, State::Finalizing { awaited, .. }) => {
                awaited.remove(&call.shard);
                self.maybe_forget(now)
            }
            _ => Vec::new(),
        }
    }

    /// A participant's answer to `Prepare`.
    fn vote(&mut self, shard: ShardId, reply: Reply, now: LogTime) -> Vec<Effect> {
        match reply {
            Reply::Yes { reads, first } => {
                self.read_bytes += read_bytes(&reads);
                let keys = self.parts.get(&shard).into_iter().flat_map(|p| &p.reads);
                self.reads.extend(keys.cloned().zip(reads));
                if let State::Preparing { yes, .. } = &mut self.state {
                    yes.push(PartVersions { shard, first });
                }
                self.count_votes(now)
            }
            Reply::No { failed } => self.against(Why::Conflict(failed), now),
            Reply::Busy { holder } => self.against(Why::Busy(Some((shard, holder))), now),
            // More than all may read together: what counts is the sum.
            Reply::Refused(Refusal::TooMuchRead { bytes }) => {
                self.read_bytes += bytes;
                self.count_votes(now)
            }
            Reply::Refused(refusal) => {
                let why = self.refused(refusal);
                self.against(why, now)
            }
            _ => self.against(Why::Not(NotCommitted::ShardUnavailable), now),
        }
    }

    /// Why an attempt that was refused is given up.
    fn refused(&mut self, refusal: Refusal) -> Why {
        match refusal {
            // Somebody's clock is ahead: the next attempt expires that much later.
            Refusal::Expired { clock } => {
                self.clock = self.clock.max(clock);
                Why::Busy(None)
            }
            // A resolver was faster.
            Refusal::AlreadyFinalized => Why::Busy(None),
            Refusal::Overloaded => Why::Not(NotCommitted::Overloaded),
            Refusal::TooMuchRead { bytes } => Why::TooMuchRead(bytes),
            Refusal::IdReused => Why::Not(NotCommitted::ShardUnavailable),
        }
    }

    /// A vote other than yes. All are waited for, so that the client learns of all failed checks.
    fn against(&mut self, why: Why, now: LogTime) -> Vec<Effect> {
        if let State::Preparing { against, .. } = &mut self.state {
            *against = Some(match (against.take(), why) {
                (Some(Why::Conflict(mut all)), Why::Conflict(more)) => {
                    all.extend(more);
                    Why::Conflict(all)
                }
                (Some(conflict @ Why::Conflict(_)), _) => conflict,
                (Some(first @ Why::Not(_)), Why::Busy(_)) => first,
                (_, why) => why,
            });
        }
        self.count_votes(now)
    }

    fn count_votes(&mut self, now: LogTime) -> Vec<Effect> {
        let State::Preparing {
            awaited,
            yes,
            against,
        } = &mut self.state
        else {
            return Vec::new();
        };
        if !awaited.is_empty() {
            return Vec::new();
        }
        match against.take() {
            None if self.read_bytes > TRANSACTION_BYTES_MAX as u64 => {
                self.resolve(Why::TooMuchRead(self.read_bytes), now)
            }
            None => {
                let mut yes = std::mem::take(yes);
                yes.sort_unstable_by_key(|part| part.shard);
                self.commit(yes, now)
            }
            Some(why) => self.resolve(why, now),
        }
    }

    /// The home's answer to `Commit`.
    fn committing(&mut self, reply: Reply, now: LogTime) -> Vec<Effect> {
        let alone = self.participants().next().is_none();
        match reply {
            Reply::Decided(decided) => self.decided(*decided, Why::Busy(None), now),
            // Nothing of it is left anywhere, so that nothing need be resolved.
            Reply::Busy { holder } if alone && !self.late => {
                self.state = State::Pausing { keep: true };
                let holder = Some((self.home, holder));
                vec![Effect::Again { holder }]
            }
            // It cannot commit any more, and has not: see `Effect::Send`.
            Reply::Refused(Refusal::Expired { clock }) => {
                self.clock = self.clock.max(clock);
                let effects = self.finalize(Decision::Abort, now);
                self.not_committed(Why::Busy(None), effects)
            }
            Reply::Refused(Refusal::IdReused) => {
                let effects = self.finalize(Decision::Abort, now);
                self.end(Answer::IdReused, effects)
            }
            Reply::Busy { holder } => self.resolve(Why::Busy(Some((self.home, holder))), now),
            Reply::Refused(refusal) => {
                let why = self.refused(refusal);
                self.resolve(why, now)
            }
            _ => self.resolve(Why::Not(NotCommitted::ShardUnavailable), now),
        }
    }

    /// The home's answer to `Resolve`.
    fn resolving(&mut self, why: Why, reply: Reply, now: LogTime) -> Vec<Effect> {
        match reply {
            Reply::Decided(decided) => self.decided(*decided, why, now),
            Reply::Refused(Refusal::IdReused) => {
                let effects = self.finalize(Decision::Abort, now);
                self.end(Answer::IdReused, effects)
            }
            // It cannot commit any more. If a `Commit` was sent, it may have been applied, been
            // finalized by a resolver, and been forgotten.
            Reply::Refused(Refusal::Expired { clock }) => {
                self.clock = self.clock.max(clock);
                if self.entered {
                    return self.end(Answer::Unknown, Vec::new());
                }
                let effects = self.finalize(Decision::Abort, now);
                self.not_committed(why, effects)
            }
            _ => self.undecided(&why),
        }
    }

    /// The home does not say what it has decided: the attempt is left to a resolver (I2).
    fn undecided(&mut self, why: &Why) -> Vec<Effect> {
        let answer = match why {
            _ if self.entered => Answer::Unknown,
            Why::Not(reason) => Answer::NotCommitted(*reason),
            Why::Busy(_) | Why::Conflict(_) | Why::TooMuchRead(_) => {
                Answer::NotCommitted(NotCommitted::ShardUnavailable)
            }
        };
        self.end(answer, Vec::new())
    }

    /// The home has decided.
    fn decided(&mut self, decided: Decided, why: Why, now: LogTime) -> Vec<Effect> {
        let decision = decided.for_attempt(self.attempt);
        let mut effects = self.finalize(decision, now);
        match decided {
            Decided::Committed {
                versions, reads, ..
            } => {
                effects.insert(0, Effect::Answer(self.committed(&versions, reads)));
                if decision == Decision::Abort {
                    self.state = State::Done;
                    effects.push(Effect::Done);
                    return effects;
                }
                self.state = State::Finalizing {
                    awaited: self.participants().collect(),
                    finalized: Vec::new(),
                };
                effects.extend(self.maybe_forget(now));
                effects
            }
            Decided::AttemptAborted => self.not_committed(why, effects),
            Decided::Aborted { mut failed } => {
                let answer = match why {
                    Why::TooMuchRead(bytes) => Answer::TooMuchRead { bytes },
                    Why::Conflict(mut found) => {
                        found.append(&mut failed);
                        Answer::Conflict { failed: found }
                    }
                    Why::Busy(_) | Why::Not(_) => Answer::Conflict { failed },
                };
                self.end(answer, effects)
            }
        }
    }

    /// The attempt certainly is not committed: another one, or the answer.
    fn not_committed(&mut self, why: Why, mut effects: Vec<Effect>) -> Vec<Effect> {
        let answer = match why {
            Why::Busy(holder) if !self.late => {
                self.state = State::Pausing { keep: false };
                effects.push(Effect::Again { holder });
                return effects;
            }
            Why::Busy(_) => Answer::NotCommitted(NotCommitted::LockTimeout),
            Why::Not(reason) => Answer::NotCommitted(reason),
            Why::Conflict(failed) => Answer::Conflict { failed },
            Why::TooMuchRead(bytes) => Answer::TooMuchRead { bytes },
        };
        self.end(answer, effects)
    }

    /// The pause is over.
    fn again(&mut self, attempt: AttemptId, now: LogTime) -> Vec<Effect> {
        match self.state {
            State::Pausing { keep: true } => self.commit(Vec::new(), now),
            State::Pausing { keep: false } => self.begin(attempt, now),
            _ => Vec::new(),
        }
    }

    fn time_out(&mut self, now: LogTime) -> Vec<Effect> {
        self.late = true;
        match &mut self.state {
            State::Preparing { against, .. } => {
                let unavailable = Why::Not(NotCommitted::ShardUnavailable);
                let why = against.take().unwrap_or(unavailable);
                self.resolve(why, now)
            }
            // What became of it is not known now; the home can say.
            State::Committing => {
                self.entered = true;
                self.resolve(Why::Not(NotCommitted::ShardUnavailable), now)
            }
            State::Pausing { keep: true } => self.resolve(Why::Busy(None), now),
            State::Pausing { keep: false } => {
                let answer = Answer::NotCommitted(NotCommitted::LockTimeout);
                self.end(answer, Vec::new())
            }
            State::Resolving(_) | State::Finalizing { .. } | State::Done => Vec::new(),
        }
    }

    /// The client is told, and nothing more comes.
    fn end(&mut self, answer: Answer, mut effects: Vec<Effect>) -> Vec<Effect> {
        self.state = State::Done;
        effects.insert(0, Effect::Answer(answer));
        effects.push(Effect::Done);
        effects
    }

    /// The answer to a transaction that is committed.
    fn committed(
        &mut self,
        parts: &[PartVersions],
        home_reads: Option<Vec<Option<Found>>>,
    ) -> Answer {
        let operations = self.transaction.body.operations();
        if let ([all], true) = (parts, self.is_within_one_shard()) {
            let writes = operations.writes.iter().enumerate();
            return Answer::Committed {
                versions: writes
                    .map(|(index, write)| write.value().map(|_| all.of(index)))
                    .collect(),
                reads: home_reads.or(operations.reads.is_empty().then(Vec::new)),
            };
        }
        let mut versions = BTreeMap::new();
        for part in parts {
            let writes = self.parts.get(&part.shard).into_iter();
            for (index, write) in writes.flat_map(|part| &part.writes).enumerate() {
                let version = write.value().map(|_| part.of(index));
                versions.insert(write.key(), version);
            }
        }
        let version = |key| versions.get(key).copied().flatten();
        let versions = operations.changed().map(version).collect();
        let home = self.parts.get(&self.home).into_iter();
        let home = home.flat_map(|part| part.reads.iter().cloned());
        let nothing_read = operations.reads.is_empty().then(Vec::new);
        let reads = home_reads.or(nothing_read).map(|found| {
            self.reads.extend(home.zip(found));
            let keys = operations.reads.iter();
            keys.map(|key| self.reads.get(key).cloned().flatten())
                .collect()
        });
        Answer::Committed { versions, reads }
    }

    fn send(&self, step: Step, shard: ShardId, command: Command) -> Effect {
        let attempt = self.attempt;
        let call = Call {
            attempt,
            step,
            shard,
        };
        Effect::Send { call, command }
    }

    fn prepare(&self, shard: ShardId, now: LogTime) -> Effect {
        let prepare = Prepare {
            transaction: self.transaction.id,
            attempt: self.attempt,
            home: self.home,
            expires: self.expires,
            now,
            part: self.parts.get(&shard).cloned().unwrap_or_default(),
        };
        self.send(Step::Prepare, shard, Command::Prepare(Box::new(prepare)))
    }

    fn home_part(&self) -> Arc<Operations> {
        self.parts.get(&self.home).cloned().unwrap_or_default()
    }

    /// All other participants have voted yes (I4).
    fn commit(&mut self, participants: Vec<PartVersions>, now: LogTime) -> Vec<Effect> {
        self.state = State::Committing;
        let commit = Commit {
            transaction: self.transaction.id,
            promised: self.transaction.promised,
            digest: self.digest,
            attempt: self.attempt,
            home: self.home,
            expires: self.expires,
            now,
            part: self.home_part(),
            participants,
            read_bytes: self.read_bytes,
        };
        let commit = Command::Commit(Box::new(commit));
        vec![self.send(Step::Commit, self.home, commit)]
    }

    /// Gives the attempt up, which only the home can (I2). What fails for its checks, or for what it
    /// reads, is over for good, so that its client is not told "conflict" by one copy while another
    /// one commits (I7).
    fn resolve(&mut self, why: Why, now: LogTime) -> Vec<Effect> {
        let subject = match why {
            Why::Conflict(_) | Why::TooMuchRead(_) => Subject::Transaction {
                promised: self.transaction.promised,
                expires: self.expires,
                checks: self.home_part().checks.clone(),
            },
            Why::Busy(_) | Why::Not(_) => Subject::Attempt {
                attempt: self.attempt,
                expires: self.expires,
            },
        };
        self.state = State::Resolving(why);
        let resolve = Command::Resolve(Resolve {
            transaction: self.transaction.id,
            digest: Some(self.digest),
            subject,
            now,
        });
        vec![self.send(Step::Resolve, self.home, resolve)]
    }

    /// Tells all participants what the home has decided.
    fn finalize(&self, decision: Decision, now: LogTime) -> Vec<Effect> {
        let finalize = |shard| {
            let finalize = Finalize {
                attempt: self.attempt,
                decision,
                expires: self.expires,
                now,
            };
            self.send(Step::Finalize, shard, Command::Finalize(finalize))
        };
        self.participants().map(finalize).collect()
    }

    /// When every participant has been heard of, tells the home which have finalized.
    fn maybe_forget(&mut self, now: LogTime) -> Vec<Effect> {
        let State::Finalizing { awaited, finalized } = &mut self.state else {
            return Vec::new();
        };
        if !awaited.is_empty() {
            return Vec::new();
        }
        let finalized = std::mem::take(finalized);
        self.state = State::Done;
        if finalized.is_empty() {
            return vec![Effect::Done];
        }
        let part = |shard| FinalizedPart {
            transaction: self.transaction.id,
            attempt: self.attempt,
            shard,
        };
        let forget = Command::Forget(Forget {
            finalized: finalized.into_iter().map(part).collect(),
            acknowledged: Vec::new(),
            now,
        });
        vec![self.send(Step::Forget, self.home, forget), Effect::Done]
    }
}
