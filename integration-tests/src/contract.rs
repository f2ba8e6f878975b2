//! The HTTP contract: what is sent and what comes back, for whatever server stands behind.
//!
//! A [`Script`] is a list of requests to a fresh server. [`play`] sends them to a [`Target`] and
//! writes down every answer with all its headers; [`assert_recorded`] compares that with the
//! record of the script in `tests/contract/recorded`. The same record holds for every target: a
//! service without a socket, a process, a container.
//!
//! Two things are not written down as they are. A version is named `v1`, `v2`, … in the order of
//! first appearance, so that a record shows which of them are equal; requests name them alike
//! (`{v1}`). `date`, which hyper adds, is only asked for.
//!
//! What is not here: answers that need a hand inside the server, or a client that misbehaves.
//! They are in `tests/contract/inside.rs` and `tests/faults`.

mod conditions;
mod keys;
mod listing;
mod transactions;
mod values;

use std::{fmt::Write as _, net::SocketAddr};

use http::StatusCode;
use trandb_common::Version;

use crate::{
    local::InProcess,
    wire::{Answer, Body, Connection, Request},
};

/// Requests to a fresh server, one after another.
#[derive(Debug)]
pub struct Script {
    /// Names the record.
    pub name: &'static str,
    /// What the server is started with.
    pub flags: &'static [&'static str],
    /// Whether it has requests that only a socket can carry.
    pub sockets_only: bool,
    /// What is sent.
    pub requests: Vec<Request>,
}

impl Script {
    fn new(name: &'static str, requests: Vec<Request>) -> Self {
        Self {
            name,
            flags: FLAGS,
            sockets_only: false,
            requests,
        }
    }
}

/// Flags under which answers do not depend on the machine. One shard: versions of different
/// shards may have equal names, and a record is easier to read without that.
pub const FLAGS: &[&str] = &[
    "--shards",
    "1",
    "--memory-limit",
    "64MiB",
    "--connections-max",
    "100",
];

/// All of them.
pub fn scripts() -> Vec<Script> {
    let mut all = values::scripts();
    all.extend(keys::scripts());
    all.extend(conditions::scripts());
    all.extend(listing::scripts());
    all.extend(transactions::scripts());
    all
}

/// Who answers.
#[derive(Debug)]
pub enum Target<'a> {
    /// A service without a socket.
    InProcess(&'a InProcess),
    /// Whatever listens there.
    Socket(SocketAddr),
}

/// One request and its answer.
#[derive(Debug)]
pub struct Exchange {
    /// As it was sent.
    pub request: Request,
    /// As it came.
    pub answer: Answer,
}

/// What a script has led to.
#[derive(Debug)]
pub struct Played {
    /// To be compared with the record.
    pub transcript: String,
    /// In the order of the script.
    pub exchanges: Vec<Exchange>,
}

/// Plays a script.
pub async fn play(script: &Script, target: &Target<'_>) -> Played {
    let mut transcript = Transcript::default();
    let mut exchanges = Vec::new();
    for request in &script.requests {
        let request = transcript.versions.fill_in(request);
        let answer = match target {
            Target::InProcess(server) => server.ask(&request).await,
            Target::Socket(address) => ask_and_go_on(*address, &request).await,
        };
        transcript.add(&request, &answer);
        exchanges.push(Exchange { request, answer });
    }
    Played {
        transcript: transcript.text,
        exchanges,
    }
}

/// Fails unless the transcript is what is recorded under this name.
pub fn assert_recorded(name: &str, transcript: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../tests/contract/recorded");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, transcript));
}

/// Sends a request, and another behind it on the same connection: were the answer longer or
/// shorter than it says, the other one could not be read.
async fn ask_and_go_on(address: SocketAddr, request: &Request) -> Answer {
    let mut connection = Connection::open(address).await;
    let mut answer = connection.ask(request).await;
    // After a body that is not whole nothing can follow.
    if !matches!(request.body, Body::Verbatim(_)) {
        let next = connection
            .ask(&Request::get("/livez").header("connection", "close"))
            .await;
        assert_eq!(
            (next.status, next.text().as_str()),
            (200, "ok\n"),
            "{:?}",
            request.about
        );
        connection.closed().await;
    }
    // RFC 9110, 6.6.1: whoever has a clock says what time it is.
    assert!(
        answer.header("date").is_some(),
        "{:?}: no date",
        request.about
    );
    answer.headers.retain(|(name, _)| name != "date");
    answer
}

/// Names of versions: the place in this list, from 1.
#[derive(Debug, Default)]
struct Versions(Vec<String>);

impl Versions {
    /// Takes note of the versions that an answer names.
    fn note(&mut self, answer: &Answer) {
        let mut versions = Vec::new();
        if answer.header("etag").is_some() {
            versions.push(answer.version());
        }
        if let Ok(json) = serde_json::from_slice(&answer.body) {
            collect_versions(&json, &mut versions);
        }
        for version in versions {
            if !self.0.contains(&version) {
                self.0.push(version);
            }
        }
    }

    /// The request with versions for their names.
    fn fill_in(&self, request: &Request) -> Request {
        let mut request = request.clone();
        for (index, version) in self.0.iter().enumerate() {
            let name = format!("{{v{}}}", index + 1);
            for (_, value) in &mut request.headers {
                *value = value.replace(&name, version);
            }
            if let Body::Sized(bytes) = &mut request.body
                && let Ok(text) = str::from_utf8(bytes)
                && text.contains(&name)
            {
                *bytes = text.replace(&name, version).into_bytes();
            }
        }
        request
    }

    /// The text with names for the versions.
    fn name_in(&self, text: &str) -> String {
        let mut longest_first: Vec<_> = self.0.iter().zip(1..).collect();
        // One version may be the beginning of another.
        longest_first.sort_by_key(|(version, _)| std::cmp::Reverse(version.len()));
        let named = |text: String, (version, number): &(&String, i32)| {
            text.replace(version.as_str(), &format!("v{number}"))
        };
        longest_first.iter().fold(text.to_owned(), named)
    }
}

/// All texts of an answer that are versions, in their order.
fn collect_versions(json: &serde_json::Value, versions: &mut Vec<String>) {
    match json {
        serde_json::Value::String(text) if text.parse::<Version>().is_ok() => {
            versions.push(text.clone());
        }
        serde_json::Value::Array(elements) => {
            for element in elements {
                collect_versions(element, versions);
            }
        }
        serde_json::Value::Object(fields) => {
            for field in fields.values() {
                collect_versions(field, versions);
            }
        }
        _ => {}
    }
}

#[derive(Debug, Default)]
struct Transcript {
    text: String,
    versions: Versions,
}

impl Transcript {
    fn add(&mut self, request: &Request, answer: &Answer) {
        self.versions.note(answer);
        let mut lines = format!(
            "# {}\n> {} {}\n",
            request.about, request.method, request.target
        );
        for (name, value) in &request.headers {
            let _ = writeln!(lines, "> {name}: {value}");
        }
        let body = match &request.body {
            Body::None => None,
            Body::Sized(bytes) => Some(format!("{} bytes: {}", bytes.len(), shown(bytes))),
            Body::Chunked(pieces) => {
                let pieces: Vec<_> = pieces.iter().map(|piece| shown(piece)).collect();
                Some(format!("chunks: {}", pieces.join(", ")))
            }
            Body::Verbatim(bytes) => Some(format!("as it is: {}", shown(bytes))),
        };
        if let Some(body) = body {
            let _ = writeln!(lines, "> ({body})");
        }
        let status = StatusCode::from_u16(answer.status).expect("a status");
        let _ = writeln!(lines, "< {status}");
        let mut headers = answer.headers.clone();
        headers.sort();
        for (name, value) in headers {
            let _ = writeln!(lines, "< {name}: {value}");
        }
        if !answer.body.is_empty() {
            let _ = writeln!(lines, "<\n< {}", shown(&answer.body));
        }
        self.text += &folded(&self.versions.name_in(&lines));
        self.text.push('\n');
    }
}

/// Text as it is, anything else escaped.
fn shown(bytes: &[u8]) -> String {
    match str::from_utf8(bytes) {
        Ok(text) if !text.contains(|c: char| c.is_control() && c != '\n') => {
            text.trim_end_matches('\n').replace('\n', "\n< ")
        }
        _ => format!("b\"{}\"", bytes.escape_ascii()),
    }
}

/// Puts a number in the place of many repetitions of a character, or of one escaped byte.
fn folded(text: &str) -> String {
    const REPETITIONS_MIN: usize = 40;
    let mut folded = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let unit = match rest.get(..3) {
            Some(escape) if first == '%' => escape,
            _ => &rest[..first.len_utf8()],
        };
        let alike = rest
            .as_bytes()
            .chunks(unit.len())
            .take_while(|c| *c == unit.as_bytes());
        let times = alike.count();
        if times >= REPETITIONS_MIN {
            let _ = write!(folded, "[{unit} × {times}]");
            rest = &rest[times * unit.len()..];
        } else {
            folded.push_str(&unit[..first.len_utf8()]);
            rest = &rest[first.len_utf8()..];
        }
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_are_folded_and_nothing_else() {
        assert_eq!(folded("plain %41%41 text, häh"), "plain %41%41 text, häh");
        assert_eq!(folded(&format!("a{}c", "b".repeat(1025))), "a[b × 1025]c");
        assert_eq!(folded(&format!("/{}", "%61".repeat(50))), "/[%61 × 50]");
    }

    #[test]
    fn versions_are_named_also_when_one_begins_as_another() {
        let versions = Versions(vec!["e1-1".into(), "e1-10".into()]);
        assert_eq!(versions.name_in("\"e1-10\" \"e1-1\""), "\"v2\" \"v1\"");
        let request = Request::get("/").header("if-match", "\"{v2}\", \"{v1}\"");
        assert_eq!(
            versions.fill_in(&request).headers[0].1,
            "\"e1-10\", \"e1-1\""
        );
    }
}
