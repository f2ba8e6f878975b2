//! The HTTP service, without sockets: [`App`].
//!
//! `/keys/{key}` is answered here without axum's router, which would cost a tenth of the
//! throughput of small reads and has nothing to add: the raw path must be split before it is
//! decoded anyway. Everything else goes through axum.
//!
//! Every answer that is not a success is an `application/problem+json`, the refusals of the
//! framework included. The exception is a request that is not HTTP at all: hyper answers it with
//! a bare 400 or 431 and closes the connection.

mod body;
mod headers;
mod keys;
mod listing;
pub mod openapi;
mod operation;
mod problem;
mod upload;

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response, request};
use trandb_common::{ErrorCode, Problem, path, wire::Limits};

pub use self::body::{Body, BoxError};
use self::problem::Rejection;
use crate::{Database, Shards, in_flight::InFlight};

/// A request's body, whatever it comes from: a socket, a test, a simulated network.
pub trait RequestBody:
    http_body::Body<Data = Bytes, Error: Into<BoxError> + Send> + Send + Unpin + 'static
{
}

impl<B> RequestBody for B where
    B: http_body::Body<Data = Bytes, Error: Into<BoxError> + Send> + Send + Unpin + 'static
{
}

/// What the service needs to know beside its database.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What `/limits` says.
    pub limits: Limits,
    /// How long a client may take to send a body.
    pub body_timeout: Duration,
}

/// Where a server is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    /// Ready.
    Serving = 0,
    /// Not ready any more, but still serving, so that load balancers notice.
    Leaving = 1,
    /// Requests in flight finish, new ones are refused.
    Draining = 2,
}

/// The service. A clone is another handle of the same one.
#[derive(Debug)]
pub struct App<S> {
    inner: Arc<Inner<S>>,
    rest: axum::Router,
}

#[derive(Debug)]
struct Inner<S> {
    database: Database<S>,
    in_flight: Arc<InFlight>,
    settings: Settings,
    phase: AtomicU8,
}

impl<S> Clone for App<S> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            rest: self.rest.clone(),
        }
    }
}

impl<S: Shards> App<S> {
    /// The service over `database`.
    pub fn new(database: Database<S>, settings: Settings) -> Self {
        let in_flight = InFlight::new(settings.limits.in_flight_bytes_max);
        let phase = AtomicU8::new(Phase::Serving as u8);
        let inner = Arc::new(Inner {
            database,
            in_flight,
            settings,
            phase,
        });
        let rest = operation::router(Arc::clone(&inner));
        Self { inner, rest }
    }

    /// The database below.
    pub fn database(&self) -> &Database<S> {
        &self.inner.database
    }

    /// What is in flight.
    pub fn in_flight(&self) -> &Arc<InFlight> {
        &self.inner.in_flight
    }

    /// Enters the next phase of its life; there is no way back.
    pub fn enter(&self, phase: Phase) {
        self.inner.phase.fetch_max(phase as u8, Ordering::Relaxed);
    }

    /// Answers a request that has nothing to wait for: a GET of a key that nobody has locked.
    ///
    /// None says nothing; [`handle`](Self::handle) answers every request. This is the greater part
    /// of all requests, without what a future costs.
    pub fn handle_now<B>(&self, request: &Request<B>) -> Option<Response<Body>> {
        let inner = &*self.inner;
        if request.method() != Method::GET || inner.is_past(Phase::Draining) {
            return None;
        }
        let segment = key_segment(request.uri().path())?;
        let answer = keys::get_now(inner, segment, request)?;
        Some(answer.unwrap_or_else(Rejection::into_response))
    }

    /// Answers one request.
    pub async fn handle<B: RequestBody>(&self, request: Request<B>) -> Response<Body> {
        self.answer(Asked::of(request)).await
    }

    pub(crate) async fn answer<B: RequestBody>(&self, asked: Asked<B>) -> Response<Body> {
        let inner = &*self.inner;
        match asked.what {
            What::Rest(head) => self.answer_rest(*head).await,
            What::Key(_) if inner.is_past(Phase::Draining) => draining().into_response(),
            What::Key(key) => keys::answer(inner, key, asked.body)
                .await
                .unwrap_or_else(Rejection::into_response),
        }
    }

    /// Everything but single keys. No path here takes a body yet, so none is passed on.
    async fn answer_rest(&self, head: request::Parts) -> Response<Body> {
        let request = Request::from_parts(head, axum::body::Body::empty());
        match tower_service::Service::call(&mut self.rest.clone(), request).await {
            Ok(response) => response.map(Body::from),
            Err(never) => match never {},
        }
    }
}

/// A request of which everything but the body has been looked at.
pub(crate) struct Asked<B> {
    what: What,
    body: B,
}

enum What {
    Key(keys::Asked),
    /// In a box, since it is large and not many are.
    Rest(Box<request::Parts>),
}

impl<B> Asked<B> {
    pub(crate) fn of(request: Request<B>) -> Self {
        let (head, body) = request.into_parts();
        let what = match key_segment(head.uri.path()) {
            Some(segment) => What::Key(keys::ask(segment, &head)),
            None => What::Rest(Box::new(head)),
        };
        Self { what, body }
    }
}

impl<S> Inner<S> {
    fn is_past(&self, phase: Phase) -> bool {
        self.phase.load(Ordering::Relaxed) >= phase as u8
    }
}

/// The raw last segment of `/keys/{key}`, none for every other path.
fn key_segment(path: &str) -> Option<&str> {
    let segment = path.strip_prefix(path::KEYS)?.strip_prefix('/')?;
    (!path::contains(segment, b'/')).then_some(segment)
}

fn draining() -> Rejection {
    Problem::new(
        ErrorCode::NotReady,
        "The server is about to end and takes no new requests. Send this one to another node, \
         or again when it has been started anew.",
    )
    .into()
}

/// For whoever calls the service as tower does: tests, and clients in the same process.
impl<S: Shards, B: RequestBody> tower_service::Service<Request<B>> for App<S> {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let app = self.clone();
        Box::pin(async move { Ok(app.handle(request).await) })
    }
}
