//! The table of what was found. It is Markdown, so that it can stand in the documentation.

use std::{fmt, time::Duration};

use anyhow::ensure;
use comfy_table::{Table, presets::ASCII_MARKDOWN};

use crate::{bug::Bug, suite::Run};

/// What came of looking for all bugs.
#[derive(Debug, Default)]
pub(crate) struct Report<'a> {
    rows: Vec<Row<'a>>,
}

/// What came of looking for one bug.
#[derive(Debug)]
pub(crate) struct Row<'a> {
    /// Which.
    pub(crate) bug: &'a Bug,
    /// At least one; several with several seeds.
    pub(crate) runs: Vec<Run>,
    /// With the building.
    pub(crate) took: Duration,
}

impl Row<'_> {
    /// The first run that has not found it.
    fn missed(&self) -> Option<&Run> {
        self.runs.iter().find(|run| !self.is_found_by(run))
    }

    /// Where a bug has a bound in seeds, the suite must say after how many it has found it.
    fn is_found_by(&self, run: &Run) -> bool {
        match run {
            Run::Failed(seeds) => seeds.is_some() == self.bug.seeds.is_some(),
            Run::Passed | Run::Unusable(_) => false,
        }
    }

    /// Seeds until it was found: the median of all runs, and the most.
    fn seeds(&self) -> Option<(u32, u32)> {
        let mut seeds: Vec<u32> = self
            .runs
            .iter()
            .filter_map(|run| match run {
                Run::Failed(seeds) => *seeds,
                _ => None,
            })
            .collect();
        seeds.sort_unstable();
        let most = *seeds.last()?;
        Some((seeds[seeds.len() / 2], most))
    }

    /// In one line.
    pub(crate) fn line(&self) -> String {
        let seeds = self.seeds().map_or(String::new(), |(median, most)| {
            format!(", after {median} seeds (median; at most {most})")
        });
        let what = match self.missed() {
            None => "found",
            Some(Run::Passed) => "SURVIVED",
            Some(Run::Failed(_)) => "NOT SEEN BY SEEDS",
            Some(Run::Unusable(_)) => "NOT FOUND BY ITS TEST",
        };
        let took = self.took.as_secs_f64();
        format!("{}: {what}{seeds}, {took:.1} s", self.bug.name)
    }
}

impl<'a> Report<'a> {
    /// Adds a bug.
    pub(crate) fn add(&mut self, row: Row<'a>) {
        self.rows.push(row);
    }

    /// Fails unless every bug was found, and says how those that were not can be looked at.
    pub(crate) fn verdict(&self) -> anyhow::Result<()> {
        let missed: Vec<String> = self
            .rows
            .iter()
            .filter_map(|row| {
                let run = row.missed()?;
                Some(format!(
                    "{}: {}\n  {} {run}\n  To see it: git apply planted/bugs/{}.patch",
                    row.bug.name, row.bug.what, row.bug.suite, row.bug.name
                ))
            })
            .collect();
        ensure!(
            missed.is_empty(),
            "{} of {} bugs were not found:\n\n{}",
            missed.len(),
            self.rows.len(),
            missed.join("\n\n")
        );
        Ok(())
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_preset(ASCII_MARKDOWN).set_header([
            "bug",
            "found by",
            "found",
            "seeds: median",
            "most",
            "seconds",
        ]);
        for row in &self.rows {
            let (median, most) = row
                .seeds()
                .map_or((String::new(), String::new()), |(median, most)| {
                    (median.to_string(), most.to_string())
                });
            let found = match row.missed() {
                None => "yes",
                Some(_) => "NO",
            };
            table.add_row([
                row.bug.name.clone(),
                format!("{} {}", row.bug.suite.binary, row.bug.suite.test),
                found.to_owned(),
                median,
                most,
                format!("{:.1}", row.took.as_secs_f64()),
            ]);
        }
        write!(f, "{table}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_found(bug: &Bug, runs: Vec<Run>) -> bool {
        let mut report = Report::default();
        report.add(Row {
            bug,
            runs,
            took: Duration::ZERO,
        });
        report.verdict().is_ok()
    }

    #[test]
    fn a_bug_is_found_when_every_run_has_failed() {
        let bug = Bug::for_tests(Some(9));
        let failed = |seeds| Run::Failed(Some(seeds));
        assert!(is_found(&bug, vec![failed(3), failed(9), failed(1)]));
        assert!(!is_found(&bug, vec![failed(3), Run::Passed]));
        assert!(!is_found(&bug, vec![failed(3), Run::Failed(None)]));
        assert!(!is_found(&bug, vec![Run::Unusable("hangs".into())]));
    }

    #[test]
    fn a_test_without_seeds_need_not_name_any() {
        let bug = Bug::for_tests(None);
        assert!(is_found(&bug, vec![Run::Failed(None)]));
        assert!(!is_found(&bug, vec![Run::Passed]));
    }

    #[test]
    fn the_median_is_that_of_the_runs() {
        let bug = Bug::for_tests(Some(9));
        let runs = [3, 9, 1].map(|seeds| Run::Failed(Some(seeds))).into();
        let took = Duration::ZERO;
        let row = Row {
            bug: &bug,
            runs,
            took,
        };
        assert_eq!(row.seeds(), Some((3, 9)));
    }
}
