//! Whole requests straight into the service: any method, path, query, headers and body, in any
//! order, against a map.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    future::Future,
    num::NonZeroU16,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use arbitrary::{Arbitrary, Unstructured};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Uri, header};
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep};
use trandb_common::{
    InvalidKey, Key, Version,
    limits::{LIST_LIMIT_DEFAULT, VALUE_BYTES_MAX},
    path,
    wire::ListPage,
};
use trandb_server::{App, Local};

use super::{BODY_TIMEOUT, answer::Answer, key::expected_of_segment};

const STEPS_MAX: usize = 24;
const PIECES_MAX: usize = 24;
const MEMORY_BYTES_MAX: u64 = 8 << 20;
/// More than an entry ever takes beside its value.
const ENTRY_BYTES_MAX: u64 = 2048;
const LARGE_PIECE: &[u8] = &[b'x'; 1 << 20];

#[derive(Debug, Arbitrary)]
struct Step<'a> {
    verb: Verb<'a>,
    target: Target<'a>,
    headers: Vec<Header<'a>>,
    payload: Payload<'a>,
}

#[derive(Debug, Arbitrary)]
enum Verb<'a> {
    Get,
    Head,
    Put,
    Delete,
    Other(&'a str),
}

#[derive(Debug, Arbitrary)]
enum Target<'a> {
    /// One of a few keys, so that steps meet.
    Key(u8),
    Segment(&'a str),
    KeyAndQuery(u8, &'a str),
    List(&'a str),
    /// A page that the map predicts.
    Page(Page),
    Operation(u8),
    Raw(&'a str),
}

const OPERATIONS: [&str; 4] = ["/livez", "/readyz", "/limits", "/openapi.json"];

#[derive(Debug, Clone, Copy, Arbitrary)]
struct Page {
    prefix: Option<u8>,
    after: Option<u8>,
    limit: Option<u8>,
}

#[derive(Debug, Arbitrary)]
enum Header<'a> {
    Deciding(u8, &'a [u8]),
    Any(&'a str, &'a [u8]),
    /// A line of `If-Match`, or else of `If-None-Match`, that the map understands.
    Condition {
        is_match: bool,
        tag: Option<Tag>,
        second: Option<Tag>,
    },
}

/// A tag of a condition; a first one that is none is a star.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Arbitrary)]
enum Tag {
    /// What the key has.
    Current,
    /// The same as a weak tag.
    Weak,
    /// What some key had at some time.
    Former(u8),
    /// What no server of ours gives.
    Foreign,
}

/// What a request is refused for, or may be, depending on its value.
const DECIDING: [HeaderName; 7] = [
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_UNMODIFIED_SINCE,
    header::CONTENT_RANGE,
    header::CONTENT_ENCODING,
    HeaderName::from_static("idempotency-key"),
];

#[derive(Debug, Arbitrary)]
struct Payload<'a> {
    pieces: Vec<Piece<'a>>,
    end: End,
    length: Length,
}

#[derive(Debug, Arbitrary)]
enum Piece<'a> {
    Bytes(&'a [u8]),
    Large,
    Trailers,
    /// The client does nothing for so many seconds.
    Pause(u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Arbitrary)]
enum End {
    Whole,
    /// The connection is lost.
    Cut,
    /// The client never sends the rest.
    Stall,
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Length {
    Chunked,
    /// What comes, and so many bytes more of what does not come whole.
    Announced(u32),
}

/// Keys as they stand in a path.
const KEYS: [&str; 5] = ["a", "a%2Fb", "%C3%A4", "%00", "b"];

impl Page {
    const PREFIXES: [(&str, &str); 4] = [("", ""), ("a", "a"), ("a%2F", "a/"), ("%C3%A4", "ä")];

    fn prefix(self) -> Option<(&'static str, &'static str)> {
        let index = usize::from(self.prefix?) % Self::PREFIXES.len();
        Some(Self::PREFIXES[index])
    }

    fn after(self) -> Option<&'static str> {
        Some(KEYS[usize::from(self.after?) % KEYS.len()])
    }

    /// From 1 to 6: around the number of keys.
    fn limit(self) -> Option<usize> {
        Some(usize::from(self.limit?) % 6 + 1)
    }

    fn query(self) -> String {
        let prefix = self.prefix().map(|(text, _)| format!("prefix={text}"));
        let after = self.after().map(|text| format!("after={text}"));
        let limit = self.limit().map(|limit| format!("limit={limit}"));
        let parts: Vec<_> = [prefix, after, limit].into_iter().flatten().collect();
        parts.join("&")
    }
}

impl Target<'_> {
    /// None when no server would ever see it.
    fn uri(&self) -> Option<Uri> {
        let key = |index: &u8| KEYS[usize::from(*index) % KEYS.len()];
        let text = match self {
            Self::Key(index) => format!("/keys/{}", key(index)),
            Self::Segment(segment) => format!("/keys/{segment}"),
            Self::KeyAndQuery(index, query) => format!("/keys/{}?{query}", key(index)),
            Self::List(query) => format!("/keys?{query}"),
            Self::Page(page) => format!("/keys?{}", page.query()),
            Self::Operation(index) => OPERATIONS[usize::from(*index) % OPERATIONS.len()].to_owned(),
            Self::Raw(text) => (*text).to_owned(),
        };
        text.parse().ok()
    }
}

impl Verb<'_> {
    fn method(&self) -> Option<Method> {
        match self {
            Self::Get => Some(Method::GET),
            Self::Head => Some(Method::HEAD),
            Self::Put => Some(Method::PUT),
            Self::Delete => Some(Method::DELETE),
            Self::Other(name) => Method::from_bytes(name.as_bytes()).ok(),
        }
    }
}

/// Requests one after another; then everything that should be there is there, and nothing else.
pub fn request(data: &[u8]) {
    let Ok(steps) = Vec::<Step<'_>>::arbitrary_take_rest(Unstructured::new(data)) else {
        return;
    };
    super::run(async {
        let mut run = Run {
            app: super::app(NonZeroU16::new(3).expect("not 0"), MEMORY_BYTES_MAX),
            stored: BTreeMap::new(),
            versions: BTreeSet::new(),
        };
        for step in steps.iter().take(STEPS_MAX) {
            // Neither can what is not HTTP reach the service.
            if let (Some(method), Some(uri)) = (step.verb.method(), step.target.uri()) {
                run.step(method, &uri, step).await;
            }
        }
        run.everything_is_there().await;
        assert_eq!(run.app.in_flight().bytes(), 0, "nothing is on its way");
    });
}

/// A server, and what it should hold.
struct Run {
    app: App<Local>,
    stored: BTreeMap<Key, (Vec<u8>, Version)>,
    /// All that were ever given. Two keys may have the same one.
    versions: BTreeSet<(Key, Version)>,
}

/// What is expected of an answer.
#[derive(Debug, PartialEq, Eq)]
enum Expected {
    /// A status and, with an error, its code.
    Exactly(u16, Option<&'static str>),
    /// A well-formed answer; what it says about a write is believed.
    Anything,
}

fn error(status: u16, code: &'static str) -> Expected {
    Expected::Exactly(status, Some(code))
}

impl Run {
    async fn step(&mut self, method: Method, uri: &Uri, step: &Step<'_>) {
        let mut request = Request::new(ScriptedBody::new(&step.payload));
        *request.method_mut() = method.clone();
        *request.uri_mut() = uri.clone();
        let conditions = Conditions::of(&step.headers);
        for header in &step.headers {
            let current = key_of(uri).and_then(|key| self.version_of(&key.ok()?));
            if let Some((name, value)) = header.pair(current, &self.versions) {
                request.headers_mut().append(name, value);
            }
        }
        let expected = self.expected(&method, uri, &conditions, &step.payload);

        let begun = Instant::now();
        let answer = Answer::of(&method, self.app.handle(request).await).await;
        let slack = Duration::from_secs(1);
        assert!(begun.elapsed() < BODY_TIMEOUT + slack, "it waits too long");
        if let Expected::Exactly(status, code) = expected {
            let found = (answer.status, answer.code().or(code));
            let memory_full = found == (507, Some("memory_full"))
                && method == Method::PUT
                && status == 200
                && self.may_be_full(&step.payload);
            assert!(
                found == (status, code) || memory_full,
                "{method} {uri}: {answer:?} instead of {status} {code:?} after {step:?}"
            );
        }
        if let (Target::Page(page), true) = (&step.target, method == Method::GET) {
            self.compare_page(*page, &answer);
        }
        if let Some(Ok(key)) = key_of(uri) {
            self.follow(&method, key, &step.payload, &answer);
        }
    }

    /// A page is what the map has there, and says rightly whether there may be more.
    fn compare_page(&self, page: Page, answer: &Answer) {
        let listed: ListPage = serde_json::from_slice(&answer.body).expect("a page");
        let (_, prefix) = page.prefix().unwrap_or_default();
        let after = page.after().map(|text| match expected_of_segment(text) {
            Ok(key) => key,
            Err(error) => panic!("{text}: {error}"),
        });
        let wanted = self.stored.iter().filter(|(key, _)| {
            key.as_str().starts_with(prefix) && after.as_ref().is_none_or(|after| *key > after)
        });
        let limit = page.limit().unwrap_or(LIST_LIMIT_DEFAULT);
        let expected: Vec<_> = wanted
            .take(limit)
            .map(|(key, (value, version))| (key.clone(), *version, value.len() as u64))
            .collect();
        let last = expected.last().filter(|_| expected.len() == limit);
        assert_eq!(listed.next, last.map(|(key, ..)| key.clone()), "{page:?}");
        let rows = listed.keys.into_iter();
        let rows = rows.map(|row| (row.key, row.version, row.size));
        assert_eq!(rows.collect::<Vec<_>>(), expected, "{page:?}");
    }

    fn version_of(&self, key: &Key) -> Option<Version> {
        self.stored.get(key).map(|(_, version)| *version)
    }

    /// Takes note of a write that happened, and compares a value that was read.
    fn follow(&mut self, method: &Method, key: Key, payload: &Payload<'_>, answer: &Answer) {
        let stored = self.stored.get(&key);
        match (method, answer.status) {
            (&Method::PUT, 200) => {
                let version = answer.version().expect("a version");
                let is_new = self.versions.insert((key.clone(), version));
                assert!(is_new, "{version} was given before");
                self.stored.insert(key, (payload.bytes(), version));
                let values = self.stored.values().map(|(value, _)| value.len() as u64);
                let bytes: u64 = values.sum();
                assert!(bytes <= MEMORY_BYTES_MAX, "{bytes} bytes are stored");
            }
            (_, 304) => assert_eq!(answer.version(), self.version_of(&key)),
            (_, 412) => {
                let current = self.version_of(&key);
                assert_eq!(answer.version(), current);
                if let Some(problem) = &answer.problem {
                    assert_eq!(problem.current_version, Some(current));
                }
            }
            (&Method::DELETE, 204) => {
                self.stored.remove(&key);
            }
            (&Method::GET | &Method::HEAD, 200) => {
                let (value, version) = stored.expect("a value that was written");
                assert_eq!(answer.version(), Some(*version));
                // Beside a body it need not be said: the connection does it.
                let said = answer.headers.get(header::CONTENT_LENGTH);
                let length = said.and_then(|said| said.to_str().ok()?.parse().ok());
                if method == Method::HEAD || said.is_some() {
                    assert_eq!(length, Some(value.len()));
                }
                assert!(method == Method::HEAD || answer.body == value);
            }
            _ => {}
        }
    }

    fn expected(
        &self,
        method: &Method,
        uri: &Uri,
        conditions: &Conditions,
        payload: &Payload<'_>,
    ) -> Expected {
        let Some(key) = key_of(uri) else {
            return expected_elsewhere(method, uri);
        };
        if ![Method::GET, Method::HEAD, Method::PUT, Method::DELETE].contains(method) {
            return error(405, "method_not_allowed");
        }
        if conditions.unpredictable {
            return Expected::Anything;
        }
        let key = match key {
            Ok(key) => key,
            Err(InvalidKey::TooLong { .. }) => return error(414, "key_too_long"),
            Err(InvalidKey::NotUtf8) => return error(400, "invalid_utf8"),
            Err(_) => return error(400, "invalid_key"),
        };
        if uri.query().is_some() {
            return error(400, "invalid_query");
        }
        if conditions.malformed {
            return error(400, "invalid_header");
        }
        let reads = [Method::GET, Method::HEAD].contains(method);
        let current = self.version_of(&key);
        if reads && current.is_none() {
            return error(404, "key_not_found");
        }
        let wanted = conditions.if_match.as_ref();
        let is_wanted = wanted.is_none_or(|tags| current.is_some() && tags.holds(false));
        let known = conditions.if_none_match.as_ref();
        let is_known = current.is_some() && known.is_some_and(|tags| tags.holds(true));
        let done = match *method {
            Method::PUT => payload.expected(),
            Method::DELETE => Expected::Exactly(204, None),
            _ => Expected::Exactly(200, None),
        };
        match (is_wanted, is_known) {
            // The whole body comes first.
            _ if *method == Method::PUT && done != Expected::Exactly(200, None) => done,
            (true, false) => done,
            (true, true) if reads => Expected::Exactly(304, None),
            _ => error(412, "precondition_failed"),
        }
    }

    fn may_be_full(&self, payload: &Payload<'_>) -> bool {
        let stored: usize = self.stored.values().map(|(value, _)| value.len()).sum();
        let entries = self.stored.len() + 1;
        (stored + payload.size()) as u64 + ENTRY_BYTES_MAX * entries as u64 > MEMORY_BYTES_MAX
    }

    async fn everything_is_there(&mut self) {
        let mut rows = Vec::new();
        let mut next = String::new();
        loop {
            let list = self.get(&format!("{}?limit=2{next}", path::KEYS)).await;
            let page: ListPage = serde_json::from_slice(&list.body).expect("a page");
            rows.extend(page.keys);
            let Some(last) = page.next else { break };
            next = format!("&after={}", path::encode(last.as_str()));
        }
        let listed = rows.into_iter();
        let listed = listed.map(|row| (row.key, row.version, row.size));
        let stored = self.stored.iter();
        let stored =
            stored.map(|(key, (value, version))| (key.clone(), *version, value.len() as u64));
        assert!(listed.eq(stored), "the listing is what was written");
        let keys: Vec<Key> = self.stored.keys().cloned().collect();
        for key in keys {
            let answer = self.get(&path::of_key(&key)).await;
            assert_eq!(answer.status, 200);
            self.follow(&Method::GET, key, &Payload::NONE, &answer);
        }
    }

    async fn get(&self, target: &str) -> Answer {
        let mut request = Request::new(ScriptedBody::new(&Payload::NONE));
        *request.uri_mut() = target.parse().expect("a URI");
        Answer::of(&Method::GET, self.app.handle(request).await).await
    }
}

/// The key that a path names, none of other paths.
fn key_of(uri: &Uri) -> Option<Result<Key, InvalidKey>> {
    let mut segments = uri.path().split('/');
    let names_a_key = segments.next() == Some("") && segments.next() == Some("keys");
    let segment = segments.next().filter(|_| names_a_key)?;
    segments
        .next()
        .is_none()
        .then(|| expected_of_segment(segment))
}

fn expected_elsewhere(method: &Method, uri: &Uri) -> Expected {
    let reads = method == Method::GET || method == Method::HEAD;
    match uri.path() {
        "/cluster/remove" | "/cluster/transfer" if method == Method::POST => Expected::Anything,
        "/cluster/remove" | "/cluster/transfer" => error(405, "method_not_allowed"),
        path if path != path::KEYS && !OPERATIONS.contains(&path) => error(404, "route_not_found"),
        _ if !reads => error(405, "method_not_allowed"),
        // Of any bytes; what the map predicts is compared beside this.
        path::KEYS if uri.query().is_some() => Expected::Anything,
        _ => Expected::Exactly(200, None),
    }
}

/// What the headers of a request ask, as far as it can be told without reading their text.
#[derive(Debug, Default)]
struct Conditions {
    /// There are deciding headers of any bytes.
    unpredictable: bool,
    /// A star stands beside something.
    malformed: bool,
    if_match: Option<Tags>,
    if_none_match: Option<Tags>,
}

/// All lines of one header.
#[derive(Debug, Default)]
struct Tags {
    star: bool,
    current: bool,
    weak: bool,
    /// How many stars and tags there are.
    elements: usize,
}

impl Tags {
    /// Whether they name the version of a key that has one.
    fn holds(&self, weak_counts: bool) -> bool {
        self.star || self.current || (self.weak && weak_counts)
    }
}

impl Conditions {
    fn of(headers: &[Header<'_>]) -> Self {
        let mut conditions = Self::default();
        for header in headers {
            let (is_match, tag, second) = match header {
                Header::Condition {
                    is_match,
                    tag,
                    second,
                } => (is_match, tag, second),
                Header::Deciding(..) | Header::Any(..) => {
                    let name = header.pair(None, &BTreeSet::new()).map(|(name, _)| name);
                    conditions.unpredictable |= name.is_some_and(|n| DECIDING.contains(&n));
                    continue;
                }
            };
            let all = if *is_match {
                &mut conditions.if_match
            } else {
                &mut conditions.if_none_match
            };
            let all = all.get_or_insert_default();
            all.star |= tag.is_none();
            all.elements += 1 + usize::from(second.is_some());
            for tag in tag.iter().chain(second) {
                match tag {
                    Tag::Current => all.current = true,
                    Tag::Weak => all.weak = true,
                    Tag::Former(_) | Tag::Foreign => {}
                }
            }
            conditions.malformed |= all.star && all.elements > 1;
        }
        conditions
    }
}

impl Tag {
    /// As it stands in a header.
    fn text(self, current: Option<Version>, former: &BTreeSet<(Key, Version)>) -> String {
        let version = match self {
            Self::Current | Self::Weak => current,
            Self::Former(index) => {
                let index = usize::from(index) % former.len().max(1);
                let old = former.iter().nth(index).map(|(_, version)| *version);
                old.filter(|old| Some(*old) != current)
            }
            Self::Foreign => None,
        };
        let weak = if self == Self::Weak { "W/" } else { "" };
        version.map_or_else(
            || format!("{weak}\"foreign\""),
            |version| format!("{weak}\"{version}\""),
        )
    }
}

impl Header<'_> {
    /// `current` is the version of the key that is asked for.
    fn pair(
        &self,
        current: Option<Version>,
        former: &BTreeSet<(Key, Version)>,
    ) -> Option<(HeaderName, HeaderValue)> {
        let (name, value) = match self {
            Self::Deciding(index, value) => (
                DECIDING[usize::from(*index) % DECIDING.len()].clone(),
                value.to_vec(),
            ),
            Self::Any(name, value) => (name.parse().ok()?, value.to_vec()),
            Self::Condition {
                is_match,
                tag,
                second,
            } => {
                let name = if *is_match {
                    header::IF_MATCH
                } else {
                    header::IF_NONE_MATCH
                };
                let text = |tag: Tag| tag.text(current, former);
                let first = tag.map_or_else(|| "*".to_owned(), text);
                let second = second.map(|tag| format!(", {}", text(tag)));
                (name, (first + &second.unwrap_or_default()).into_bytes())
            }
        };
        Some((name, HeaderValue::from_bytes(&value).ok()?))
    }
}

impl Piece<'_> {
    fn size(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Large => LARGE_PIECE.len(),
            Self::Trailers | Self::Pause(_) => 0,
        }
    }
}

impl Payload<'_> {
    const NONE: Payload<'static> = Payload {
        pieces: Vec::new(),
        end: End::Whole,
        length: Length::Announced(0),
    };

    fn pieces(&self) -> impl Iterator<Item = &Piece<'_>> {
        self.pieces.iter().take(PIECES_MAX)
    }

    /// All that comes of it.
    fn bytes(&self) -> Vec<u8> {
        let pieces = self.pieces().map(|piece| match piece {
            Piece::Bytes(bytes) => bytes,
            Piece::Large => LARGE_PIECE,
            Piece::Trailers | Piece::Pause(_) => &[],
        });
        pieces.collect::<Vec<_>>().concat()
    }

    fn size(&self) -> usize {
        self.pieces().map(Piece::size).sum()
    }

    fn announced(&self) -> Option<u64> {
        let Length::Announced(more) = self.length else {
            return None;
        };
        // Whatever reads HTTP sees to it that a body is whole exactly when all of it has come.
        let missing = if self.end == End::Whole {
            0
        } else {
            more.max(1)
        };
        Some(self.size() as u64 + u64::from(missing))
    }

    /// The answer to an unconditional PUT of a legal key.
    fn expected(&self) -> Expected {
        if self
            .announced()
            .is_some_and(|bytes| bytes > VALUE_BYTES_MAX as u64)
        {
            return error(413, "value_too_large");
        }
        let pauses = self.pieces().any(|piece| matches!(piece, Piece::Pause(_)));
        let (mut bytes, mut seconds) = (0, 0);
        for piece in self.pieces() {
            bytes += piece.size();
            if let Piece::Pause(pause) = piece {
                seconds += u64::from(*pause);
            }
            if seconds == BODY_TIMEOUT.as_secs() {
                // Which of two that are due at the same moment comes first is not a promise.
                return Expected::Anything;
            }
            if seconds > BODY_TIMEOUT.as_secs() {
                return error(408, "request_timeout");
            }
            if bytes > VALUE_BYTES_MAX {
                return error(413, "value_too_large");
            }
            // What comes after the announced bytes need not be waited for.
            if pauses && self.announced() == Some(bytes as u64) {
                return Expected::Anything;
            }
        }
        match self.end {
            End::Whole => Expected::Exactly(200, None),
            End::Cut => error(400, "malformed_body"),
            End::Stall => error(408, "request_timeout"),
        }
    }
}

/// A body that comes as a [`Payload`] says.
struct ScriptedBody {
    pieces: VecDeque<Scripted>,
    end: End,
    announced: Option<u64>,
    pause: Option<Pin<Box<Sleep>>>,
}

enum Scripted {
    Bytes(Bytes),
    Trailers,
    Pause(u8),
}

impl ScriptedBody {
    fn new(payload: &Payload<'_>) -> Self {
        let scripted = |piece: &Piece<'_>| match piece {
            Piece::Bytes(bytes) => Scripted::Bytes(Bytes::copy_from_slice(bytes)),
            Piece::Large => Scripted::Bytes(Bytes::from_static(LARGE_PIECE)),
            Piece::Trailers => Scripted::Trailers,
            Piece::Pause(seconds) => Scripted::Pause(*seconds),
        };
        Self {
            pieces: payload.pieces().map(scripted).collect(),
            end: payload.end,
            announced: payload.announced(),
            pause: None,
        }
    }
}

impl http_body::Body for ScriptedBody {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        loop {
            if let Some(pause) = &mut self.pause {
                std::task::ready!(pause.as_mut().poll(cx));
                self.pause = None;
            }
            return match (self.pieces.pop_front(), self.end) {
                (Some(Scripted::Bytes(bytes)), _) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
                (Some(Scripted::Trailers), _) => {
                    Poll::Ready(Some(Ok(Frame::trailers(http::HeaderMap::new()))))
                }
                (Some(Scripted::Pause(seconds)), _) => {
                    let pause = Duration::from_secs(seconds.into());
                    self.pause = Some(Box::pin(tokio::time::sleep(pause)));
                    continue;
                }
                (None, End::Whole) => Poll::Ready(None),
                (None, End::Cut) => Poll::Ready(Some(Err("the connection is lost".into()))),
                (None, End::Stall) => Poll::Pending,
            };
        }
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty() && self.pause.is_none() && self.end == End::Whole
    }

    fn size_hint(&self) -> SizeHint {
        self.announced
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
