//! An operation: what was asked, and what was answered.

use std::{collections::BTreeMap, fmt};

use bytes::Bytes;
use http::{Response, StatusCode, header::ETAG};
use trandb_client::{
    Error, ListPage, Outcome, Problem, TransactionId, TransactionStatus, TransportError, Version,
};

/// Who called it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum By {
    /// The client of this number.
    Client(usize),
    /// The network: a request that was delivered a second time.
    Network,
    /// Whoever looks at the end what is there.
    Auditor,
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(number) => f.pad(&format!("client {number}")),
            Self::Network => f.pad("network"),
            Self::Auditor => f.pad("auditor"),
        }
    }
}

/// What was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// A key's value and version.
    Get {
        /// Which key.
        key: String,
    },
    /// A key's version and size.
    Stat {
        /// Which key.
        key: String,
    },
    /// That a key gets a value.
    Put {
        /// Which key.
        key: String,
        /// The value, as histories show it.
        value: String,
        /// In bytes.
        size: u64,
        /// What has to hold.
        given: Option<Given>,
    },
    /// That a key loses its value.
    Delete {
        /// Which key.
        key: String,
        /// What has to hold.
        given: Option<Given>,
    },
    /// A page of keys.
    List {
        /// With this prefix.
        prefix: String,
        /// After this key.
        after: Option<String>,
        /// At most so many.
        limit: usize,
    },
    /// Keys, all at one moment.
    GetMany {
        /// Which keys.
        keys: Vec<String>,
    },
    /// That keys change, all at one moment.
    Transaction(Body),
    /// What became of a transaction.
    Status {
        /// Which.
        id: TransactionId,
    },
}

/// What a transaction asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Body {
    /// What its client has seen, and what must be true at its commit.
    pub seen: Vec<Seen>,
    /// What it reads at its commit.
    pub reads: Vec<String>,
    /// The keys that it writes, and their new values; none: deleted.
    pub writes: Vec<(String, Option<String>)>,
}

/// What a client has seen under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Which key.
    pub key: String,
    /// Its value; none if there is none.
    pub value: Option<String>,
    /// The value's version, if it is known.
    pub version: Option<Version>,
}

/// What has to hold of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Given {
    /// It has no value.
    Absent,
    /// Its value has this version.
    Version(Version),
}

impl Asked {
    /// Its function, as it is counted.
    pub fn function(&self) -> &'static str {
        match self {
            Self::Get { .. } => "get",
            Self::Stat { .. } => "stat",
            Self::Put { .. } => "put",
            Self::Delete { .. } => "delete",
            Self::List { .. } => "list",
            Self::GetMany { .. } => "get-many",
            Self::Transaction(_) => "transaction",
            Self::Status { .. } => "status",
        }
    }

    /// Its key, if it has one and no more.
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::Get { key }
            | Self::Stat { key }
            | Self::Put { key, .. }
            | Self::Delete { key, .. } => Some(key),
            Self::List { .. }
            | Self::GetMany { .. }
            | Self::Transaction(_)
            | Self::Status { .. } => None,
        }
    }

    /// The keys that it is to write, and their new values; none: deleted.
    pub fn writes(&self) -> Vec<(&str, Option<&str>)> {
        match self {
            Self::Put { key, value, .. } => vec![(key, Some(value))],
            Self::Delete { key, .. } => vec![(key, None)],
            Self::Transaction(body) => {
                let writes = body.writes.iter();
                writes
                    .map(|(key, value)| (key.as_str(), value.as_deref()))
                    .collect()
            }
            _ => Vec::new(),
        }
    }

    pub(super) fn is_write(&self) -> bool {
        matches!(
            self,
            Self::Put { .. } | Self::Delete { .. } | Self::Transaction(_)
        )
    }

    /// What it asks to hold of its key: of a value only the version is known here.
    fn given(&self) -> Option<Found<'_>> {
        match self {
            Self::Put { key, given, .. } | Self::Delete { key, given } => Some(match (*given)? {
                Given::Absent => Found::absent(key),
                Given::Version(version) => Found::version(key, version),
            }),
            _ => None,
        }
    }
}

/// What was answered, or what is known instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answered {
    /// To get: the value as histories show it, and its version; none if there is no value.
    Value(Option<(String, Version)>),
    /// To stat: the version, and the size in bytes; none if there is no value.
    Stat(Option<(Version, u64)>),
    /// To put: the version.
    Written(Version),
    /// To delete.
    Deleted,
    /// To a write whose condition did not hold: the key's version, none if it has no value.
    Refused(Option<Version>),
    /// To list.
    Page(ListPage),
    /// To get-many: each value as histories show it, and its version.
    Values(Vec<Option<(String, Version)>>),
    /// To a transaction.
    Committed {
        /// Of what it has put.
        versions: BTreeMap<String, Version>,
        /// What its reads found, in their order; none if that is not known.
        reads: Option<Vec<Option<(String, Version)>>>,
    },
    /// To status; none if nothing is known of the transaction.
    Status(Option<TransactionStatus>),
    /// It happened, as was learned afterwards; its answer was lost.
    Happened,
    /// It did not happen and never will, whoever sends it again.
    Aborted(String),
    /// It certainly did not happen, and why.
    Failed(String),
    /// It may have happened or may yet, and why nothing is known.
    Unknown(String),
    /// It is in flight.
    NotYet,
}

impl Answered {
    /// What a failed call means. The outcome is the client library's word.
    pub fn failure(asked: &Asked, error: &Error) -> Self {
        if error.is_conflict() && asked.key().is_some() && asked.is_write() {
            return Self::Refused(error.current_version());
        }
        let reason = error
            .code()
            .map_or_else(|| error.to_string(), str::to_owned);
        match error.outcome() {
            Outcome::NotCommitted if error.is_conflict() || error.transaction_id().is_some() => {
                Self::Aborted(reason)
            }
            Outcome::NotCommitted => Self::Failed(reason),
            Outcome::Unknown => Self::Unknown(reason),
        }
    }

    /// What a write's answer means that no client waits for.
    pub fn to_nobody(answer: Result<Response<Bytes>, TransportError>) -> Self {
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return Self::Unknown(error.to_string()),
        };
        match answer.status() {
            StatusCode::NO_CONTENT => Self::Deleted,
            StatusCode::OK => {
                let tag = answer.headers().get(ETAG).and_then(|tag| tag.to_str().ok());
                let version = tag.and_then(|tag| tag.trim_matches('"').parse().ok());
                version.map_or_else(|| Self::Unknown("no version".into()), Self::Written)
            }
            status => match serde_json::from_slice::<Problem>(answer.body()) {
                Ok(problem) if status == StatusCode::PRECONDITION_FAILED => {
                    Self::Refused(problem.current_version.flatten())
                }
                Ok(problem) if problem.outcome == Outcome::NotCommitted => {
                    Self::Failed(problem.code.into_owned())
                }
                _ => Self::Unknown(status.to_string()),
            },
        }
    }

    /// Its outcome, as it is counted.
    pub fn outcome(&self) -> &'static str {
        match self {
            Self::Refused(_) => "refused",
            Self::Failed(_) => "failed",
            Self::Aborted(_) => "aborted",
            // That is what its client knew.
            Self::Unknown(_) | Self::NotYet | Self::Happened => "unknown",
            Self::Value(_)
            | Self::Stat(_)
            | Self::Written(_)
            | Self::Deleted
            | Self::Page(_)
            | Self::Values(_)
            | Self::Committed { .. }
            | Self::Status(_) => "ok",
        }
    }

    /// Whether it is not known whether it happened.
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Unknown(_) | Self::NotYet)
    }
}

/// What was found under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found<'a> {
    /// Which key.
    pub key: &'a str,
    /// Whether there was a value.
    pub is_there: bool,
    /// The value, if it is known.
    pub value: Option<&'a str>,
    /// Its version, if it is known.
    pub version: Option<Version>,
}

impl<'a> Found<'a> {
    fn absent(key: &'a str) -> Self {
        Self {
            key,
            is_there: false,
            value: None,
            version: None,
        }
    }

    /// Of a value nothing but its version is known.
    fn version(key: &'a str, version: Version) -> Self {
        Self {
            is_there: true,
            version: Some(version),
            ..Self::absent(key)
        }
    }

    fn value(key: &'a str, found: Option<&'a (String, Version)>) -> Self {
        match found {
            None => Self::absent(key),
            Some((value, version)) => Self {
                value: Some(value),
                ..Self::version(key, *version)
            },
        }
    }
}

impl Seen {
    fn found(&self) -> Found<'_> {
        Found {
            key: &self.key,
            is_there: self.value.is_some(),
            value: self.value.as_deref(),
            version: self.version,
        }
    }
}

/// An operation of a history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Its place among the calls, as evidence names it.
    pub id: usize,
    /// One operation at a time.
    pub process: i64,
    /// Who called it.
    pub by: By,
    /// What was asked.
    pub asked: Asked,
    /// What was answered.
    pub answered: Answered,
    /// The id that it was sent with, if it was.
    pub transaction: Option<TransactionId>,
    /// Whether copies of it may have been on their way when it returned.
    pub copied: bool,
    /// When it was called, in ticks of the history.
    pub called: u64,
    /// When what came of it was known; none if that never was.
    pub returned: Option<u64>,
}

impl Operation {
    /// What it found at the moment when it happened, before its own writes; of a page nothing.
    pub fn found(&self) -> Vec<Found<'_>> {
        let key = self.asked.key().unwrap_or_default();
        match (&self.answered, &self.asked) {
            (Answered::Value(found), _) => vec![Found::value(key, found.as_ref())],
            (Answered::Stat(None) | Answered::Refused(None), _) => vec![Found::absent(key)],
            (Answered::Stat(Some((version, _))) | Answered::Refused(Some(version)), _) => {
                vec![Found::version(key, *version)]
            }
            (Answered::Values(values), Asked::GetMany { keys }) => {
                let values = keys.iter().zip(values);
                values
                    .map(|(key, found)| Found::value(key, found.as_ref()))
                    .collect()
            }
            (Answered::Committed { .. } | Answered::Happened, Asked::Transaction(body)) => {
                let mut found: Vec<_> = body.seen.iter().map(Seen::found).collect();
                if let Answered::Committed {
                    reads: Some(reads), ..
                } = &self.answered
                {
                    let reads = body.reads.iter().zip(reads);
                    found.extend(reads.map(|(key, read)| Found::value(key, read.as_ref())));
                }
                found
            }
            (Answered::Written(_) | Answered::Deleted | Answered::Happened, asked) => {
                asked.given().into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    /// The version that it has given `key`, if that is known.
    pub fn version_given(&self, key: &str) -> Option<Version> {
        match &self.answered {
            Answered::Written(version) if self.asked.key() == Some(key) => Some(*version),
            Answered::Committed { versions, .. } => versions.get(key).copied(),
            _ => None,
        }
    }

    /// Whether it certainly happened and changed what it was to change.
    pub fn has_written(&self) -> bool {
        matches!(
            self.answered,
            Answered::Written(_)
                | Answered::Deleted
                | Answered::Committed { .. }
                | Answered::Happened
        )
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Get { key } => write!(f, "get {key}"),
            Self::Stat { key } => write!(f, "stat {key}"),
            Self::Put {
                key, value, given, ..
            } => write!(f, "put {key} := {value}{}", If(given.as_ref())),
            Self::Delete { key, given } => write!(f, "delete {key}{}", If(given.as_ref())),
            Self::List {
                prefix,
                after,
                limit,
            } => {
                write!(f, "list {prefix:?}")?;
                if let Some(after) = after {
                    write!(f, " after {after}")?;
                }
                write!(f, " up to {limit}")
            }
            Self::GetMany { keys } => write!(f, "get {}", keys.join(", ")),
            Self::Transaction(body) => body.fmt(f),
            Self::Status { id } => write!(f, "status of {id}"),
        }
    }
}

impl fmt::Display for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seen = self.seen.iter().map(|seen| {
            let value = seen.value.as_deref().unwrap_or("absent");
            match seen.version {
                Some(version) => format!("{} was {value} ({version})", seen.key),
                None => format!("{} was {value}", seen.key),
            }
        });
        let reads = self.reads.iter().map(|key| format!("get {key}"));
        let writes = self.writes.iter().map(|(key, value)| match value {
            Some(value) => format!("put {key} := {value}"),
            None => format!("delete {key}"),
        });
        let parts: Vec<_> = seen.chain(reads).chain(writes).collect();
        write!(f, "transaction {{ {} }}", parts.join("; "))
    }
}

struct If<'a>(Option<&'a Given>);

impl fmt::Display for If<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => Ok(()),
            Some(Given::Absent) => f.write_str(" if absent"),
            Some(Given::Version(version)) => write!(f, " if {version}"),
        }
    }
}

impl fmt::Display for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(None) | Self::Stat(None) => f.write_str("absent"),
            Self::Value(Some((value, version))) => write!(f, "{value} ({version})"),
            Self::Stat(Some((version, size))) => write!(f, "{size} bytes ({version})"),
            Self::Written(version) => write!(f, "written ({version})"),
            Self::Deleted => f.write_str("deleted"),
            Self::Refused(None) => f.write_str("refused: absent"),
            Self::Refused(Some(version)) => write!(f, "refused: {version}"),
            Self::Page(page) => {
                let rows = page.keys.iter().map(|row| {
                    let (key, version) = (row.key.as_str(), row.version);
                    format!("{key} {} bytes ({version})", row.size)
                });
                let more = if page.next.is_some() { ", …" } else { "" };
                write!(f, "[{}{more}]", rows.collect::<Vec<_>>().join(", "))
            }
            Self::Values(values) => f.write_str(&shown(values)),
            Self::Committed { versions, reads } => {
                f.write_str("committed")?;
                for (key, version) in versions {
                    write!(f, ", {key} ({version})")?;
                }
                match reads.as_deref() {
                    None | Some([]) => Ok(()),
                    Some(reads) => write!(f, ", found {}", shown(reads)),
                }
            }
            Self::Status(None) => f.write_str("not known"),
            Self::Status(Some(status)) => write!(f, "{status:?}"),
            Self::Happened => f.write_str("happened, as its status said"),
            Self::Aborted(reason) => write!(f, "aborted: {reason}"),
            Self::Failed(reason) => write!(f, "failed: {reason}"),
            Self::Unknown(reason) => write!(f, "unknown: {reason}"),
            Self::NotYet => f.write_str("never returned"),
        }
    }
}

fn shown(values: &[Option<(String, Version)>]) -> String {
    let values = values.iter().map(|found| match found {
        None => "absent".to_owned(),
        Some((value, version)) => format!("{value} ({version})"),
    });
    values.collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} -> {}", self.by, self.asked, self.answered)
    }
}
