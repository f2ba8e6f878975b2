//! The resolver: brings to its end what a coordinator has left behind.
//!
//! A pure machine as the [coordinator](crate::Coordinator), with the same inputs and effects.
//! Anybody may run one, at any time, several at once (I6): the home's first decision stays.
//!
//! | begun from | input | what is sent | next |
//! |---|---|---|---|
//! | [`InDoubt`]: a participant has an old prepared attempt | – | `Resolve` to the home | resolving |
//! | [`Unfinalized`]: the home has a commit that participants may not know | – | `Finalize` (commit) | finalizing |
//! | resolving | decided, or expired (then it is not committed) | `Finalize` to the participant | finalizing |
//! | resolving | anything else | – | done |
//! | finalizing | the last `Finalized` of a commit | `Forget` to the home | done |
//! | finalizing | the last `Finalized` of an abort | – | done |
//!
//! When it fails, whatever it was begun from is still there for the next one.
//!
//! Tests: `tests/transactions`.

use std::collections::BTreeSet;

use crate::{
    AttemptId, Call, Command, Decision, Effect, Finalize, FinalizedPart, Forget, InDoubt, Input,
    LogTime, Refusal, Reply, Resolve, ShardId, Step, Subject, TransactionId, Unfinalized,
};

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum State {
    Resolving {
        participant: ShardId,
    },
    Finalizing {
        decision: Decision,
        awaited: BTreeSet<ShardId>,
        finalized: Vec<ShardId>,
    },
    Done,
}

/// One attempt on its way out of doubt; see the module's documentation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Resolver {
    transaction: TransactionId,
    attempt: AttemptId,
    home: ShardId,
    expires: LogTime,
    state: State,
}

impl Resolver {
    /// For an attempt that `participant` has prepared, with the effects that begin it.
    pub fn in_doubt(participant: ShardId, doubt: InDoubt, now: LogTime) -> (Self, Vec<Effect>) {
        let resolver = Self {
            transaction: doubt.transaction,
            attempt: doubt.attempt,
            home: doubt.home,
            expires: doubt.expires,
            state: State::Resolving { participant },
        };
        let resolve = Command::Resolve(Resolve {
            transaction: doubt.transaction,
            digest: None,
            subject: Subject::Attempt {
                attempt: doubt.attempt,
                expires: doubt.expires,
            },
            now,
        });
        let effects = vec![resolver.send(Step::Resolve, doubt.home, resolve)];
        (resolver, effects)
    }

    /// For a transaction that `home` has committed, with the effects that begin it.
    pub fn unfinalized(
        home: ShardId,
        unfinalized: Unfinalized,
        now: LogTime,
    ) -> (Self, Vec<Effect>) {
        let mut resolver = Self {
            transaction: unfinalized.transaction,
            attempt: unfinalized.attempt,
            home,
            expires: unfinalized.expires,
            state: State::Done,
        };
        let effects = resolver.finalize(Decision::Commit, unfinalized.shards, now);
        (resolver, effects)
    }

    /// What follows from `input`. What comes too late or twice changes nothing.
    pub fn step(&mut self, now: LogTime, input: Input) -> Vec<Effect> {
        match input {
            Input::Replied { call, reply } if call.attempt == self.attempt => {
                self.replied(call, reply, now)
            }
            Input::Failed { call, .. } if call.attempt == self.attempt => self.failed(call, now),
            Input::TimeOut => {
                self.state = State::Done;
                vec![Effect::Done]
            }
            _ => Vec::new(),
        }
    }

    /// Whether nothing more will come.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    fn replied(&mut self, call: Call, reply: Reply, now: LogTime) -> Vec<Effect> {
        match (call.step, &mut self.state) {
            (Step::Resolve, State::Resolving { participant }) => {
                let participant = vec![*participant];
                match reply {
                    Reply::Decided(decided) => {
                        let decision = decided.for_attempt(self.attempt);
                        self.finalize(decision, participant, now)
                    }
                    // It cannot commit any more; if it had, there would be a record as long as
                    // this participant is in doubt.
                    Reply::Refused(Refusal::Expired { .. }) => {
                        self.finalize(Decision::Abort, participant, now)
                    }
                    _ => self.end(),
                }
            }
            (
                Step::Finalize,
                State::Finalizing {
                    awaited, finalized, ..
                },
            ) if awaited.contains(&call.shard) => {
                awaited.remove(&call.shard);
                if reply == Reply::Finalized {
                    finalized.push(call.shard);
                }
                self.maybe_forget(now)
            }
            _ => Vec::new(),
        }
    }

    fn failed(&mut self, call: Call, now: LogTime) -> Vec<Effect> {
        match (call.step, &mut self.state) {
            (Step::Resolve, State::Resolving { .. }) => self.end(),
            (Step::Finalize, State::Finalizing { awaited, .. }) => {
                awaited.remove(&call.shard);
                self.maybe_forget(now)
            }
            _ => Vec::new(),
        }
    }

    fn end(&mut self) -> Vec<Effect> {
        self.state = State::Done;
        vec![Effect::Done]
    }

    fn send(&self, step: Step, shard: ShardId, command: Command) -> Effect {
        let call = Call {
            attempt: self.attempt,
            step,
            shard,
        };
        Effect::Send { call, command }
    }

    /// The home has decided (I2).
    fn finalize(&mut self, decision: Decision, shards: Vec<ShardId>, now: LogTime) -> Vec<Effect> {
        let finalize = |shard| {
            let finalize = Command::Finalize(Finalize {
                attempt: self.attempt,
                decision,
                expires: self.expires,
                now,
            });
            self.send(Step::Finalize, shard, finalize)
        };
        let effects = shards.iter().copied().map(finalize).collect();
        self.state = State::Finalizing {
            decision,
            awaited: shards.into_iter().collect(),
            finalized: Vec::new(),
        };
        effects
    }

    /// When every participant has been heard of, tells the home which have finalized a commit.
    fn maybe_forget(&mut self, now: LogTime) -> Vec<Effect> {
        let State::Finalizing {
            decision,
            awaited,
            finalized,
        } = &mut self.state
        else {
            return Vec::new();
        };
        if !awaited.is_empty() {
            return Vec::new();
        }
        let (decision, finalized) = (*decision, std::mem::take(finalized));
        self.state = State::Done;
        if decision == Decision::Abort || finalized.is_empty() {
            return vec![Effect::Done];
        }
        let part = |shard| FinalizedPart {
            transaction: self.transaction,
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
