//! The copy of the repository in which bugs are planted.
//!
//! It stands in `target/planted/tree` and is kept between runs: a file that has not changed is not
//! written again, so that cargo builds only what a bug concerns.

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use crate::bug::Bug;

/// The repository's folder.
pub(crate) fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// Where programs are put that are built from the copy.
pub(crate) fn programs() -> PathBuf {
    root().join("target/planted/programs")
}

/// Where cargo keeps what it builds: the repository's own target folder, since all that is not
/// ours is the same there. Our own crates are told apart by where their sources are.
pub(crate) fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// The copy.
#[derive(Debug)]
pub(crate) struct Tree {
    folder: PathBuf,
}

/// A bug that is in the copy until this is dropped.
#[derive(Debug)]
#[must_use]
pub(crate) struct Planted {
    /// The files as they were.
    before: Vec<(PathBuf, Vec<u8>)>,
}

impl Tree {
    /// Copies everything that git would keep, changes that are not committed included.
    pub(crate) fn make() -> anyhow::Result<Self> {
        let tree = Self {
            folder: root().join("target/planted/tree"),
        };
        fs::create_dir_all(&tree.folder)?;
        let wanted = files_below(root())?;
        for gone in files_below(&tree.folder)?.difference(&wanted) {
            fs::remove_file(tree.folder.join(gone))?;
        }
        for path in &wanted {
            let (from, to) = (root().join(path), tree.folder.join(path));
            let bytes = fs::read(&from).with_context(|| from.display().to_string())?;
            write_if_new(&to, &bytes)?;
        }
        Ok(tree)
    }

    /// Where it is.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Changes its files as the bug says.
    pub(crate) fn plant(&self, bug: &Bug) -> anyhow::Result<Planted> {
        let mut planted = Planted { before: Vec::new() };
        for (path, text) in bug.applied(&self.folder)? {
            let path = self.folder.join(path);
            planted.before.push((path.clone(), fs::read(&path)?));
            fs::write(&path, text)?;
        }
        Ok(planted)
    }
}

impl Drop for Planted {
    fn drop(&mut self) {
        for (path, bytes) in &self.before {
            // Where it fails, the next run makes the copy anew.
            if let Err(error) = fs::write(path, bytes) {
                eprintln!("{}: {error}", path.display());
            }
        }
    }
}

/// The files that git would keep, by their paths below `folder`.
fn files_below(folder: &Path) -> anyhow::Result<BTreeSet<PathBuf>> {
    let mut files = BTreeSet::new();
    let walk = ignore::WalkBuilder::new(folder)
        .hidden(false)
        .require_git(false)
        .parents(false)
        .filter_entry(|entry| entry.file_name() != ".git")
        .build();
    for entry in walk {
        let path = entry?.into_path();
        if path.is_file() {
            files.insert(path.strip_prefix(folder)?.to_owned());
        }
    }
    Ok(files)
}

fn write_if_new(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    if fs::read(path).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, bytes).with_context(|| path.display().to_string())
}
