//! Over real sockets. No test here depends on how long anything takes.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{Notify, oneshot},
};
use trandb_cluster::{
    identity::{ClusterId, Epoch, GroupId, NodeId},
    peer::{
        CALLS_MAX, INCOMING_MAX, Identity, Listener, Member, Peers,
        frame::{Hello, Message, VERSION},
        network::Tcp,
    },
    transport::{Address, Handler, Refusal, Request, Transport as _, TransportError},
};
use trandb_common::limits::PEER_BODY_BYTES_MAX;

use crate::support::{
    CLUSTER, Raw, address, echo, handler, hello, identity, member, request, soon, within,
};

/// Serves until the test ends; its address is that of node 2.
async fn listen<H: Handler>(identity: Identity, handler: Arc<H>) -> Address {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = listener.local_addr().expect("an address").to_string();
    let listener = Listener::new(listener, identity);
    tokio::spawn(listener.serve(handler, pending(), Duration::ZERO));
    address(2, at)
}

fn peers(node: u64) -> Peers {
    Peers::new(Tcp, identity(node))
}

async fn raw(to: &Address) -> Raw<TcpStream> {
    Raw::new(TcpStream::connect(&to.at).await.expect("connected"))
}

#[tokio::test]
async fn every_call_gets_its_own_answer_whatever_their_order() {
    let to = listen(identity(2), handler(|_, request| echo(request))).await;
    let peers = peers(1);
    let calls = (0..1000_u32).map(|number| {
        let body = format!("{}", 50 - number % 50);
        let (peers, to) = (&peers, &to);
        async move {
            let answer = peers.call(to, request(body.clone()), soon()).await;
            assert_eq!(answer, Ok(Bytes::from(body)));
        }
    });
    join_all(calls).await;
}

#[tokio::test]
async fn the_handler_sees_who_asks_and_what() {
    let (sender, seen) = oneshot::channel();
    let sender = std::sync::Mutex::new(Some(sender));
    let handler = handler(move |from, request: Request| {
        let sender = sender.lock().expect("whole").take();
        sender
            .expect("one call")
            .send((from, request))
            .expect("waited for");
        async { Ok(Bytes::new()) }
    });
    let to = listen(identity(2), handler).await;
    let asked = Request {
        group: GroupId(7),
        epoch: Epoch(8),
        body: Bytes::from_static(b"what"),
    };
    peers(1)
        .call(&to, asked.clone(), soon())
        .await
        .expect("answered");
    assert_eq!(seen.await, Ok((NodeId(1), asked)));
}

#[tokio::test]
async fn the_largest_bodies_go_both_ways_and_larger_ones_do_not() {
    let to = listen(
        identity(2),
        handler(|_, request: Request| async move {
            match &request.body[..] {
                b"too large" => Ok(Bytes::from(vec![2; PEER_BODY_BYTES_MAX + 1])),
                _ => Ok(request.body),
            }
        }),
    )
    .await;
    let peers = peers(1);
    let largest = Bytes::from(vec![1; PEER_BODY_BYTES_MAX]);
    let answer = peers.call(&to, request(largest.clone()), soon()).await;
    assert!(answer == Ok(largest));

    let bytes = PEER_BODY_BYTES_MAX + 1;
    let too_large = peers.call(&to, request(vec![1; bytes]), soon()).await;
    assert_eq!(too_large, Err(TransportError::TooLarge { bytes }));
    let too_large = peers.call(&to, request("too large"), soon()).await;
    assert_eq!(too_large, Err(TransportError::Failed));
    let next = peers.call(&to, request("next"), soon()).await;
    assert_eq!(next, Ok(Bytes::from("next")));
}

#[tokio::test]
async fn a_handler_that_panics_fails_its_own_call_alone() {
    let answer = |_, request: Request| async move {
        assert_ne!(request.body, "panic", "the test wants it so");
        echo(request).await
    };
    let to = listen(identity(2), handler(answer)).await;
    let peers = peers(1);
    let (slow, panics) = tokio::join!(
        peers.call(&to, request("100"), soon()),
        peers.call(&to, request("panic"), soon()),
    );
    assert_eq!(slow, Ok(Bytes::from("100")));
    assert_eq!(panics, Err(TransportError::Failed));
    assert!(TransportError::Failed.may_have_arrived());
}

#[tokio::test]
async fn a_refusal_of_the_handler_reaches_the_caller_as_it_is() {
    let refusal = Refusal::WrongEpoch { here: Epoch(9) };
    let to = listen(
        identity(2),
        handler(move |_, _| async move { Err(refusal) }),
    )
    .await;
    let error = peers(1).call(&to, request(""), soon()).await;
    let error = error.expect_err("refused");
    assert_eq!(error, TransportError::Refused(refusal));
    assert!(!error.may_have_arrived());
}

/// The error of a call from `from` to the node `to` at the address of `here`, whose handler must
/// not be called.
async fn refused(here: Identity, from: Identity, to: u64, group: GroupId) -> Refusal {
    let handled = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&handled);
    let handler = handler(move |_, request| {
        seen.fetch_add(1, Ordering::Relaxed);
        echo(request)
    });
    let mut address = listen(here, handler).await;
    address.node = NodeId(to);
    let request = Request {
        group,
        ..request("")
    };
    let peers = Peers::new(Tcp, from);
    let answer = peers.call(&address, request, soon()).await;
    assert_eq!(handled.load(Ordering::Relaxed), 0, "{answer:?}");
    match answer {
        Err(TransportError::Refused(refusal)) => refusal,
        answer => panic!("{answer:?}"),
    }
}

#[tokio::test]
async fn a_node_of_another_cluster_is_refused() {
    let stranger = Member {
        cluster: ClusterId(0xc2),
        node: NodeId(1),
    };
    let wrong = Refusal::WrongCluster { here: CLUSTER };
    for to in [0, 2] {
        for group in [GroupId(1), GroupId::BOOTSTRAP] {
            let refusal = refused(identity(2), Identity::of(stranger), to, group).await;
            assert_eq!(refusal, wrong);
        }
    }
}

#[tokio::test]
async fn a_node_takes_nothing_that_is_meant_for_another() {
    let wrong = Refusal::WrongNode { here: NodeId(3) };
    for group in [GroupId::SYSTEM, GroupId(1), GroupId::BOOTSTRAP] {
        assert_eq!(refused(identity(3), identity(1), 2, group).await, wrong);
    }
}

#[tokio::test]
async fn nobody_calls_itself() {
    let refusal = refused(identity(2), identity(2), 2, GroupId(1)).await;
    assert_eq!(refusal, Refusal::SameNode);
}

#[tokio::test]
async fn nobody_may_only_bootstrap() {
    let only = Refusal::BootstrapOnly;
    for group in [GroupId::SYSTEM, GroupId(1)] {
        let refusal = refused(identity(2), Identity::nobody(), 2, group).await;
        assert_eq!(refusal, only);
        // A member that does not say whom it means gets no further, nor does a node without a number.
        let wrong = Refusal::WrongNode { here: NodeId(2) };
        assert_eq!(refused(identity(2), identity(1), 0, group).await, wrong);
        let refusal = refused(Identity::nobody(), identity(1), 0, group).await;
        assert_eq!(refusal, only);
    }
}

#[tokio::test]
async fn nodes_without_numbers_bootstrap_and_then_speak_as_members() {
    let whom = |from: NodeId, request: Request| async move {
        Ok(Bytes::from(format!("{} to {}", from, request.group)))
    };
    let (here, caller) = (Identity::nobody(), Identity::nobody());
    let at = listen(here.clone(), handler(whom)).await.at;
    let peers = Peers::new(Tcp, caller.clone());
    let bootstrap = Request {
        group: GroupId::BOOTSTRAP,
        ..request("")
    };
    let answer = peers.call(&address(0, &at), bootstrap, soon()).await;
    assert_eq!(answer, Ok(Bytes::from("0 to 65535")));

    here.become_member(member(2)).expect("was nobody");
    let error = peers.call(&address(2, &at), request(""), soon()).await;
    assert_eq!(error, Err(Refusal::BootstrapOnly.into()));

    caller.become_member(member(1)).expect("was nobody");
    let answer = peers.call(&address(2, &at), request(""), soon()).await;
    assert_eq!(answer, Ok(Bytes::from("1 to 1")));
}

#[tokio::test]
async fn another_version_is_refused_by_either_side() {
    let to = listen(identity(2), handler(|_, request| echo(request))).await;
    let mut caller = raw(&to).await;
    caller.say(Message::ForeignHello { version: 9 }).await;
    let refusal = Refusal::WrongVersion { here: VERSION };
    assert_eq!(caller.hear().await, Some(Message::Refused(refusal)));
    drop(caller);

    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let to = address(2, listener.local_addr().expect("an address").to_string());
    let old = async {
        let (stream, _) = listener.accept().await.expect("a connection");
        let mut stream = Raw::new(stream);
        stream.hear().await.expect("a Hello");
        stream.say(Message::ForeignHello { version: 9 }).await;
        stream.hear().await
    };
    let peers = peers(1);
    let (answer, _) = tokio::join!(peers.call(&to, request(""), soon()), old);
    assert_eq!(answer, Err(Refusal::WrongVersion { here: 9 }.into()));
}

/// However the listener was fooled, whoever answers must be the node that was meant.
#[tokio::test]
async fn a_caller_believes_only_the_node_that_it_meant() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let to = address(2, listener.local_addr().expect("an address").to_string());
    let successor = async {
        let (stream, _) = listener.accept().await.expect("a connection");
        let mut stream = Raw::new(stream);
        stream.welcome(3).await;
        let heard = stream.hear().await;
        assert_eq!(heard, None, "not a word more");
    };
    let peers = peers(1);
    let (answer, ()) = tokio::join!(peers.call(&to, request(""), soon()), successor);
    assert_eq!(answer, Err(Refusal::WrongNode { here: NodeId(3) }.into()));
}

/// A Hello is checked once, but a request names its node by itself.
#[tokio::test]
async fn a_request_to_another_node_is_refused_on_a_connection_that_was_taken() {
    let to = listen(identity(2), handler(|_, request| echo(request))).await;
    let mut caller = raw(&to).await;
    caller.say(hello(1, 2)).await;
    assert_eq!(caller.hear().await, Some(hello(2, 1)));
    for (call, node) in [(1, 3), (2, 0), (3, 2)] {
        let body = Bytes::from_static(b"body");
        let request = Message::Request {
            call,
            to: NodeId(node),
            group: GroupId(1),
            epoch: Epoch(1),
            time_left_ms: 60_000,
            body: body.clone(),
        };
        caller.say(request).await;
        let refusal = Some(Refusal::WrongNode { here: NodeId(2) });
        let expected = match node {
            2 => Message::Answer { call, body },
            _ => Message::Failure { call, refusal },
        };
        assert_eq!(caller.hear().await, Some(expected));
    }
}

#[tokio::test]
async fn bytes_without_meaning_end_their_connection_alone() {
    let to = listen(identity(2), handler(|_, request| echo(request))).await;
    let peers = peers(1);
    peers
        .call(&to, request("before"), soon())
        .await
        .expect("answered");
    for garbage in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0; 64],
        &[0, 0, 0, 1, 250],
        &[0, 1, 0, 1],
    ] {
        let mut stream = TcpStream::connect(&to.at).await.expect("connected");
        stream.write_all(garbage).await.expect("written");
        let mut answer = Vec::new();
        // A reset is an end too.
        let _ = stream.read_to_end(&mut answer).await;
        assert_eq!(answer, [0_u8; 0], "{garbage:?}");

        let mut caller = raw(&to).await;
        caller.say(hello(1, 2)).await;
        assert_eq!(caller.hear().await, Some(hello(2, 1)));
        caller.stream.write_all(garbage).await.expect("written");
        assert_eq!(caller.hear().await, None, "{garbage:?}");
    }
    peers
        .call(&to, request("after"), soon())
        .await
        .expect("answered");
}

#[tokio::test]
async fn only_a_hello_may_come_first_and_only_once() {
    let to = listen(identity(2), handler(|_, request| echo(request))).await;
    let mut caller = raw(&to).await;
    caller.say(Message::Ping { call: 1 }).await;
    assert_eq!(caller.hear().await, None);

    let mut caller = raw(&to).await;
    caller.say(hello(1, 2)).await;
    caller.say(hello(1, 2)).await;
    assert_eq!(caller.hear().await, Some(hello(2, 1)));
    assert_eq!(caller.hear().await, None);
}

#[tokio::test]
async fn nobody_listening_is_unreachable_and_nothing_has_arrived() {
    let free = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = free.local_addr().expect("an address").to_string();
    drop(free);
    let error = peers(1).call(&address(2, at), request(""), soon()).await;
    let error = error.expect_err("nobody there");
    assert!(matches!(error, TransportError::Unreachable(_)), "{error}");
    assert!(!error.may_have_arrived());
}

#[tokio::test]
async fn more_calls_than_may_wait_are_refused_at_once_and_a_dropped_one_makes_room() {
    let entered = Arc::new(AtomicUsize::new(0));
    let all = Arc::new(Notify::new());
    let (count, reached) = (Arc::clone(&entered), Arc::clone(&all));
    let waiting = handler(move |_, request: Request| {
        let (count, reached) = (Arc::clone(&count), Arc::clone(&reached));
        async move {
            if request.body.is_empty() {
                if count.fetch_add(1, Ordering::Relaxed) + 1 == CALLS_MAX {
                    reached.notify_one();
                }
                pending::<()>().await;
            }
            Ok(request.body)
        }
    });
    let to = listen(identity(2), waiting).await;
    let peers = Arc::new(peers(1));
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..CALLS_MAX {
        let (peers, to) = (Arc::clone(&peers), to.clone());
        calls.spawn(async move { peers.call(&to, request(""), soon()).await });
    }
    all.notified().await;
    let overloaded = peers.call(&to, request("more"), soon()).await;
    assert_eq!(overloaded, Err(TransportError::Overloaded));
    assert!(!TransportError::Overloaded.may_have_arrived());

    calls.shutdown().await;
    // The other side still works for those that were dropped, and says so.
    let busy = peers.call(&to, request("more"), soon()).await;
    assert_eq!(busy, Err(Refusal::Busy.into()));
}

#[tokio::test]
async fn a_peer_that_asks_for_too_much_at_once_is_told_so() {
    let to = listen(identity(2), handler(|_, _| pending())).await;
    let mut caller = raw(&to).await;
    caller.say(hello(1, 2)).await;
    assert_eq!(caller.hear().await, Some(hello(2, 1)));
    // Three of the largest are within the limit, four are not.
    for call in 1..=4 {
        caller
            .say(Message::Request {
                call,
                to: NodeId(2),
                group: GroupId(1),
                epoch: Epoch(1),
                time_left_ms: 60_000,
                body: Bytes::from(vec![0; PEER_BODY_BYTES_MAX]),
            })
            .await;
    }
    let refusal = Some(Refusal::Busy);
    let busy = Message::Failure { call: 4, refusal };
    assert_eq!(caller.hear().await, Some(busy));
}

#[tokio::test]
async fn more_connections_than_may_be_are_dropped_and_others_go_on() {
    let to = listen(identity(2), handler(|_, request| echo(request))).await;
    let mut taken = Vec::new();
    for from in 0..INCOMING_MAX as u64 {
        let mut caller = raw(&to).await;
        caller.say(hello(from + 10, 2)).await;
        assert_eq!(caller.hear().await, Some(hello(2, from + 10)));
        taken.push(caller);
    }
    let error = peers(1).call(&to, request(""), soon()).await;
    let error = error.expect_err("too many");
    assert!(matches!(error, TransportError::Unreachable(_)), "{error}");
    taken[0].say(Message::Ping { call: 1 }).await;
    assert_eq!(taken[0].hear().await, Some(Message::Pong { call: 1 }));

    taken.pop();
    // Its end is noticed a little later.
    let peers = peers(1);
    while peers.call(&to, request(""), soon()).await.is_err() {}
}

/// An answer to what was never asked is no answer.
#[tokio::test]
async fn an_answer_from_the_future_ends_the_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let to = address(2, listener.local_addr().expect("an address").to_string());
    let liar = async {
        let (stream, _) = listener.accept().await.expect("a connection");
        let mut stream = Raw::new(stream);
        stream.welcome(2).await;
        stream.hear().await.expect("a request");
        let body = Bytes::new();
        stream.say(Message::Answer { call: 1000, body }).await;
        stream
    };
    let peers = peers(1);
    let (answer, _liar) = tokio::join!(peers.call(&to, request(""), soon()), liar);
    let reason = "the peer sent a message out of its place".to_owned();
    assert_eq!(answer, Err(TransportError::Disconnected(reason)));
}

#[tokio::test]
async fn a_call_whose_deadline_is_over_already_is_not_begun() {
    let late = peers(1)
        .call(&address(2, "127.0.0.1:1"), request(""), within(0))
        .await;
    assert_eq!(late, Err(TransportError::TimedOut { sent: false }));
}

#[tokio::test]
async fn a_hello_from_somebody_who_knows_no_cluster_is_answered_with_ours() {
    let to = listen(identity(2), handler(|_, request| echo(request))).await;
    let mut caller = raw(&to).await;
    let stranger = Hello {
        version: VERSION,
        cluster: ClusterId::NONE,
        from: NodeId::NOBODY,
        to: NodeId::NOBODY,
    };
    caller.say(Message::Hello(stranger)).await;
    assert_eq!(caller.hear().await, Some(hello(2, 0)));
}
