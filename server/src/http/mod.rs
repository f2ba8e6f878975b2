//! The HTTP service, without sockets: [`App`].
//!
//! `/keys/{key}` and `/transactions` are answered here without axum's router, which would cost a tenth of the
//! throughput of small reads and has nothing to add: the raw path must be split before it is
//! decoded anyway. Everything else goes through axum.
//!
//! Every answer that is not a success is an `application/problem+json`, the refusals of the
//! framework included. The exception is a request that is not HTTP at all: hyper answers it with
//! a bare 400 or 431 and closes the connection.

mod administration;
mod body;
mod headers;
mod keys;
mod listing;
pub mod openapi;
mod operation;
mod problem;
mod transactions;
mod upload;

use std::{
    convert::Infallible,
    future::{Future, ready},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, request};
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
        let mut answer = answer.unwrap_or_else(Rejection::into_response);
        let id = headers::request_id(request.headers());
        headers::return_request_id(id, answer.headers_mut());
        Some(answer)
    }

    /// Answers one request.
    pub fn handle<B: RequestBody>(&self, request: Request<B>) -> Answering {
        let (head, body) = request.into_parts();
        let request_id = headers::request_id(&head.headers);
        Answering {
            answer: self.answer(head, body),
            request_id,
        }
    }

    fn answer<B: RequestBody>(&self, head: request::Parts, body: B) -> BoxedAnswer {
        let inner = Arc::clone(&self.inner);
        let is_draining = inner.is_past(Phase::Draining);
        if let Some(segment) = key_segment(head.uri.path()) {
            if is_draining {
                return refused(draining());
            }
            keys::answer(inner, keys::ask(segment, &head), body)
        } else if let Some(asked) = transactions::ask(&head) {
            if is_draining {
                return refused(draining());
            }
            transactions::answer(inner, asked, body)
        } else {
            self.answer_rest(head)
        }
    }

    /// Everything but keys and transactions. No path here takes a body, so none is passed on.
    fn answer_rest(&self, head: request::Parts) -> BoxedAnswer {
        let request = Request::from_parts(head, axum::body::Body::empty());
        let answer = tower_service::Service::call(&mut self.rest.clone(), request);
        Box::pin(async {
            match answer.await {
                Ok(response) => Ok(response.map(Body::from)),
                Err(never) => match never {},
            }
        })
    }
}

/// What answers a request.
///
/// In a box of its own, with what is asked and not with the whole head. Futures of several layers,
/// each with room for all that those below were given, come to more than a KiB for a PUT, and an
/// allocation of that size costs ten times as much as a smaller one.
type BoxedAnswer = Pin<Box<dyn Future<Output = Result<Response<Body>, Rejection>> + Send>>;

/// A request that is being answered: a future of the response.
#[must_use = "nothing is answered until it is polled"]
pub struct Answering {
    answer: BoxedAnswer,
    request_id: Option<Box<HeaderValue>>,
}

impl Future for Answering {
    type Output = Response<Body>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.answer.as_mut().poll(cx).map(|answer| {
            let mut response = answer.unwrap_or_else(Rejection::into_response);
            headers::return_request_id(self.request_id.take(), response.headers_mut());
            response
        })
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

fn refused(rejection: Rejection) -> BoxedAnswer {
    Box::pin(ready(Err(rejection)))
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
