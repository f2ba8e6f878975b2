//! What requests and answers say of transactions, read off the wire.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header::ETAG};
use trandb_client::{TransactionId, Version};
use trandb_common::{
    Problem,
    wire::transaction::{self as wire, Committed, Decision, Status},
};

/// A request with an id, which is run once however often it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Its id.
    pub id: TransactionId,
    /// The versions that it asks for, by key; none: absent.
    pub checks: BTreeMap<String, Option<Version>>,
    /// Of which other ones its client says that it has the answers.
    pub acknowledged: Vec<TransactionId>,
}

/// What an answer says of a transaction. Whatever else it may say is no decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// It happened; the versions of what it has put, by key, if the answer tells them.
    Committed(Option<BTreeMap<String, Version>>),
    /// It did not happen, and never will.
    NotCommitted,
}

/// What a request asks to be run once, if it does.
pub fn sent(request: &Request<Bytes>) -> Option<Sent> {
    if let Some(id) = request.headers().get("idempotency-key") {
        return Some(Sent {
            id: id.to_str().ok()?.parse().ok()?,
            checks: BTreeMap::new(),
            acknowledged: Vec::new(),
        });
    }
    if *request.method() != Method::POST || request.uri().path() != "/transactions" {
        return None;
    }
    let request: wire::Request = minicbor_serde::from_slice(request.body()).ok()?;
    let body = request.check().ok()?;
    let checks = body.operations().checks.iter();
    Some(Sent {
        id: request.id?,
        checks: checks
            .map(|check| (check.key.to_string(), check.version))
            .collect(),
        acknowledged: request
            .check_acknowledged()
            .ok()?
            .into_iter()
            .map(|(id, _)| id)
            .collect(),
    })
}

/// The transaction that a request is to abort.
pub fn aborts(request: &Request<Bytes>) -> Option<TransactionId> {
    let rest = request.uri().path().strip_prefix("/transactions/")?;
    rest.strip_suffix("/abort")?.parse().ok()
}

/// What an answer says to a request that was [`sent`] with an id, or [`aborts`] one.
pub fn said(answer: &Response<Bytes>) -> Option<Word> {
    let body = answer.body();
    match answer.status() {
        // To PUT.
        StatusCode::OK if answer.headers().contains_key(ETAG) => {
            let tag = answer.headers().get(ETAG)?.to_str().ok()?;
            let version = tag.trim_matches('"').parse().ok()?;
            Some(Word::Committed(Some(BTreeMap::from([(
                String::new(),
                version,
            )]))))
        }
        // To DELETE.
        StatusCode::NO_CONTENT => Some(Word::Committed(None)),
        StatusCode::OK => {
            if let Ok(status) = serde_json::from_slice::<Status>(body) {
                return match status.outcome {
                    Decision::Committed => Some(Word::Committed(None)),
                    Decision::NotCommitted => Some(Word::NotCommitted),
                    Decision::InProgress => None,
                };
            }
            let committed: Committed = minicbor_serde::from_slice(body).ok()?;
            let versions = committed.versions.into_iter();
            let versions = versions.map(|(key, version)| (key.to_string(), version));
            Some(Word::Committed(Some(versions.collect())))
        }
        StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED => {
            let problem: Problem = serde_json::from_slice(body).ok()?;
            (problem.outcome == trandb_client::Outcome::NotCommitted).then_some(Word::NotCommitted)
        }
        _ => None,
    }
}
