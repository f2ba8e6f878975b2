//! A TranDB of one map and a few hundred lines, which fails when it is told to.
//!
//! It speaks the contract as far as the command uses it. Not here: locks, limits, HEAD, pages that
//! change while they are listed.

use std::{
    collections::{BTreeMap, HashMap},
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex, MutexGuard},
    thread,
    time::Duration,
};

use tokio::runtime::Runtime;
use trandb_common::{
    ErrorCode, Key, Problem, TransactionId, Value, Version, limits, path,
    transaction::Operations,
    wire::{self, transaction::FailedCheck},
};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate, matchers::any};

/// A server of its own runtime, so that tests need none.
pub(crate) struct Fake {
    state: Arc<Mutex<State>>,
    address: SocketAddr,
    _server: MockServer,
    _runtime: Runtime,
}

#[derive(Default)]
struct State {
    entries: BTreeMap<String, (Version, Vec<u8>)>,
    counter: u64,
    /// Instead of the answer to this method on this key.
    instead: HashMap<(String, String), ResponseTemplate>,
    /// Before the answer to every request for this key.
    delays: HashMap<String, Duration>,
    not_ready: bool,
    /// As a server that runs alone says it.
    cluster: wire::cluster::ClusterStatus,
    /// Instead of the answer to every transaction.
    instead_of_transactions: Option<ResponseTemplate>,
    /// Of every so many transactions one loses its last write.
    torn_every: Option<u64>,
    transactions: u64,
    /// Method, path and query of each request.
    requests: Vec<String>,
}

impl Fake {
    pub(crate) fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let state = Arc::new(Mutex::new(State::default()));
        let server = runtime.block_on(async {
            let server = MockServer::start().await;
            let respond = Store(Arc::clone(&state));
            Mock::given(any())
                .respond_with(respond)
                .mount(&server)
                .await;
            server
        });
        Self {
            state,
            address: *server.address(),
            _server: server,
            _runtime: runtime,
        }
    }

    /// A server with these keys.
    pub(crate) fn with<'a>(entries: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let fake = Self::start();
        for (key, value) in entries {
            fake.state().write(key, value.to_vec());
        }
        fake
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn entries(&self) -> BTreeMap<String, Vec<u8>> {
        let state = self.state();
        let entries = state.entries.iter();
        entries.map(|(k, (_, v))| (k.clone(), v.clone())).collect()
    }

    pub(crate) fn value(&self, key: &str) -> Option<Vec<u8>> {
        self.state()
            .entries
            .get(key)
            .map(|(_, value)| value.clone())
    }

    pub(crate) fn version(&self, key: &str) -> Option<Version> {
        self.state().entries.get(key).map(|(version, _)| *version)
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.state().requests.clone()
    }

    /// Answers `method` on `key` with this error from now on.
    pub(crate) fn fail(&self, method: &str, key: &str, problem: &Problem) {
        self.answer(method, key, answer_with(problem));
    }

    /// Answers `method` on `key` with this from now on.
    pub(crate) fn answer(&self, method: &str, key: &str, answer: ResponseTemplate) {
        let at = (method.to_owned(), key.to_owned());
        self.state().instead.insert(at, answer);
    }

    /// Answers every transaction with this from now on.
    pub(crate) fn answer_transactions(&self, answer: ResponseTemplate) {
        self.state().instead_of_transactions = Some(answer);
    }

    /// From now on transactions are not atomic: one of so many loses its last write.
    pub(crate) fn tear_transactions(&self, every: u64) {
        self.state().torn_every = Some(every);
    }

    pub(crate) fn delay(&self, key: &str, delay: Duration) {
        self.state().delays.insert(key.to_owned(), delay);
    }

    pub(crate) fn set_not_ready(&self) {
        self.state().not_ready = true;
    }

    pub(crate) fn set_cluster(&self, cluster: wire::cluster::ClusterStatus) {
        self.state().cluster = cluster;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics with it")
    }
}

struct Store(Arc<Mutex<State>>);

impl Respond for Store {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        self.0.lock().expect("not poisoned").respond(request)
    }
}

impl State {
    fn write(&mut self, key: &str, value: Vec<u8>) -> Version {
        self.counter += 1;
        let version = Version {
            epoch: 1,
            counter: self.counter,
        };
        self.entries.insert(key.to_owned(), (version, value));
        version
    }

    fn respond(&mut self, request: &Request) -> ResponseTemplate {
        let method = request.method.as_str();
        let path = request.url.path();
        let query = request.url.query().unwrap_or_default();
        self.requests.push(format!("{method} {path} {query}"));
        match path {
            "/keys" => self.list(request),
            "/transactions" => match self.instead_of_transactions.clone() {
                Some(answer) => answer,
                None => self.transact(&request.body),
            },
            _ if path.starts_with("/transactions/") => {
                ResponseTemplate::new(200).set_body_json(wire::transaction::Status {
                    outcome: wire::transaction::Decision::NotCommitted,
                })
            }
            "/limits" => ResponseTemplate::new(200).set_body_json(wire::Limits::new(1, 2, 3)),
            "/cluster" => ResponseTemplate::new(200).set_body_json(&self.cluster),
            "/cluster/remove" if query == "member=n1" => ResponseTemplate::new(202),
            "/cluster/remove" => problem(ErrorCode::MemberNotFound),
            "/readyz" if self.not_ready => problem(ErrorCode::NotReady),
            "/readyz" | "/cluster/transfer" => ResponseTemplate::new(200),
            _ => match path.strip_prefix("/keys/").map(path::decode_key) {
                Some(Ok(key)) => self.on_key(method, &key, request),
                Some(Err(_)) => problem(ErrorCode::InvalidKey),
                None => problem(ErrorCode::RouteNotFound),
            },
        }
    }

    /// One after another, so that each is atomic unless it is torn.
    fn transact(&mut self, body: &[u8]) -> ResponseTemplate {
        let request: wire::transaction::Request =
            minicbor_serde::from_slice(body).expect("a transaction in CBOR");
        let body = request.check().expect("a legal transaction");
        let Operations {
            checks,
            reads,
            writes,
        } = &**body.operations();
        let version =
            |state: &Self, key: &Key| state.entries.get(key.as_str()).map(|(version, _)| *version);
        let failed: Vec<_> = checks
            .iter()
            .map(|check| FailedCheck {
                key: check.key.clone(),
                expected: check.version,
                actual: version(self, &check.key),
            })
            .filter(|check| check.actual != check.expected)
            .collect();
        if !failed.is_empty() {
            let mut problem = Problem::new(ErrorCode::Conflict, "as told");
            problem.failed = Some(failed);
            return answer_with(&problem);
        }
        let found = |key: &Key| {
            let entry = self.entries.get(key.as_str());
            wire::transaction::Found {
                key: key.clone(),
                version: entry.map(|(version, _)| *version),
                value: entry.map(|(_, value)| {
                    let value = Value::copy_from(value).expect("small");
                    wire::transaction::Octets::from(value)
                }),
            }
        };
        let reads = reads.iter().map(found).collect();
        self.transactions += 1;
        let is_torn = self
            .torn_every
            .is_some_and(|every| self.transactions.is_multiple_of(every));
        let mut versions = BTreeMap::new();
        for (at, write) in writes.iter().enumerate() {
            let key = write.key();
            if is_torn && at + 1 == writes.len() {
                // It says that it has written it.
                versions.extend(
                    write
                        .value()
                        .and(version(self, key))
                        .map(|v| (key.clone(), v)),
                );
                continue;
            }
            match write.value() {
                Some(value) => {
                    let version = self.write(key.as_str(), value.as_bytes().to_vec());
                    versions.insert(key.clone(), version);
                }
                None => drop(self.entries.remove(key.as_str())),
            }
        }
        let committed = wire::transaction::Committed {
            id: request.id.unwrap_or(TransactionId(0)),
            outcome: wire::transaction::Decision::Committed,
            versions,
            reads: Some(reads),
        };
        let body = minicbor_serde::to_vec(&committed).expect("CBOR");
        ResponseTemplate::new(200).set_body_raw(body, wire::transaction::CBOR_CONTENT_TYPE)
    }

    fn on_key(&mut self, method: &str, key: &Key, request: &Request) -> ResponseTemplate {
        let key = key.as_str();
        let delay = self.delays.get(key).copied().unwrap_or_default();
        let instead = self.instead.get(&(method.to_owned(), key.to_owned()));
        let answer = match (instead, method) {
            (Some(instead), _) => instead.clone(),
            (None, "GET") => self.get(key),
            (None, _) if !self.holds(key, request) => self.precondition_failed(key),
            (None, "PUT") => etag(
                ResponseTemplate::new(200),
                self.write(key, request.body.clone()),
            ),
            (None, "DELETE") => {
                self.entries.remove(key);
                ResponseTemplate::new(204)
            }
            _ => problem(ErrorCode::MethodNotAllowed),
        };
        answer.set_delay(delay)
    }

    fn get(&self, key: &str) -> ResponseTemplate {
        match self.entries.get(key) {
            Some((version, value)) => {
                etag(ResponseTemplate::new(200), *version).set_body_bytes(value.clone())
            }
            None => problem(ErrorCode::KeyNotFound),
        }
    }

    fn holds(&self, key: &str, request: &Request) -> bool {
        let version = self.entries.get(key).map(|(version, _)| *version);
        let header = |name| {
            request
                .headers
                .get(name)
                .map(|value| value.to_str().expect("text"))
        };
        if let Some(tag) = header("if-match") {
            return version.is_some_and(|version| tag == format!("\"{version}\""));
        }
        header("if-none-match").is_none() || version.is_none()
    }

    fn precondition_failed(&self, key: &str) -> ResponseTemplate {
        let mut problem = Problem::new(ErrorCode::PreconditionFailed, "as told");
        problem.current_version = Some(self.entries.get(key).map(|(version, _)| *version));
        answer_with(&problem)
    }

    fn list(&self, request: &Request) -> ResponseTemplate {
        let query: HashMap<_, _> = request.url.query_pairs().into_owned().collect();
        let text = |name: &str| query.get(name).map_or("", String::as_str);
        let limit = query
            .get("limit")
            .map_or(limits::LIST_LIMIT_DEFAULT, |limit| {
                limit.parse().expect("a number")
            });
        assert!((1..=limits::LIST_LIMIT_MAX).contains(&limit), "{limit}");
        let mut keys: Vec<_> = self
            .entries
            .iter()
            .filter(|(key, _)| key.starts_with(text("prefix")) && key.as_str() > text("after"))
            .take(limit + 1)
            .map(|(key, (version, value))| wire::ListedKey {
                key: Key::new(key).expect("legal"),
                version: *version,
                size: value.len() as u64,
            })
            .collect();
        let more = keys.len() > limit;
        keys.truncate(limit);
        let next = keys.last().filter(|_| more).map(|last| last.key.clone());
        ResponseTemplate::new(200).set_body_json(wire::ListPage { keys, next })
    }
}

fn etag(answer: ResponseTemplate, version: Version) -> ResponseTemplate {
    answer.insert_header("etag", format!("\"{version}\""))
}

fn problem(code: ErrorCode) -> ResponseTemplate {
    answer_with(&Problem::new(code, "as told"))
}

pub(crate) fn answer_with(problem: &Problem) -> ResponseTemplate {
    ResponseTemplate::new(problem.status).set_body_raw(
        serde_json::to_vec(problem).expect("JSON"),
        trandb_common::PROBLEM_CONTENT_TYPE,
    )
}

/// The URL of a server that takes a request and closes the connection without an answer.
pub(crate) fn server_that_hangs_up() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 200");
        }
    });
    format!("http://{address}")
}

/// The URL of a port that nobody listens on.
pub(crate) fn no_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    format!("http://{}", listener.local_addr().expect("bound"))
}
