//! Running the binary.

use std::{
    io::Write,
    process::{Command, Output, Stdio},
    thread,
};

/// What a run left behind.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: output.stdout,
            stderr: String::from_utf8(output.stderr).expect("standard error is UTF-8"),
        }
    }
}

impl Ran {
    /// Standard output of a run that must have succeeded.
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        String::from_utf8(self.stdout).expect("standard output is UTF-8")
    }

    /// Standard error of a run that must have failed like this.
    pub(crate) fn fails_with(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{self:?}");
        self.stderr
    }
}

/// Standard output as JSON.
pub(crate) fn json_of(stdout: &str) -> serde_json::Value {
    serde_json::from_str(stdout).expect("JSON")
}

/// `trandb ARGUMENTS`, in an environment that says nothing about TranDB.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trandb"));
    command
        .args(arguments)
        .env_remove("TRANDB_ENDPOINT")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// `trandb --endpoint URL ARGUMENTS`.
pub(crate) fn command_at(url: &str, arguments: &[&str]) -> Command {
    command(&[&["--endpoint", url], arguments].concat())
}

pub(crate) fn trandb(arguments: &[&str]) -> Ran {
    command(arguments).output().expect("it runs").into()
}

pub(crate) fn trandb_at(url: &str, arguments: &[&str]) -> Ran {
    command_at(url, arguments).output().expect("it runs").into()
}

/// The same with `input` on standard input.
pub(crate) fn trandb_fed(url: &str, arguments: &[&str], input: &[u8]) -> Ran {
    let mut child = command_at(url, arguments)
        .stdin(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut stdin = child.stdin.take().expect("piped");
    let input = input.to_vec();
    // It may end before it has read all.
    let writer = thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().expect("it ends");
    writer.join().expect("no panic");
    output.into()
}
