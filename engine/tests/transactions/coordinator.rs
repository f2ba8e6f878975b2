//! What a coordinator makes of each answer, one at a time. The judge of whole systems lets an abort too
//! many pass, or a try too few: here it is said exactly.

use std::{num::NonZeroU16, time::Duration};

use trandb_common::{Value, Version, limits::TRANSACTION_BYTES_MAX};
use trandb_engine::{
    Answer, AttemptId, Call, Command, Coordinator, Decided, Effect, FailedCheck, Fault, Found,
    Input, LogTime, NotCommitted, PartVersions, Refusal, Reply, ShardId, Step, Subject,
};

use super::{
    cases::body,
    names::key,
    system::{EPOCH, transaction},
};

pub(crate) const NOW: LogTime = LogTime(1_000);
pub(crate) const ATTEMPT: AttemptId = AttemptId(1);
const HOLDER: AttemptId = AttemptId(77);
const HOME: u16 = 0;

/// A coordinator of one attempt.
struct Running(Coordinator);

fn shards() -> NonZeroU16 {
    NonZeroU16::new(3).expect("not 0")
}

fn start(text: &str) -> Running {
    let transaction = transaction(100, body(text, shards()));
    let timeout = Duration::from_secs(5);
    let (coordinator, effects) = Coordinator::start(transaction, shards(), ATTEMPT, timeout, NOW);
    assert!(!effects.is_empty());
    Running(coordinator)
}

/// One whose home is shard 0, and whose participants are 1 and 2.
fn of_three() -> Running {
    start("a@0=1 b@1=2 c@2=3")
}

pub(crate) fn call(step: Step, shard: u16) -> Call {
    Call {
        attempt: ATTEMPT,
        step,
        shard: ShardId(shard),
    }
}

pub(crate) fn version(counter: u64) -> Version {
    Version {
        epoch: EPOCH,
        counter,
    }
}

fn yes() -> Reply {
    Reply::Yes {
        reads: Vec::new(),
        first: version(5),
    }
}

pub(crate) fn aborted() -> Reply {
    Reply::Decided(Box::new(Decided::AttemptAborted))
}

fn over_for_good() -> Reply {
    Reply::Decided(Box::new(Decided::Aborted { failed: Vec::new() }))
}

pub(crate) fn committed() -> Reply {
    let part = |shard| PartVersions {
        shard: ShardId(shard),
        first: version(5),
    };
    Reply::Decided(Box::new(Decided::Committed {
        attempt: ATTEMPT,
        versions: vec![part(0), part(1), part(2)],
        reads: None,
    }))
}

fn failed_check(name: &str) -> FailedCheck {
    FailedCheck {
        key: key(name, shards()),
        expected: None,
        actual: Some(version(1)),
    }
}

impl Running {
    fn replied(&mut self, step: Step, shard: u16, reply: Reply) -> Vec<Effect> {
        let call = call(step, shard);
        self.0.step(NOW, Input::Replied { call, reply })
    }

    fn failed(&mut self, step: Step, shard: u16, fault: Fault) -> Vec<Effect> {
        let call = call(step, shard);
        self.0.step(NOW, Input::Failed { call, fault })
    }

    /// Both participants vote so; what follows from the second vote.
    fn votes(&mut self, first: Reply, second: Reply) -> Vec<Effect> {
        let waits = self.replied(Step::Prepare, 1, first);
        assert_eq!(waits, [], "the other vote is waited for");
        self.replied(Step::Prepare, 2, second)
    }

    /// As far as the finalizing of a transaction that is committed.
    fn commits(mut self) -> Self {
        let effects = self.votes(yes(), yes());
        assert_eq!(sent(&effects), [(Step::Commit, HOME)]);
        let effects = self.replied(Step::Commit, HOME, committed());
        assert_eq!(sent(&effects), [(Step::Finalize, 1), (Step::Finalize, 2)]);
        assert!(matches!(answer(&effects), Some(Answer::Committed { .. })));
        self
    }
}

/// What is sent, and where to.
pub(crate) fn sent(effects: &[Effect]) -> Vec<(Step, u16)> {
    let sent = effects.iter().filter_map(|effect| match effect {
        Effect::Send { call, .. } => Some((call.step, call.shard.0)),
        _ => None,
    });
    sent.collect()
}

fn answer(effects: &[Effect]) -> Option<&Answer> {
    effects.iter().find_map(|effect| match effect {
        Effect::Answer(answer) => Some(answer),
        _ => None,
    })
}

/// Whether only the attempt is given up, or the transaction for good.
fn gives_up_the_attempt_alone(effects: &[Effect]) -> bool {
    let [Effect::Send { command, .. }] = effects else {
        panic!("one question to the home: {effects:?}");
    };
    match command {
        Command::Resolve(resolve) => matches!(resolve.subject, Subject::Attempt { .. }),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_vote_that_was_busy_is_tried_again_when_the_holder_has_let_go() {
    let mut running = of_three();
    let effects = running.votes(Reply::Busy { holder: HOLDER }, yes());
    assert!(gives_up_the_attempt_alone(&effects));
    let effects = running.replied(Step::Resolve, HOME, aborted());
    assert_eq!(sent(&effects), [(Step::Finalize, 1), (Step::Finalize, 2)]);
    let holder = Some((ShardId(1), HOLDER));
    assert_eq!(effects.last(), Some(&Effect::Again { holder }));
    assert_eq!(answer(&effects), None);
}

#[test]
fn after_the_time_is_over_what_was_busy_is_not_tried_again() {
    let mut running = of_three();
    let _ = running.replied(Step::Prepare, 1, Reply::Busy { holder: HOLDER });
    let effects = running.0.step(NOW, Input::TimeOut);
    assert!(gives_up_the_attempt_alone(&effects));
    let effects = running.replied(Step::Resolve, HOME, aborted());
    let expected = Answer::NotCommitted(NotCommitted::LockTimeout);
    assert_eq!(answer(&effects), Some(&expected));
    assert_eq!(effects.last(), Some(&Effect::Done));
}

#[test]
fn the_worst_that_was_heard_decides_and_all_failed_checks_are_told() {
    let no = |name| Reply::No {
        failed: vec![failed_check(name)],
    };
    let mut running = of_three();
    let effects = running.votes(no("b@1"), no("c@2"));
    assert!(!gives_up_the_attempt_alone(&effects));
    let effects = running.replied(Step::Resolve, HOME, over_for_good());
    let failed = vec![failed_check("b@1"), failed_check("c@2")];
    assert_eq!(answer(&effects), Some(&Answer::Conflict { failed }));

    let conflict = Answer::Conflict {
        failed: vec![failed_check("b@1")],
    };
    for other in [Reply::Busy { holder: HOLDER }, yes()] {
        let mut running = of_three();
        let effects = running.votes(no("b@1"), other);
        assert!(!gives_up_the_attempt_alone(&effects));
        let effects = running.replied(Step::Resolve, HOME, over_for_good());
        assert_eq!(answer(&effects), Some(&conflict));
    }
    // A shard that has no room is a reason, and one that is busy beside it is none.
    let mut running = of_three();
    let overloaded = Reply::Refused(Refusal::Overloaded);
    let _ = running.votes(overloaded, Reply::Busy { holder: HOLDER });
    let effects = running.replied(Step::Resolve, HOME, aborted());
    let expected = Answer::NotCommitted(NotCommitted::Overloaded);
    assert_eq!(answer(&effects), Some(&expected));
}

#[test]
fn what_all_read_together_is_bounded() {
    let read = |bytes: usize| Found {
        value: Value::try_from(vec![b'x'; bytes]).expect("legal"),
        version: version(1),
    };
    let names = ["a@1", "b@1", "c@1", "d@1"];
    let quarter = TRANSACTION_BYTES_MAX / names.len();
    let all = |last: usize| {
        let reads = [quarter, quarter, quarter, last];
        Reply::Yes {
            reads: reads.map(|bytes| Some(read(bytes))).to_vec(),
            first: version(5),
        }
    };
    let text = format!("h@0=1 {}", names.join(" "));
    let mut most = start(&text);
    let effects = most.replied(Step::Prepare, 1, all(quarter));
    assert_eq!(
        sent(&effects),
        [(Step::Commit, HOME)],
        "just as much as may be"
    );

    // What a shard keeps back counts too.
    let mut more = start(&format!("{text} e@2"));
    let bytes = TRANSACTION_BYTES_MAX as u64 - 2 * quarter as u64;
    let refused = Reply::Refused(Refusal::TooMuchRead { bytes });
    let _ = more.replied(Step::Prepare, 2, refused);
    let effects = more.replied(Step::Prepare, 1, all(1));
    assert!(!gives_up_the_attempt_alone(&effects), "it is over for good");
    let effects = more.replied(Step::Resolve, HOME, over_for_good());
    let bytes = bytes + 3 * quarter as u64 + 1;
    assert_eq!(answer(&effects), Some(&Answer::TooMuchRead { bytes }));
}

#[test]
fn an_id_of_another_body_is_told_whenever_the_home_finds_out() {
    let reused = || Reply::Refused(Refusal::IdReused);
    let mut at_once = of_three();
    let _ = at_once.votes(yes(), yes());
    let effects = at_once.replied(Step::Commit, HOME, reused());
    assert_eq!(answer(&effects), Some(&Answer::IdReused));
    assert_eq!(sent(&effects), [(Step::Finalize, 1), (Step::Finalize, 2)]);

    let mut later = of_three();
    let _ = later.votes(yes(), Reply::Busy { holder: HOLDER });
    let effects = later.replied(Step::Resolve, HOME, reused());
    assert_eq!(answer(&effects), Some(&Answer::IdReused));
    assert_eq!(sent(&effects), [(Step::Finalize, 1), (Step::Finalize, 2)]);
}

#[test]
fn who_has_finalized_is_told_to_the_home_and_whoever_has_not_is_left_to_others() {
    let finalized = || Reply::Finalized;
    let mut running = of_three().commits();
    assert_eq!(running.replied(Step::Finalize, 1, finalized()), []);
    let effects = running.replied(Step::Finalize, 2, finalized());
    assert_eq!(sent(&effects), [(Step::Forget, HOME)]);
    assert_eq!(effects.last(), Some(&Effect::Done));

    let mut one_fails = of_three().commits();
    let unheard = one_fails.failed(Step::Finalize, 2, Fault::Unknown);
    assert_eq!(unheard, []);
    let effects = one_fails.replied(Step::Finalize, 1, finalized());
    let [Effect::Send { command, .. }, Effect::Done] = &effects[..] else {
        panic!("{effects:?}");
    };
    let Command::Forget(forget) = command else {
        panic!("{command:?}");
    };
    let told: Vec<_> = forget.finalized.iter().map(|part| part.shard).collect();
    assert_eq!(told, [ShardId(1)]);

    let mut all_fail = of_three().commits();
    let _ = all_fail.failed(Step::Finalize, 1, Fault::Unknown);
    let effects = all_fail.failed(Step::Finalize, 2, Fault::Unknown);
    assert_eq!(effects, [Effect::Done], "there is nothing to tell");
}

#[test]
fn a_vote_that_does_not_come_is_a_vote_against() {
    for (fault, reason) in [
        (Fault::Unknown, NotCommitted::ShardUnavailable),
        (
            Fault::NotEntered(NotCommitted::MemoryFull),
            NotCommitted::MemoryFull,
        ),
    ] {
        let mut running = of_three();
        assert_eq!(running.failed(Step::Prepare, 1, fault), []);
        let effects = running.replied(Step::Prepare, 2, yes());
        assert!(gives_up_the_attempt_alone(&effects));
        let effects = running.replied(Step::Resolve, HOME, aborted());
        assert_eq!(answer(&effects), Some(&Answer::NotCommitted(reason)));
    }
}

/// Whoever drives it may give up a call whose answer has come.
#[test]
fn what_was_heard_first_counts() {
    let mut running = of_three();
    assert_eq!(running.replied(Step::Prepare, 1, yes()), []);
    assert_eq!(running.failed(Step::Prepare, 1, Fault::Unknown), []);
    let effects = running.replied(Step::Prepare, 2, yes());
    assert_eq!(sent(&effects), [(Step::Commit, HOME)]);

    let mut running = of_three();
    assert_eq!(running.failed(Step::Prepare, 1, Fault::Unknown), []);
    assert_eq!(running.replied(Step::Prepare, 1, yes()), []);
    let effects = running.replied(Step::Prepare, 2, yes());
    assert!(gives_up_the_attempt_alone(&effects));
}

#[test]
fn what_the_home_does_not_say_is_unknown_if_a_commit_may_have_entered() {
    let mut entered = of_three();
    let _ = entered.votes(yes(), yes());
    let effects = entered.failed(Step::Commit, HOME, Fault::Unknown);
    assert!(gives_up_the_attempt_alone(&effects));
    let effects = entered.failed(Step::Resolve, HOME, Fault::Unknown);
    assert_eq!(effects, [Effect::Answer(Answer::Unknown), Effect::Done]);

    let refused = Fault::NotEntered(NotCommitted::MemoryFull);
    let mut not_entered = of_three();
    let _ = not_entered.votes(yes(), yes());
    let effects = not_entered.failed(Step::Commit, HOME, refused);
    assert!(gives_up_the_attempt_alone(&effects));
    let effects = not_entered.failed(Step::Resolve, HOME, Fault::Unknown);
    let answer = Answer::NotCommitted(NotCommitted::MemoryFull);
    assert_eq!(effects, [Effect::Answer(answer), Effect::Done]);

    // Nothing of it is anywhere.
    let mut alone = start("a@0=1");
    let effects = alone.failed(Step::Commit, HOME, refused);
    let answer = Answer::NotCommitted(NotCommitted::MemoryFull);
    assert_eq!(effects, [Effect::Answer(answer), Effect::Done]);
}
