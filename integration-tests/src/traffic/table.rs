//! A schedule as a table that a person can read: the smallest one that fails is shown so.

use std::fmt;

use super::{Call, Condition, Content, Schedule, Style, Transaction, Write};

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (client, plan) in self.clients.iter().enumerate() {
            let (steps, timeout) = (plan.steps.len(), plan.timeout_ms);
            let ids = if plan.writes_with_ids {
                ", writes with ids"
            } else {
                ""
            };
            writeln!(
                f,
                "client {client}: {steps} step(s), time-out {timeout} ms{ids}"
            )?;
            for (number, step) in plan.steps.iter().enumerate() {
                let wait = format!("wait {} ms", step.think_ms);
                let call = step.call.to_string();
                writeln!(f, "  {number:>3}  {wait:<11}  {call:<44}  {}", step.passage)?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Get { key } => write!(f, "get {key}"),
            Self::Stat { key } => write!(f, "stat {key}"),
            Self::Put {
                key,
                content,
                condition,
            } => write!(f, "put {key} := {content}{condition}"),
            Self::Delete { key, condition } => write!(f, "delete {key}{condition}"),
            Self::List { prefix, limit } => write!(f, "list {prefix:?} by {limit}"),
            Self::GetMany { keys } => write!(f, "get {}", keys.join(", ")),
            Self::Transaction(transaction) => transaction.fmt(f),
        }
    }
}

impl fmt::Display for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = match self.style {
            Style::Interactive => "look, then commit",
            Style::AtOnce => "at once",
            Style::AtOnceIfUnchanged => "at once, if as last seen",
        };
        let mut parts = Vec::new();
        if !self.reads.is_empty() {
            parts.push(format!("get {}", self.reads.join(", ")));
        }
        parts.extend(self.writes.iter().map(Write::to_string));
        write!(f, "{how}: {}", parts.join("; "))?;
        f.write_str(if self.if_absent { " if absent" } else { "" })
    }
}

impl fmt::Display for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.content {
            Some(content) => write!(f, "put {} := {content}", self.key),
            None => write!(f, "delete {}", self.key),
        }
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named { name, bytes } => write!(f, "{name} ({bytes} bytes)"),
            Self::Next { name } => write!(f, "the next number ({name})"),
            Self::Plus { name, amount } => write!(f, "{amount:+} ({name})"),
            Self::Appended { name } => write!(f, "…,{name}"),
            Self::Empty => f.write_str("nothing (0 bytes)"),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "",
            Self::Absent => " if absent",
            Self::LastSeen => " if the version last seen",
        })
    }
}
