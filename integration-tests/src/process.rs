//! The real binary as a process.

use std::{
    env, fs,
    io::{BufRead as _, BufReader, Read as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::SystemTime,
};

pub use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::PATIENCE;

/// A server that runs as a process of its own. It is killed with this value.
#[derive(Debug)]
pub struct Process {
    child: Child,
    address: SocketAddr,
    log: Arc<Mutex<String>>,
}

/// How a process ended that ended by itself.
#[derive(Debug)]
pub struct Exited {
    /// None after a signal.
    pub code: Option<i32>,
    /// Standard output.
    pub output: String,
    /// Standard error.
    pub errors: String,
}

impl Process {
    /// Starts the server with these flags, on a free port of the loopback address unless they say
    /// another, and waits until it is ready.
    pub fn start(flags: &[&str]) -> Self {
        Self::start_binary(&built_beside(), flags)
    }

    /// The same with the release binary that `just image` has put into the image.
    pub fn start_release(flags: &[&str]) -> Self {
        let binary = root().join("docker/context/trandb-server");
        Self::start_binary(&up_to_date(binary, "just image"), flags)
    }

    fn start_binary(binary: &Path, flags: &[&str]) -> Self {
        let listen: &[&str] = if flags.contains(&"--listen") {
            &[]
        } else {
            &["--listen", "127.0.0.1:0"]
        };
        let mut child = command(binary, &[])
            .args(listen)
            .args(["--log-format", "json"])
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary can be started");
        let log = Arc::new(Mutex::new(String::new()));
        let (ready, address) = mpsc::channel();
        let lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let kept = Arc::clone(&log);
        // Ends with the process, whose end closes the pipe.
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Some(address) = address_in(&line) {
                    let _ = ready.send(address);
                }
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.push_str(&line);
                kept.push('\n');
            }
        });
        // Made before the wait, so that the process is killed if it never gets ready.
        let mut process = Self {
            child,
            address: SocketAddr::from(([0; 4], 0)),
            log,
        };
        process.address = address
            .recv_timeout(PATIENCE)
            .unwrap_or_else(|_| panic!("the server does not get ready: {}", process.log()));
        process
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        self.log
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Sends a signal to it.
    pub fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).expect("a process id");
        nix::sys::signal::kill(Pid::from_raw(id), signal).expect("our own child");
    }

    /// Waits until it ends by itself.
    pub async fn exit(&mut self) -> ExitStatus {
        let mut status = None;
        crate::eventually("the server's process ends", async || {
            status = self.child.try_wait().expect("our own child");
            status.is_some()
        })
        .await;
        status.expect("waited for")
    }

    /// What it holds of the machine's memory now, in bytes.
    pub fn memory_bytes(&self) -> u64 {
        self.status_bytes("VmRSS:")
    }

    /// The most that it has held so far, in bytes.
    pub fn memory_bytes_max(&self) -> u64 {
        self.status_bytes("VmHWM:")
    }

    fn status_bytes(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("a running process");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .expect("Linux says it");
        let kibibytes = line
            .trim()
            .strip_suffix(" kB")
            .and_then(|number| number.parse().ok());
        kibibytes
            .map(|number: u64| number * 1024)
            .expect("a number of kB")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the binary until it ends, which it is expected to do by itself at once.
pub async fn run_to_exit(arguments: &[&str], variables: &[(&str, &str)]) -> Exited {
    let child = command(&built_beside(), variables)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary can be started");
    // It says less than a pipe holds, so it can be read when it has ended.
    let log = Arc::default();
    let mut process = Process {
        child,
        address: SocketAddr::from(([0; 4], 0)),
        log,
    };
    let status = process.exit().await;
    let mut exited = Exited {
        code: status.code(),
        output: String::new(),
        errors: String::new(),
    };
    if let Some(mut output) = process.child.stdout.take() {
        output.read_to_string(&mut exited.output).expect("text");
    }
    if let Some(mut errors) = process.child.stderr.take() {
        errors.read_to_string(&mut exited.errors).expect("text");
    }
    exited
}

/// The binary, with none of its variables but these.
fn command(binary: &Path, variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(binary);
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("TRANDB_") {
            command.env_remove(name);
        }
    }
    command.envs(variables.iter().copied());
    command
}

/// The binary that was built beside this test.
fn built_beside() -> PathBuf {
    let test = env::current_exe().expect("a test knows its own file");
    // target/<profile>/deps/<test>
    let profile = test.ancestors().nth(2).expect("a target folder");
    let release = if profile.ends_with("release") {
        " --release"
    } else {
        ""
    };
    let build = format!("cargo build --workspace{release}");
    up_to_date(profile.join("trandb-server"), &build)
}

/// The binary, which must be of the sources as they are.
fn up_to_date(binary: PathBuf, build: &str) -> PathBuf {
    let remedy = format!("build it with `{build}`");
    let built =
        modified(&binary).unwrap_or_else(|| panic!("{} is not there: {remedy}", binary.display()));
    for source in ["common/src", "engine/src", "server/src"] {
        if let Some(newer) = newer_file(&root().join(source), built) {
            panic!(
                "{} is older than {}: {remedy}",
                binary.display(),
                newer.display()
            );
        }
    }
    binary
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path)
        .and_then(|metadata| metadata.modified())
        .ok()
}

/// A file in `folder`, or in a folder within it, that has changed after `time`.
fn newer_file(folder: &Path, time: SystemTime) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find_map(|path| {
            if path.is_dir() {
                newer_file(&path, time)
            } else {
                modified(&path)
                    .is_some_and(|changed| changed > time)
                    .then_some(path)
            }
        })
}

/// The address in the line that says that the server is ready.
fn address_in(line: &str) -> Option<SocketAddr> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    let fields = &line["fields"];
    (fields["message"] == "ready").then(|| fields["address"].as_str()?.parse().ok())?
}
