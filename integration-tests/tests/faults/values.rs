//! Values that are too large, late, cut short, or framed in a way that makes no sense: nothing is
//! stored, nothing is leaked.

use trandb_common::limits::VALUE_BYTES_MAX;
use trandb_integration_tests::{
    local::Served,
    wire::{Body, Connection, Request},
};

/// Nothing stored, and nothing in flight any more.
async fn assert_nothing_is_left(served: &Served) {
    served.until_nothing_is_in_flight().await;
    served
        .ask(&Request::get("/keys/a"))
        .await
        .assert_problem(404, "key_not_found");
    assert_eq!(served.server.memory.used(), 0);
}

#[tokio::test]
async fn the_smallest_and_the_largest_value_come_back_as_they_were() {
    let served = Served::start(&[]).await;
    let largest: Vec<u8> = (0..=250).cycle().take(VALUE_BYTES_MAX).collect();
    for value in [vec![], vec![0], largest] {
        let chunked = Body::Chunked(value.chunks(100_000).map(<[u8]>::to_vec).collect());
        for body in [Body::Sized(value.clone()), chunked] {
            let put = Request::new("PUT", "/keys/a").body(body);
            served.ask(&put).await.assert_status(200);
            let read = served.ask(&Request::get("/keys/a")).await;
            assert!(
                read.body == value,
                "{} of {} bytes came back",
                read.body.len(),
                value.len()
            );
        }
    }
    served.until_nothing_is_in_flight().await;
}

#[tokio::test]
async fn what_is_announced_as_too_large_is_refused_before_it_is_sent() {
    let served = Served::start(&[]).await;
    for length in [VALUE_BYTES_MAX as u64 + 1, 1 << 62] {
        let mut connection = Connection::open(served.address).await;
        let head = format!("PUT /keys/a HTTP/1.1\r\nhost: h\r\ncontent-length: {length}\r\n\r\n");
        connection.send(head).await;
        let answer = connection.answer().await;
        answer.assert_problem(413, "value_too_large");
        let problem = answer.problem();
        assert_eq!(
            (problem.limit, problem.actual),
            (Some(4_194_304), Some(length))
        );
    }
    assert_nothing_is_left(&served).await;
}

#[tokio::test]
async fn what_turns_out_too_large_is_refused_at_the_limit() {
    let served = Served::start(&[]).await;
    let mut connection = Connection::open(served.address).await;
    connection
        .send(
            Request::new("PUT", "/keys/a")
                .body(Body::Chunked(vec![]))
                .head_to_wire(),
        )
        .await;
    let piece = vec![b'x'; VALUE_BYTES_MAX];
    connection.send(format!("{:x}\r\n", piece.len())).await;
    connection.send(&piece).await;
    // The last of it never comes: this one byte is what the answer is about.
    connection.send("\r\n1\r\nx").await;
    connection
        .answer()
        .await
        .assert_problem(413, "value_too_large");
    assert_nothing_is_left(&served).await;
}

#[tokio::test]
async fn whoever_asks_before_sending_is_told_in_time() {
    let served = Served::start(&[]).await;
    let put = |length: usize| {
        Request::new("PUT", "/keys/a")
            .header("expect", "100-continue")
            .header("content-length", length.to_string())
            .to_wire()
    };
    let mut connection = Connection::open(served.address).await;
    connection.send(put(VALUE_BYTES_MAX + 1)).await;
    connection
        .answer()
        .await
        .assert_problem(413, "value_too_large");
    assert_nothing_is_left(&served).await;

    let mut connection = Connection::open(served.address).await;
    connection.send(put(5)).await;
    connection.answer().await.assert_status(100);
    connection.send("value").await;
    connection.answer().await.assert_status(200);
}

#[tokio::test]
async fn a_body_that_never_comes_times_out() {
    let served = Served::start(&["--body-timeout", "100ms"]).await;
    for body in ["", "half of "] {
        let mut connection = Connection::open(served.address).await;
        connection
            .send("PUT /keys/a HTTP/1.1\r\nhost: h\r\ncontent-length: 100\r\n\r\n")
            .await;
        connection.send(body).await;
        connection
            .answer()
            .await
            .assert_problem(408, "request_timeout");
        assert_nothing_is_left(&served).await;
    }
}

#[tokio::test]
async fn a_body_that_comes_drop_by_drop_times_out_too() {
    let served = Served::start(&["--body-timeout", "300ms"]).await;
    let mut connection = Connection::open(served.address).await;
    connection
        .send("PUT /keys/a HTTP/1.1\r\nhost: h\r\ncontent-length: 1000000\r\n\r\n")
        .await;
    // Every drop is progress; the time is for the body as a whole.
    let drops = async {
        while connection.try_send("x").await.is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let timed_out = async {
        let in_flight = served.server.app.in_flight();
        let what = "the body has begun";
        trandb_integration_tests::eventually(what, async || in_flight.bytes() > 0).await;
        served.until_nothing_is_in_flight().await;
    };
    tokio::select! {
        () = timed_out => {}
        () = drops => panic!("the connection was closed without an answer"),
    }
    connection
        .answer()
        .await
        .assert_problem(408, "request_timeout");
    assert_nothing_is_left(&served).await;
}

#[tokio::test]
async fn a_connection_that_is_cut_midway_leaves_nothing() {
    let served = Served::start(&[]).await;
    let megabyte = vec![b'x'; 1 << 20];
    let sized = Request::new("PUT", "/keys/a")
        .header("content-length", "4000000")
        .to_wire();
    let chunked = Request::new("PUT", "/keys/a")
        .body(Body::Chunked(vec![]))
        .head_to_wire();
    let chunk = [b"100000\r\n".as_slice(), &megabyte, b"\r\n"].concat();
    for (head, half) in [(sized, megabyte), (chunked, chunk)] {
        for in_good_order in [false, true] {
            let mut connection = Connection::open(served.address).await;
            connection.send(&head).await;
            connection.send(&half).await;
            let in_flight = served.server.app.in_flight();
            let what = "half of the body has arrived";
            trandb_integration_tests::eventually(what, async || in_flight.bytes() >= 1 << 20).await;
            if in_good_order {
                connection.finish_sending().await;
                connection
                    .answer()
                    .await
                    .assert_problem(400, "malformed_body");
            }
            drop(connection);
            assert_nothing_is_left(&served).await;
        }
    }
}

#[tokio::test]
async fn a_value_in_place_survives_all_that() {
    let served = Served::start(&["--body-timeout", "100ms"]).await;
    let before = served
        .ask(&Request::put("/keys/a", "before"))
        .await
        .version();
    let used = served.server.memory.used();
    for bytes in [
        "PUT /keys/a HTTP/1.1\r\nhost: h\r\ncontent-length: 9\r\n\r\nhalf",
        "PUT /keys/a HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\nx\r\n",
        "PUT /keys/a HTTP/1.1\r\nhost: h\r\ncontent-length: 4194305\r\n\r\nhalf",
    ] {
        let mut connection = Connection::open(served.address).await;
        connection.send(bytes).await;
        assert!(connection.answer().await.status >= 400, "{bytes}");
    }
    served.until_nothing_is_in_flight().await;
    let after = served.ask(&Request::get("/keys/a")).await;
    assert_eq!((after.text(), after.version()), ("before".into(), before));
    assert_eq!(served.server.memory.used(), used);
}

#[tokio::test]
async fn pieces_that_are_not_well_formed_are_a_named_error() {
    let served = Served::start(&[]).await;
    for pieces in [
        "zz\r\n",
        "-1\r\n",
        "3\r\nonetwo\r\n",
        "fffffffffffffffff\r\n",
        "\r\n",
    ] {
        let request = Request::new("PUT", "/keys/a")
            .header("transfer-encoding", "chunked")
            .body(Body::Verbatim(pieces.into()));
        let answer = served.ask(&request).await;
        assert_eq!(answer.status, 400, "{pieces:?}: {}", answer.text());
        assert_eq!(answer.problem().code, "malformed_body", "{pieces:?}");
    }
    assert_nothing_is_left(&served).await;
}

/// Two framings of one body are how requests are smuggled past a proxy: they end the connection.
#[tokio::test]
async fn a_body_with_two_lengths_or_none_that_makes_sense_is_not_read() {
    let served = Served::start(&[]).await;
    for framing in [
        "content-length: 5\r\ncontent-length: 3\r\n",
        "content-length: 5, 3\r\n",
        "content-length: -5\r\n",
        "content-length: +5\r\n",
        "content-length: 5x\r\n",
        "content-length: 0x5\r\n",
        "content-length:\r\n",
        "content-length: 99999999999999999999999\r\n",
        "transfer-encoding: gzip\r\n",
        "transfer-encoding: chunked, gzip\r\n",
    ] {
        let mut connection = Connection::open(served.address).await;
        let head = format!("PUT /keys/a HTTP/1.1\r\nhost: h\r\n{framing}\r\nvalue");
        connection.send(head).await;
        let answer = connection.answer().await;
        assert_eq!(answer.status, 400, "{framing:?}: {}", answer.text());
        connection.closed().await;
    }
    assert_nothing_is_left(&served).await;
}
