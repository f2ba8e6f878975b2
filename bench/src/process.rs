//! Processes: starting servers on one core, what they use, and ending exactly those.
//!
//! Not here: which server is started how (`servers`).
//!
//! Invariants: every child is in the list of children from its start to its end; it is killed by
//! its own id when its [`Process`] is dropped (a panic included) or when the bench itself is told
//! to end by SIGINT or SIGTERM ([`end_children_on_signals`]). Tests: at the end of this file.

use std::{
    fs::File,
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::{LazyLock, Mutex},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use nix::{
    sched::{CpuSet, sched_setaffinity},
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// The core of every measured server.
pub const SERVER_CORE: usize = 0;
/// The core of the load generator.
pub const CLIENT_CORE: usize = 1;

const START_MAX: Duration = Duration::from_secs(30);
const STOP_MAX: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(20);

static CHILDREN: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

fn children() -> std::sync::MutexGuard<'static, Vec<Pid>> {
    CHILDREN
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Asked once, before anything is pinned: a pinned thread sees one core.
static HAS_TWO_CORES: LazyLock<bool> =
    LazyLock::new(|| std::thread::available_parallelism().is_ok_and(|cores| cores.get() >= 2));

/// Whether server and generator have a core each. If not, nothing is pinned and figures say
/// little.
pub fn has_two_cores() -> bool {
    *HAS_TWO_CORES
}

/// Restricts the calling thread, and the threads and children that it starts from now on, to
/// `cores`, if there are two.
pub fn pin(cores: &[usize]) -> anyhow::Result<()> {
    if !has_two_cores() {
        return Ok(());
    }
    let mut set = CpuSet::new();
    for &core in cores {
        set.set(core)?;
    }
    sched_setaffinity(Pid::from_raw(0), &set).with_context(|| format!("cannot use cores {cores:?}"))
}

/// Starts a thread that waits for SIGINT and SIGTERM, kills all children and ends the process.
pub fn end_children_on_signals() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let guard = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    drop(guard);
    std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! { biased; _ = interrupt.recv() => (), _ = terminate.recv() => () }
        });
        for &child in children().iter() {
            // It may have ended by itself.
            let _ = kill(child, Signal::SIGKILL);
        }
        std::process::exit(130);
    });
    Ok(())
}

/// A free port of the loopback interface. Another process could take it before its use: the
/// server then fails to start, and the run says so.
pub fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// A running server, killed when dropped.
pub struct Process {
    child: Child,
    /// What the server prints, for the case that it does not start.
    log: tempfile::NamedTempFile,
    name: String,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Process {
    /// Starts `command` on [`SERVER_CORE`] and waits until it accepts connections on `address`.
    /// The calling thread is on [`CLIENT_CORE`] afterwards.
    ///
    /// Errors: the program does not start, ends, or does not listen within 30 seconds.
    pub fn start(name: &str, command: Command, address: SocketAddr) -> anyhow::Result<Self> {
        Self::start_on(&[SERVER_CORE], name, command, address)
    }

    /// The same, but the server may use all of `cores`.
    pub fn start_on(
        cores: &[usize],
        name: &str,
        mut command: Command,
        address: SocketAddr,
    ) -> anyhow::Result<Self> {
        let log = tempfile::NamedTempFile::new()?;
        command
            .stdin(Stdio::null())
            .stdout(log.reopen()?)
            .stderr(log.reopen()?);
        pin(cores)?;
        let mut list = children();
        let spawned = command.spawn();
        pin(&[CLIENT_CORE])?;
        let child = spawned.with_context(|| format!("cannot start {name}: {command:?}"))?;
        list.push(pid_of(&child));
        drop(list);
        let mut process = Self {
            child,
            log,
            name: name.to_owned(),
            address,
        };
        process.wait_until_it_listens()?;
        Ok(process)
    }

    fn wait_until_it_listens(&mut self) -> anyhow::Result<()> {
        let start = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!(
                    "{} ended at its start ({status}): {}",
                    self.name,
                    self.said()
                );
            }
            if start.elapsed() > START_MAX {
                bail!(
                    "{} does not listen on {}: {}",
                    self.name,
                    self.address,
                    self.said()
                );
            }
            pause(POLL);
        }
        Ok(())
    }

    /// The last lines that the server printed.
    fn said(&self) -> String {
        const LINES: usize = 10;
        let text = self
            .log
            .reopen()
            .and_then(std::io::read_to_string::<File>)
            .unwrap_or_else(|error| format!("(its output cannot be read: {error})"));
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LINES)..].join("\n")
    }

    /// What the server is called in tables and messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// CPU time that all its threads have used.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        let stat = self.proc()?.stat()?;
        ticks(stat.utime + stat.stime)
    }

    /// Its resident memory in bytes.
    pub fn resident_bytes(&self) -> anyhow::Result<u64> {
        let pages = self.proc()?.statm()?;
        Ok(pages.resident * procfs::page_size())
    }

    fn proc(&self) -> anyhow::Result<procfs::process::Process> {
        procfs::process::Process::new(pid_of(&self.child).as_raw())
            .with_context(|| format!("{} is gone: {}", self.name, self.said()))
    }

    /// Asks the server to end with SIGTERM and waits for it.
    ///
    /// Errors: it does not end within 60 seconds; it is killed then.
    pub fn stop(mut self) -> anyhow::Result<()> {
        kill(pid_of(&self.child), Signal::SIGTERM)?;
        let start = Instant::now();
        while self.child.try_wait()?.is_none() {
            if start.elapsed() > STOP_MAX {
                bail!("{} does not end after SIGTERM", self.name);
            }
            pause(POLL);
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let mut list = children();
        // Both fail only for a child that has ended, and then nothing is left to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let pid = pid_of(&self.child);
        list.retain(|&child| child != pid);
    }
}

/// CPU time that all processes of the machine have used.
pub fn machine_cpu() -> anyhow::Result<Duration> {
    use procfs::CurrentSI;
    let total = procfs::KernelStats::current()?.total;
    let irq = total.irq.unwrap_or_default() + total.softirq.unwrap_or_default();
    ticks(total.user + total.nice + total.system + irq)
}

fn ticks(count: u64) -> anyhow::Result<Duration> {
    let per_second = procfs::ticks_per_second();
    if per_second == 0 {
        bail!("the system does not tell the length of its clock tick");
    }
    Ok(Duration::from_secs(1) * u32::try_from(count)? / u32::try_from(per_second)?)
}

fn pid_of(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX))
}

/// Waits, on a thread without a runtime.
#[expect(clippy::disallowed_methods, reason = "no runtime on this thread")]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper(seconds: &str) -> Command {
        let mut command = Command::new("sleep");
        command.arg(seconds);
        command
    }

    #[test]
    fn a_program_that_ends_at_once_is_reported_with_its_words() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo no such configuration >&2; exit 3"]);
        let error = Process::start("broken", command, free_address().unwrap())
            .err()
            .unwrap();
        let text = error.to_string();
        assert!(
            text.contains("exit status: 3") && text.contains("no such config"),
            "{text}"
        );
        assert!(
            Process::start(
                "absent",
                Command::new("/nonexistent"),
                free_address().unwrap()
            )
            .is_err()
        );
    }

    #[test]
    fn a_child_ends_with_its_owner_even_in_a_panic() {
        // The listener stands in for the server's own.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let pid = std::thread::spawn(move || {
            let process = Process::start("sleeper", sleeper("600"), address).unwrap();
            let pid = pid_of(&process.child);
            assert!(children().contains(&pid));
            assert!(process.resident_bytes().unwrap() > 0);
            std::panic::panic_any(pid);
        })
        .join()
        .unwrap_err();
        let pid = *pid.downcast::<Pid>().unwrap();
        assert!(kill(pid, None).is_err(), "the child still runs");
        assert!(!children().contains(&pid));
    }

    #[test]
    fn cpu_time_of_a_busy_process_is_seen() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "while :; do :; done"]);
        let process = Process::start("spinner", command, listener.local_addr().unwrap()).unwrap();
        let machine_before = machine_cpu().unwrap();
        let start = Instant::now();
        while process.cpu().unwrap() < Duration::from_millis(50) {
            assert!(
                start.elapsed() < Duration::from_mins(1),
                "50 ms of CPU are never counted"
            );
            pause(POLL);
        }
        assert!(machine_cpu().unwrap() > machine_before);
    }
}
