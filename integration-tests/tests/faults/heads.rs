//! Heads of requests that are too large, too slow or no HTTP at all.

use trandb_integration_tests::{
    local::Served,
    wire::{Connection, Request},
};

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let served = Served::start(&[]).await;
    let mut connection = Connection::open(served.address).await;
    let large = "x".repeat(100_000);
    // The server may close before it has read all of it.
    let _ = connection
        .try_send(format!("GET /livez HTTP/1.1\r\nhost: h\r\nx: {large}"))
        .await;
    assert_eq!(connection.answer().await.status, 431);

    let mut connection = Connection::open(served.address).await;
    let many = "x: y\r\n".repeat(200);
    let _ = connection
        .try_send(format!("GET /livez HTTP/1.1\r\nhost: h\r\n{many}\r\n"))
        .await;
    assert_eq!(connection.answer().await.status, 431);

    let mut connection = Connection::open(served.address).await;
    let _ = connection
        .try_send(format!("GET /keys/{large} HTTP/1.1\r\nhost: h\r\n\r\n"))
        .await;
    let status = connection.answer().await.status;
    assert!(matches!(status, 414 | 431), "{status}");
}

#[tokio::test]
async fn a_head_that_is_large_but_legal_is_read() {
    let served = Served::start(&[]).await;
    let request = Request::get("/livez").header("x-large", "x".repeat(30_000));
    served.ask(&request).await.assert_status(200);
}

#[tokio::test]
async fn a_head_that_never_ends_is_cut_off() {
    let served = Served::start(&["--header-timeout", "200ms"]).await;
    for beginning in ["", "G", "GET /livez HTTP/1.1\r\nhost: h\r\nx-slow: "] {
        let mut connection = Connection::open(served.address).await;
        connection.send(beginning).await;
        connection.closed().await;
    }
    // Drop by drop is no better: the time is for the head as a whole.
    let mut connection = Connection::open(served.address).await;
    connection.send("GET /livez HTTP/1.1\r\nx: ").await;
    trandb_integration_tests::eventually("a slow head is cut off", async || {
        connection.try_send("x").await.is_err()
    })
    .await;
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let served = Served::start(&["--header-timeout", "200ms"]).await;
    let mut connection = Connection::open(served.address).await;
    connection
        .ask(&Request::get("/livez"))
        .await
        .assert_status(200);
    connection.closed().await;
}

#[tokio::test]
async fn what_is_not_http_is_answered_with_400_or_closed() {
    let served = Served::start(&[]).await;
    for bytes in [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 TLS \r\n\r\n".as_slice(),
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /keys/a HTTP/1.1\r\nbad header\r\n\r\n",
        b"GET /keys/a HTTP/1.1\r\nx: a\0b\r\n\r\n",
        b"GET\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
    ] {
        let mut connection = Connection::open(served.address).await;
        connection.send(bytes).await;
        if let Ok(Some(answer)) = connection.try_answer(false).await {
            assert_eq!(answer.status, 400, "{}", bytes.escape_ascii());
        }
        connection.closed().await;
    }
    served.ask(&Request::get("/livez")).await.assert_status(200);
}

/// The library that reads requests ends such connections in a way of its own.
#[tokio::test]
async fn what_follows_is_not_http_and_no_answer_before_it_is_lost() {
    let served = Served::start(&[]).await;
    let plain = Request::put("/keys/a", "value");
    let upgrade = plain
        .clone()
        .header("connection", "upgrade")
        .header("upgrade", "websocket");
    for (request, behind) in [
        (&plain, "no HTTP\r\n\r\n"),
        (&plain, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        (&upgrade, "no HTTP\r\n\r\n"),
        (&upgrade, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ] {
        let mut connection = Connection::open(served.address).await;
        // In one piece, so that the end is seen before the answers are on their way.
        let mut bytes = request.to_wire().repeat(3);
        bytes.extend_from_slice(behind.as_bytes());
        connection.send(bytes).await;
        for _ in 0..3 {
            connection.answer().await.assert_status(200);
        }
        if let Ok(Some(answer)) = connection.try_answer(false).await {
            assert_eq!(answer.status, 400, "{behind}");
        }
        connection.closed().await;
    }
}

#[tokio::test]
async fn other_forms_of_the_first_line_are_understood() {
    let served = Served::start(&[]).await;
    for (line, status) in [
        ("PUT http://elsewhere:1/keys/a HTTP/1.1", 200),
        ("GET http://elsewhere:1/keys/a HTTP/1.1", 200),
        ("GET /keys/a HTTP/1.1", 200),
        ("CONNECT keys:80 HTTP/1.1", 404),
    ] {
        let mut connection = Connection::open(served.address).await;
        connection
            .send(format!("{line}\r\nhost: h\r\ncontent-length: 0\r\n\r\n"))
            .await;
        assert_eq!(connection.answer().await.status, status, "{line}");
    }
    let mut connection = Connection::open(served.address).await;
    connection.send("GET /keys/a HTTP/1.0\r\n\r\n").await;
    connection.answer().await.assert_status(200);
    connection.closed().await;
}

/// A fragment is no part of a request. Every client cuts it off before it sends, and so does the
/// library that reads requests here: a `#` that belongs to a key must be escaped.
#[tokio::test]
async fn a_fragment_is_cut_off() {
    let served = Served::start(&[]).await;
    for (target, value) in [("/keys/a#b", "fragment"), ("/keys/a%23b", "escaped")] {
        served
            .ask(&Request::put(target, value))
            .await
            .assert_status(200);
    }
    assert_eq!(
        served.ask(&Request::get("/keys/a")).await.text(),
        "fragment"
    );
    assert_eq!(
        served.ask(&Request::get("/keys/a%23b")).await.text(),
        "escaped"
    );
}
