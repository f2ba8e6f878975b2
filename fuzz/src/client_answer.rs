//! Any answers to the client: what it says of a write is never more than the answers say.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use arbitrary::{Arbitrary, Unstructured};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, header};
use tokio::time::Instant;
use trandb_client::{Client, Endpoint, Error, Outcome, Transport, TransportError, Value, Version};
use trandb_common::{ErrorCode, Problem};

const ANSWERS_MAX: usize = 12;
const TIMEOUT: Duration = Duration::from_secs(10);
/// At two endpoints at once, and 5 retries.
const TRIES_MAX: usize = 7;

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    call: Call,
    endpoints: bool,
    answers: Vec<Scripted<'a>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Arbitrary)]
enum Call {
    Get,
    Stat,
    Put,
    PutIfAbsent,
    PutIfVersion,
    Delete,
    List,
    Limits,
    IsReady,
}

#[derive(Debug, Arbitrary)]
enum Scripted<'a> {
    /// An error as TranDB sends it.
    Problem(u8),
    /// The same, with some bytes overwritten or under another status.
    Damaged(u8, u16, u16, &'a [u8]),
    /// A success as TranDB sends it.
    Success(u64, &'a [u8]),
    Any(u16, Vec<(Name, &'a [u8])>, &'a [u8]),
    NotSent,
    MaybeSent,
    TooLarge,
    Silence,
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Name {
    ContentType,
    Etag,
    ContentLength,
    RetryAfter,
}

/// What came of one try, as the transport knows it.
#[derive(Debug, Clone)]
enum Came {
    Answer(Response<Bytes>),
    NotSent,
    Nothing,
}

/// One call of the client, answered by a script.
pub fn client_answer(data: &[u8]) {
    let Ok(input) = Input::arbitrary_take_rest(Unstructured::new(data)) else {
        return;
    };
    super::run(async {
        let script = Script::new(&input.answers);
        let mut builder = Client::builder()
            .transport(script.clone())
            .timeout(TIMEOUT)
            .jitter_seed(1)
            .endpoint("http://a");
        if input.endpoints {
            builder = builder.endpoint("http://b");
        }
        let client = builder.build().expect("a client");
        let begun = Instant::now();
        let call = call(&client, input.call).await;
        assert!(
            begun.elapsed() <= TIMEOUT + Duration::from_millis(10),
            "a call ends in time"
        );
        let came = script.came();
        assert!(
            (1..=TRIES_MAX).contains(&came.len()),
            "{} tries",
            came.len()
        );
        if input.call.is_write() {
            judge_write(&came, &call);
        } else {
            judge_read(input.call, &came, &call);
        }
    });
}

/// What the client made of it: a success with something there or not, or an error.
type Made = Result<bool, Error>;

async fn call(client: &Client, call: Call) -> Made {
    let version = Version {
        epoch: 1,
        counter: 1,
    };
    match call {
        Call::Get => client.get("k").await.map(|entry| entry.is_some()),
        Call::Stat => client.stat("k").await.map(|stat| stat.is_some()),
        Call::Put => client.put("k", "v").await.map(|_| true),
        Call::PutIfAbsent => client
            .put("k", Value::default())
            .if_absent()
            .await
            .map(|_| true),
        Call::PutIfVersion => client.put("k", "v").if_version(version).await.map(|_| true),
        Call::Delete => client.delete("k").await.map(|()| true),
        Call::List => client.list("").await.map(|_| true),
        Call::Limits => client.limits().await.map(|_| true),
        Call::IsReady => client.is_ready().await,
    }
}

impl Call {
    fn is_write(self) -> bool {
        use Call::{Delete, Get, IsReady, Limits, List, Put, PutIfAbsent, PutIfVersion, Stat};
        match self {
            Put | PutIfAbsent | PutIfVersion | Delete => true,
            Get | Stat | List | Limits | IsReady => false,
        }
    }
}

fn judge_write(came: &[Came], made: &Made) {
    let (last, before) = came.split_last().expect("it was sent");
    for came in before {
        let again = match came {
            Came::NotSent => true,
            Came::Answer(answer) => says(answer).is_some_and(|p| p.not_committed && p.retryable),
            Came::Nothing => false,
        };
        assert!(again, "a write is sent again after {came:?}");
    }
    let problem = match last {
        Came::Answer(answer) => says(answer),
        Came::NotSent | Came::Nothing => None,
    };
    match made {
        Ok(_) => match last {
            Came::Answer(answer) => assert!(matches!(answer.status().as_u16(), 200 | 204)),
            _ => panic!("a success out of {last:?}"),
        },
        Err(error) => {
            is_readable(error);
            let not_committed = match last {
                Came::NotSent => true,
                _ => problem
                    .as_ref()
                    .is_some_and(|problem| problem.not_committed),
            };
            if error.outcome() == Outcome::NotCommitted {
                assert!(not_committed, "{error} after {last:?}");
            }
            assert_eq!(error.is_connect(), matches!(last, Came::NotSent));
        }
    }
    if let Came::Answer(answer) = last {
        a_genuine_problem_is_understood(answer, made);
    }
}

fn judge_read(call: Call, came: &[Came], made: &Made) {
    let last = came.last().expect("it was sent");
    match (made, last) {
        (Err(error), _) => {
            is_readable(error);
            assert_eq!(
                error.outcome(),
                Outcome::NotCommitted,
                "a read writes nothing"
            );
        }
        (Ok(there), Came::Answer(answer)) => match answer.status().as_u16() {
            200 => assert!(*there),
            404 => assert!(!*there && matches!(call, Call::Get | Call::Stat)),
            503 => assert!(!*there && call == Call::IsReady),
            other => panic!("a success out of {other}"),
        },
        (Ok(_), _) => panic!("a success out of {last:?}"),
    }
}

/// What a server says in its own words about a write.
#[derive(Debug)]
struct Says {
    not_committed: bool,
    retryable: bool,
}

/// Read with nothing of ours: none unless every part of a problem is there and agrees.
fn says(answer: &Response<Bytes>) -> Option<Says> {
    let media_type = answer.headers().get(header::CONTENT_TYPE)?.to_str().ok()?;
    let essence = media_type.split(';').next()?.trim().to_ascii_lowercase();
    let json: serde_json::Value = serde_json::from_slice(answer.body()).ok()?;
    let texts = ["type", "title", "detail", "code"].map(|name| json.get(name));
    let whole = essence == "application/problem+json"
        && texts
            .iter()
            .all(|text| text.is_some_and(serde_json::Value::is_string))
        && json.get("status")?.as_u64()? == u64::from(answer.status().as_u16())
        && !answer.status().is_success();
    whole.then_some(Says {
        not_committed: json.get("outcome")?.as_str()? == "not_committed",
        retryable: json.get("retryable")?.as_bool()?,
    })
}

/// An error that is exactly what a server makes is not taken for a stranger's.
fn a_genuine_problem_is_understood(answer: &Response<Bytes>, made: &Made) {
    let genuine = ErrorCode::ALL.into_iter().find(|code| {
        let same = genuine(*code);
        same.status() == answer.status()
            && same.body() == answer.body()
            && same.headers() == answer.headers()
    });
    if let (Some(code), Err(error)) = (genuine, made) {
        assert_eq!(error.code(), Some(code.as_str()));
        assert_eq!(error.outcome(), code.outcome());
        assert_eq!(
            error.status().map(|status| status.as_u16()),
            Some(code.status())
        );
        assert_eq!(error.is_conflict(), matches!(code.status(), 409 | 412));
    } else {
        assert!(genuine.is_none(), "{genuine:?} is an error");
    }
}

/// What is printed must not move a terminal's cursor.
fn is_readable(error: &Error) {
    let text = error.to_string();
    assert!(
        !text.is_empty() && !text.chars().any(char::is_control),
        "{text:?}"
    );
}

/// The answer that is a server's to `code`.
fn genuine(code: ErrorCode) -> Response<Bytes> {
    let problem = Problem::new(code, "As the server says it.");
    let body = serde_json::to_vec(&problem).expect("JSON");
    let headers = vec![(header::CONTENT_TYPE, &b"application/problem+json"[..])];
    answer(problem.status, headers, body)
}

fn answer(
    status: u16,
    headers: Vec<(HeaderName, &[u8])>,
    body: impl Into<Bytes>,
) -> Response<Bytes> {
    let mut answer = Response::new(body.into());
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            answer.headers_mut().append(name, value);
        }
    }
    answer
}

/// A transport that answers by a script, and never after its end.
#[derive(Clone)]
struct Script(Arc<Mutex<State>>);

struct State {
    /// None: no answer, ever.
    left: VecDeque<Option<Result<Response<Bytes>, TransportError>>>,
    came: Vec<Came>,
}

impl Script {
    fn new(answers: &[Scripted<'_>]) -> Self {
        let left = answers.iter().take(ANSWERS_MAX).map(Scripted::answer);
        Self(Arc::new(Mutex::new(State {
            left: left.collect(),
            came: Vec::new(),
        })))
    }

    fn came(&self) -> Vec<Came> {
        self.0.lock().expect("lock").came.clone()
    }
}

impl Transport for Script {
    async fn send(
        &self,
        _endpoint: &Endpoint,
        _request: Request<Bytes>,
    ) -> Result<Response<Bytes>, TransportError> {
        let next = {
            let mut state = self.0.lock().expect("lock");
            let next = state.left.pop_front().flatten();
            state.came.push(match &next {
                Some(Ok(answer)) => Came::Answer(answer.clone()),
                Some(Err(error)) if error.to_string() == NOT_SENT => Came::NotSent,
                Some(Err(_)) | None => Came::Nothing,
            });
            next
        };
        match next {
            Some(answer) => answer,
            None => std::future::pending().await,
        }
    }
}

/// The text of the error that says so.
const NOT_SENT: &str = "no connection to the server";

impl Scripted<'_> {
    fn answer(&self) -> Option<Result<Response<Bytes>, TransportError>> {
        let code = |index: &u8| ErrorCode::ALL[usize::from(*index) % ErrorCode::ALL.len()];
        Some(match self {
            Self::Problem(index) => Ok(genuine(code(index))),
            Self::Damaged(index, status, at, bytes) => {
                let mut damaged = genuine(code(index));
                let mut body = damaged.body().to_vec();
                let at = usize::from(*at) % body.len();
                body.splice(
                    at..(at + bytes.len()).min(body.len()),
                    bytes.iter().copied(),
                );
                *damaged.body_mut() = body.into();
                if let Ok(status) = StatusCode::from_u16(*status) {
                    *damaged.status_mut() = status;
                }
                Ok(damaged)
            }
            Self::Success(counter, body) => {
                let tag = format!("\"e1-{counter:x}\"");
                Ok(answer(
                    200,
                    vec![(header::ETAG, tag.as_bytes())],
                    body.to_vec(),
                ))
            }
            Self::Any(status, headers, body) => {
                let headers = headers.iter().map(|(name, value)| (name.header(), *value));
                Ok(answer(*status, headers.collect(), body.to_vec()))
            }
            Self::NotSent => Err(TransportError::not_sent("scripted")),
            Self::MaybeSent => Err(TransportError::maybe_sent("scripted")),
            Self::TooLarge => Err(TransportError::answer_too_large()),
            Self::Silence => return None,
        })
    }
}

impl Name {
    fn header(self) -> HeaderName {
        match self {
            Self::ContentType => header::CONTENT_TYPE,
            Self::Etag => header::ETAG,
            Self::ContentLength => header::CONTENT_LENGTH,
            Self::RetryAfter => header::RETRY_AFTER,
        }
    }
}
