//! A picture of an illegal history: one HTML file that needs nothing else, no network, no script.
//!
//! For each piece of evidence: what is wrong, the operations and the reasons as a table, and time
//! lines, one for each process, in which the operations of the evidence are marked and the reasons
//! are arrows. Of a long history only a [`Window`] around the evidence is drawn, and said so.
//!
//! What is not here: where operations come from, and files.
//!
//! Tests: `tests/it/picture.rs`.

mod layout;
mod svg;

use std::{
    fmt::{self, Write as _},
    ops::RangeInclusive,
};

use crate::{
    escape::Html,
    evidence::{Evidence, Shown},
    history::{Completed, Interval, OperationId, Outcome},
};

/// Operations in the picture of one piece of evidence, about.
const OPERATIONS_MAX: usize = 120;
/// Operations that are drawn before and after each of the evidence, at most.
const BESIDE_MAX: usize = 8;
/// Pieces of evidence that are drawn.
const EVIDENCE_MAX: usize = 8;
/// Characters of an operation's text in a table.
const CHARACTERS_MAX: usize = 400;

/// An operation to be drawn.
#[derive(Debug, Clone)]
pub struct Bar {
    /// Which.
    pub id: OperationId,
    /// On whose time line.
    pub process: i64,
    /// From where to where; none where no times are known, which leaves the order of the process.
    pub interval: Option<Interval>,
    /// What became of it.
    pub outcome: Outcome,
    /// What it did, in a few words.
    pub text: String,
    /// Where it is called.
    pub line: u64,
}

impl From<&Completed> for Bar {
    fn from(completed: &Completed) -> Self {
        Self {
            id: completed.id,
            process: completed.process,
            interval: completed.interval,
            outcome: completed.outcome,
            text: completed.to_string(),
            line: completed.call.line,
        }
    }
}

/// Which operations of a history are drawn.
#[derive(Debug, Clone)]
pub struct Window {
    pieces: Vec<Vec<RangeInclusive<usize>>>,
}

impl Window {
    /// Around the evidence in a history of so many operations: all, if they are few.
    pub fn around(evidence: &[Evidence], operations: usize) -> Self {
        let pieces = evidence.iter().take(EVIDENCE_MAX).map(|evidence| {
            if operations <= OPERATIONS_MAX {
                return vec![0..=operations];
            }
            let shown = evidence.operations.len().max(1);
            let beside = (OPERATIONS_MAX / shown / 6).clamp(2, BESIDE_MAX);
            let ids = evidence
                .operations
                .iter()
                .take(OPERATIONS_MAX)
                .map(|shown| shown.id.0);
            ids.map(|id| id.saturating_sub(beside)..=id.saturating_add(beside))
                .collect()
        });
        Self {
            pieces: pieces.collect(),
        }
    }

    /// Whether the operation is drawn anywhere.
    pub fn contains(&self, id: OperationId) -> bool {
        (0..self.pieces.len()).any(|piece| self.piece_contains(piece, id))
    }

    fn piece_contains(&self, piece: usize, id: OperationId) -> bool {
        self.pieces[piece].iter().any(|range| range.contains(&id.0))
    }
}

/// What is drawn.
#[derive(Debug, Clone, Copy)]
pub struct Picture<'a> {
    /// The history's name.
    pub name: &'a str,
    /// The model and the like, in a few words.
    pub model: &'a str,
    /// Of the whole history.
    pub operations: usize,
    /// What is wrong with it.
    pub evidence: &'a [Evidence],
    /// Around the evidence.
    pub window: &'a Window,
    /// The operations in the window.
    pub bars: &'a [Bar],
}

impl fmt::Display for Picture<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Html(self.name, CHARACTERS_MAX);
        write!(
            f,
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n\
             <title>{name}: illegal</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
             <header><span class=\"verdict\">illegal</span><h1>{name}</h1>\
             <p>{}, {} operations</p></header>\n{LEGEND}",
            Html(self.model, CHARACTERS_MAX),
            self.operations
        )?;
        for (piece, evidence) in self.evidence.iter().take(EVIDENCE_MAX).enumerate() {
            self.section(piece, evidence, f)?;
        }
        if self.evidence.len() > EVIDENCE_MAX {
            let more = self.evidence.len() - EVIDENCE_MAX;
            writeln!(f, "<p>{more} more pieces of evidence are not drawn.</p>")?;
        }
        f.write_str("</body>\n</html>\n")
    }
}

impl Picture<'_> {
    fn section(
        &self,
        piece: usize,
        evidence: &Evidence,
        f: &mut fmt::Formatter<'_>,
    ) -> fmt::Result {
        let drawn = self
            .bars
            .iter()
            .filter(|bar| self.window.piece_contains(piece, bar.id));
        let mut drawn: Vec<Bar> = drawn.cloned().collect();
        for bar in &mut drawn {
            let shown = evidence.operations.iter().find(|shown| shown.id == bar.id);
            if let Some(shown) = shown {
                bar.text.clone_from(&shown.text);
            }
        }
        writeln!(
            f,
            "<section>\n<h2>{}</h2>\n<p>{}</p>",
            Html(&evidence.anomaly, CHARACTERS_MAX),
            Html(&evidence.sentence, CHARACTERS_MAX)
        )?;
        self.table(evidence, f)?;
        if drawn.len() < self.operations {
            writeln!(
                f,
                "<p class=\"note\">Drawn are {} of {} operations: those nearest to the evidence.\
                 </p>",
                drawn.len(),
                self.operations
            )?;
        }
        writeln!(
            f,
            "<figure>{}</figure>\n</section>",
            svg::Timeline::new(&drawn, evidence)
        )
    }

    fn table(&self, evidence: &Evidence, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "<table>\n<tr><th>operation</th><th>process</th><th>line</th><th></th></tr>\n",
        )?;
        for shown in &evidence.operations {
            self.row(shown, f)?;
        }
        f.write_str("</table>\n")?;
        if evidence.edges.is_empty() {
            return Ok(());
        }
        f.write_str("<ol class=\"edges\">\n")?;
        for edge in &evidence.edges {
            writeln!(
                f,
                "<li>{} → {} <b class=\"{kind}\">{kind}</b> {}</li>",
                edge.from,
                edge.to,
                Html(&edge.reason, CHARACTERS_MAX),
                kind = Html(edge.kind, CHARACTERS_MAX),
            )?;
        }
        f.write_str("</ol>\n")
    }

    fn row(&self, shown: &Shown, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let class = if shown.offending {
            " class=\"offending\""
        } else {
            ""
        };
        let bar = self.bars.iter().find(|bar| bar.id == shown.id);
        let mut place = String::from("<td></td><td></td>");
        if let Some(bar) = bar {
            place.clear();
            write!(place, "<td>{}</td><td>{}</td>", bar.process, bar.line)?;
        }
        let text = Html(&shown.text, CHARACTERS_MAX);
        writeln!(
            f,
            "<tr{class}><td>{}</td>{place}<td><code>{text}</code></td></tr>",
            shown.id
        )
    }
}

const LEGEND: &str = "\
<p class=\"legend\"><span class=\"key offending\">cannot be placed</span>\
<span class=\"key evidence\">evidence</span><span class=\"key other\">other</span>\
<span class=\"key unknown\">outcome unknown, open for ever</span>\
<span class=\"key failed\">did not happen</span></p>
";

const STYLE: &str = include_str!("style.css");
