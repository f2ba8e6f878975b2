//! Keys as bytes on the wire, which no HTTP client would send that way.

use trandb_common::{limits::KEY_BYTES_MAX, wire::ListPage};
use trandb_integration_tests::{
    local::Served,
    wire::{Answer, Connection, Request},
};

#[tokio::test]
async fn legal_keys_are_stored_as_the_text_they_stand_for() {
    let longest = "k".repeat(KEY_BYTES_MAX);
    let widest = "%f0%9f%a6%80".repeat(KEY_BYTES_MAX / 4);
    for (segment, key) in [
        (b"plain".as_slice(), "plain"),
        (b"a%2Fb", "a/b"),
        (b"a%2fb", "a/b"),
        (b"a%252Fb", "a%2Fb"),
        (b"%61", "a"),
        (b"a+b", "a+b"),
        (b"%00", "\0"),
        (b"a%0Ab%0D%1b%7f", "a\nb\r\x1b\x7f"),
        (b"%2E%2E%2E", "..."),
        (b"..%2F..", "../.."),
        (b"%C3%A4", "ä"),
        (b"\xc3\xa4", "ä"),
        (b"%EF%BB%BF", "\u{feff}"),
        (b"a%3Fb%23c", "a?b#c"),
        (b"a;b:c@d!$&'()*,=~_-.", "a;b:c@d!$&'()*,=~_-."),
        (longest.as_bytes(), longest.as_str()),
        (widest.as_bytes(), "🦀".repeat(KEY_BYTES_MAX / 4).as_str()),
    ] {
        let served = Served::start(&[]).await;
        let shown = segment.escape_ascii();
        ask(&served, "PUT", segment).await.assert_status(200);
        assert_eq!(keys(&served).await, [key], "{shown}");
        let read = ask(&served, "GET", segment).await;
        assert_eq!(
            (read.status, read.text().as_str()),
            (200, "value"),
            "{shown}"
        );
        ask(&served, "DELETE", segment).await.assert_status(204);
        assert!(keys(&served).await.is_empty(), "{shown}");
    }
}

#[tokio::test]
async fn illegal_keys_are_named_errors_for_every_method_and_leave_nothing() {
    let served = Served::start(&[]).await;
    let too_long = "k".repeat(KEY_BYTES_MAX + 1);
    let too_wide = "%f0%9f%a6%80".repeat(KEY_BYTES_MAX / 4) + "k";
    let far_too_long = "%6b".repeat(10 * KEY_BYTES_MAX);
    for (segment, status, code) in [
        (b"".as_slice(), 400, "invalid_key"),
        (b".", 400, "invalid_key"),
        (b"..", 400, "invalid_key"),
        (b"%2e", 400, "invalid_key"),
        (b"%2e%2e", 400, "invalid_key"),
        (b".%2E", 400, "invalid_key"),
        (b"%", 400, "invalid_key"),
        (b"%4", 400, "invalid_key"),
        (b"a%zz", 400, "invalid_key"),
        (b"a%%41", 400, "invalid_key"),
        (b"%FF", 400, "invalid_utf8"),
        (b"%C3", 400, "invalid_utf8"),
        (b"%C0%80", 400, "invalid_utf8"),
        (b"%ED%A0%80", 400, "invalid_utf8"),
        (b"%F4%90%80%80", 400, "invalid_utf8"),
        (too_long.as_bytes(), 414, "key_too_long"),
        (too_wide.as_bytes(), 414, "key_too_long"),
        (far_too_long.as_bytes(), 414, "key_too_long"),
        (b"a/b", 404, "route_not_found"),
        (b"a/../b", 404, "route_not_found"),
        (b"/", 404, "route_not_found"),
    ] {
        for method in ["GET", "PUT", "DELETE"] {
            let answer = ask(&served, method, segment).await;
            let shown = segment.escape_ascii();
            assert_eq!(answer.status, status, "{method} {shown}: {}", answer.text());
            assert_eq!(answer.problem().code, code, "{method} {shown}");
        }
    }
    assert!(keys(&served).await.is_empty());
}

#[tokio::test]
async fn the_length_of_a_key_that_is_too_long_is_told() {
    let served = Served::start(&[]).await;
    for (segment, actual) in [("k".repeat(1025), 1025), ("%6b".repeat(2000), 2000)] {
        let problem = ask(&served, "PUT", segment.as_bytes()).await.problem();
        assert_eq!((problem.limit, problem.actual), (Some(1024), Some(actual)));
    }
}

/// What is not even HTTP never reaches the service: a bare 400, and the connection is closed.
#[tokio::test]
async fn bytes_that_no_path_may_have_are_refused_before_they_are_understood() {
    let served = Served::start(&[]).await;
    for segment in [
        b"a\0b".as_slice(),
        b"\xff",
        b"a\x7fb",
        b"a b",
        b"a\rb",
        b"a\nb",
    ] {
        let mut connection = Connection::open(served.address).await;
        connection.send(wire("PUT", segment)).await;
        let answer = connection.answer().await;
        assert_eq!(answer.status, 400, "{}", segment.escape_ascii());
        connection.closed().await;
    }
    assert!(keys(&served).await.is_empty());
}

async fn ask(served: &Served, method: &str, segment: &[u8]) -> Answer {
    let mut connection = Connection::open(served.address).await;
    connection.send(wire(method, segment)).await;
    connection.answer().await
}

fn wire(method: &str, segment: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{method} /keys/").into_bytes();
    bytes.extend_from_slice(segment);
    bytes.extend_from_slice(b" HTTP/1.1\r\nhost: trandb\r\ncontent-length: 5\r\n\r\nvalue");
    bytes
}

async fn keys(served: &Served) -> Vec<String> {
    let answer = served.ask(&Request::get("/keys")).await;
    let page: ListPage = serde_json::from_slice(&answer.body).expect("a page");
    page.keys
        .into_iter()
        .map(|listed| listed.key.as_str().to_owned())
        .collect()
}
