//! The client straight into a service in the same process.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::{TryStreamExt, stream};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use tower::{service_fn, util::BoxCloneSyncService};
use trandb_client::{Client, Entry, Error, Outcome, RetryPolicy, TowerTransport};
use trandb_common::limits::ANSWER_BYTES_MAX;

use crate::scripted::{response, version};

fn client<T: trandb_client::Transport>(transport: T) -> Client {
    Client::builder()
        .transport(transport)
        .endpoint("http://db.example:8080")
        .retries(RetryPolicy::none())
        .build()
        .expect("client")
}

#[tokio::test]
async fn the_service_gets_the_whole_request() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let record = seen.clone();
    let service = service_fn(move |request: Request<Full<Bytes>>| {
        let record = record.clone();
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            record
                .lock()
                .expect("lock")
                .push((parts.method, parts.uri.to_string(), body));
            Ok::<_, Infallible>(response(200, &["etag: \"e1-2\""], "").map(Full::new))
        }
    });
    let client = client(TowerTransport::new(service));
    assert_eq!(
        client.put("a/b", "v").await.expect("written"),
        version("e1-2")
    );
    client.list("p").await.expect_err("no JSON");
    let seen = seen.lock().expect("lock");
    assert_eq!(seen[0].0, http::Method::PUT);
    assert_eq!(
        (&seen[0].1[..], &seen[0].2[..]),
        ("http://db.example:8080/keys/a%2Fb", &b"v"[..])
    );
    assert_eq!(seen[1].1, "http://db.example:8080/keys?prefix=p");
}

#[tokio::test]
async fn an_error_of_the_service_leaves_a_write_unknown_unless_it_is_known_better() {
    type Service = BoxCloneSyncService<Request<Full<Bytes>>, Response<Full<Bytes>>, std::io::Error>;
    let failing = |kind: std::io::ErrorKind| {
        Service::new(service_fn(move |_| async move {
            Err::<Response<Full<Bytes>>, _>(std::io::Error::from(kind))
        }))
    };
    let transport = |kind| {
        TowerTransport::new(failing(kind))
            .not_sent_if(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
    };
    let reset = std::io::ErrorKind::ConnectionReset;
    let refused = std::io::ErrorKind::ConnectionRefused;
    for (transport, outcome) in [
        (TowerTransport::new(failing(refused)), Outcome::Unknown),
        (transport(reset), Outcome::Unknown),
        (transport(refused), Outcome::NotCommitted),
    ] {
        let error = client(transport).put("k", "v").await.expect_err("an error");
        assert_eq!(error.outcome(), outcome, "{error}");
        assert_eq!(error.is_connect(), outcome == Outcome::NotCommitted);
    }
}

/// Never gets ready.
#[derive(Clone)]
struct Unready;

impl tower::Service<Request<Full<Bytes>>> for Unready {
    type Response = Response<Full<Bytes>>;
    type Error = &'static str;
    type Future = std::future::Ready<Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Err("closed"))
    }

    fn call(&mut self, _: Request<Full<Bytes>>) -> Self::Future {
        panic!("called without being ready")
    }
}

#[tokio::test]
async fn a_service_that_is_not_ready_was_sent_nothing() {
    let error = client(TowerTransport::new(Unready)).put("k", "v").await;
    let error = error.expect_err("not ready");
    assert_eq!(error.outcome(), Outcome::NotCommitted);
}

type Part = Result<Bytes, &'static str>;

/// What comes of an answer whose body comes in these parts.
async fn get(parts: Vec<Part>) -> Result<Option<Entry>, Error> {
    let service = service_fn(move |_: Request<Full<Bytes>>| {
        let frames = stream::iter(parts.clone()).map_ok(Frame::data);
        async move {
            let answer = response(200, &["etag: \"e1-1\""], "");
            Ok::<_, Infallible>(answer.map(|_| StreamBody::new(frames)))
        }
    });
    client(TowerTransport::new(service)).get("k").await
}

#[tokio::test]
async fn bodies_come_in_parts_and_may_break() {
    let data = |text| Ok(Bytes::from_static(text));
    let entry = get(vec![data(b"va"), data(b"lue")]).await;
    assert_eq!(entry.expect("answer").expect("a value").value, "value");
    let error = get(vec![data(b"va"), Err("broken")]).await;
    let error = error.expect_err("half an answer");
    assert!(error.is_retryable(), "{error}");
}

#[tokio::test]
async fn a_body_that_is_too_large_is_cut() {
    let part = Bytes::from(vec![0; 1 << 20]);
    let parts = vec![Ok(part.clone()); ANSWER_BYTES_MAX / part.len() + 2];
    let error = get(parts).await.expect_err("too much");
    assert!(error.to_string().contains("larger than any"), "{error}");
}
