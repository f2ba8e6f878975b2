// Enough of TranDB in memory for examples and for tests that need a server which remembers:
// GET, HEAD, PUT and DELETE of keys with their conditions, and listings in one page.
//
// It is included as text by the crate's examples, so it brings its own names and has no inner
// documentation. What TranDB itself does is tested in the integration tests.

mod memory {
    use std::{collections::BTreeMap, sync::Mutex};

    use bytes::Bytes;
    use http::{Method, Request, Response, StatusCode, header};
    use trandb_client::{Endpoint, Problem, Transport, TransportError};
    use trandb_common::{ErrorCode, Key, PROBLEM_CONTENT_TYPE, Version, path, wire};

    #[derive(Default)]
    pub(super) struct Memory(Mutex<Database>);

    #[derive(Default)]
    struct Database {
        values: BTreeMap<Key, (Version, Bytes)>,
        writes: u64,
    }

    impl Transport for Memory {
        async fn send(
            &self,
            _: &Endpoint,
            request: Request<Bytes>,
        ) -> Result<Response<Bytes>, TransportError> {
            let mut database = self.0.lock().expect("no panic before");
            let target = request.uri().path().to_owned();
            Ok(match target.strip_prefix("/keys/") {
                Some(segment) => {
                    let key = path::decode_key(segment).expect("a legal key");
                    database.serve(key, &request)
                }
                None if target == "/transactions" => database.commit(request.body()),
                None => database.list(request.uri().query().unwrap_or("")),
            })
        }
    }

    impl Database {
        fn serve(&mut self, key: Key, request: &Request<Bytes>) -> Response<Bytes> {
            let now = self.values.get(&key).map(|(version, _)| *version);
            let etag = now.map(|version| format!("\"{version}\""));
            let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
            let is_met = match (header(header::IF_MATCH), header(header::IF_NONE_MATCH)) {
                (Some(expected), _) => etag.as_deref() == Some(expected),
                (None, Some(_)) => now.is_none(),
                (None, None) => true,
            };
            if !is_met {
                let problem = Problem::new(ErrorCode::PreconditionFailed, "another version");
                return refuse(&problem.with_current_version(now));
            }
            match *request.method() {
                Method::PUT => {
                    self.writes += 1;
                    let version = Version { epoch: 1, counter: self.writes };
                    self.values.insert(key, (version, request.body().clone()));
                    answer(StatusCode::OK, Some(version), Bytes::new())
                }
                Method::DELETE => {
                    self.values.remove(&key);
                    answer(StatusCode::NO_CONTENT, None, Bytes::new())
                }
                _ => match self.values.get(&key) {
                    Some((version, value)) => answer(StatusCode::OK, Some(*version), value.clone()),
                    None => refuse(&Problem::new(ErrorCode::KeyNotFound, "no value")),
                },
            }
        }

        fn commit(&mut self, body: &[u8]) -> Response<Bytes> {
            let request: wire::transaction::Request =
                minicbor_serde::from_slice(body).expect("CBOR");
            let transaction = request.check().expect("a legal transaction");
            let now = |key: &Key| self.values.get(key).map(|(version, _)| *version);
            let operations = transaction.operations();
            let failed: Vec<_> = operations
                .checks
                .iter()
                .filter(|check| now(&check.key) != check.version)
                .map(|check| wire::transaction::FailedCheck {
                    key: check.key.clone(),
                    expected: check.version,
                    actual: now(&check.key),
                })
                .collect();
            if !failed.is_empty() {
                let mut problem = Problem::new(ErrorCode::Conflict, "another version");
                problem.failed = Some(failed);
                return refuse(&problem);
            }
            let reads = operations.reads.iter().map(|key| wire::transaction::Found {
                key: key.clone(),
                version: now(key),
                value: self.values.get(key).map(|(_, value)| {
                    trandb_common::Value::copy_from(value).expect("legal").into()
                }),
            });
            let reads = Some(reads.collect());
            let mut versions = BTreeMap::new();
            for write in &operations.writes {
                self.writes += 1;
                let version = Version { epoch: 1, counter: self.writes };
                match write.value() {
                    Some(value) => {
                        let entry = (version, value.clone().into_bytes());
                        self.values.insert(write.key().clone(), entry);
                        versions.insert(write.key().clone(), version);
                    }
                    None => drop(self.values.remove(write.key())),
                }
            }
            let answer = wire::transaction::Committed {
                id: request.id.unwrap_or(trandb_common::TransactionId(0)),
                outcome: wire::transaction::Decision::Committed,
                versions,
                reads,
            };
            let body = minicbor_serde::to_vec(&answer).expect("CBOR");
            self::answer(StatusCode::OK, None, body.into())
        }

        fn list(&self, query: &str) -> Response<Bytes> {
            let mut parameters = query.split('&');
            let prefix = parameters.find_map(|pair| pair.strip_prefix("prefix=")).unwrap_or("");
            let prefix = path::decode(prefix).expect("a prefix");
            let keys = self.values.iter().filter(|(key, _)| key.as_str().starts_with(&*prefix));
            let keys = keys.map(|(key, (version, value))| wire::ListedKey {
                key: key.clone(),
                version: *version,
                size: value.len() as u64,
            });
            let page = wire::ListPage { keys: keys.collect(), next: None };
            let body = serde_json::to_vec(&page).expect("JSON");
            answer(StatusCode::OK, None, body.into())
        }
    }

    fn answer(status: StatusCode, version: Option<Version>, body: Bytes) -> Response<Bytes> {
        let mut answer = Response::builder()
            .status(status)
            .header(header::CONTENT_LENGTH, body.len());
        if let Some(version) = version {
            answer = answer.header(header::ETAG, format!("\"{version}\""));
        }
        answer.body(body).expect("an answer")
    }

    fn refuse(problem: &Problem) -> Response<Bytes> {
        let body = serde_json::to_vec(problem).expect("JSON");
        Response::builder()
            .status(problem.status)
            .header(header::CONTENT_TYPE, PROBLEM_CONTENT_TYPE)
            .body(body.into())
            .expect("an answer")
    }
}
