//! What is sent again, when, and what never is; under paused time.

use std::time::Duration;

use trandb_client::{ClientBuilder, Outcome, Problem, RetryPolicy};
use trandb_common::ErrorCode;

use crate::scripted::{Script, Step, answer, described, foreign, found, problem, written};

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Endless requests that end in the same way.
fn forever(step: fn() -> Step) -> Script {
    Script::new(std::iter::repeat_with(step).take(100))
}

#[tokio::test(start_paused = true)]
async fn reads_are_sent_again_after_anything_that_passes() {
    for step in [
        Step::NotSent,
        Step::MaybeSent,
        Step::Silence,
        foreign(429),
        foreign(502),
        foreign(503),
        foreign(504),
        problem(ErrorCode::LockTimeout),
        problem(ErrorCode::OutcomeUnknown),
    ] {
        let script = Script::new([step, found()]);
        let entry = script.client().get("k").await.expect("the second answer");
        assert!(entry.is_some());
        assert_eq!(script.sent().len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn reads_are_not_sent_again_after_what_stays() {
    for step in [
        Step::AnswerTooLarge,
        foreign(400),
        foreign(404),
        foreign(500),
        answer(200, &[], "no version"),
        problem(ErrorCode::InvalidKey),
        problem(ErrorCode::MemoryFull),
    ] {
        let script = Script::new([step]);
        let error = script.client().get("k").await.expect_err("the only answer");
        assert_eq!(error.tries(), 1, "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_outcome_is_unknown_is_sent_exactly_once() {
    for delete in [false, true] {
        for step in [
            Step::MaybeSent,
            Step::Silence,
            Step::AnswerTooLarge,
            foreign(408),
            foreign(502),
            foreign(503),
            foreign(504),
            problem(ErrorCode::OutcomeUnknown),
            answer(200, &[], ""),
        ] {
            let script = Script::new([step, written()]);
            let client = script.configure(|b| b.endpoint("http://a").endpoint("http://b"));
            let error = if delete {
                // For a DELETE, 200 is as odd as a 200 without a version for a PUT.
                client.delete("k").await.expect_err("unknown")
            } else {
                client.put("k", "v").await.map(|_| ()).expect_err("unknown")
            };
            assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
            assert_eq!((script.sent().len(), error.tries()), (1, 1), "{error}");
            assert!(
                error.to_string().contains("read the key before sending"),
                "{error}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_that_certainly_did_not_happen_is_sent_again() {
    let codes = [
        ErrorCode::RequestTimeout,
        ErrorCode::LockTimeout,
        ErrorCode::Overloaded,
        ErrorCode::NotReady,
        ErrorCode::ShardUnavailable,
    ];
    for step in codes.map(problem).into_iter().chain([Step::NotSent]) {
        let script = Script::new([step, written()]);
        let client = script.client();
        client
            .put("k", "v")
            .if_absent()
            .await
            .expect("the second answer");
        let sent = script.sent();
        assert_eq!(sent.len(), 2);
        assert_eq!(sent[0].request.headers(), sent[1].request.headers());
        assert_eq!(sent[0].request.body(), sent[1].request.body());
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_that_may_have_happened_at_the_second_try_is_not_sent_a_third_time() {
    let script = Script::new([problem(ErrorCode::LockTimeout), Step::MaybeSent, written()]);
    let error = script.client().put("k", "v").await.expect_err("unknown");
    assert_eq!((error.outcome(), error.tries()), (Outcome::Unknown, 2));
}

#[tokio::test(start_paused = true)]
async fn a_refused_condition_is_not_sent_again() {
    let script = Script::new([problem(ErrorCode::PreconditionFailed)]);
    let put = script.client().put("k", "v").if_absent();
    assert!(put.await.expect_err("refused").is_conflict());
}

#[tokio::test(start_paused = true)]
async fn waits_double_up_to_the_longest_and_carry_up_to_their_own_length_of_jitter() {
    let script = forever(|| Step::NotSent);
    let policy = RetryPolicy::default()
        .max_retries(6)
        .min_delay(ms(100))
        .max_delay(ms(800));
    let client = script.configure(|builder| builder.retries(policy));
    client.get("k").await.expect_err("never answered");
    let waits = script.waits();
    for (wait, least) in waits.iter().zip([100, 200, 400, 800, 800, 800].map(ms)) {
        // The runtime's clock counts in whole milliseconds and rounds up.
        assert!((least..=2 * least + ms(1)).contains(wait), "{waits:?}");
    }
    assert_eq!(waits.len(), 6);
}

#[tokio::test(start_paused = true)]
async fn tries_are_bounded() {
    for (policy, tries) in [
        (RetryPolicy::none(), 1),
        (RetryPolicy::default().max_retries(1), 2),
        (RetryPolicy::default(), 6),
    ] {
        let script = forever(|| problem(ErrorCode::Overloaded));
        let client = script.configure(|builder| builder.retries(policy));
        let error = client.put("k", "v").await.expect_err("overloaded");
        assert_eq!(script.sent().len(), tries, "{policy:?}");
        assert_eq!(error.tries() as usize, tries);
        assert!(error.is_retryable(), "{error}");
        assert_eq!(error.to_string().contains("tries"), tries > 1, "{error}");
    }
}

/// How long a read of a failing server takes, and how many tries it had.
async fn time_of(
    script: &Script,
    settings: impl FnOnce(ClientBuilder) -> ClientBuilder,
) -> (Duration, u32) {
    let client = script.configure(settings);
    let begun = tokio::time::Instant::now();
    let error = client.get("k").await.expect_err("never answered");
    (begun.elapsed(), error.tries())
}

#[tokio::test(start_paused = true)]
async fn the_call_ends_at_its_deadline_while_waiting_for_an_answer() {
    let script = forever(|| Step::Silence);
    let limits = |builder: ClientBuilder| builder.timeout(ms(2500)).try_timeout(ms(1000));
    let (took, tries) = time_of(&script, limits).await;
    assert_eq!((took, tries), (ms(2500), 3));
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_would_end_after_the_deadline_is_not_begun() {
    let script = forever(|| problem(ErrorCode::LockTimeout));
    let (took, tries) = time_of(&script, |builder| builder.timeout(ms(900))).await;
    assert_eq!((took, tries), (Duration::ZERO, 1));
}

#[tokio::test(start_paused = true)]
async fn a_read_is_given_up_at_one_endpoint_early_and_a_write_is_not() {
    let limits = |builder: ClientBuilder| {
        let both = builder.endpoint("http://a").endpoint("http://b");
        both.timeout(ms(5000)).try_timeout(ms(1000))
    };
    let script = Script::new([Step::Silence, found()]);
    script
        .configure(limits)
        .get("k")
        .await
        .expect("the second answer");
    assert_eq!(
        (script.order(), script.waits()),
        ("ab".into(), vec![ms(1000)])
    );

    let script = Script::new([Step::Silence]);
    let begun = tokio::time::Instant::now();
    let error = script
        .configure(limits)
        .put("k", "v")
        .await
        .expect_err("unknown");
    assert_eq!(begun.elapsed(), ms(5000));
    assert!(error.is_timeout() && !error.is_connect(), "{error}");
    assert!(
        error
            .to_string()
            .starts_with("http://a: no answer within 5s"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_server_says_how_long_to_wait() {
    let mut in_body = Problem::new(ErrorCode::Overloaded, "d");
    in_body.retry_after_ms = Some(3000);
    for step in [answer(503, &["retry-after: 3"], ""), described(&in_body)] {
        let script = Script::new([step, found()]);
        script.client().get("k").await.expect("the second answer");
        // Its own jittered delay is added.
        let wait = script.waits()[0];
        assert!((ms(3050)..=ms(3101)).contains(&wait), "{wait:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_that_cannot_be_used_is_passed_over() {
    for header in [
        "retry-after: Fri, 31 Dec 1999 23:59:59 GMT",
        "retry-after: -1",
        "retry-after: 99999999999999999999999",
    ] {
        let script = Script::new([answer(503, &[header], ""), found()]);
        script.client().get("k").await.expect("the second answer");
        let wait = script.waits()[0];
        assert!((ms(50)..=ms(101)).contains(&wait), "{header}: {wait:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_server_cannot_make_the_client_wait_for_ever() {
    let policy = RetryPolicy::default().max_retry_after(ms(700));
    for header in ["retry-after: 86400", "retry-after: 18446744073709551615"] {
        let script = Script::new([answer(503, &[header], ""), found()]);
        let client = script.configure(|builder| builder.retries(policy));
        client.get("k").await.expect("the second answer");
        let wait = script.waits()[0];
        assert!((ms(750)..=ms(801)).contains(&wait), "{wait:?}");
    }
}

/// The waits of two calls of a client with this seed.
async fn waits_with(seed: u64) -> Vec<Duration> {
    let script = forever(|| Step::NotSent);
    // Long enough to tell the jitter of two seeds apart in milliseconds.
    let policy = RetryPolicy::default()
        .min_delay(ms(1000))
        .max_delay(ms(60_000));
    let client = script.configure(|builder| {
        let patient = builder.timeout(Duration::from_secs(1000));
        patient.retries(policy).jitter_seed(seed)
    });
    for _ in 0..2 {
        client.get("k").await.expect_err("never answered");
    }
    script.waits()
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_waits() {
    let waits = waits_with(7).await;
    assert_eq!(waits, waits_with(7).await);
    assert_ne!(waits, waits_with(8).await);
    let (first_call, second_call) = (&waits[..5], &waits[6..]);
    assert_ne!(first_call, second_call, "each call has jitter of its own");
}

#[tokio::test(start_paused = true)]
async fn settings_of_any_size_are_taken() {
    let policy = RetryPolicy::default()
        .max_retries(u32::MAX)
        .min_delay(Duration::MAX)
        .max_delay(Duration::MAX)
        .max_retry_after(Duration::MAX);
    let script = Script::new([
        answer(503, &["retry-after: 18446744073709551615"], ""),
        found(),
    ]);
    let client = script.configure(|builder| {
        let patient = builder.timeout(Duration::MAX).try_timeout(Duration::MAX);
        patient.connect_timeout(Duration::MAX).retries(policy)
    });
    client.get("k").await.expect("the second answer");
    assert!(script.waits()[0] >= Duration::from_hours(2));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_leaves_nothing_behind() {
    let script = Script::new([Step::Silence, written()]);
    let client = script.client();
    let call = tokio::spawn(client.put("k", "v").into_future());
    while script.under_way() == 0 {
        tokio::task::yield_now().await;
    }
    call.abort();
    assert!(call.await.expect_err("aborted").is_cancelled());
    assert_eq!(script.under_way(), 0);
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(script.steps_left(), 1, "nothing was sent afterwards");
}

#[tokio::test(start_paused = true)]
async fn a_write_that_is_never_awaited_is_never_sent() {
    let script = Script::new([]);
    drop(script.client().put("k", "v"));
    drop(script.client().delete("k").into_future());
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert!(script.sent().is_empty());
}

/// A machine that is busy, or asleep, lets a wait end late. A try without any time would be given
/// up as one of unknown outcome, although nothing of the write was ever sent.
#[tokio::test(start_paused = true)]
async fn a_write_that_was_refused_stays_refused_when_the_wait_ends_after_the_time_limit() {
    let script = Script::new([problem(ErrorCode::Overloaded), Step::Silence]);
    let client = script.client();
    // While the client waits for its second try.
    let oversleep = async { tokio::time::advance(Duration::from_hours(1)).await };
    let (written, ()) = tokio::join!(client.put("k", "v").into_future(), oversleep);
    let error = written.expect_err("the time is over");
    assert_eq!(error.outcome(), Outcome::NotCommitted, "{error}");
    assert_eq!(error.code(), Some("overloaded"), "{error}");
    assert_eq!((script.sent().len(), error.tries()), (1, 1), "{error}");
}
