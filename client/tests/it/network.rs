//! The client over real sockets on loopback, against servers that misbehave on purpose.
//!
//! No test here asserts how fast anything is: where time matters it is paused, in `retries`.

use std::{error::Error as StdError, time::Duration};

use bytes::Bytes;
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use trandb_client::{Client, Error, Key, Outcome, Problem, RetryPolicy};
use trandb_common::{ErrorCode, limits::ANSWER_BYTES_MAX, path};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{method, path as at},
};

use crate::{
    scripted::version,
    tcp_server::{Act, TcpServer},
};

const WRITTEN: &[u8] = b"HTTP/1.1 200 OK\r\netag: \"e1-2\"\r\ncontent-length: 0\r\n\r\n";
const FOUND: &[u8] = b"HTTP/1.1 200 OK\r\netag: \"e1-1\"\r\ncontent-length: 5\r\n\r\nvalue";
const HALF: &[u8] = b"HTTP/1.1 200 OK\r\netag: \"e1-1\"\r\ncontent-length: 5\r\n\r\nval";

/// What a PUT leads to at a server that treats its first connection so. It must be sent once.
async fn put_once(act: Act) -> Error {
    let server = TcpServer::start([act, Act::Answer(WRITTEN.into())]).await;
    let error = server.client().put("k", "v").await.expect_err("no answer");
    assert_eq!((server.connections(), error.tries()), (1, 1), "{error}");
    error
}

/// A GET that fails at its first connection succeeds at its second.
async fn get_twice(act: Act) {
    let server = TcpServer::start([act, Act::Answer(FOUND.into())]).await;
    let entry = server.client().get("k").await.expect("the second answer");
    assert_eq!(entry.expect("a value").value, "value");
    assert_eq!(server.connections(), 2);
}

/// A port where nobody listens.
async fn dead_endpoint() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listen");
    format!("http://{}", listener.local_addr().expect("address"))
}

#[tokio::test]
async fn connections_are_used_again() {
    let server = TcpServer::start([Act::Answer(FOUND.into())]).await;
    let client = server.client();
    for _ in 0..5 {
        assert!(client.clone().get("k").await.expect("answer").is_some());
    }
    assert_eq!((server.requests().len(), server.connections()), (5, 1));
}

#[tokio::test]
async fn requests_look_as_the_contract_says() {
    let server = TcpServer::start([Act::Answer(WRITTEN.into())]).await;
    let client = server.client();
    assert_eq!(
        client.put("a/b", "Ada").await.expect("written"),
        version("e1-2")
    );
    client.put("empty", "").if_absent().await.expect("written");
    let requests = server.requests();
    let head = format!(
        "PUT /keys/a%2Fb HTTP/1.1\r\ncontent-type: application/octet-stream\r\n\
         content-length: 3\r\naccept: */*\r\nuser-agent: trandb-client/{}\r\nhost: {}\r\n\r\nAda",
        env!("CARGO_PKG_VERSION"),
        server.address
    );
    assert_eq!(requests[0], head);
    assert!(
        requests[1].contains("\r\ncontent-length: 0\r\n"),
        "{}",
        requests[1]
    );
    assert!(
        requests[1].contains("\r\nif-none-match: *\r\n"),
        "{}",
        requests[1]
    );
}

#[tokio::test]
async fn a_key_arrives_byte_for_byte() {
    let server = TcpServer::start([Act::Answer(FOUND.into())]).await;
    let client = server.client();
    for (key, target) in [
        ("a/b", "a%2Fb"),
        ("/", "%2F"),
        ("a%2Fb", "a%252Fb"),
        ("%2E", "%252E"),
        (".%2e", ".%252e"),
        ("...", "..."),
        ("../x", "..%2Fx"),
        ("./..", ".%2F.."),
        ("a+b c", "a%2Bb%20c"),
        ("%25", "%2525"),
        ("\0", "%00"),
        ("\r\nx: y", "%0D%0Ax%3A%20y"),
        ("?#;\\\"'", "%3F%23%3B%5C%22%27"),
        ("\u{e9}", "%C3%A9"),
        ("e\u{301}", "e%CC%81"),
        ("\u{1f980}\u{feff}", "%F0%9F%A6%80%EF%BB%BF"),
    ] {
        client.get(key).await.expect("answer");
        let request = server.requests().pop().expect("a request");
        let line = request.lines().next().expect("a line");
        assert_eq!(line, format!("GET /keys/{target} HTTP/1.1"), "{key:?}");
        assert_eq!(path::decode_key(target).expect("legal").as_str(), key);
    }
}

#[tokio::test]
async fn any_key_arrives_byte_for_byte() {
    let server = TcpServer::start([Act::Answer(FOUND.into())]).await;
    let client = server.client();
    // Made here, as the runner's own loop is not async.
    let keys = prop_oneof![any::<String>(), "[./%\\\\]{1,6}", "(\\.|%2[eE]|%2f|/){1,4}"];
    let mut runner = TestRunner::deterministic();
    for _ in 0..300 {
        let text = keys.new_tree(&mut runner).expect("a tree").current();
        let Ok(key) = Key::new(&text) else { continue };
        client.get(&key).await.expect("answer");
        let request = server.requests().pop().expect("a request");
        let target = request.split(' ').nth(1).expect("a target").to_owned();
        let segment = target.strip_prefix("/keys/").expect("a key's path");
        assert_eq!(path::decode_key(segment), Ok(key), "{target}");
    }
    assert!(server.requests().len() > 200, "most of the texts are keys");
}

#[tokio::test]
async fn a_refused_connection_is_known_not_to_have_written() {
    let endpoint = dead_endpoint().await;
    let client = Client::builder()
        .endpoint(&endpoint)
        .retries(
            RetryPolicy::default()
                .max_retries(2)
                .min_delay(Duration::from_millis(1)),
        )
        .build()
        .expect("client");
    let error = client.put("k", "v").await.expect_err("refused");
    assert!(error.is_connect() && !error.is_timeout(), "{error}");
    assert_eq!((error.outcome(), error.tries()), (Outcome::NotCommitted, 3));
    assert!(error.is_retryable());
    assert!(
        error
            .to_string()
            .starts_with(&format!("{endpoint}: no connection")),
        "{error}"
    );
    let mut reasons =
        std::iter::successors(error.source(), |&error: &&dyn StdError| error.source());
    assert!(
        reasons.any(|reason| reason.to_string().contains("onnection refused")),
        "the system's reason is kept: {error:?}"
    );
}

#[tokio::test]
async fn a_dead_endpoint_is_passed_over_even_by_a_write() {
    let server = TcpServer::start([Act::Answer(WRITTEN.into())]).await;
    let client = Client::builder()
        .endpoint(dead_endpoint().await)
        .endpoint(format!("http://{}", server.address))
        .build()
        .expect("client");
    client.put("k", "v").await.expect("written at the second");
    assert_eq!(server.requests().len(), 1);
}

/// A full backlog drops what else arrives, so connecting takes for ever.
#[tokio::test]
#[cfg(target_os = "linux")]
async fn a_connection_that_does_not_come_about_times_out() {
    let socket = TcpSocket::new_v4().expect("socket");
    socket
        .bind("127.0.0.1:0".parse().expect("address"))
        .expect("bind");
    let listener = socket.listen(1).expect("listen");
    let address = listener.local_addr().expect("address");
    let mut waiting = Vec::new();
    while let Ok(stream) =
        tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(address)).await
    {
        waiting.push(stream.expect("connected"));
        assert!(waiting.len() < 100, "the backlog is never full");
    }
    let client = Client::builder()
        .endpoint(format!("http://{address}"))
        .connect_timeout(Duration::from_millis(100))
        .retries(RetryPolicy::none())
        .build()
        .expect("client");
    let error = client.put("k", "v").await.expect_err("no connection");
    assert!(error.is_connect() && error.is_timeout(), "{error:?}");
    assert_eq!(error.outcome(), Outcome::NotCommitted);
}

#[tokio::test]
async fn a_connection_reset_after_the_request_leaves_a_write_unknown() {
    for act in [Act::Reset, Act::AnswerAndClose(Vec::new())] {
        let error = put_once(act.clone()).await;
        assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
        assert!(!error.is_connect() && !error.is_retryable(), "{error}");
        get_twice(act).await;
    }
}

#[tokio::test]
async fn a_connection_reset_before_the_request_was_read_leaves_a_write_unknown() {
    // Nothing on this side tells whether the server had read it.
    let error = put_once(Act::ResetAtOnce).await;
    assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
    get_twice(Act::ResetAtOnce).await;
}

#[tokio::test]
async fn half_an_answer_is_none() {
    let error = put_once(Act::AnswerAndClose(HALF.into())).await;
    assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
    let head = b"HTTP/1.1 200 OK\r\netag: \"e1-".to_vec();
    let error = put_once(Act::AnswerAndClose(head)).await;
    assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
    get_twice(Act::AnswerAndClose(HALF.into())).await;
    let chunked =
        b"HTTP/1.1 200 OK\r\netag: \"e1-1\"\r\ntransfer-encoding: chunked\r\n\r\n3\r\nval\r\n";
    get_twice(Act::AnswerAndClose(chunked.to_vec())).await;
}

#[tokio::test]
async fn garbage_is_no_answer() {
    for garbage in [
        &b"SSH-2.0-OpenSSH_9.2\r\n"[..],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxy",
        b"HTTP/1.1 999999 ?\r\n\r\n",
    ] {
        let error = put_once(Act::AnswerAndClose(garbage.into())).await;
        assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
        get_twice(Act::AnswerAndClose(garbage.into())).await;
    }
}

#[tokio::test]
async fn an_endless_head_is_not_read_to_its_end() {
    let endless = Act::Endless {
        head: b"HTTP/1.1 200 OK\r\n".to_vec(),
        chunk: b"x-filler: 0123456789012345678901234567890123456789\r\n".to_vec(),
    };
    let mut server = TcpServer::start([endless]).await;
    let client = server.configure(|builder| builder.retries(RetryPolicy::none()));
    client.get("k").await.expect_err("no answer");
    assert!(server.next_closed().await < ANSWER_BYTES_MAX);
}

#[tokio::test]
async fn an_oversize_answer_is_not_read() {
    let announced = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n",
        u64::MAX / 2
    );
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let unbounded = "HTTP/1.1 200 OK\r\n\r\n";
    let bytes = vec![b'x'; 0x8000];
    let chunk = [b"8000\r\n", &bytes[..], b"\r\n"].concat();
    for (head, chunk) in [
        (announced.as_str(), bytes.clone()),
        (chunked, chunk),
        (unbounded, bytes),
    ] {
        let head = head.as_bytes().to_vec();
        let mut server = TcpServer::start([Act::Endless { head, chunk }]).await;
        let error = server.client().get("k").await.expect_err("too much");
        assert!(error.to_string().contains("larger than any"), "{error:?}");
        assert_eq!(error.tries(), 1, "one is enough");
        // What the sockets' buffers hold was written too.
        let written = server.next_closed().await;
        assert!(written < ANSWER_BYTES_MAX + (16 << 20), "{written}");
        let error = server.client().put("k", "v").await.expect_err("too much");
        assert_eq!((error.outcome(), error.tries()), (Outcome::Unknown, 1));
    }
}

#[tokio::test]
async fn an_oversize_answer_is_refused_when_it_is_announced() {
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n",
        ANSWER_BYTES_MAX + 1
    );
    // Nothing follows: whoever waits for the body waits until the time is up.
    let server = TcpServer::start([Act::Answer(head.into_bytes())]).await;
    let error = server.client().get("k").await.expect_err("too much");
    assert!(error.to_string().contains("larger than any"), "{error}");
}

#[tokio::test]
async fn the_largest_answer_is_read() {
    let body = vec![b'x'; 4 << 20];
    let head = format!(
        "HTTP/1.1 200 OK\r\netag: \"e1-1\"\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let server = TcpServer::start([Act::Answer([head.as_bytes(), &body].concat())]).await;
    let entry = server.client().get("k").await.expect("answer");
    assert_eq!(entry.expect("a value").value, Bytes::from(body));
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    let server = TcpServer::start([Act::Silence]).await;
    let client = server.configure(|builder| builder.timeout(Duration::from_millis(200)));
    let error = client.put("k", "v").await.expect_err("no answer");
    assert!(error.is_timeout() && !error.is_connect(), "{error}");
    assert_eq!((error.outcome(), error.tries()), (Outcome::Unknown, 1));
}

#[tokio::test]
async fn dropping_a_call_closes_its_connection() {
    let mut server = TcpServer::start([Act::Silence]).await;
    let client = server.client();
    let call = tokio::spawn(client.put("k", "v").into_future());
    while server.requests().is_empty() {
        tokio::task::yield_now().await;
    }
    call.abort();
    server.next_closed().await;
    assert_eq!((server.requests().len(), server.connections()), (1, 1));
}

#[tokio::test]
async fn stat_reads_the_length_that_head_announces() {
    let head = b"HTTP/1.1 200 OK\r\netag: \"e1-1\"\r\ncontent-length: 4000000000\r\n\r\n".to_vec();
    let server = TcpServer::start([Act::Answer(head)]).await;
    let stat = server
        .client()
        .stat("k")
        .await
        .expect("answer")
        .expect("a value");
    assert_eq!((stat.version, stat.size), (version("e1-1"), 4_000_000_000));
}

#[tokio::test]
async fn the_page_of_a_proxy_is_no_answer_of_trandbs() {
    for status in [502, 503, 504] {
        let proxy = MockServer::start().await;
        let page = ResponseTemplate::new(status)
            .set_body_raw("<html>Bad gateway</html>", "text/html")
            .insert_header("retry-after", "0");
        Mock::given(method("PUT"))
            .respond_with(page.clone())
            .expect(1)
            .mount(&proxy)
            .await;
        Mock::given(method("GET"))
            .respond_with(page)
            .up_to_n_times(1)
            .expect(1)
            .mount(&proxy)
            .await;
        let found = ResponseTemplate::new(200).insert_header("etag", "\"e1-1\"");
        Mock::given(method("GET"))
            .respond_with(found)
            .expect(1)
            .mount(&proxy)
            .await;
        let client = Client::connect(proxy.uri()).expect("client");
        let error = client.put("k", "v").await.expect_err("unknown");
        assert_eq!(
            (error.outcome(), error.tries()),
            (Outcome::Unknown, 1),
            "{error}"
        );
        assert!(client.get("k").await.expect("the second answer").is_some());
    }
}

#[tokio::test]
async fn a_503_of_trandbs_is_waited_out() {
    let server = MockServer::start().await;
    let mut problem = Problem::new(ErrorCode::Overloaded, "busy");
    problem.retry_after_ms = Some(1);
    let body = serde_json::to_vec(&problem).expect("JSON");
    Mock::given(method("PUT"))
        .respond_with(
            ResponseTemplate::new(503)
                .set_body_raw(body, "application/problem+json")
                .insert_header("retry-after", "1"),
        )
        .up_to_n_times(2)
        .expect(2)
        .mount(&server)
        .await;
    let written = ResponseTemplate::new(200).insert_header("etag", "\"e1-2\"");
    Mock::given(method("PUT"))
        .respond_with(written)
        .expect(1)
        .mount(&server)
        .await;
    let client = Client::connect(server.uri()).expect("client");
    assert_eq!(
        client.put("k", "v").await.expect("written"),
        version("e1-2")
    );
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let server = MockServer::start().await;
    for status in [301, 302, 307, 308] {
        let away = ResponseTemplate::new(status).insert_header("location", "/elsewhere");
        Mock::given(at(format!("/keys/{status}")))
            .respond_with(away)
            .expect(2)
            .mount(&server)
            .await;
    }
    let written = ResponseTemplate::new(200).insert_header("etag", "\"e1-2\"");
    Mock::given(at("/elsewhere"))
        .respond_with(written)
        .expect(0)
        .mount(&server)
        .await;
    let client = Client::connect(server.uri()).expect("client");
    for status in ["301", "302", "307", "308"] {
        let error = client.put(status, "v").await.expect_err("a redirect");
        assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
        client.get(status).await.expect_err("a redirect");
    }
}

/// No plain text goes to an `https` endpoint, and a failed handshake has written nothing.
#[tokio::test]
#[cfg(feature = "tls")]
async fn https_begins_with_a_handshake() {
    use tokio::io::AsyncReadExt;

    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listen");
    let address = listener.local_addr().expect("address");
    let client = Client::builder()
        .endpoint(format!("https://{address}"))
        .retries(RetryPolicy::none())
        .build()
        .expect("client");
    let server = async {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        stream.read_u16().await.expect("the first bytes")
    };
    let (result, first_bytes) = tokio::join!(client.put("k", "v").into_future(), server);
    assert_eq!(first_bytes, 0x1603, "a handshake of TLS");
    let error = result.expect_err("no server of TLS");
    assert!(error.is_connect(), "{error:?}");
    assert_eq!(error.outcome(), Outcome::NotCommitted);
}

/// The server closes a connection that nobody uses. The next write takes a new one, and is certain.
#[tokio::test]
async fn an_idle_connection_that_the_server_closed_is_not_used() {
    let mut server = TcpServer::start([Act::AnswerAndClose(WRITTEN.into())]).await;
    let client = server.client();
    for round in 1..=3 {
        client.put("k", "v").await.expect("written");
        server.next_closed().await;
        // Long enough for this side to hear of it.
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(server.connections(), round);
    }
}
