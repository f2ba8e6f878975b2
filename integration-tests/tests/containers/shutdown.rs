//! `docker stop`: SIGTERM to a server at work.
//!
//! What was answered with 2xx happened, and can be read for as long as anything is answered. What
//! is refused is refused in TranDB's own words, or by not accepting the connection. A request that
//! has begun is finished. Then the process ends by itself, with exit code 0.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::node::{Node, problem};

const CLIENTS: usize = 8;

/// Writes of one client before SIGTERM is sent, so that it meets all of them at work.
const WRITES_BEFORE: usize = 50;

/// A client that gets this far was never told to go away.
const WRITES_MAX: usize = 200_000;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Docker and the image: just integration-test"]
async fn under_load_it_loses_nothing_that_it_acknowledged() {
    let node = Arc::new(Node::start().await);
    let at_work = Arc::new(tokio::sync::Barrier::new(CLIENTS + 1));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            tokio::spawn(write_and_read(
                Arc::clone(&node),
                client,
                Arc::clone(&at_work),
            ))
        })
        .collect();
    at_work.wait().await;

    let code = node.stop().await;

    let mut total = Tally::default();
    for client in clients {
        total.add(&client.await.expect("a client ends without a panic"));
    }
    println!("{total:?}");
    assert_eq!(code, 0, "{}", node.log().await);
    assert_eq!(
        total.lost,
        Vec::<String>::new(),
        "acknowledged, and then not there"
    );
    assert!(
        total.acknowledged > CLIENTS * WRITES_BEFORE,
        "no write after SIGTERM was sent"
    );
    let refused = TcpStream::connect(node.address()).await;
    assert!(refused.is_err(), "somebody still listens after the end");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Docker and the image: just integration-test"]
async fn a_write_that_has_begun_is_finished() {
    let node = Arc::new(Node::start().await);
    let mut stream = TcpStream::connect(node.address())
        .await
        .expect("a connection");
    let head = "PUT /keys/slow HTTP/1.1\r\nhost: trandb\r\ncontent-length: 10\r\n\r\n";
    stream
        .write_all(head.as_bytes())
        .await
        .expect("the head is sent");
    stream
        .write_all(b"first")
        .await
        .expect("half of the value is sent");
    // An answer on another connection: by now the server has read what came before it.
    assert_eq!(node.get("/livez").await.status(), StatusCode::OK);

    let stopping = tokio::spawn({
        let node = Arc::clone(&node);
        async move { node.stop().await }
    });
    until_not_ready(&node).await;
    stream
        .write_all(b"other")
        .await
        .expect("the other half is sent");
    let mut answer = String::new();
    let closed = stream.read_to_string(&mut answer).await;

    assert!(
        answer.starts_with("HTTP/1.1 200 OK\r\n"),
        "{closed:?}: {answer:?}"
    );
    assert_eq!(
        stopping.await.expect("docker stop"),
        0,
        "{}",
        node.log().await
    );
}

/// What the clients have met.
#[derive(Debug, Default)]
struct Tally {
    acknowledged: usize,
    /// Refused by the server, in its own words.
    refused: usize,
    /// Connections that ended before an answer: the outcome of that request is unknown.
    unanswered: usize,
    /// Keys whose write was acknowledged and that a later read did not find as written.
    lost: Vec<String>,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.acknowledged += other.acknowledged;
        self.refused += other.refused;
        self.unanswered += other.unanswered;
        self.lost.extend_from_slice(&other.lost);
    }
}

/// One answer, or what came instead of it.
enum Reply {
    /// 200, with the whole body.
    Done(Vec<u8>),
    Absent,
    Refused,
    /// The connection ended before the answer did.
    Unanswered,
    /// Nobody took the connection: nothing was sent.
    Unreachable,
}

/// Writes fresh keys one after the other and reads each back, until nobody answers.
async fn write_and_read(
    node: Arc<Node>,
    client: usize,
    at_work: Arc<tokio::sync::Barrier>,
) -> Tally {
    let mut tally = Tally::default();
    for number in 0..WRITES_MAX {
        if number == WRITES_BEFORE {
            at_work.wait().await;
        }
        let key = format!("c{client}-{number}");
        let mut acknowledged = false;
        match send(&node, Method::PUT, &key).await {
            Reply::Done(_) => acknowledged = true,
            Reply::Absent => panic!("a PUT was answered with 404"),
            Reply::Refused => tally.refused += 1,
            Reply::Unanswered => tally.unanswered += 1,
            Reply::Unreachable => return tally,
        }
        tally.acknowledged += usize::from(acknowledged);
        match send(&node, Method::GET, &key).await {
            Reply::Done(value) if value == key.as_bytes() => {}
            Reply::Absent if !acknowledged => {}
            Reply::Done(_) | Reply::Absent => tally.lost.push(key),
            Reply::Refused => tally.refused += 1,
            Reply::Unanswered => tally.unanswered += 1,
            Reply::Unreachable => return tally,
        }
    }
    panic!("client {client} was never told to go away");
}

/// Sends one request for a key. The body, which only a PUT has, is the key itself.
async fn send(node: &Node, method: Method, key: &str) -> Reply {
    let mut request = node.request(method.clone(), &format!("/keys/{key}"));
    if method == Method::PUT {
        request = request.body(key.to_owned());
    }
    let answer = match request.send().await {
        Ok(answer) => answer,
        Err(error) if error.is_connect() => return Reply::Unreachable,
        Err(_) => return Reply::Unanswered,
    };
    match answer.status() {
        StatusCode::OK => match answer.bytes().await {
            Ok(body) => Reply::Done(body.to_vec()),
            Err(_) => Reply::Unanswered,
        },
        StatusCode::NOT_FOUND => Reply::Absent,
        _ => {
            let refused = problem(answer, StatusCode::SERVICE_UNAVAILABLE).await;
            assert_eq!(refused["code"], "not_ready");
            assert_eq!(refused["outcome"], "not_committed");
            Reply::Refused
        }
    }
}

/// Returns once the server has taken notice of SIGTERM: it says so, or takes no connection.
async fn until_not_ready(node: &Node) {
    for _ in 0..300 {
        match node.request(Method::GET, "/readyz").send().await {
            Ok(answer) if answer.status() == StatusCode::OK => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Ok(_) | Err(_) => return,
        }
    }
    panic!("still ready 15 s after SIGTERM");
}
