//! Why the command failed: one sentence for people, one object for programs, one exit code for
//! scripts.
//!
//! Every error of the client's and of the local system becomes a [`Failure`], here and nowhere
//! else, so that the same thing always has the same exit code.
//!
//! Tests: `tests/it/exit_codes.rs`.

use std::{
    error::Error as StdError,
    io::{self, Write},
    process::ExitCode,
};

use serde::Serialize;
use trandb_client::{FailedCheck, Key, Outcome, Problem, Version};
use trandb_common::ErrorCode;

use crate::{escape, json};

/// What the process ends with, other than success (0) and what clap refuses (2). The table for
/// users stands in `--help`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    KeyNotFound,
    Conflict,
    /// By the server or by the client: it certainly did not happen, and will not as it is.
    Refused,
    /// It certainly did not happen, and may later.
    RetryLater,
    OutcomeUnknown,
    /// A local file or stream.
    Local,
    /// As of a process that SIGINT ended.
    Interrupted,
    /// As of a process that SIGPIPE ended. Nothing is reported.
    PipeClosed,
    /// The total of `bank` has changed: what should be atomic is not.
    NotAtomic,
}

impl Exit {
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::KeyNotFound => 1,
            Self::Conflict => 3,
            Self::Refused => 4,
            Self::RetryLater => 5,
            Self::OutcomeUnknown => 6,
            Self::Local => 7,
            Self::NotAtomic => 8,
            Self::Interrupted => 130,
            Self::PipeClosed => 141,
        }
    }

    /// In the place of the server's code, when there is none.
    const fn name(self) -> &'static str {
        match self {
            Self::KeyNotFound => "key_not_found",
            Self::Conflict => "conflict",
            Self::Refused => "refused",
            Self::RetryLater => "unreachable",
            Self::OutcomeUnknown => "outcome_unknown",
            Self::Local => "local_file",
            Self::Interrupted => "interrupted",
            Self::PipeClosed => "pipe_closed",
            Self::NotAtomic => "not_atomic",
        }
    }
}

/// The end of a command that did not succeed.
#[derive(Debug)]
pub struct Failure {
    pub(crate) exit: Exit,
    /// What the server, or the client in its place, calls it.
    code: Box<str>,
    message: String,
    cause: Option<String>,
    hint: Option<String>,
    problem: Option<Box<Problem>>,
    /// The line of an import that it is about.
    line: Option<u64>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            code: exit.name().into(),
            message: message.into(),
            cause: None,
            hint: None,
            problem: None,
            line: None,
        }
    }

    /// A local file or stream that cannot be read or written. `doing` says which and how:
    /// "cannot write to x".
    pub(crate) fn local(doing: impl Into<String>, error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::new(Exit::PipeClosed, doing);
        }
        Self::new(Exit::Local, doing).with_cause(error.to_string())
    }

    pub(crate) fn key_not_found(key: &Key) -> Self {
        let message = format!("the key {key:?} has no value");
        let problem = Problem::new(ErrorCode::KeyNotFound, message.as_str());
        Self {
            problem: Some(Box::new(problem)),
            ..Self::new(Exit::KeyNotFound, message)
        }
    }

    /// A fault of the command's own.
    pub(crate) fn internal(error: &dyn StdError) -> Self {
        Self::new(
            Exit::OutcomeUnknown,
            format!("a fault of this command's own: {error}"),
        )
    }

    fn with_cause(mut self, cause: String) -> Self {
        self.cause = Some(cause);
        self
    }

    /// Says what to do now, besides what is said already.
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        let hint = hint.into();
        self.hint = Some(match self.hint {
            Some(before) => format!("{before}; {hint}"),
            None => hint,
        });
        self
    }

    /// The line of an import that it is about, if it is about one; the first is 1.
    pub fn line(&self) -> Option<u64> {
        self.line
    }

    /// Says which line of an import it is about.
    pub(crate) fn at_line(mut self, line: u64) -> Self {
        self.message = format!("line {line}: {}", self.message);
        self.line = Some(line);
        self
    }

    /// Tells it on standard error. There is nobody to tell that this failed.
    pub(crate) fn report(&self, as_json: bool) {
        if self.exit == Exit::PipeClosed {
            return;
        }
        let text = if as_json {
            json::to_line(&self.body()).unwrap_or_default()
        } else {
            self.text().into_bytes()
        };
        let _ = io::stderr().write_all(&text);
    }

    fn text(&self) -> String {
        let parts = [
            Some(format!("error: {}", escape::message(&self.message))),
            self.cause
                .as_ref()
                .map(|cause| format!("  cause: {}", escape::message(cause))),
            self.hint
                .as_ref()
                .map(|hint| format!("  hint: {}", escape::message(hint))),
        ];
        let mut text = String::new();
        for part in parts.into_iter().flatten() {
            text.push_str(&part);
            text.push('\n');
        }
        text
    }

    fn body(&self) -> Body<'_> {
        let what = match &self.problem {
            Some(problem) => What::Problem(problem),
            None => What::Own {
                code: &self.code,
                detail: &self.message,
                cause: self.cause.as_deref(),
                outcome: match self.exit {
                    Exit::OutcomeUnknown => Outcome::Unknown,
                    _ => Outcome::NotCommitted,
                },
                retryable: self.exit == Exit::RetryLater,
            },
        };
        Body {
            what,
            exit_code: self.exit.code(),
            line: self.line,
            hint: self.hint.as_deref(),
        }
    }
}

/// The server's problem as it came, or the same fields about what never reached a server; and
/// what only this command knows.
#[derive(Serialize)]
struct Body<'a> {
    #[serde(flatten)]
    what: What<'a>,
    exit_code: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum What<'a> {
    Problem(&'a Problem),
    Own {
        code: &'a str,
        detail: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        cause: Option<&'a str>,
        outcome: Outcome,
        retryable: bool,
    },
}

impl From<trandb_client::Error> for Failure {
    fn from(error: trandb_client::Error) -> Self {
        let exit = if error.is_conflict() {
            Exit::Conflict
        } else if error.outcome() == Outcome::Unknown {
            Exit::OutcomeUnknown
        } else if error.is_retryable() {
            Exit::RetryLater
        } else {
            Exit::Refused
        };
        Self {
            exit,
            code: error.code().unwrap_or(exit.name()).into(),
            message: error.to_string(),
            cause: causes(&error),
            hint: hint(&error),
            problem: error.problem().cloned().map(Box::new),
            line: None,
        }
    }
}

fn causes(error: &dyn StdError) -> Option<String> {
    let causes: Vec<String> = std::iter::successors(error.source(), |&error| error.source())
        .map(ToString::to_string)
        .collect();
    (!causes.is_empty()).then(|| causes.join(": "))
}

fn hint(error: &trandb_client::Error) -> Option<String> {
    if error.is_connect() {
        let hint = "is the server running there? --endpoint or TRANDB_ENDPOINT says where it is";
        return Some(hint.to_owned());
    }
    if !error.is_conflict() {
        return None;
    }
    if !error.failed_checks().is_empty() {
        return Some(failed_checks(error.failed_checks()));
    }
    Some(match error.problem()?.current_version? {
        Some(version) => format!("the key has the version {version} now"),
        None => "the key has no value now".to_owned(),
    })
}

/// What holds instead of the first few checks.
fn failed_checks(failed: &[FailedCheck]) -> String {
    const NAMED_MAX: usize = 5;
    let text = |version: Option<Version>, absent: &str| match version {
        Some(version) => version.to_string(),
        None => absent.to_owned(),
    };
    let mut named: Vec<String> = failed
        .iter()
        .take(NAMED_MAX)
        .map(|check| {
            let expected = text(check.expected, "absent");
            let actual = text(check.actual, "absent");
            format!("{:?} is {actual}, the check says {expected}", check.key)
        })
        .collect();
    if failed.len() > NAMED_MAX {
        named.push(format!("and {} more", failed.len() - NAMED_MAX));
    }
    named.join("; ")
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
