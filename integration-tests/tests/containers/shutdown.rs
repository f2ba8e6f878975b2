//! `docker stop`: SIGTERM to a server at work.
//!
//! What was answered with 2xx happened, and can be read for as long as anything is answered. A
//! request that has begun is finished. What comes later is refused in TranDB's own words. Then the
//! process ends by itself, with exit code 0, also when a client never finishes.
//!
//! Each test holds one write half sent, which keeps the server draining until the test has looked
//! at it: no test depends on how fast anything is.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::{Client, Method, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Barrier;

use crate::node::{Node, http_client, problem};

const CLIENTS: usize = 8;

/// Writes of one client before SIGTERM is sent, so that it meets all of them at work.
const WRITES_BEFORE: usize = 50;

/// A client that gets this far was never refused.
const WRITES_MAX: usize = 100_000;

/// The one kept-alive connection of a client may be closed while a request is on its way to it.
const UNANSWERED_MAX: usize = 1;

#[tokio::test]
#[ignore = "needs Docker and the image: just integration-test"]
async fn a_write_that_has_begun_is_finished() {
    let node = Node::start().await;
    let begun = BegunWrite::start(&node).await;

    let finishing = async {
        until_not_ready(&node).await;
        begun.finish().await
    };
    let (code, answer) = tokio::join!(node.stop(), finishing);

    assert_eq!(answer, "HTTP/1.1 200 OK");
    assert_eq!(code, 0, "{}", node.log().await);
}

#[tokio::test]
#[ignore = "needs Docker and the image: just integration-test"]
async fn under_load_it_loses_nothing_and_refuses_in_its_own_words() {
    // Longer than eight clients need on a busy machine.
    let node = Node::start_with(&[("TRANDB_DRAIN_TIMEOUT", "15s")], |_| {}).await;
    let begun = BegunWrite::start(&node).await;
    let at_work = Barrier::new(CLIENTS + 1);

    let stopping = async {
        at_work.wait().await;
        node.stop().await
    };
    let working = async {
        let clients = (0..CLIENTS).map(|id| write_until_refused(&node, id, &at_work));
        let tallies = join_all(clients).await;
        (tallies, begun.finish().await)
    };
    let (code, (tallies, answer)) = tokio::join!(stopping, working);

    for tally in &tallies {
        assert_eq!(
            tally.lost,
            Vec::<String>::new(),
            "acknowledged, and then not there"
        );
        assert!(tally.unanswered <= UNANSWERED_MAX, "{tally:?}");
    }
    let acknowledged: usize = tallies.iter().map(|tally| tally.acknowledged).sum();
    assert!(
        acknowledged > CLIENTS * WRITES_BEFORE,
        "nobody was at work when SIGTERM was sent"
    );
    assert_eq!(answer, "HTTP/1.1 200 OK");
    assert_eq!(code, 0, "{}", node.log().await);
    assert!(
        http_client().get(node.url("/livez")).send().await.is_err(),
        "it still answers"
    );
}

#[tokio::test]
#[ignore = "needs Docker and the image: just integration-test"]
async fn a_client_that_never_finishes_does_not_hold_it() {
    let node = Node::start_with(&[("TRANDB_DRAIN_TIMEOUT", "1s")], |_| {}).await;
    let begun = BegunWrite::start(&node).await;

    let code = node.stop().await;

    assert_eq!(code, 0, "{}", node.log().await);
    assert_eq!(begun.answer().await, "", "half a value was acknowledged");
}

/// A PUT of which the head and half of the value are sent.
struct BegunWrite(TcpStream);

impl BegunWrite {
    async fn start(node: &Node) -> Self {
        let mut stream = TcpStream::connect(node.address())
            .await
            .expect("a connection");
        let head = "PUT /keys/slow HTTP/1.1\r\nhost: trandb\r\nexpect: 100-continue\r\n\
                    content-length: 10\r\n\r\n";
        stream
            .write_all(head.as_bytes())
            .await
            .expect("the head is sent");
        // The server's word that the request has reached its handler, which wants the body.
        let mut go_on = [0; 25];
        stream
            .read_exact(&mut go_on)
            .await
            .expect("an interim answer");
        assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
        stream
            .write_all(b"first")
            .await
            .expect("half of the value is sent");
        Self(stream)
    }

    /// Sends the rest. Returns the status line, without its end.
    async fn finish(mut self) -> String {
        self.0
            .write_all(b"other")
            .await
            .expect("the other half is sent");
        self.answer().await
    }

    /// The status line, empty if the connection is closed without one.
    async fn answer(mut self) -> String {
        let mut answer = Vec::new();
        // A reset after the answer takes nothing from it.
        let _ = self.0.read_to_end(&mut answer).await;
        let text = String::from_utf8_lossy(&answer);
        text.lines().next().unwrap_or_default().to_owned()
    }
}

/// What one client has met before it was refused.
#[derive(Debug, Default)]
struct Tally {
    acknowledged: usize,
    /// Requests whose connection ended before the answer: their outcome is unknown.
    unanswered: usize,
    /// Keys whose write was acknowledged and that a later read did not find as written.
    lost: Vec<String>,
}

/// One answer, or what came instead of it.
enum Reply {
    /// 200, with the whole body.
    Done(Vec<u8>),
    Absent,
    Refused,
    Unanswered,
}

/// Writes fresh keys one after the other on a connection of its own, and reads each back.
async fn write_until_refused(node: &Node, id: usize, at_work: &Barrier) -> Tally {
    let http = http_client();
    let mut tally = Tally::default();
    for number in 0..WRITES_MAX {
        if tally.unanswered > UNANSWERED_MAX {
            return tally;
        }
        if number == WRITES_BEFORE {
            at_work.wait().await;
        }
        let key = format!("c{id}-{number}");
        let mut acknowledged = false;
        match send(&http, node, Method::PUT, &key).await {
            Reply::Done(_) => acknowledged = true,
            Reply::Absent => panic!("a PUT was answered with 404"),
            Reply::Unanswered => tally.unanswered += 1,
            Reply::Refused => return tally,
        }
        tally.acknowledged += usize::from(acknowledged);
        match send(&http, node, Method::GET, &key).await {
            Reply::Done(value) if value == key.as_bytes() => {}
            Reply::Absent if !acknowledged => {}
            Reply::Done(_) | Reply::Absent => tally.lost.push(key),
            Reply::Unanswered => tally.unanswered += 1,
            Reply::Refused => return tally,
        }
    }
    panic!("client {id} was never refused: {tally:?}");
}

/// Sends one request for a key. The body, which only a PUT has, is the key itself.
async fn send(http: &Client, node: &Node, method: Method, key: &str) -> Reply {
    let mut request = http.request(method.clone(), node.url(&format!("/keys/{key}")));
    if method == Method::PUT {
        request = request.body(key.to_owned());
    }
    let Ok(answer) = request.send().await else {
        return Reply::Unanswered;
    };
    match answer.status() {
        StatusCode::OK => answer
            .bytes()
            .await
            .map_or(Reply::Unanswered, |body| Reply::Done(body.to_vec())),
        StatusCode::NOT_FOUND => Reply::Absent,
        _ => {
            assert!(answer.headers().contains_key("retry-after"), "{answer:?}");
            let refused = problem(answer, StatusCode::SERVICE_UNAVAILABLE).await;
            assert_eq!(refused["code"], "not_ready");
            assert_eq!(refused["outcome"], "not_committed");
            Reply::Refused
        }
    }
}

/// Returns once the server says that it is about to end.
async fn until_not_ready(node: &Node) {
    for _ in 0..300 {
        // A connection of its own each time: one from before may be closed under the request.
        let answer = http_client()
            .get(node.url("/readyz"))
            .send()
            .await
            .expect("an answer");
        if answer.status() == StatusCode::SERVICE_UNAVAILABLE {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("still ready 15 s after SIGTERM");
}
