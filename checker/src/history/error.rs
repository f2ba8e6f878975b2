//! Why a history cannot be judged.

use std::{error::Error, fmt, io};

/// A history that cannot be judged: the reason, and the line if it lies in one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadHistory {
    /// From 1; none for what concerns the whole, such as an unreadable file.
    pub line: Option<u64>,
    /// In words, without the line.
    pub reason: String,
}

impl BadHistory {
    /// What is wrong in one line.
    pub fn at(line: u64, reason: impl Into<String>) -> Self {
        Self {
            line: Some(line),
            reason: reason.into(),
        }
    }

    /// What is wrong with the whole.
    pub fn whole(reason: impl Into<String>) -> Self {
        Self {
            line: None,
            reason: reason.into(),
        }
    }

    /// What went wrong in reading at or after `line`.
    pub(crate) fn reading(line: u64, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::at(line, "the compressed data ends too early"),
            _ => Self::at(line, format!("cannot be read: {error}")),
        }
    }
}

impl fmt::Display for BadHistory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        f.write_str(&self.reason)
    }
}

impl Error for BadHistory {}
