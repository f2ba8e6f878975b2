//! The final tables, in Markdown so that they can stand in the documentation as printed, and the
//! same as JSON. Tests: at the end of this file.

use comfy_table::{Table, presets::ASCII_MARKDOWN};
use serde::Serialize;

use crate::{
    compare::{Row, Settings, Window},
    load::Outcome,
    stats::Verdict,
};

/// All that a run has measured.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The method's numbers.
    pub settings: Settings,
    /// Length of a window in milliseconds.
    pub window_ms: u64,
    /// Whether server and generator had a core each.
    pub pinned: bool,
    /// The measurements.
    pub rows: Vec<Row>,
    /// What could not be measured, and why.
    pub absent: Vec<String>,
}

impl Report {
    /// An empty report.
    pub fn new(settings: Settings) -> Self {
        Self {
            window_ms: u64::try_from(settings.window.as_millis()).unwrap_or(u64::MAX),
            settings,
            pinned: crate::process::has_two_cores(),
            rows: Vec::new(),
            absent: Vec::new(),
        }
    }

    /// Adds a row, and tells on stderr that it is there.
    pub fn add(&mut self, row: Row) {
        eprintln!(
            "{}: {} {}",
            row.name,
            figure(row.figure.median),
            row.verdict
        );
        self.rows.push(row);
    }

    /// Notes what could not be measured.
    pub fn miss(&mut self, what: String) {
        eprintln!("{what}");
        self.absent.push(what);
    }

    /// Whether no goal was missed. Inconclusive is not missed.
    pub fn has_passed(&self) -> bool {
        self.rows.iter().all(|row| row.verdict != Verdict::Fail)
    }

    /// The table, and what the reader has to know beside it.
    pub fn to_text(&self) -> String {
        let mut table = Table::new();
        table.load_preset(ASCII_MARKDOWN).set_header([
            "measured",
            "goal",
            "median",
            "quartiles",
            "verdict",
            "requests/s",
            "CPU µs/request",
            "p50 µs",
            "p99 µs",
            "p99.9 µs",
            "generator busy",
        ]);
        for row in &self.rows {
            table.add_row([
                row.name.clone(),
                row.goal.to_string(),
                figure(row.figure.median),
                format!(
                    "{} – {}",
                    figure(row.figure.lower),
                    figure(row.figure.upper)
                ),
                row.verdict.to_string(),
                pair(row, |w| format!("{:.0}", w.per_second)),
                pair(row, |w| format!("{:.2}", w.cpu_us)),
                pair(row, |w| format!("{:.0}", w.p50_us)),
                pair(row, |w| format!("{:.0}", w.p99_us)),
                pair(row, |w| format!("{:.0}", w.p999_us)),
                pair(row, |w| format!("{:.0} %", w.generator_share * 100.0)),
            ]);
        }
        format!("{table}\n{}", self.remarks())
    }

    fn remarks(&self) -> String {
        let settings = &self.settings;
        let mut lines = vec![format!(
            "\n{} connections, {} keys, {}-byte values, {} pairs of windows of {} ms; \
             figures before and after the slash: what is measured and what it is compared with.",
            settings.connections,
            settings.keys,
            settings.value_size,
            settings.pairs,
            self.window_ms
        )];
        let windows = self
            .rows
            .iter()
            .flat_map(|row| [&row.ours, &row.peer])
            .flatten();
        if let Some(others) = windows.map(|window| window.others).reduce(f64::max) {
            lines.push(format!(
                "Other processes used up to {others:.2} cores meanwhile."
            ));
        }
        if !self.pinned {
            lines.push("One core only: nothing is pinned, the figures say little.".to_owned());
        }
        let notes = self
            .rows
            .iter()
            .filter_map(|row| Some((&row.name, row.note.as_ref()?)));
        lines.extend(notes.map(|(name, note)| format!("{name}: {note}.")));
        lines.extend(
            self.absent
                .iter()
                .map(|absent| format!("Not measured: {absent}")),
        );
        lines.join("\n")
    }
}

/// Our figure and the peer's.
fn pair(row: &Row, of: impl Fn(&Window) -> String) -> String {
    let sides: Vec<String> = [&row.ours, &row.peer]
        .into_iter()
        .flatten()
        .map(of)
        .collect();
    sides.join(" / ")
}

/// Three significant digits for ratios, none behind the point for large figures.
fn figure(value: f64) -> String {
    match value {
        0.0..10.0 => format!("{value:.3}"),
        10.0..1000.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// The latencies of a single load, in microseconds.
#[derive(Debug, Serialize)]
pub struct LoadReport {
    /// Right answers.
    pub answers: u64,
    /// Wrong answers.
    pub wrong: u64,
    /// The first wrong answer.
    pub first_wrong: Option<String>,
    /// Open loop: requests that no connection was free for before the end.
    pub unsent: u64,
    /// Seconds from the first request to the last answer.
    pub seconds: f64,
    /// Right answers per second.
    pub per_second: f64,
    /// Share of one core that the generator used.
    pub generator_share: f64,
    /// Latency in microseconds at each of [`QUANTILES`], and the largest.
    pub latency_us: Vec<(String, f64)>,
}

/// The shares of requests whose latency is reported.
pub const QUANTILES: [f64; 5] = [0.5, 0.9, 0.99, 0.999, 0.9999];

impl From<&Outcome> for LoadReport {
    fn from(outcome: &Outcome) -> Self {
        let us = |nanoseconds: u64| nanoseconds as f64 / 1e3;
        let mut latency_us: Vec<(String, f64)> = QUANTILES
            .iter()
            .map(|&quantile| {
                let name = format!("p{}", (quantile * 1e6).round() / 1e4);
                (name, us(outcome.latency.value_at_quantile(quantile)))
            })
            .collect();
        latency_us.push(("max".to_owned(), us(outcome.latency.max())));
        Self {
            answers: outcome.answers,
            wrong: outcome.wrong,
            first_wrong: outcome.first_wrong.clone(),
            unsent: outcome.unsent,
            seconds: outcome.elapsed.as_secs_f64(),
            per_second: outcome.per_second(),
            generator_share: outcome.generator_share(),
            latency_us,
        }
    }
}

impl LoadReport {
    /// A table for people.
    pub fn to_text(&self) -> String {
        let mut table = Table::new();
        table
            .load_preset(ASCII_MARKDOWN)
            .set_header(["latency", "µs"]);
        for (name, us) in &self.latency_us {
            table.add_row([name.clone(), format!("{us:.1}")]);
        }
        let wrong = self.first_wrong.as_ref().map_or_else(String::new, |first| {
            format!("\n{} WRONG ANSWERS, the first: {first}", self.wrong)
        });
        format!(
            "{} right answers in {:.2} s: {:.0} per second; {} due and never sent; \
             the generator used {:.0} % of a core\n{table}{wrong}",
            self.answers,
            self.seconds,
            self.per_second,
            self.unsent,
            self.generator_share * 100.0,
        )
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hdrhistogram::Histogram;

    use super::*;
    use crate::stats::{Goal, Quartiles};

    fn report(median: f64) -> Report {
        let window = Duration::from_secs(1);
        let settings = Settings {
            pairs: 8,
            window,
            connections: 32,
            keys: 10_000,
            value_size: 128,
            only: None,
        };
        let mut report = Report::new(settings);
        let figure = Quartiles::exact(median);
        report.add(Row::figure(
            "GET vs x",
            Goal::AtLeast(0.95),
            figure,
            Some("why".to_owned()),
        ));
        report
    }

    #[test]
    fn a_missed_goal_fails_the_report_and_is_visible() {
        assert!(report(0.96).has_passed());
        assert!(!report(0.94).has_passed());
        let mut report = report(0.94);
        report.miss("Redis: install redis-server".to_owned());
        let text = report.to_text();
        for part in [
            "| GET vs x ",
            "≥ 0.95",
            "0.940",
            "FAIL",
            "GET vs x: why.",
            "redis-server",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn a_load_report_shows_its_quantiles_and_wrong_answers() {
        let mut latency = Histogram::new_with_bounds(1, 1_000_000, 3).unwrap();
        for us in 1..=100 {
            latency.record(us * 1_000).unwrap();
        }
        let outcome = Outcome {
            answers: 100,
            wrong: 1,
            put_off: 0,
            first_wrong: Some("Get of key 3: refused: 404".to_owned()),
            unsent: 0,
            elapsed: Duration::from_secs(2),
            latency,
            generator_cpu: Duration::from_secs(1),
        };
        let report = LoadReport::from(&outcome);
        let names: Vec<&str> = report
            .latency_us
            .iter()
            .map(|(name, _)| &name[..])
            .collect();
        assert_eq!(names, ["p50", "p90", "p99", "p99.9", "p99.99", "max"]);
        assert!((report.latency_us[0].1 - 50.0).abs() < 0.1, "{report:?}");
        let text = report.to_text();
        assert!(
            text.contains("50 per second") && text.contains("1 WRONG ANSWERS"),
            "{text}"
        );
    }
}
