//! A transport that answers by a script and remembers what it was sent, and when.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use tokio::time::Instant;
use trandb_client::{Client, ClientBuilder, Endpoint, Problem, Transport, TransportError, Version};
use trandb_common::{ErrorCode, PROBLEM_CONTENT_TYPE};

/// What happens to one request.
pub(crate) enum Step {
    Answer(Response<Bytes>),
    NotSent,
    MaybeSent,
    AnswerTooLarge,
    /// No answer, ever.
    Silence,
}

/// One request as the transport got it.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    /// Since the script was made, in the runtime's time.
    pub(crate) at: Duration,
    pub(crate) endpoint: String,
    pub(crate) request: Request<Bytes>,
}

#[derive(Clone)]
pub(crate) struct Script(Arc<Inner>);

struct Inner {
    begun: Instant,
    steps: Mutex<VecDeque<Step>>,
    sent: Mutex<Vec<Sent>>,
    under_way: AtomicUsize,
}

impl Script {
    /// One step for each request, in order. A request too many fails the test.
    pub(crate) fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Self(Arc::new(Inner {
            begun: Instant::now(),
            steps: Mutex::new(steps.into_iter().collect()),
            sent: Mutex::default(),
            under_way: AtomicUsize::new(0),
        }))
    }

    pub(crate) fn client(&self) -> Client {
        self.configure(|builder| builder.endpoint("http://a"))
    }

    pub(crate) fn configure(
        &self,
        settings: impl FnOnce(ClientBuilder) -> ClientBuilder,
    ) -> Client {
        settings(Client::builder().transport(self.clone()).jitter_seed(1))
            .build()
            .expect("client")
    }

    pub(crate) fn sent(&self) -> Vec<Sent> {
        self.0.sent.lock().expect("lock").clone()
    }

    /// The endpoints in the order in which they were tried, as the last letter of their names.
    pub(crate) fn order(&self) -> String {
        self.sent()
            .iter()
            .filter_map(|sent| sent.endpoint.chars().last())
            .collect()
    }

    /// The waits between the requests.
    pub(crate) fn waits(&self) -> Vec<Duration> {
        self.sent()
            .windows(2)
            .map(|pair| pair[1].at.saturating_sub(pair[0].at))
            .collect()
    }

    /// Requests that have neither ended nor been dropped.
    pub(crate) fn under_way(&self) -> usize {
        self.0.under_way.load(Ordering::SeqCst)
    }

    pub(crate) fn steps_left(&self) -> usize {
        self.0.steps.lock().expect("lock").len()
    }
}

impl Transport for Script {
    async fn send(
        &self,
        endpoint: &Endpoint,
        request: Request<Bytes>,
    ) -> Result<Response<Bytes>, TransportError> {
        let _guard = UnderWay::new(&self.0.under_way);
        self.0.sent.lock().expect("lock").push(Sent {
            at: self.0.begun.elapsed(),
            endpoint: endpoint.to_string(),
            request,
        });
        let step = self.0.steps.lock().expect("lock").pop_front();
        match step.expect("a request that the script does not foresee") {
            Step::Answer(answer) => Ok(answer),
            Step::NotSent => Err(TransportError::not_sent("scripted refusal")),
            Step::MaybeSent => Err(TransportError::maybe_sent("scripted reset")),
            Step::AnswerTooLarge => Err(TransportError::answer_too_large()),
            Step::Silence => std::future::pending().await,
        }
    }
}

struct UnderWay<'a>(&'a AtomicUsize);

impl<'a> UnderWay<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

pub(crate) fn version(text: &str) -> Version {
    text.parse().expect("version")
}

/// An answer with headers, given as `name: value`.
pub(crate) fn answer(status: u16, headers: &[&str], body: impl Into<Bytes>) -> Step {
    Step::Answer(response(status, headers, body))
}

pub(crate) fn response(status: u16, headers: &[&str], body: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::new(body.into());
    *response.status_mut() = StatusCode::from_u16(status).expect("status");
    for header in headers {
        let (name, value) = header.split_once(": ").expect("name: value");
        let name: header::HeaderName = name.parse().expect("name");
        response
            .headers_mut()
            .append(name, value.parse().expect("value"));
    }
    response
}

/// The answer to a GET of a key that has the value `value`.
pub(crate) fn found() -> Step {
    answer(200, &["etag: \"e1-1\""], "value")
}

/// The answer to a PUT that happened.
pub(crate) fn written() -> Step {
    answer(200, &["etag: \"e1-2\""], "")
}

/// An error of TranDB's.
pub(crate) fn problem(code: ErrorCode) -> Step {
    described(&Problem::new(code, "scripted"))
}

pub(crate) fn described(problem: &Problem) -> Step {
    let body = serde_json::to_vec(problem).expect("JSON");
    let content_type = format!("content-type: {PROBLEM_CONTENT_TYPE}");
    answer(problem.status, &[&content_type], body)
}

/// An error of a proxy's.
pub(crate) fn foreign(status: u16) -> Step {
    answer(
        status,
        &["content-type: text/html"],
        "<html><body>Sorry.</body></html>",
    )
}
