//! The arithmetic of a comparison: quartiles and the verdict. Tests: at the end of this file.

use serde::Serialize;

/// Quartiles further apart than this share of the median decide nothing.
pub const SPREAD_MAX: f64 = 0.10;

/// Median and quartiles of a set of measurements.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Quartiles {
    /// A quarter of the measurements lies below.
    pub lower: f64,
    /// Half of them.
    pub median: f64,
    /// Three quarters of them.
    pub upper: f64,
}

impl Quartiles {
    /// Of `samples`, linearly between neighbours; `None` when there are none.
    pub fn of(samples: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = samples.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let at = |quarter: usize| {
            let position = (sorted.len() - 1) * quarter;
            let below = sorted[position / 4];
            let above = sorted[(position / 4 + 1).min(sorted.len() - 1)];
            below + (above - below) * (position % 4) as f64 / 4.0
        };
        (!sorted.is_empty()).then(|| Self {
            lower: at(1),
            median: at(2),
            upper: at(3),
        })
    }

    /// A single figure that repeats exactly.
    pub fn exact(value: f64) -> Self {
        Self {
            lower: value,
            median: value,
            upper: value,
        }
    }

    /// The distance of the quartiles as a share of the median.
    pub fn spread(&self) -> f64 {
        (self.upper - self.lower) / self.median
    }
}

/// Where a measured figure has to lie.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// This or more.
    AtLeast(f64),
    /// This or less.
    AtMost(f64),
    /// Nothing is asked: the figure is for orientation.
    None,
}

/// What a comparison has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The goal is reached.
    Pass,
    /// The goal is missed.
    Fail,
    /// The quartiles lie too far apart: measure again on a quieter machine.
    Inconclusive,
    /// There is no goal.
    Information,
}

impl Goal {
    /// Judges the median, unless the spread forbids it.
    pub fn judge(self, figure: &Quartiles) -> Verdict {
        let is_reached = match self {
            Self::None => return Verdict::Information,
            Self::AtLeast(goal) => figure.median >= goal,
            Self::AtMost(goal) => figure.median <= goal,
        };
        let is_narrow = figure.spread() <= SPREAD_MAX;
        match (is_narrow, is_reached) {
            (false, _) => Verdict::Inconclusive,
            (true, true) => Verdict::Pass,
            (true, false) => Verdict::Fail,
        }
    }
}

impl std::fmt::Display for Goal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtLeast(goal) => write!(f, "≥ {goal}"),
            Self::AtMost(goal) => write!(f, "≤ {goal}"),
            Self::None => Ok(()),
        }
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Pass => "pass",
            Self::Fail => "FAIL",
            Self::Inconclusive => "inconclusive",
            Self::Information => "",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_lie_between_neighbours() {
        let of = |samples: &[f64]| Quartiles::of(samples.iter().copied());
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[3.0]), Some(Quartiles::exact(3.0)));
        let five = Quartiles {
            lower: 2.0,
            median: 3.0,
            upper: 4.0,
        };
        assert_eq!(of(&[5.0, 1.0, 4.0, 2.0, 3.0]), Some(five));
        let four = Quartiles {
            lower: 1.75,
            median: 2.5,
            upper: 3.25,
        };
        assert_eq!(of(&[4.0, 3.0, 2.0, 1.0]), Some(four));
    }

    #[test]
    fn the_verdict_follows_the_median_only_when_the_quartiles_are_close() {
        let figure = |lower, median, upper| Quartiles {
            lower,
            median,
            upper,
        };
        let goal = Goal::AtLeast(1.0);
        assert_eq!(goal.judge(&figure(0.98, 1.00, 1.03)), Verdict::Pass);
        assert_eq!(goal.judge(&figure(0.97, 0.99, 1.02)), Verdict::Fail);
        assert_eq!(goal.judge(&figure(1.95, 2.00, 2.15)), Verdict::Pass);
        assert_eq!(goal.judge(&figure(1.80, 2.00, 2.21)), Verdict::Inconclusive);
        assert_eq!(goal.judge(&figure(0.45, 0.50, 0.56)), Verdict::Inconclusive);
        let limit = Goal::AtMost(1.0);
        assert_eq!(limit.judge(&Quartiles::exact(1.0)), Verdict::Pass);
        assert_eq!(limit.judge(&Quartiles::exact(1.1)), Verdict::Fail);
        assert_eq!(
            Goal::None.judge(&figure(0.1, 1.0, 9.0)),
            Verdict::Information
        );
        let nothing = figure(f64::NAN, f64::NAN, f64::NAN);
        assert_eq!(goal.judge(&nothing), Verdict::Inconclusive);
    }
}
