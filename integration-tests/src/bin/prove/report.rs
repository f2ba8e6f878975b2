//! What came of it all, as blocks that both pages show.

use std::{collections::BTreeSet, time::Duration};

use trandb_integration_tests::{counts::Counts, faults, report::Found, traffic};

use crate::page::Block;

/// Something that is wrong.
#[derive(Debug, Clone)]
pub(crate) struct Finding {
    /// The anomaly, or how a program failed.
    pub(crate) what: String,
    /// Why.
    pub(crate) reason: String,
    /// The command that shows it again.
    pub(crate) replay: String,
    /// Where the rest of it lies.
    pub(crate) saved: String,
}

impl Finding {
    /// What a search over seeds has found.
    pub(crate) fn of(found: &Found) -> Self {
        Self {
            what: found.smallest.anomaly().to_owned(),
            reason: format!("{}\n{}", found.smallest, found.smallest.scenario),
            replay: found.command(),
            saved: match &found.saved {
                Ok(folder) => folder.display().to_string(),
                Err(error) => format!("nothing: {error}"),
            },
        }
    }
}

/// What came of a layer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outcome {
    /// Why it was not run.
    pub(crate) not_run: Option<String>,
    pub(crate) findings: Vec<Finding>,
    /// How many, and from which on.
    pub(crate) seeds: String,
    pub(crate) counts: Counts,
    /// Histories.
    pub(crate) judged: Option<u64>,
    /// How many, and of what.
    pub(crate) executions: Option<(u64, String)>,
    pub(crate) took: Duration,
    /// What was built before took so long.
    pub(crate) built: Duration,
}

impl Outcome {
    pub(crate) fn not_run(reason: String) -> Self {
        Self {
            not_run: Some(reason),
            ..Self::default()
        }
    }

    fn verdict(&self) -> String {
        match (&self.not_run, self.findings.len()) {
            (Some(reason), _) => format!("not run: {reason}"),
            (None, 0) => "nothing found".to_owned(),
            (None, findings) => format!("FOUND {findings}"),
        }
    }
}

/// What came of all layers.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// The command that does the same again.
    pub(crate) again: String,
    /// Commit, machine, begin, end.
    pub(crate) circumstances: Vec<String>,
    /// Whether somebody has ended it before its time.
    pub(crate) stopped: bool,
    pub(crate) layers: Vec<(&'static str, Outcome)>,
}

impl Report {
    pub(crate) fn findings(&self) -> usize {
        self.layers
            .iter()
            .map(|(_, outcome)| outcome.findings.len())
            .sum()
    }

    /// In one line.
    pub(crate) fn headline(&self) -> String {
        let not_run = self
            .layers
            .iter()
            .filter(|(_, o)| o.not_run.is_some())
            .count();
        let found = match self.findings() {
            0 => "nothing found".to_owned(),
            findings => format!("FOUND {findings}"),
        };
        let layers = self.layers.len();
        let partly = match not_run {
            0 => String::new(),
            _ => format!(" ({not_run} of {layers} layers not run)"),
        };
        let stopped = if self.stopped {
            "; ENDED BEFORE ITS TIME"
        } else {
            ""
        };
        format!("{found}{partly}{stopped}")
    }

    /// All of it.
    pub(crate) fn blocks(&self) -> Vec<Block> {
        let mut blocks = vec![Block::Title(format!("TranDB proved: {}", self.headline()))];
        blocks.push(Block::Code(format!("again: {}", self.again)));
        blocks.extend(self.circumstances.iter().cloned().map(Block::Line));
        self.findings_in(&mut blocks);
        blocks.push(Block::Heading("Layers".to_owned()));
        blocks.push(self.table_of_layers());
        let what = self.layers.iter().filter_map(|(name, outcome)| {
            let (_, unit) = outcome.executions.as_ref()?;
            Some(format!("{name}: {unit}"))
        });
        let what: Vec<String> = what.collect();
        blocks.push(Block::Line(format!(
            "Executions are, of {}.",
            what.join("; of ")
        )));
        self.operations_in(&mut blocks);
        self.faults_in(&mut blocks);
        blocks
    }

    fn findings_in(&self, blocks: &mut Vec<Block>) {
        for (name, outcome) in &self.layers {
            for finding in &outcome.findings {
                blocks.push(Block::Heading(format!("Found by {name}")));
                blocks.push(Block::Loud(finding.what.clone()));
                blocks.push(Block::Code(finding.reason.clone()));
                blocks.push(Block::Line("To see it again:".to_owned()));
                blocks.push(Block::Code(finding.replay.clone()));
                blocks.push(Block::Line(format!("Saved: {}", finding.saved)));
            }
        }
    }

    fn table_of_layers(&self) -> Block {
        let dash = || "-".to_owned();
        let rows = self.layers.iter().map(|(name, outcome)| {
            let played = |number: u64| {
                if outcome.judged.is_some() {
                    number.to_string()
                } else {
                    dash()
                }
            };
            vec![
                (*name).to_owned(),
                outcome.verdict(),
                outcome.seeds.clone(),
                played(outcome.counts.runs),
                played(outcome.counts.operations()),
                outcome
                    .judged
                    .map_or_else(dash, |judged| judged.to_string()),
                outcome
                    .executions
                    .as_ref()
                    .map_or_else(dash, |(number, _)| number.to_string()),
                outcome.took.as_secs().to_string(),
                outcome.built.as_secs().to_string(),
            ]
        });
        let header = [
            "layer",
            "verdict",
            "seeds",
            "runs",
            "operations",
            "histories judged",
            "executions",
            "seconds",
            "building before",
        ];
        Block::table(&header, rows.collect())
    }

    /// Of those layers that play scenarios.
    fn counts(&self) -> Counts {
        let mut sum = Counts::default();
        for (_, outcome) in &self.layers {
            sum.merge(&outcome.counts);
        }
        sum
    }

    fn operations_in(&self, blocks: &mut Vec<Block>) {
        const OUTCOMES: [&str; 4] = ["ok", "failed", "refused", "unknown"];
        let counts = self.counts();
        let functions: BTreeSet<&str> = traffic::ALL
            .iter()
            .flat_map(|w| w.functions.iter().copied())
            .collect();
        let mut never = Vec::new();
        let rows = functions.iter().map(|function| {
            let counted = OUTCOMES.map(|outcome| {
                let name = format!("{function} {outcome}");
                let count = counts.operations.get(&name).copied();
                if count.is_none() && may_end(function, outcome) {
                    never.push(name);
                }
                count.map_or_else(|| "-".to_owned(), |count| count.to_string())
            });
            [(*function).to_owned()]
                .into_iter()
                .chain(counted)
                .collect()
        });
        let table = Block::table(
            &["operation", "ok", "failed", "refused", "unknown"],
            rows.collect(),
        );
        blocks.push(Block::Heading("Operations and their outcomes".to_owned()));
        blocks.extend(loud(&never));
        blocks.push(table);
    }

    fn faults_in(&self, blocks: &mut Vec<Block>) {
        let played = self
            .layers
            .iter()
            .filter(|(_, outcome)| outcome.judged.is_some());
        let played: Vec<_> = played.collect();
        let mut names: BTreeSet<&str> = faults::names().collect();
        let sum = self.counts();
        names.extend(sum.faults.keys().map(String::as_str));
        let never = names.iter().filter(|name| !sum.faults.contains_key(**name));
        let never: Vec<String> = never.map(|name| (*name).to_owned()).collect();
        let rows = names.iter().map(|name| {
            let counted = played.iter().map(|(_, outcome)| {
                let count = outcome.counts.faults.get(*name);
                count.map_or_else(|| "-".to_owned(), u64::to_string)
            });
            [(*name).to_owned()].into_iter().chain(counted).collect()
        });
        let mut header = vec!["fault"];
        header.extend(played.iter().map(|(name, _)| *name));
        let table = Block::table(&header, rows.collect());
        blocks.push(Block::Heading("Faults".to_owned()));
        blocks.extend(loud(&never));
        blocks.push(Block::Line(format!("{} runs had none.", sum.calm_runs)));
        blocks.push(table);
    }
}

/// Whether some run should have shown this: only writes have conditions, and only of a write that
/// got no answer is nothing known.
fn may_end(function: &str, outcome: &str) -> bool {
    match outcome {
        "refused" | "unknown" => ["put", "delete"].contains(&function),
        _ => true,
    }
}

fn loud(never: &[String]) -> Option<Block> {
    (!never.is_empty()).then(|| Block::Loud(format!("NEVER OCCURRED: {}", never.join(", "))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page;

    #[test]
    fn what_was_not_run_is_not_passed_and_what_never_occurred_is_loud() {
        let mut counts = Counts::default();
        counts.operations.insert("get ok".to_owned(), 41);
        counts.faults.insert("slow body".to_owned(), 42);
        let report = Report {
            layers: vec![
                (
                    "simulation",
                    Outcome {
                        counts,
                        judged: Some(1),
                        ..Outcome::default()
                    },
                ),
                ("fuzz", Outcome::not_run("no <tool>".to_owned())),
            ],
            ..Report::default()
        };
        assert_eq!(report.headline(), "nothing found (1 of 2 layers not run)");
        let text = page::text(&report.blocks());
        assert!(text.contains("not run: no <tool>"), "{text}");
        let never: Vec<&str> = text
            .lines()
            .filter(|line| line.contains("NEVER OCCURRED"))
            .collect();
        assert_eq!(never.len(), 2, "{text}");
        assert!(
            never[0].contains("delete unknown") && !never[0].contains("get ok"),
            "{text}"
        );
        assert!(!never[0].contains("list refused"), "{text}");
        assert!(
            never[1].contains("cut body") && !never[1].contains("slow body"),
            "{text}"
        );
    }
}
