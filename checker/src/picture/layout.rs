//! Where each operation of a picture stands.
//!
//! Time is drawn by order, not to scale: each call and each return is right of the one before it,
//! and far enough for every operation's text to fit. Without times each time line is for itself.

use std::collections::{BTreeMap, BTreeSet};

use super::Bar;
use crate::history::{Interval, OperationId};

/// Between two neighbouring calls or returns.
const STEP: f64 = 11.0;
/// Of a character of 12 px monospace.
const CHARACTER: f64 = 7.3;
/// Left and right of a text in its box.
const PADDING: f64 = 8.0;
/// In front of the operations, for the processes' names.
pub(super) const LEFT: f64 = 96.0;
/// For a place where operations are left out.
const GAP: f64 = 44.0;
/// Characters of an operation's text in its box.
pub(super) const LABEL_MAX: usize = 26;

/// Where an operation's box begins and ends, and on which time line it lies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Placed {
    pub(super) left: f64,
    pub(super) right: f64,
    pub(super) lane: usize,
}

/// All of a picture.
#[derive(Debug, Default)]
pub(super) struct Layout {
    pub(super) placed: BTreeMap<OperationId, Placed>,
    /// The processes, from above, in the order of their first calls.
    pub(super) lanes: Vec<i64>,
    pub(super) width: f64,
    /// Where operations are left out, and how many.
    pub(super) gaps: Vec<(f64, usize)>,
}

impl Layout {
    pub(super) fn new(bars: &[Bar]) -> Self {
        let mut layout = Self::default();
        for bar in bars {
            if !layout.lanes.contains(&bar.process) {
                layout.lanes.push(bar.process);
            }
        }
        if bars.iter().all(|bar| bar.interval.is_some()) {
            layout.by_time(bars);
        } else {
            layout.by_process(bars);
        }
        layout
    }

    fn by_time(&mut self, bars: &[Bar]) {
        let mut ticks: Vec<(u64, usize, bool)> = Vec::new();
        for (index, bar) in bars.iter().enumerate() {
            if let Some(interval) = bar.interval {
                ticks.push((interval.call, index, true));
                if interval.ret != Interval::NEVER {
                    ticks.push((interval.ret, index, false));
                }
            }
        }
        ticks.sort_unstable();
        let mut x = LEFT;
        let mut called: Option<OperationId> = None;
        let mut left = vec![0.0; bars.len()];
        let mut open: BTreeSet<usize> = BTreeSet::new();
        for (_, index, is_call) in ticks {
            let bar = &bars[index];
            x += STEP;
            if is_call {
                let missing = called.map_or(0, |last| bar.id.0.saturating_sub(last.0 + 1));
                if missing > 0 {
                    self.gaps.push((x + GAP / 2.0, missing));
                    x += GAP;
                }
                called = called.max(Some(bar.id));
                left[index] = x;
                open.insert(index);
            } else {
                x = x.max(left[index] + width(bar));
                open.remove(&index);
                self.place(bar, left[index], x);
            }
        }
        let end = open
            .iter()
            .map(|&index| left[index] + width(&bars[index]))
            .fold(x, f64::max);
        for index in open {
            self.place(&bars[index], left[index], end + STEP);
        }
        self.width = end + 4.0 * STEP;
    }

    fn by_process(&mut self, bars: &[Bar]) {
        let mut ends = vec![(LEFT, None::<OperationId>); self.lanes.len()];
        for bar in bars {
            let lane = self.lane(bar);
            let (end, last) = ends[lane];
            let left = end + 2.0 * STEP;
            let right = left + width(bar);
            self.place(bar, left, right);
            ends[lane] = (right, last.max(Some(bar.id)));
        }
        self.width = ends.iter().map(|(end, _)| *end).fold(LEFT, f64::max) + 4.0 * STEP;
    }

    fn place(&mut self, bar: &Bar, left: f64, right: f64) {
        let lane = self.lane(bar);
        self.placed.insert(bar.id, Placed { left, right, lane });
    }

    fn lane(&self, bar: &Bar) -> usize {
        let lane = self
            .lanes
            .iter()
            .position(|&process| process == bar.process);
        lane.unwrap_or_default()
    }
}

/// Of a box that holds the operation's text.
fn width(bar: &Bar) -> f64 {
    let characters = bar.text.chars().count().min(LABEL_MAX + 1);
    #[expect(clippy::cast_precision_loss, reason = "at most 27")]
    let text = characters as f64 * CHARACTER;
    text + 2.0 * PADDING
}
