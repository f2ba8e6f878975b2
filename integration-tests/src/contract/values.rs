//! Values: GET, HEAD, PUT and DELETE of a key, what they refuse, and the limits of a server.

use trandb_common::limits::VALUE_BYTES_MAX;

use super::Script;
use crate::wire::{Body, Request};

pub(super) fn scripts() -> Vec<Script> {
    vec![
        Script::new("life-of-a-value", life()),
        Script::new("bytes-of-a-value", bytes()),
        Script::new("size-of-a-value", size()),
        Script::new("methods-of-a-key", methods()),
        Script::new("unsupported-headers", unsupported()),
        Script::new("ignored-headers", ignored()),
        Script {
            flags: &["--shards", "1", "--memory-limit", "5MiB"],
            ..Script::new("memory-limit", memory_limit())
        },
        Script {
            flags: &[
                "--shards",
                "1",
                "--memory-limit",
                "64MiB",
                "--body-timeout",
                "200ms",
            ],
            sockets_only: true,
            ..Script::new("broken-bodies", broken_bodies())
        },
    ]
}

fn life() -> Vec<Request> {
    vec![
        Request::get("/keys/a").about("a key without a value"),
        Request::head("/keys/a").about("the same without its body"),
        Request::delete("/keys/a").about("deleting nothing"),
        Request::put("/keys/a", "one").about("the first value"),
        Request::get("/keys/a").about("reading it"),
        Request::head("/keys/a").about("its size and version alone"),
        Request::put("/keys/a", "three").about("another value has another version"),
        Request::get("/keys/a").about("reading that"),
        Request::put("/keys/a", "three").about("the same value has another version, too"),
        Request::put("/keys/a", "").about("a value of no bytes"),
        Request::get("/keys/a").about("which is a value"),
        Request::head("/keys/a").about("also to HEAD"),
        Request::delete("/keys/a").about("taking it away"),
        Request::get("/keys/a").about("it is gone"),
        Request::delete("/keys/a").about("deleting again"),
        Request::put("/keys/a", "one").about("made again: a version that was never there"),
    ]
}

fn bytes() -> Vec<Request> {
    let put = |body: &[u8]| Request::put("/keys/a", body);
    let pieces = vec![b"in ".to_vec(), b"three ".to_vec(), b"pieces".to_vec()];
    vec![
        put(b"\0\xff\xc3\r\n\x80").about("any bytes are a value"),
        Request::get("/keys/a").about("and come back as they were"),
        put(b"<script>")
            .header("content-type", "text/html")
            .about("its type is not kept"),
        Request::get("/keys/a").about("so that no browser runs it"),
        Request::new("PUT", "/keys/a")
            .body(Body::Chunked(pieces))
            .about("without a length"),
        Request::get("/keys/a").about("it is one value"),
        Request::new("PUT", "/keys/a")
            .body(Body::Chunked(vec![]))
            .about("no pieces at all"),
        Request::get("/keys/a").about("a value of no bytes"),
        Request::new("PUT", "/keys/a").about("neither a length nor pieces: no bytes"),
        Request::delete("/keys/a")
            .body(Body::Sized(b"ignored".to_vec()))
            .about("a body of DELETE"),
        Request::get("/keys/a")
            .body(Body::Sized(b"ignored".to_vec()))
            .about("a body of GET"),
    ]
}

fn size() -> Vec<Request> {
    let of = |bytes| vec![b'x'; bytes];
    vec![
        Request::put("/keys/a", of(VALUE_BYTES_MAX)).about("4 MiB"),
        Request::get("/keys/a").about("come back whole"),
        Request::put("/keys/a", of(VALUE_BYTES_MAX + 1)).about("one byte more, announced"),
        Request::new("PUT", "/keys/a")
            .body(Body::Chunked(vec![of(VALUE_BYTES_MAX), of(1)]))
            .about("one byte more, not announced"),
        Request::head("/keys/a").about("the value is what it was"),
        Request::new("PUT", "/keys/a")
            .body(Body::Chunked(vec![of(VALUE_BYTES_MAX - 1), of(1)]))
            .about("4 MiB, not announced"),
    ]
}

fn methods() -> Vec<Request> {
    let mut requests: Vec<_> = ["POST", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "get"]
        .into_iter()
        .map(|method| Request::new(method, "/keys/a").about("a method that a key does not take"))
        .collect();
    requests.push(
        Request::new("POST", "/keys/a")
            .body(Body::Sized(b"value".to_vec()))
            .about("with a body"),
    );
    requests.push(Request::get("/keys/a").about("nothing was written"));
    requests
}

fn unsupported() -> Vec<Request> {
    let put = || Request::put("/keys/a", "one");
    vec![
        put()
            .header("idempotency-key", "0199c2d1-0000-7000-8000-000000000001")
            .about("a promise that is not kept is not made"),
        Request::delete("/keys/a")
            .header("idempotency-key", "x")
            .about("nor for DELETE"),
        put()
            .header("content-range", "bytes 0-2/10")
            .about("a part of a value"),
        put()
            .header("content-encoding", "gzip")
            .about("a compressed value"),
        put()
            .header("content-encoding", "identity")
            .about("one that is not compressed"),
        put()
            .header("if-unmodified-since", "Tue, 01 Jan 2030 00:00:00 GMT")
            .about("a date"),
        Request::get("/keys/a")
            .header("if-modified-since", "Tue, 01 Jan 2030 00:00:00 GMT")
            .about("a date to GET"),
        put()
            .header("expect", "a-miracle")
            .about("an expectation that is not known"),
        Request::put("/keys/a?x=1", "one").about("a query of a key"),
        Request::get("/keys/a?").about("an empty query of a key"),
        Request::delete("/keys/a?prefix=b").about("a query of DELETE"),
    ]
}

fn ignored() -> Vec<Request> {
    vec![
        Request::put("/keys/a", "a value").about("to be read"),
        Request::get("/keys/a")
            .header("range", "bytes=0-2")
            .about("always the whole value"),
        Request::get("/keys/a")
            .header("accept-encoding", "gzip, br")
            .about("never compressed"),
        Request::get("/keys/a")
            .header("accept", "text/html")
            .about("never another type"),
        Request::get("/keys/a")
            .header("if-range", "\"{v1}\"")
            .about("of no use without ranges"),
        Request::get("/keys/a")
            .header("idempotency-key", "x")
            .about("reads may always be sent twice"),
    ]
}

fn memory_limit() -> Vec<Request> {
    let of = |bytes| vec![b'x'; bytes];
    vec![
        Request::put("/keys/z", of(VALUE_BYTES_MAX)).about("most of what there is"),
        Request::put("/keys/a", of(700_000)).about("most of the rest"),
        Request::put("/keys/b", of(700_000)).about("more than is left"),
        Request::get("/keys/b").about("nothing of it is kept"),
        Request::put("/keys/a", of(1_100_000)).about("nor may a value grow beyond it"),
        Request::head("/keys/a").about("reads go on"),
        Request::put("/keys/a", of(700_000)).about("a value of the same size may take its place"),
        Request::put("/keys/a", of(10)).about("and so may a smaller one"),
        Request::put("/keys/b", of(600_000)).about("which makes room"),
        Request::put("/keys/c", of(600_000)).about("until it is used up again"),
        Request::delete("/keys/b").about("deletes go on"),
        Request::put("/keys/c", of(600_000)).about("and make room"),
        Request::put("/keys/d", of(VALUE_BYTES_MAX)).about("what does not fit beside the first"),
    ]
}

/// Each of them ends its connection, which no further request could use.
fn broken_bodies() -> Vec<Request> {
    let put = || Request::new("PUT", "/keys/a");
    let verbatim = |bytes: &[u8]| Body::Verbatim(bytes.to_vec());
    vec![
        put()
            .header("transfer-encoding", "chunked")
            .body(verbatim(b"3\r\none\r\nzz\r\n"))
            .about("a piece without a size"),
        put()
            .header("content-length", "10")
            .body(verbatim(b"half"))
            .about("announced and never sent"),
        Request::get("/keys/a").about("nothing was written"),
    ]
}
