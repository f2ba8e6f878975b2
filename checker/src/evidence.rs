//! What is said about a history: a verdict and, when it is illegal, evidence that a person can
//! check by hand.

use std::fmt;

use crate::{escape::Line, history::OperationId};

/// What a checker found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// A correct database could have answered so.
    Ok,
    /// No correct database could have. At least one piece of evidence, the most serious first.
    Illegal(Vec<Evidence>),
    /// Not decided, and why: a bound on time or memory was reached. Never to be read as legal.
    Unknown(String),
}

impl Verdict {
    /// Whether it is [`Verdict::Ok`].
    pub fn is_ok(&self) -> bool {
        matches!(self, Self::Ok)
    }

    /// Whether it is [`Verdict::Illegal`].
    pub fn is_illegal(&self) -> bool {
        matches!(self, Self::Illegal(_))
    }
}

/// One thing that no correct database could have done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// Its name in the literature: `G1c`, `lost-update`, `not-linearizable`, …
    pub anomaly: String,
    /// One sentence with the operations' numbers in it.
    pub sentence: String,
    /// The smallest sub-history or cycle, in the order to be shown.
    pub operations: Vec<Shown>,
    /// Why one must come before the other; of a cycle, all its edges in order.
    pub edges: Vec<Edge>,
}

/// An operation of a piece of evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Which.
    pub id: OperationId,
    /// What it did, in a few words: `write 3`, `read 4`, `append x 1; read y [2 3]`.
    pub text: String,
    /// Whether it is the one that cannot be placed.
    pub offending: bool,
}

/// A reason for one operation to come before another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    /// The earlier.
    pub from: OperationId,
    /// The later.
    pub to: OperationId,
    /// `ww`, `wr`, `rw`, `process`, `realtime`.
    pub kind: &'static str,
    /// In words, with key and values: `2 read y as 1, which 5 overwrote with 7`.
    pub reason: String,
}

impl fmt::Display for Evidence {
    /// In lines; whatever a history holds, no control character of it comes out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", Line(&self.anomaly), Line(&self.sentence))?;
        for shown in &self.operations {
            let mark = if shown.offending { '>' } else { ' ' };
            writeln!(f, "  {mark} {}: {}", shown.id, Line(&shown.text))?;
        }
        for edge in &self.edges {
            writeln!(
                f,
                "    {} -> {} ({}): {}",
                edge.from,
                edge.to,
                edge.kind,
                Line(&edge.reason)
            )?;
        }
        Ok(())
    }
}
