//! In networks that delay, lose and cut, with time that is simulated: the same seed gives the same
//! run.

use std::{
    future::{pending, ready},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};
use trandb_cluster::{
    identity::{GroupId, NodeId},
    peer::{
        CONNECT_TIMEOUT, HELLO_TIMEOUT, IDLE, Identity, Listener, Peers, RECONNECT_DELAY_MAX,
        SILENCE_MAX, frame::Message,
    },
    transport::{Address, Handler, Refusal, Request, Transport as _, TransportError},
};
use turmoil::{Sim, net::TcpListener};

use crate::support::{
    Raw, Simulated, SimulatedListener, address, echo, handler, hello, identity, request, within,
};

const PORT: u16 = 8081;
const LATENCY: Duration = Duration::from_millis(5);
const DRAIN: Duration = Duration::from_secs(5);
const SENT: TransportError = TransportError::TimedOut { sent: true };

fn simulation(seed: u64) -> Sim<'static> {
    turmoil::Builder::new()
        .rng_seed(seed)
        .min_message_latency(LATENCY)
        .max_message_latency(LATENCY)
        .simulation_duration(Duration::from_mins(5))
        .tcp_capacity(4096)
        .build()
}

/// Where node `node` is, if it is the one on `server`.
fn server(node: u64) -> Address {
    address(node, format!("server:{PORT}"))
}

fn peers(node: u64) -> Peers<Simulated> {
    Peers::new(Simulated::default(), identity(node))
}

/// Adds the host `server`, which serves until the simulation ends.
fn serve<H: Handler>(sim: &mut Sim<'_>, identity: Identity, handler: Arc<H>) {
    serve_until(sim, identity, handler, pending);
}

fn serve_until<H: Handler, S: Future<Output = ()> + 'static>(
    sim: &mut Sim<'_>,
    identity: Identity,
    handler: Arc<H>,
    stop: impl Fn() -> S + 'static,
) {
    let stop = Arc::new(stop);
    sim.host("server", move || {
        let (identity, handler, stop) = (identity.clone(), Arc::clone(&handler), Arc::clone(&stop));
        async move {
            let listener = Listener::new(SimulatedListener::bind(PORT).await?, identity);
            let cut_off = listener.serve(handler, stop(), DRAIN).await;
            assert_eq!(cut_off, 0, "all requests end in time");
            Ok(())
        }
    });
}

/// Adds a host `server` that plays a peer which does not keep to the protocol, one connection
/// after the other.
fn play<R: Future<Output = ()> + 'static>(
    sim: &mut Sim<'_>,
    part: impl Fn(Raw<turmoil::net::TcpStream>) -> R + 'static,
) {
    let part = Arc::new(part);
    sim.host("server", move || {
        let part = Arc::clone(&part);
        async move {
            let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
            loop {
                let (stream, _) = listener.accept().await?;
                part(Raw::new(stream)).await;
            }
        }
    });
}

/// Runs `test` as the host `client`.
fn run(mut sim: Sim<'_>, test: impl Future<Output = ()> + 'static) {
    sim.client("client", async move {
        test.await;
        Ok(())
    });
    sim.run().expect("the test ends");
}

fn echoing() -> Arc<impl Handler> {
    handler(|_, request| echo(request))
}

#[test]
fn a_lost_peer_costs_no_more_than_the_deadline_and_is_found_again() {
    let mut sim = simulation(1);
    serve(&mut sim, identity(2), echoing());
    run(sim, async {
        let (peers, to) = (peers(1), server(2));
        let before = peers.call(&to, request("before"), within(1000)).await;
        assert_eq!(before, Ok(Bytes::from("before")));

        turmoil::partition("client", "server");
        let begun = Instant::now();
        let lost = peers.call(&to, request("lost"), within(300)).await;
        assert_eq!(lost, Err(SENT), "nobody knows whether it arrived");
        assert!(begun.elapsed() < Duration::from_millis(310));
        // The connection is gone, and another one cannot be made.
        let unsent = peers.call(&to, request("unsent"), within(300)).await;
        let unsent = unsent.expect_err("cut off");
        assert!(matches!(unsent, TransportError::Unreachable(_)), "{unsent}");
        assert!(!unsent.may_have_arrived());

        turmoil::repair("client", "server");
        let found = peers.call(&to, request("found"), within(2000)).await;
        assert_eq!(found, Ok(Bytes::from("found")));
    });
}

/// What others wait for, who asks for a client need not: another node may lead by now.
#[test]
fn what_is_asked_for_a_client_does_not_wait_for_the_next_attempt_to_connect() {
    let mut sim = simulation(1);
    serve(&mut sim, identity(2), echoing());
    run(sim, async {
        let (peers, to) = (peers(1), server(2));
        let forwarded = || Request {
            group: GroupId::FORWARD,
            ..request("for a client")
        };
        turmoil::partition("client", "server");
        for call in [request("first"), forwarded()] {
            let failed = peers.call(&to, call, within(5_000)).await;
            let failed = failed.expect_err("cut off");
            assert!(matches!(failed, TransportError::Unreachable(_)), "{failed}");
        }
        let begun = Instant::now();
        let failed = peers.call(&to, forwarded(), within(5_000)).await;
        assert!(!failed.expect_err("cut off").may_have_arrived());
        assert_eq!(begun.elapsed(), Duration::ZERO, "it is known already");

        turmoil::repair("client", "server");
        sleep(RECONNECT_DELAY_MAX).await;
        let found = peers.call(&to, forwarded(), within(2_000)).await;
        assert_eq!(found, Ok(Bytes::from("for a client")));
    });
}

/// The connection lives on for one side, and is dead for the other.
#[test]
fn a_connection_that_is_half_open_is_dropped_at_the_first_deadline() {
    let handled = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&handled);
    let mut sim = simulation(2);
    let counting = handler(move |_, request| {
        count.fetch_add(1, Ordering::Relaxed);
        echo(request)
    });
    serve(&mut sim, identity(2), counting);
    run(sim, async move {
        let (peers, to) = (peers(1), server(2));
        peers
            .call(&to, request("1"), within(1000))
            .await
            .expect("answered");
        turmoil::partition_oneway("server", "client");
        let lost = peers.call(&to, request("2"), within(200)).await;
        assert_eq!(lost, Err(SENT));
        assert_eq!(
            handled.load(Ordering::Relaxed),
            2,
            "only the answer was lost"
        );
        turmoil::repair_oneway("server", "client");
        // Over the old connection it would wait for what was lost, for ever.
        let next = peers.call(&to, request("3"), within(2000)).await;
        assert_eq!(next, Ok(Bytes::from("3")));
    });
}

#[test]
fn a_deadline_without_a_sign_of_life_takes_the_other_calls_with_it() {
    let mut sim = simulation(3);
    play(&mut sim, |mut silent| async move {
        silent.welcome(2).await;
        while silent.hear().await.is_some() {}
    });
    run(sim, async {
        let (peers, to) = (peers(1), server(2));
        let (begun, patient) = (Instant::now(), within(60_000));
        let (first, second) = tokio::join!(
            peers.call(&to, request("a"), within(200)),
            peers.call(&to, request("b"), patient),
        );
        assert_eq!(first, Err(SENT));
        let second = second.expect_err("the connection is dropped");
        assert!(
            matches!(second, TransportError::Disconnected(_)),
            "{second}"
        );
        assert!(second.may_have_arrived());
        assert!(begun.elapsed() < Duration::from_millis(250));
    });
}

#[test]
fn a_silent_peer_is_given_up_before_a_patient_caller() {
    let mut sim = simulation(4);
    play(&mut sim, |mut silent| async move {
        silent.welcome(2).await;
        while silent.hear().await.is_some() {}
    });
    run(sim, async {
        let begun = Instant::now();
        let answer = peers(1).call(&server(2), request(""), within(60_000)).await;
        assert!(
            matches!(answer, Err(TransportError::Disconnected(_))),
            "{answer:?}"
        );
        assert!(begun.elapsed() < SILENCE_MAX + Duration::from_secs(1));
    });
}

/// One answer that is late says nothing about the connection while the peer answers others.
#[test]
fn a_slow_handler_holds_up_nobody_and_costs_nobody_a_connection() {
    let mut sim = simulation(5);
    serve(&mut sim, identity(2), echoing());
    run(sim, async move {
        let network = Simulated::default();
        let (peers, to) = (Peers::new(network.clone(), identity(1)), server(2));
        peers
            .call(&to, request("first"), within(1000))
            .await
            .expect("answered");
        let slow = peers.call(&to, request("30000"), within(1000));
        let patient = peers.call(&to, request("5000"), within(10_000));
        let quick = async {
            for number in 1..=10 {
                let begun = Instant::now();
                let body = format!("quick {number}");
                let answer = peers.call(&to, request(body.clone()), within(500)).await;
                assert_eq!(answer, Ok(Bytes::from(body)));
                assert!(begun.elapsed() < 4 * LATENCY, "{:?}", begun.elapsed());
                sleep(Duration::from_millis(200)).await;
            }
        };
        let (slow, patient, ()) = tokio::join!(slow, patient, quick);
        assert_eq!(slow, Err(SENT));
        assert_eq!(patient, Ok(Bytes::from("5000")), "over the same connection");
        assert_eq!(
            network.0.load(Ordering::Relaxed),
            1,
            "no other one was made"
        );
    });
}

/// Without any other call, the peer's signs of life are enough.
#[test]
fn two_slow_calls_alone_do_not_cost_each_other_the_connection() {
    let mut sim = simulation(6);
    serve(&mut sim, identity(2), echoing());
    run(sim, async {
        let (peers, to) = (peers(1), server(2));
        let (first, second) = tokio::join!(
            peers.call(&to, request("30000"), within(1000)),
            peers.call(&to, request("5000"), within(10_000)),
        );
        assert_eq!(first, Err(SENT));
        assert_eq!(second, Ok(Bytes::from("5000")));
    });
}

/// The restarted process has lost all that its predecessor had promised; see the module `hello`.
#[test]
fn a_successor_at_the_same_address_takes_nothing_that_was_meant_for_its_predecessor() {
    let starts = Arc::new(AtomicU64::new(2));
    let handled = Arc::new(Mutex::new(Vec::new()));
    let mut sim = simulation(7);
    let log = Arc::clone(&handled);
    sim.host("server", move || {
        let node = starts.fetch_add(1, Ordering::Relaxed);
        let log = Arc::clone(&log);
        let handler = handler(move |_, request: Request| {
            log.lock()
                .expect("whole")
                .push((node, request.body.clone()));
            ready(Ok(request.body))
        });
        async move {
            let listener = SimulatedListener::bind(PORT).await?;
            let listener = Listener::new(listener, identity(node));
            listener.serve(handler, pending(), DRAIN).await;
            Ok(())
        }
    });
    let end = Arc::new(AtomicU64::new(0));
    let (phase, told) = (Arc::clone(&end), Arc::clone(&handled));
    sim.client("client", async move {
        let peers = peers(1);
        let first = peers.call(&server(2), request("to 2"), within(1000)).await;
        assert_eq!(first, Ok(Bytes::from("to 2")));
        phase.store(1, Ordering::Relaxed);
        sleep(Duration::from_secs(1)).await;
        // Whatever becomes of these, the successor must not have them.
        let wrong = Refusal::WrongNode { here: NodeId(3) };
        let mut refused = false;
        for _ in 0..10 {
            let answer = peers
                .call(&server(2), request("to 2 again"), within(500))
                .await;
            refused |= answer == Err(wrong.into());
            assert!(answer.is_err(), "{answer:?}");
        }
        assert!(refused, "the reason reaches the caller");
        let next = peers.call(&server(3), request("to 3"), within(1000)).await;
        assert_eq!(next, Ok(Bytes::from("to 3")));
        let told = told.lock().expect("whole").clone();
        let expected = [(2, Bytes::from("to 2")), (3, Bytes::from("to 3"))];
        assert_eq!(told, expected);
        Ok(())
    });
    while end.load(Ordering::Relaxed) == 0 {
        sim.step().expect("a step");
    }
    sim.bounce("server");
    sim.run().expect("the test ends");
}

#[test]
fn a_call_waits_for_the_next_attempt_to_connect_and_for_no_other() {
    let mut sim = simulation(8);
    serve(&mut sim, identity(2), echoing());
    run(sim, async {
        let (peers, to) = (peers(1), server(2));
        turmoil::partition("client", "server");
        for _ in 0..10 {
            let early = peers.call(&to, request("early"), within(10_000)).await;
            assert!(
                matches!(early, Err(TransportError::Unreachable(_))),
                "{early:?}"
            );
        }
        turmoil::repair("client", "server");
        let begun = Instant::now();
        let late = peers.call(&to, request("late"), within(10_000)).await;
        assert_eq!(late, Ok(Bytes::from("late")));
        assert!(begun.elapsed() < RECONNECT_DELAY_MAX + 8 * LATENCY);
    });
}

#[test]
fn a_connection_that_is_not_made_in_time_is_tried_anew() {
    let mut sim = simulation(17);
    serve(&mut sim, identity(2), echoing());
    run(sim, async {
        let (peers, to) = (peers(1), server(2));
        turmoil::hold("client", "server");
        let hasty = peers.call(&to, request("hasty"), within(100)).await;
        assert_eq!(hasty, Err(TransportError::TimedOut { sent: false }));
        let begun = Instant::now();
        let patient = peers.call(&to, request("patient"), within(60_000)).await;
        assert!(
            matches!(patient, Err(TransportError::Unreachable(_))),
            "{patient:?}"
        );
        assert!(begun.elapsed() < CONNECT_TIMEOUT);
        turmoil::release("client", "server");
        let next = peers.call(&to, request("next"), within(10_000)).await;
        assert_eq!(next, Ok(Bytes::from("next")));
    });
}

/// What has begun is answered, what comes later is told so, and what was told so has not happened.
#[test]
fn a_listener_that_stops_answers_what_it_has_begun() {
    let handled = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&handled);
    let mut sim = simulation(9);
    let logging = handler(move |_, request: Request| {
        log.lock().expect("whole").push(request.body.clone());
        echo(request)
    });
    let stop = || sleep(Duration::from_secs(1));
    serve_until(&mut sim, identity(2), logging, stop);
    run(sim, async move {
        let (peers, to) = (peers(1), server(2));
        let start = Instant::now();
        let begun = peers.call(&to, request("2000"), within(10_000));
        let refused = async {
            sleep_until(start + Duration::from_millis(1500)).await;
            peers.call(&to, request("refused"), within(1000)).await
        };
        let (begun, refused) = tokio::join!(begun, refused);
        assert_eq!(begun, Ok(Bytes::from("2000")));
        assert_eq!(refused, Err(Refusal::ShuttingDown.into()));
        let gone = peers.call(&to, request("gone"), within(1000)).await;
        let gone = gone.expect_err("nobody there");
        assert!(!gone.may_have_arrived(), "{gone}");
        assert_eq!(*handled.lock().expect("whole"), [Bytes::from("2000")]);
    });
}

#[test]
fn a_caller_that_stops_waits_for_its_answers_until_its_deadline() {
    let mut sim = simulation(10);
    serve(&mut sim, identity(2), echoing());
    run(sim, async {
        let (peers, to) = (Arc::new(peers(1)), server(2));
        let mut calls = JoinSet::new();
        for body in ["500", "30000"] {
            let (peers, to) = (Arc::clone(&peers), to.clone());
            calls.spawn(async move {
                let answer = peers.call(&to, request(body), within(60_000)).await;
                (body, answer)
            });
        }
        sleep(Duration::from_millis(100)).await;
        let begun = Instant::now();
        peers.shut_down(within(2000)).await;
        assert_eq!(begun.elapsed(), Duration::from_secs(2));
        let mut ends = calls.join_all().await;
        ends.sort_by_key(|(body, _)| *body);
        let cut_off = TransportError::Disconnected("given up".to_owned());
        let expected = [("30000", Err(cut_off)), ("500", Ok(Bytes::from("500")))];
        assert_eq!(ends, expected);
        let after = peers.call(&to, request(""), within(1000)).await;
        assert_eq!(after, Err(TransportError::ShuttingDown));
        sleep(Duration::from_secs(1)).await;
        assert_eq!(turmoil::established_tcp_stream_count(), 0);
    });
}

/// Handlers must not go on for callers who wait no longer.
#[test]
fn a_handler_ends_with_its_callers_time_and_with_its_connection() {
    struct Gone(Arc<AtomicU64>);
    impl Drop for Gone {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let gone = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&gone);
    let mut sim = simulation(11);
    let forever = handler(move |_, _| {
        let gone = Gone(Arc::clone(&count));
        async move {
            let _gone = gone;
            pending().await
        }
    });
    serve(&mut sim, identity(2), forever);
    run(sim, async move {
        let (peers, to) = (peers(1), server(2));
        let patient = peers.call(&to, request(""), within(60_000));
        let two = async {
            let late = peers.call(&to, request(""), within(1000)).await;
            assert_eq!(late, Err(SENT));
            sleep(4 * LATENCY).await;
            assert_eq!(gone.load(Ordering::Relaxed), 1, "its time is over");
            peers.shut_down(within(0)).await;
        };
        let (patient, ()) = tokio::join!(patient, two);
        patient.expect_err("shut down");
        sleep(Duration::from_secs(1)).await;
        assert_eq!(gone.load(Ordering::Relaxed), 2, "the connection has ended");
    });
}

#[test]
fn who_connects_and_says_nothing_is_dropped() {
    let mut sim = simulation(12);
    serve(&mut sim, identity(2), echoing());
    run(sim, async {
        let stream = turmoil::net::TcpStream::connect(("server", PORT)).await;
        let mut mute = Raw::new(stream.expect("connected"));
        let begun = Instant::now();
        assert_eq!(mute.hear().await, None);
        assert!(begun.elapsed() < HELLO_TIMEOUT + 4 * LATENCY);
    });
}

#[test]
fn who_is_connected_to_and_says_nothing_is_unreachable() {
    let mut sim = simulation(13);
    play(&mut sim, |mut mute| async move {
        while mute.hear().await.is_some() {}
    });
    run(sim, async {
        let begun = Instant::now();
        let answer = peers(1).call(&server(2), request(""), within(60_000)).await;
        assert!(
            matches!(answer, Err(TransportError::Unreachable(_))),
            "{answer:?}"
        );
        assert!(begun.elapsed() < HELLO_TIMEOUT + 4 * LATENCY);
    });
}

#[test]
fn a_connection_that_nobody_uses_is_closed_and_made_again() {
    let mut sim = simulation(14);
    serve(&mut sim, identity(2), echoing());
    run(sim, async {
        let (peers, to) = (peers(1), server(2));
        peers
            .call(&to, request("1"), within(1000))
            .await
            .expect("answered");
        sleep(IDLE / 2).await;
        assert_ne!(turmoil::established_tcp_stream_count(), 0);
        // The other side would close it a little later.
        sleep(IDLE / 2 + Duration::from_secs(1)).await;
        assert_eq!(turmoil::established_tcp_stream_count(), 0);
        let again = peers.call(&to, request("2"), within(1000)).await;
        assert_eq!(again, Ok(Bytes::from("2")));
    });
}

/// A peer of which nothing has been heard for long has no use for its connection, though it never
/// said so: its machine may have ended.
#[test]
fn a_caller_that_vanished_does_not_keep_its_connection() {
    let mut sim = simulation(15);
    serve(&mut sim, identity(2), echoing());
    run(sim, async {
        let stream = turmoil::net::TcpStream::connect(("server", PORT)).await;
        let mut caller = Raw::new(stream.expect("connected"));
        caller.say(hello(1, 2)).await;
        assert_eq!(caller.hear().await, Some(hello(2, 1)));
        let begun = Instant::now();
        assert_eq!(caller.hear().await, None);
        assert!(begun.elapsed() > IDLE, "the caller closes first, if it can");
        assert!(begun.elapsed() < 2 * IDLE);
    });
}

#[test]
fn an_answer_that_comes_too_late_is_nobodys() {
    let mut sim = simulation(16);
    play(&mut sim, |mut slow| async move {
        slow.welcome(2).await;
        let mut first = None;
        while let Some(message) = slow.hear().await {
            match message {
                // The first answer comes after the second.
                Message::Request { call, .. } if first.is_none() => first = Some(call),
                Message::Request { call, body, .. } => {
                    slow.say(Message::Answer { call, body }).await;
                    sleep(Duration::from_secs(1)).await;
                    let (call, body) = (first.expect("set"), Bytes::from("late"));
                    slow.say(Message::Answer { call, body }).await;
                }
                Message::Ping { call } => slow.say(Message::Pong { call }).await,
                other => panic!("{other:?}"),
            }
        }
    });
    run(sim, async {
        let (peers, to) = (peers(1), server(2));
        let (first, second) = tokio::join!(
            peers.call(&to, request("first"), within(500)),
            peers.call(&to, request("second"), within(500)),
        );
        assert_eq!(first, Err(SENT));
        assert_eq!(second, Ok(Bytes::from("second")));
        let third = peers.call(&to, request("third"), within(5000)).await;
        assert_eq!(third, Ok(Bytes::from("third")));
    });
}

/// What happened in a run with random latencies and cuts, in the order in which it did.
fn trace(seed: u64) -> Vec<(Duration, u32, Result<Bytes, TransportError>)> {
    let mut sim = turmoil::Builder::new()
        .rng_seed(seed)
        .max_message_latency(Duration::from_millis(100))
        .simulation_duration(Duration::from_mins(5))
        .tcp_capacity(4096)
        .build();
    serve(&mut sim, identity(2), echoing());
    let trace = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&trace);
    sim.client("client", async move {
        let (peers, to) = (peers(1), server(2));
        let calls = (0..200_u32).map(|number| {
            let (peers, to, log) = (&peers, &to, &log);
            async move {
                sleep(Duration::from_millis(u64::from(number) * 30)).await;
                if number % 50 == 20 {
                    turmoil::partition("client", "server");
                } else if number % 50 == 40 {
                    turmoil::repair("client", "server");
                }
                let body = format!("{}", number % 7 * 40);
                let answer = peers.call(to, request(body), within(400)).await;
                let event = (turmoil::elapsed(), number, answer);
                log.lock().expect("whole").push(event);
            }
        });
        join_all(calls).await;
        Ok(())
    });
    sim.run().expect("the run ends");
    let trace = std::mem::take(&mut *trace.lock().expect("whole"));
    assert_eq!(trace.len(), 200, "every call ends");
    trace
}

#[test]
fn the_same_seed_gives_the_same_run_and_others_give_others() {
    let traces: Vec<_> = (0..5).map(trace).collect();
    for (seed, first) in (0..5).zip(&traces) {
        assert_eq!(&trace(seed), first, "seed {seed}");
        let answered = first.iter().filter(|(_, _, answer)| answer.is_ok()).count();
        assert!(
            (50..200).contains(&answered),
            "seed {seed}: {answered} of 200"
        );
    }
    assert_ne!(traces[0], traces[1]);
}
