//! What a failure says: what is wrong, the smallest case of it, and how to see it again.
//!
//! Everything is written to a folder below `target/simulation` as well: the history for
//! `trandb-check --model kv` or `rw-register`, a picture of it, the scenario, the trace.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use trandb_checker::{
    Evidence,
    history::{Event, Operations, write::Writer},
    picture::{Bar, Picture, Window},
};

use crate::{
    scenario::Scenario,
    seed::{self, Seed},
    world::Run,
};

/// Pieces of evidence that are printed; all of them are in the picture.
const EVIDENCE_MAX: usize = 3;

/// The folder of the smallest run, within that of the whole one.
const SMALLEST: &str = "smallest";

/// What is wrong with a run.
#[derive(Debug, Clone)]
pub struct Failure {
    /// What was run.
    pub scenario: Scenario,
    /// What is wrong. At least one piece, the most serious first.
    pub evidence: Vec<Evidence>,
    /// The history.
    pub events: Vec<Event>,
    /// The checker's model that judges it.
    pub model: &'static str,
    /// What happened.
    pub trace: String,
}

impl Failure {
    /// A failure of this run.
    pub fn new(run: &Run, evidence: Vec<Evidence>) -> Self {
        Self {
            scenario: run.scenario.clone(),
            evidence,
            events: run.history.events(),
            model: run.history.model(),
            trace: run.trace.clone(),
        }
    }

    /// The name of what is wrong.
    pub fn anomaly(&self) -> &str {
        self.evidence
            .first()
            .map_or("", |evidence| &evidence.anomaly)
    }

    /// Writes all that there is into `folder`.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    pub fn save(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        let mut writer = Writer::new(Vec::new());
        for event in &self.events {
            writer.event(event)?;
        }
        fs::write(folder.join("history.jsonl"), writer.finish()?)?;
        fs::write(folder.join("picture.html"), self.picture())?;
        fs::write(folder.join("trace.txt"), &self.trace)?;
        fs::write(folder.join("scenario.txt"), self.scenario.to_string())?;
        fs::write(
            folder.join("scenario.json"),
            serde_json::to_vec_pretty(&self.scenario)?,
        )
    }

    fn picture(&self) -> String {
        let events = self.events.iter().cloned().map(Ok);
        let operations: Vec<_> = Operations::new(events).filter_map(Result::ok).collect();
        let window = Window::around(&self.evidence, operations.len());
        let shown = operations
            .iter()
            .filter(|operation| window.contains(operation.id));
        let mut bars: Vec<Bar> = shown.map(Bar::from).collect();
        bars.sort_unstable_by_key(|bar| bar.id);
        Picture {
            name: &format!("{} {}", self.scenario.workload, self.scenario.seed),
            model: self.model,
            operations: operations.len(),
            evidence: &self.evidence,
            window: &window,
            bars: &bars,
        }
        .to_string()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for evidence in self.evidence.iter().take(EVIDENCE_MAX) {
            write!(f, "{evidence}")?;
        }
        match self.evidence.len().saturating_sub(EVIDENCE_MAX) {
            0 => Ok(()),
            more => writeln!(f, "and {more} more"),
        }
    }
}

/// A failure that a search over seeds found.
#[derive(Debug, Clone)]
pub struct Found {
    /// The test that searched, as its command names it.
    pub test: String,
    /// Seeds until then, this one included.
    pub tried: u64,
    /// The seed that shows it.
    pub seed: Seed,
    /// What is wrong with its run.
    pub failure: Failure,
    /// What is wrong with the smallest one that was found.
    pub smallest: Failure,
    /// Where all of it was saved, or why it was not.
    pub saved: Result<PathBuf, String>,
}

impl Found {
    /// What the `tried`th seed has shown, not saved yet.
    pub fn new(test: &str, tried: u64, failure: Failure, smallest: Option<Failure>) -> Self {
        Self {
            test: test.to_owned(),
            tried,
            seed: failure.scenario.seed,
            smallest: smallest.unwrap_or_else(|| failure.clone()),
            failure,
            saved: Err("not yet".to_owned()),
        }
    }

    /// The command that shows it again.
    pub fn command(&self) -> String {
        replay(&self.test, self.seed)
    }

    /// Writes both runs into a folder of their own.
    #[must_use]
    pub fn saved(self) -> Self {
        let simulation = target_folder().join("simulation");
        self.saved_below(&simulation)
    }

    /// Writes both runs into a folder of their own below `parent`.
    #[must_use]
    pub fn saved_below(mut self, parent: &Path) -> Self {
        let folder = parent.join(format!(
            "{}-{}",
            self.test.replace("::", "-").replace(' ', "-"),
            self.seed
        ));
        let saved = self.failure.save(&folder);
        let saved = saved.and_then(|()| self.smallest.save(&folder.join(SMALLEST)));
        self.saved = match saved {
            Ok(()) => Ok(folder),
            Err(error) => Err(format!("{}: {error}", folder.display())),
        };
        self
    }
}

/// The command that runs one seed of a test, and prints its trace. `test` is its path in the binary
/// `simulation`, or another binary and its path there, with a blank in between.
pub fn replay(test: &str, seed: Seed) -> String {
    if cfg!(simulation) {
        return format!("TRANDB_SEED={seed} just cluster-sim 1 {test}");
    }
    let (binary, test) = test.split_once(' ').unwrap_or(("simulation", test));
    // Some need Docker, and are ignored unless they are asked for.
    let ignored = match binary {
        "containers" => " --ignored",
        _ => "",
    };
    format!(
        "TRANDB_SEED={seed} cargo test -p trandb-integration-tests --test {binary} -- --exact \
         {test}{ignored} --nocapture"
    )
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seed, command) = (self.seed, self.command());
        writeln!(f, "found after {} seeds: seed {seed}", self.tried)?;
        writeln!(f, "to see it again: {command}\n")?;
        writeln!(f, "{}", self.smallest)?;
        writeln!(
            f,
            "The smallest scenario that shows it:\n{}",
            self.smallest.scenario
        )?;
        let commit = seed::commit();
        let commit = commit.as_deref().unwrap_or("unknown: git names none");
        writeln!(f, "seed {seed}, commit {commit}")?;
        writeln!(f, "to see it again: {command}")?;
        match &self.saved {
            Ok(folder) => {
                let scenario = folder.join(SMALLEST).join("scenario.json");
                let (folder, scenario) = (folder.display(), scenario.display());
                writeln!(
                    f,
                    "the smallest alone, instead of the seed: TRANDB_SCENARIO={scenario}"
                )?;
                writeln!(f, "history, picture, scenario and trace: {folder}")
            }
            Err(error) => writeln!(f, "nothing was saved: {error}"),
        }
    }
}

/// Where cargo builds.
fn target_folder() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    let deps = program.ancestors().find(|path| path.ends_with("deps"));
    // target/debug/deps
    let target = deps.and_then(|deps| deps.ancestors().nth(2));
    target.map_or_else(std::env::temp_dir, Path::to_owned)
}
