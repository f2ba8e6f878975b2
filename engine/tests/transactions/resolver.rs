//! What a resolver makes of each answer, one at a time.

use trandb_common::TransactionId;
use trandb_engine::{
    AttemptId, Command, Decided, Decision, Effect, Fault, InDoubt, Input, LogTime, Refusal, Reply,
    Resolver, ShardId, Step, Unfinalized,
};

use super::coordinator::{ATTEMPT, NOW, aborted, call, committed, sent};

const HOME: u16 = 0;
const PARTICIPANT: u16 = 1;

fn in_doubt() -> Resolver {
    let doubt = InDoubt {
        transaction: TransactionId(100),
        attempt: ATTEMPT,
        home: ShardId(HOME),
        expires: LogTime(9_000),
    };
    let (resolver, effects) = Resolver::in_doubt(ShardId(PARTICIPANT), doubt, NOW);
    assert_eq!(sent(&effects), [(Step::Resolve, HOME)]);
    resolver
}

fn unfinalized() -> Resolver {
    let unfinalized = Unfinalized {
        transaction: TransactionId(100),
        attempt: ATTEMPT,
        expires: LogTime(9_000),
        shards: vec![ShardId(1), ShardId(2)],
    };
    let (resolver, effects) = Resolver::unfinalized(ShardId(HOME), unfinalized, NOW);
    assert_eq!(sent(&effects), [(Step::Finalize, 1), (Step::Finalize, 2)]);
    assert_eq!(decisions(&effects), [Decision::Commit; 2]);
    resolver
}

fn replied(resolver: &mut Resolver, step: Step, shard: u16, reply: Reply) -> Vec<Effect> {
    let call = call(step, shard);
    resolver.step(NOW, Input::Replied { call, reply })
}

fn failed(resolver: &mut Resolver, step: Step, shard: u16) -> Vec<Effect> {
    let call = call(step, shard);
    let fault = Fault::Unknown;
    resolver.step(NOW, Input::Failed { call, fault })
}

fn decisions(effects: &[Effect]) -> Vec<Decision> {
    let decisions = effects.iter().filter_map(|effect| match effect {
        Effect::Send {
            command: Command::Finalize(finalize),
            ..
        } => Some(finalize.decision),
        _ => None,
    });
    decisions.collect()
}

#[test]
fn what_the_home_decided_is_finalized_and_told_only_if_it_committed() {
    let by_another = Reply::Decided(Box::new(Decided::Committed {
        attempt: AttemptId(2),
        versions: Vec::new(),
        reads: None,
    }));
    let expired = Reply::Refused(Refusal::Expired { clock: NOW });
    for (reply, decision) in [
        (committed(), Decision::Commit),
        (aborted(), Decision::Abort),
        (by_another, Decision::Abort),
        (expired, Decision::Abort),
    ] {
        let mut resolver = in_doubt();
        let effects = replied(&mut resolver, Step::Resolve, HOME, reply);
        assert_eq!(sent(&effects), [(Step::Finalize, PARTICIPANT)]);
        assert_eq!(decisions(&effects), [decision]);
        assert!(!resolver.is_done());
        let effects = replied(&mut resolver, Step::Finalize, PARTICIPANT, Reply::Finalized);
        let told = match decision {
            Decision::Commit => vec![(Step::Forget, HOME)],
            Decision::Abort => Vec::new(),
        };
        assert_eq!(sent(&effects), told);
        assert_eq!(effects.last(), Some(&Effect::Done));
        assert!(resolver.is_done());
    }
}

#[test]
fn without_a_decision_it_ends_and_leaves_the_rest_to_the_next_one() {
    let mut refused = in_doubt();
    let overloaded = Reply::Refused(Refusal::Overloaded);
    let effects = replied(&mut refused, Step::Resolve, HOME, overloaded);
    assert_eq!(effects, [Effect::Done]);
    let mut unheard = in_doubt();
    assert_eq!(failed(&mut unheard, Step::Resolve, HOME), [Effect::Done]);
    let mut late = in_doubt();
    assert_eq!(late.step(NOW, Input::TimeOut), [Effect::Done]);
    for resolver in [refused, unheard, late] {
        assert!(resolver.is_done());
    }
}

#[test]
fn who_does_not_finalize_is_not_told_to_the_home() {
    let mut resolver = unfinalized();
    assert_eq!(failed(&mut resolver, Step::Finalize, 1), []);
    let effects = replied(&mut resolver, Step::Finalize, 2, Reply::Finalized);
    let [Effect::Send { command, .. }, Effect::Done] = &effects[..] else {
        panic!("{effects:?}");
    };
    let Command::Forget(forget) = command else {
        panic!("{command:?}");
    };
    let told: Vec<_> = forget.finalized.iter().map(|part| part.shard).collect();
    assert_eq!(told, [ShardId(2)]);

    let mut nobody = unfinalized();
    let refused = Reply::Refused(Refusal::AlreadyFinalized);
    assert_eq!(replied(&mut nobody, Step::Finalize, 1, refused), []);
    assert_eq!(failed(&mut nobody, Step::Finalize, 2), [Effect::Done]);
}

#[test]
fn what_is_of_another_attempt_changes_nothing() {
    for mut resolver in [in_doubt(), unfinalized()] {
        let before = resolver.clone();
        for (step, shard) in [(Step::Resolve, HOME), (Step::Finalize, 1)] {
            let mut call = call(step, shard);
            call.attempt = AttemptId(99);
            for input in [
                Input::Replied {
                    call,
                    reply: committed(),
                },
                Input::Failed {
                    call,
                    fault: Fault::Unknown,
                },
            ] {
                assert_eq!(resolver.step(NOW, input), []);
                assert_eq!(resolver, before);
            }
        }
    }
}
