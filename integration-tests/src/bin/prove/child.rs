//! Other programs, each with a limit in time. A program is ended together with all that it has
//! started.

use std::{
    fs, io,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use wait_timeout::ChildExt as _;

/// How often is looked whether something has happened.
pub(crate) const GLANCE: Duration = Duration::from_millis(100);

/// How long a program may clean up after it was asked to end.
const FAREWELL: Duration = Duration::from_secs(10);

/// How a program ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    Passed,
    /// With which status.
    Failed(String),
    /// It was ended at its limit.
    Hung,
    /// It was ended because nobody waits any more.
    Stopped,
}

/// Runs a program to its end, with all that it prints in `log`; says how it ended and what it has
/// printed. `waiting` is called again and again meanwhile.
pub(crate) fn run(
    command: &mut Command,
    log: &Path,
    limit: Duration,
    stop: &AtomicBool,
    waiting: &dyn Fn(),
) -> io::Result<(End, String)> {
    let file = fs::File::create(log)?;
    command
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .process_group(0);
    let mut group = Group(command.spawn()?);
    let began = Instant::now();
    let end = loop {
        if let Some(status) = group.0.wait_timeout(GLANCE)? {
            break if status.success() {
                End::Passed
            } else {
                End::Failed(status.to_string())
            };
        }
        waiting();
        if stop.load(Ordering::Relaxed) {
            break End::Stopped;
        }
        if began.elapsed() > limit {
            break End::Hung;
        }
    };
    drop(group);
    Ok((end, String::from_utf8_lossy(&fs::read(log)?).into_owned()))
}

/// A program and all that it has started: none of it outlives this value.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        let Ok(id) = i32::try_from(self.0.id()) else {
            return;
        };
        let group = Pid::from_raw(id);
        let asked = Instant::now();
        // Containers are removed by who has started them.
        while killpg(group, Signal::SIGTERM).is_ok() && asked.elapsed() < FAREWELL {
            let _ = self.0.wait_timeout(GLANCE);
            std::thread::park_timeout(GLANCE);
        }
        let _ = killpg(group, Signal::SIGKILL);
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, limit: Duration) -> (End, String) {
        let folder = tempfile::tempdir().expect("a folder");
        let log = folder.path().join("log.txt");
        let mut command = Command::new("sh");
        let command = command.args(["-c", script]);
        let ran = run(command, &log, limit, &AtomicBool::new(false), &|| {});
        ran.expect("there is a shell")
    }

    const LONG: Duration = Duration::from_mins(1);

    #[test]
    fn how_a_program_ends_is_told_apart() {
        assert_eq!(shell("echo yes", LONG), (End::Passed, "yes\n".into()));
        let (end, output) = shell("echo no >&2; exit 3", LONG);
        assert!(matches!(&end, End::Failed(status) if status.contains('3')));
        assert_eq!(output, "no\n");
    }

    #[test]
    fn what_hangs_is_ended_with_all_that_it_has_started() {
        let script = "sleep 1000 & echo $!; wait";
        let (end, output) = shell(script, Duration::from_millis(300));
        assert_eq!(end, End::Hung);
        let started: i32 = output.trim().parse().expect("the number of a process");
        // A zombie nobody has collected yet counts as ended.
        let status = fs::read_to_string(format!("/proc/{started}/stat")).unwrap_or_default();
        assert!(status.is_empty() || status.contains(") Z "), "{status}");
    }
}
