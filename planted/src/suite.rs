//! Building and running one test of the copy.

use std::{
    fmt, fs,
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Command, ExitStatus, Stdio},
    time::Duration,
};

use anyhow::Context as _;
use cargo_metadata::Message;
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use wait_timeout::ChildExt as _;

use crate::{
    bug::{LIBRARY, Suite},
    tree::{self, Tree},
};

/// How long a test may take: a bug that makes it hang is not found by that.
const TIME_MAX: Duration = Duration::from_mins(2);

/// The same in a simulated network, where a run takes a second.
const NETWORK_TIME_MAX: Duration = Duration::from_mins(6);

/// The test binaries that start the server's own, which must stand beside them.
const START_THE_SERVER: &[&str] = &["client", "contract", "faults", "traps"];

/// What a test that draws its runs from a seed is told by its environment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seeds {
    base: u64,
    runs: Option<u32>,
}

impl Seeds {
    /// `repeats` times that many runs, each time from another seed; once for a test without seeds.
    pub(crate) fn of(runs: Option<u32>, repeats: u32) -> impl Iterator<Item = Self> {
        let repeats = if runs.is_some() { repeats } else { 1 };
        (1..=repeats).map(move |base| Self {
            base: base.into(),
            runs,
        })
    }
}

/// What came of running a test.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Run {
    /// It has passed.
    Passed,
    /// It has failed, after this many seeds if it knows seeds.
    Failed(Option<u32>),
    /// Neither.
    Unusable(String),
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed => f.write_str("has passed"),
            Self::Failed(None) => f.write_str("has failed"),
            Self::Failed(Some(seeds)) => write!(f, "has failed after {seeds} seeds"),
            Self::Unusable(why) => f.write_str(why),
        }
    }
}

/// A test binary.
#[derive(Debug)]
pub(crate) struct Built {
    executable: PathBuf,
    package: PathBuf,
    log: PathBuf,
}

impl Suite {
    /// What cargo is told to build it. With the whole workspace, its dependencies are built as they
    /// are for everybody, and need not be built again.
    fn build(&self) -> Vec<&str> {
        if self.binary == LIBRARY {
            return vec!["test", "--no-run", "--package", &self.package, "--lib"];
        }
        if self.is_in_a_simulated_network() {
            return vec!["build", "--package", &self.package, "--test", &self.binary];
        }
        let mut build = vec!["build", "--workspace", "--test", &self.binary];
        if START_THE_SERVER.contains(&self.binary.as_str()) {
            build.extend(["--bin", "trandb-server"]);
        }
        build
    }
}

impl Built {
    /// Builds the test's binary, and nothing that it does not need. The inner error is the
    /// compiler's.
    pub(crate) fn new(tree: &Tree, suite: &Suite) -> anyhow::Result<Result<Self, String>> {
        // By its name: rustup's stand-in tells those that it starts which toolchain it is. Without it
        // a dependency that has a toolchain file in its own folder would be built by that one.
        let mut command = Command::new("cargo");
        command
            .current_dir(tree.folder())
            .args(suite.build())
            .args(["--locked", "--message-format=json-render-diagnostics"])
            .env("CARGO_TARGET_DIR", tree::programs())
            .stderr(Stdio::piped());
        if suite.is_in_a_simulated_network() {
            // As `just cluster-sim` builds it, and where.
            command
                .env("RUSTFLAGS", "--cfg tokio_unstable --cfg simulation")
                .env("CARGO_PROFILE_DEV_OPT_LEVEL", "1")
                .env("CARGO_BUILD_BUILD_DIR", tree::target().join("simulation"));
        } else {
            command.env("CARGO_BUILD_BUILD_DIR", tree::target());
        }
        let output = command.output().context("cargo cannot be started")?;
        if !output.status.success() {
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            return Ok(Err(error));
        }
        for message in Message::parse_stream(&output.stdout[..]) {
            if let Message::CompilerArtifact(artifact) = message?
                && artifact.profile.test
                && let Some(executable) = artifact.executable
                && let Some(package) = artifact.manifest_path.parent()
                && suite.package.strip_prefix("trandb-") == package.file_name()
            {
                // Where a test looks for the server's binary.
                let beside = tree::programs().join("debug/deps");
                fs::create_dir_all(&beside)?;
                let beside = beside.join(&suite.binary);
                fs::copy(executable, &beside)?;
                return Ok(Ok(Self {
                    executable: beside,
                    package: package.into(),
                    log: tree::programs().join("output.txt"),
                }));
            }
        }
        anyhow::bail!("cargo has built nothing for {suite}")
    }

    /// Runs the test.
    pub(crate) fn run(&self, suite: &Suite, seeds: Seeds) -> anyhow::Result<Run> {
        let log = fs::File::create(&self.log)?;
        let mut command = Command::new(&self.executable);
        command
            .args(["--exact", &suite.test])
            .current_dir(&self.package)
            .env("CARGO_MANIFEST_DIR", &self.package)
            .env("INSTA_UPDATE", "no")
            .env("RUST_BACKTRACE", "0")
            // Otherwise drawn anew each time.
            .env("PROPTEST_RNG_SEED", seeds.base.to_string())
            .env("TRANDB_SEED", seeds.base.to_string())
            // Nobody reads the smallest failing run.
            .env("TRANDB_SHRINK", "no")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // With whatever the test starts.
            .process_group(0);
        if let Some(runs) = seeds.runs {
            command.env("TRANDB_SEEDS", runs.to_string());
        }
        let mut child = command.spawn()?;
        let time_max = if suite.is_in_a_simulated_network() {
            NETWORK_TIME_MAX
        } else {
            TIME_MAX
        };
        let status = child.wait_timeout(time_max)?;
        let group = Pid::from_raw(i32::try_from(child.id())?);
        // Nobody is left in it where the test has ended as it should.
        let _ = killpg(group, Signal::SIGKILL);
        child.wait()?;
        let output = fs::read(&self.log)?;
        Ok(judge(status, time_max, &String::from_utf8_lossy(&output)))
    }
}

/// What came of a test that ended like this and has written this; none: it did not end.
fn judge(status: Option<ExitStatus>, time_max: Duration, output: &str) -> Run {
    let Some(status) = status else {
        return Run::Unusable(format!("has not ended within {time_max:?}"));
    };
    let result = output
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("test result: "))
        .unwrap_or_default();
    if result.starts_with("ok. 1 passed; 0 failed") && status.success() {
        Run::Passed
    } else if result.starts_with("FAILED. 0 passed; 1 failed") {
        Run::Failed(seeds_until_found(output))
    } else if result.contains("0 passed; 0 failed") {
        Run::Unusable("is ignored, or there is no such test".into())
    } else {
        Run::Unusable(format!("has crashed ({status}):\n{output}"))
    }
}

/// The number in `found after N seeds`.
fn seeds_until_found(output: &str) -> Option<u32> {
    let (_, rest) = output.split_once("found after ")?;
    let (number, _) = rest.split_once(" seed")?;
    number.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    fn judged(code: i32, output: &str) -> Run {
        judge(Some(ExitStatus::from_raw(code << 8)), TIME_MAX, output)
    }

    #[test]
    fn only_the_failure_of_a_test_is_a_failure() {
        let failed = "test result: FAILED. 0 passed; 1 failed; 0 ignored\n";
        assert_eq!(judged(101, failed), Run::Failed(None));
        let found = format!("found after 12 seeds: a stale read\n{failed}");
        assert_eq!(judged(101, &found), Run::Failed(Some(12)));
        let passed = "test result: ok. 1 passed; 0 failed; 0 ignored\n";
        assert_eq!(judged(0, passed), Run::Passed);
        for (code, output) in [
            (0, "test result: ok. 0 passed; 0 failed; 1 ignored\n"),
            (101, "stack overflow"),
            (101, ""),
            (1, passed),
        ] {
            assert!(matches!(judged(code, output), Run::Unusable(_)), "{output}");
        }
        assert!(matches!(judge(None, TIME_MAX, failed), Run::Unusable(_)));
    }

    #[test]
    fn seeds_vary_only_where_a_test_knows_them() {
        assert_eq!(Seeds::of(Some(10), 5).count(), 5);
        assert_eq!(Seeds::of(None, 5).count(), 1);
    }
}
