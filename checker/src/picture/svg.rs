//! Time lines as SVG: a box for each operation, an arrow for each reason.

use std::{collections::BTreeMap, fmt};

use super::{
    Bar,
    layout::{LABEL_MAX, LEFT, Layout, Placed},
};
use crate::{
    escape::Html,
    evidence::{Edge, Evidence, Shown},
    history::{OperationId, Outcome},
};

const LANE: f64 = 46.0;
const BOX: f64 = 24.0;
const TOP: f64 = 48.0;
/// How far an arrow within a time line rises.
const BEND_MAX: f64 = 42.0;
/// Characters of what is shown when the pointer rests on something.
const TOOLTIP_MAX: usize = 300;

/// The time lines of one piece of evidence.
pub(super) struct Timeline<'a> {
    bars: &'a [Bar],
    evidence: &'a Evidence,
    shown: BTreeMap<OperationId, &'a Shown>,
    layout: Layout,
}

impl<'a> Timeline<'a> {
    pub(super) fn new(bars: &'a [Bar], evidence: &'a Evidence) -> Self {
        let shown = evidence
            .operations
            .iter()
            .map(|shown| (shown.id, shown))
            .collect();
        Self {
            bars,
            evidence,
            shown,
            layout: Layout::new(bars),
        }
    }

    fn lanes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (lane, process) in self.layout.lanes.iter().enumerate() {
            let y = middle(lane);
            write!(
                f,
                "<line class=\"lane\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{y}\" y2=\"{y}\"/>\
                 <text class=\"name\" x=\"10\" y=\"{:.1}\">process {process}</text>",
                self.layout.width,
                y + 4.0
            )?;
        }
        let bottom = middle(self.layout.lanes.len()) - LANE / 2.0;
        for (x, missing) in &self.layout.gaps {
            write!(
                f,
                "<line class=\"gap\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"18\" y2=\"{bottom}\"/>\
                 <text class=\"gap-text\" x=\"{x:.1}\" y=\"13\" text-anchor=\"middle\">{missing} \
                 more</text>"
            )?;
        }
        Ok(())
    }

    fn bar(&self, bar: &Bar, placed: Placed, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let class = match self.shown.get(&bar.id) {
            Some(shown) if shown.offending => "offending",
            Some(_) => "evidence",
            None => "other",
        };
        let outcome = match bar.outcome {
            Outcome::Ok => "",
            Outcome::Failed => " failed",
            Outcome::Unknown => " unknown",
        };
        let words = match bar.outcome {
            Outcome::Ok => "",
            Outcome::Failed => " (did not happen)",
            Outcome::Unknown => " (outcome unknown)",
        };
        write!(
            f,
            "<g class=\"{outcome}\"><title>{} line {}: {}{words}</title>\
             <rect class=\"{class}{outcome}\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" \
             height=\"{BOX}\" rx=\"4\"/><text x=\"{:.1}\" y=\"{:.1}\">{}</text></g>",
            bar.id,
            bar.line,
            Html(&bar.text, TOOLTIP_MAX),
            placed.left,
            middle(placed.lane) - BOX / 2.0,
            placed.right - placed.left,
            placed.left + 8.0,
            middle(placed.lane) + 4.0,
            Html(&bar.text, LABEL_MAX),
        )
    }

    /// An arrow between two boxes. Within one time line it goes round above it.
    fn edge(&self, edge: &Edge, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let placed = &self.layout.placed;
        let (Some(from), Some(to)) = (placed.get(&edge.from), placed.get(&edge.to)) else {
            return Ok(());
        };
        // What arrives and what leaves stand beside each other.
        let (x1, x2) = (center(from) + 8.0, center(to) - 8.0);
        let towards = |lane: usize, other: usize| if other > lane { 1.0 } else { -1.0 };
        let (out, into) = (towards(from.lane, to.lane), towards(to.lane, from.lane));
        let y1 = middle(from.lane) + out * BOX / 2.0;
        let y2 = middle(to.lane) + into * BOX / 2.0;
        let bend = if from.lane == to.lane {
            (16.0 + (x2 - x1).abs() / 16.0).min(BEND_MAX)
        } else {
            (y2 - y1).abs() / 2.0
        };
        let (bend1, bend2) = (y1 + out * bend, y2 + into * bend);
        let kind = Html(edge.kind, TOOLTIP_MAX);
        write!(
            f,
            "<g><title>{}</title><path class=\"{kind}\" marker-end=\"url(#arrow)\" \
             d=\"M{x1:.1} {y1:.1} C{x1:.1} {bend1:.1} {x2:.1} {bend2:.1} {x2:.1} {y2:.1}\"/>",
            Html(&edge.reason, TOOLTIP_MAX),
        )?;
        // That time passes needs no words.
        if !matches!(edge.kind, "realtime" | "process") {
            let (x, y) = (
                f64::midpoint(x1, x2),
                (y1 + 3.0 * (bend1 + bend2) + y2) / 8.0 + 4.0,
            );
            write!(
                f,
                "<text class=\"label {kind}\" x=\"{x:.1}\" y=\"{y:.1}\" \
                 text-anchor=\"middle\">{kind}</text>"
            )?;
        }
        f.write_str("</g>")
    }
}

impl fmt::Display for Timeline<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.layout.width;
        let height = middle(self.layout.lanes.len()) - LANE / 2.0 + 10.0;
        write!(
            f,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
             viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\"><defs><marker id=\"arrow\" \
             viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" \
             orient=\"auto\"><path d=\"M0 0L8 4L0 8z\"/></marker></defs>"
        )?;
        self.lanes(f)?;
        for bar in self.bars {
            if let Some(placed) = self.layout.placed.get(&bar.id) {
                self.bar(bar, *placed, f)?;
            }
        }
        for edge in &self.evidence.edges {
            self.edge(edge, f)?;
        }
        f.write_str("</svg>")
    }
}

fn middle(lane: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a few hundred lanes")]
    let lane = lane as f64;
    TOP + LANE / 2.0 + lane * LANE
}

fn center(placed: &Placed) -> f64 {
    f64::midpoint(placed.left, placed.right)
}
