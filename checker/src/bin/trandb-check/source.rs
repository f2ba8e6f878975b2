//! Where a history comes from: a file or standard input, read once or more often.

use std::{
    fs::{self, File},
    io::{self, Cursor, Read},
    path::{Path, PathBuf},
    sync::Mutex,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use trandb_checker::{
    escape::Line,
    history::{BadHistory, Events},
};

use crate::args::Arguments;

const READING: &str = "reading {wide_bar} {bytes} of {total_bytes}";
const READING_STREAM: &str = "reading {spinner} {bytes}, {elapsed}";

/// A history's bytes.
pub(crate) enum Source {
    /// Can be read again.
    File(PathBuf),
    /// Standard input: can be read once.
    Stdin,
    /// A named pipe or the like: can be read once, and opening it again could wait for ever.
    Pipe(PathBuf),
    /// What can be read once, kept because it will be read again.
    Kept(Mutex<Vec<u8>>),
}

impl Source {
    /// What the arguments name; the reason if it cannot be read.
    pub(crate) fn open(arguments: &Arguments) -> Result<Self, String> {
        let is_kept = arguments.html.is_some();
        let kept = |read: io::Result<Vec<u8>>| {
            let bytes = read.map_err(|error| error.to_string())?;
            Ok(Self::Kept(Mutex::new(bytes)))
        };
        match &arguments.file {
            Some(path) if path != Path::new("-") => {
                let metadata = path.metadata().map_err(|error| error.to_string())?;
                if metadata.is_dir() {
                    return Err("it is a directory".to_owned());
                }
                if arguments
                    .html
                    .as_ref()
                    .is_some_and(|html| is_same(html, path))
                {
                    return Err("--html would overwrite the history".to_owned());
                }
                match (metadata.is_file(), is_kept) {
                    (true, _) => Ok(Self::File(path.clone())),
                    (false, true) => kept(fs::read(path)),
                    (false, false) => Ok(Self::Pipe(path.clone())),
                }
            }
            _ if is_kept => {
                let mut bytes = Vec::new();
                kept(io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes))
            }
            _ => Ok(Self::Stdin),
        }
    }

    /// Its name, for people.
    pub(crate) fn name(arguments: &Arguments) -> String {
        match &arguments.file {
            Some(path) if path != Path::new("-") => Line(&path.to_string_lossy()).to_string(),
            _ => "standard input".to_owned(),
        }
    }

    /// Its events, from the beginning, and a bar that shows how far it is read.
    pub(crate) fn events(
        &self,
        arguments: &Arguments,
    ) -> Result<(Events<'static>, ProgressBar), BadHistory> {
        let format = arguments.format.map(Into::into);
        let whole = |error: io::Error| BadHistory::whole(format!("cannot be read: {error}"));
        let (bytes, length): (Box<dyn Read>, _) = match self {
            Self::File(path) | Self::Pipe(path) => {
                let file = File::open(path).map_err(whole)?;
                let length = file.metadata().ok().filter(std::fs::Metadata::is_file);
                (Box::new(file), length.map(|metadata| metadata.len()))
            }
            Self::Stdin => (Box::new(io::stdin()), None),
            Self::Kept(bytes) => {
                let bytes = bytes.lock().map(|bytes| bytes.clone()).unwrap_or_default();
                let length = bytes.len() as u64;
                (Box::new(Cursor::new(bytes)), Some(length))
            }
        };
        let bar = ProgressBar::with_draw_target(length, ProgressDrawTarget::stderr());
        let template = if length.is_some() {
            READING
        } else {
            READING_STREAM
        };
        bar.set_style(style(template));
        let events = Events::new(bar.wrap_read(bytes), format)?;
        Ok((events, bar))
    }
}

/// Whether two paths lead to one file that is there.
fn is_same(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// A template that this program holds.
pub(crate) fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
