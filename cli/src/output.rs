//! Where results go: standard output, or a file that appears only when it is complete.
//!
//! A file is written beside its final name and renamed at the end: a failed command leaves the
//! one that was there before, and never half of a new one. What is not a regular file (a pipe, a
//! device) is written to as it is.
//!
//! Invariant: no write is reported as done before [`Output::finish`] has said so.
//!
//! Tests: `tests/it/output.rs`.

use std::{
    fs::{self, File, Permissions},
    io::{self, BufWriter, IsTerminal, Write},
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

use crate::failure::Failure;

const BUFFER_BYTES: usize = 64 * 1024;

/// A destination of results. Dropped before its end, it still hands what is buffered to standard
/// output, pipes and devices, and leaves no file.
pub(crate) struct Output {
    writer: BufWriter<Sink>,
    name: String,
}

enum Sink {
    Stdout(io::Stdout),
    /// A pipe, a device and so on.
    Special(File),
    /// The file that is to have this name.
    Beside(NamedTempFile, PathBuf),
}

impl Output {
    /// Standard output.
    pub(crate) fn stdout() -> Self {
        Self::new(Sink::Stdout(io::stdout()), "standard output".to_owned())
    }

    /// The file of that name, or standard output without a name.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = path else {
            return Ok(Self::stdout());
        };
        let name = path.display().to_string();
        match open_file(path) {
            Ok(sink) => Ok(Self::new(sink, name)),
            Err(error) => Err(Failure::local(format!("cannot write to {name}"), &error)),
        }
    }

    fn new(sink: Sink, name: String) -> Self {
        Self {
            writer: BufWriter::with_capacity(BUFFER_BYTES, sink),
            name,
        }
    }

    /// Whether a terminal shows what is written here.
    pub(crate) fn is_terminal(&self) -> bool {
        match self.writer.get_ref() {
            Sink::Stdout(stdout) => stdout.is_terminal(),
            Sink::Special(file) => file.is_terminal(),
            Sink::Beside(..) => false,
        }
    }

    /// Whether it is a file that appears, or replaces another, only at the end.
    pub(crate) fn appears_at_the_end(&self) -> bool {
        matches!(self.writer.get_ref(), Sink::Beside(..))
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.writer
            .write_all(bytes)
            .map_err(|error| cannot_write(&self.name, &error))
    }

    /// Makes everything written so far the result.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        let Self { writer, name } = self;
        finish(writer).map_err(|error| cannot_write(&name, &error))
    }
}

fn cannot_write(name: &str, error: &io::Error) -> Failure {
    Failure::local(format!("cannot write to {name}"), error)
}

fn finish(writer: BufWriter<Sink>) -> io::Result<()> {
    match writer
        .into_inner()
        .map_err(io::IntoInnerError::into_error)?
    {
        Sink::Stdout(mut stdout) => stdout.flush(),
        Sink::Special(mut file) => file.flush(),
        Sink::Beside(file, path) => {
            // Some file systems say only now that they are full.
            file.as_file().sync_all()?;
            file.persist(path)?;
            Ok(())
        }
    }
}

fn open_file(path: &Path) -> io::Result<Sink> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".trandb-");
    match fs::metadata(path) {
        Ok(there) if there.is_file() => {
            // Behind a symbolic link: the link stays.
            let path = fs::canonicalize(path)?;
            builder.permissions(there.permissions());
            let beside = builder.tempfile_in(folder_of(&path))?;
            Ok(Sink::Beside(beside, path))
        }
        Ok(_) => Ok(Sink::Special(File::options().write(true).open(path)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            builder.permissions(permissions_of_a_new_file());
            let beside = builder.tempfile_in(folder_of(path))?;
            Ok(Sink::Beside(beside, path.to_owned()))
        }
        Err(error) => Err(error),
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// As of any file that a program makes, rather than a temporary one: less the user's mask.
fn permissions_of_a_new_file() -> Permissions {
    use std::os::unix::fs::PermissionsExt;
    Permissions::from_mode(0o666)
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(stdout) => stdout.write(bytes),
            Self::Special(file) => file.write(bytes),
            Self::Beside(file, _) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(stdout) => stdout.flush(),
            Self::Special(file) => file.flush(),
            Self::Beside(file, _) => file.flush(),
        }
    }
}
