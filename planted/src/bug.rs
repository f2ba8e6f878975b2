//! A bug: a patch with a header. Pure but for the reading of files.
//!
//! ```text
//! Bug: What a good engineer has got wrong, and what becomes of it. It may go on in
//!   further lines, which are indented.
//! Found-by: PACKAGE TEST-BINARY TEST
//! Seeds: 100
//!
//! --- a/server/src/local.rs
//! +++ b/server/src/local.rs
//! …
//! ```
//!
//! `Found-by` names one test in full; `lib` is the binary of a library's unit tests. `Seeds` stands there when that test draws its runs from a
//! seed, and says after how many of them it has found the bug, whatever seed it began with.
//!
//! Tests: at the end of this file; that the patches of the repository fit is one in `main.rs`.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail, ensure};
use diffy::patch_set::{FileOperation, ParseOptions, PatchSet};

use crate::tree;

/// Stands in the place of a test binary's name for the unit tests of a library.
pub(crate) const LIBRARY: &str = "lib";

/// Bugs are planted in what users run, nowhere else.
const PRODUCT: &[&str] = &[
    "client/src/",
    "cluster/src/",
    "common/src/",
    "engine/src/",
    "server/src/",
];

/// The test binaries that are built for the simulated network, each with its package.
const IN_A_SIMULATED_NETWORK: &[(&str, &str)] = &[
    ("trandb-cluster", "simulation"),
    ("trandb-integration-tests", "cluster_simulation"),
];

/// A bug that can be planted.
#[derive(Debug)]
pub(crate) struct Bug {
    /// Its file's name.
    pub(crate) name: String,
    /// In one or two sentences.
    pub(crate) what: String,
    /// Who must find it.
    pub(crate) suite: Suite,
    /// After how many seeds at most; none for a test that knows no seeds.
    pub(crate) seeds: Option<u32>,
    diff: String,
}

/// One test.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Suite {
    /// Of the workspace.
    pub(crate) package: String,
    /// The name of its test binary.
    pub(crate) binary: String,
    /// The name of the test in that binary, with its modules.
    pub(crate) test: String,
}

impl Suite {
    /// Whether it is built for the simulated network, as `just cluster-sim` does.
    pub(crate) fn is_in_a_simulated_network(&self) -> bool {
        IN_A_SIMULATED_NETWORK.contains(&(&self.package, &self.binary))
    }
}

/// As a command.
impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            package,
            binary,
            test,
        } = self;
        let binary = match binary.as_str() {
            LIBRARY => "--lib".to_owned(),
            name => format!("--test {name}"),
        };
        if self.is_in_a_simulated_network() {
            return write!(f, "just cluster-sim 20 --exact {test}");
        }
        write!(f, "cargo test -p {package} {binary} -- --exact {test}")
    }
}

/// All bugs of the repository, by name.
pub(crate) fn all() -> anyhow::Result<Vec<Bug>> {
    let folder = tree::root().join("planted/bugs");
    let entries = fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
    let mut bugs = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str()?.strip_suffix(".patch"))
            .with_context(|| format!("{}: not NAME.patch", path.display()))?;
        let bug = fs::read_to_string(&path)?;
        bugs.push(Bug::parse(name, &bug).with_context(|| path.display().to_string())?);
    }
    bugs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(bugs)
}

impl Bug {
    fn parse(name: &str, text: &str) -> anyhow::Result<Self> {
        let (header, diff) = text
            .split_once("\n\n")
            .context("an empty line stands between header and patch")?;
        let (mut what, mut suite, mut seeds) = (None, None, None);
        for field in unfolded(header) {
            let (field, value) = field
                .split_once(": ")
                .with_context(|| format!("{field:?} is no `Field: value`"))?;
            let repeated = match field {
                "Bug" => what.replace(value.to_owned()).is_some(),
                "Found-by" => suite.replace(Suite::parse(value)?).is_some(),
                "Seeds" => seeds
                    .replace(value.parse().context("`Seeds` is a number")?)
                    .is_some(),
                _ => bail!("there is no field {field:?}"),
            };
            ensure!(!repeated, "{field:?} stands there twice");
        }
        let what = what.context("the field `Bug` is missing")?;
        ensure!(what.ends_with('.'), "{what:?} is not a sentence");
        Ok(Self {
            name: name.to_owned(),
            what,
            suite: suite.context("the field `Found-by` is missing")?,
            seeds,
            diff: diff.to_owned(),
        })
    }

    /// The files that it changes, by their paths below `root`, and what they hold then.
    pub(crate) fn applied(&self, root: &Path) -> anyhow::Result<Vec<(PathBuf, String)>> {
        let mut files = Vec::new();
        for patch in PatchSet::parse(&self.diff, ParseOptions::unidiff()) {
            let patch = patch.with_context(|| self.name.clone())?;
            let path = match patch.operation().strip_prefix(1) {
                FileOperation::Modify { original, modified } if original == modified => {
                    original.into_owned()
                }
                other => bail!("{}: changes no file in its place: {other:?}", self.name),
            };
            ensure!(
                PRODUCT.iter().any(|folder| path.starts_with(folder)),
                "{}: {path} is not in {PRODUCT:?}",
                self.name
            );
            let now = fs::read_to_string(root.join(&path))
                .with_context(|| format!("{}: {path}", self.name))?;
            let patch = patch.patch().as_text().context("not a patch of text")?;
            let then = diffy::apply(&now, patch)
                .with_context(|| format!("{}: does not fit {path}", self.name))?;
            ensure!(then != now, "{}: changes nothing in {path}", self.name);
            files.push((PathBuf::from(path), then));
        }
        ensure!(!files.is_empty(), "{}: changes nothing", self.name);
        Ok(files)
    }
}

impl Suite {
    fn parse(text: &str) -> anyhow::Result<Self> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let [package, binary, test] = words[..] else {
            bail!("`Found-by` names a package, a test binary and a test: {text:?}");
        };
        Ok(Self {
            package: package.to_owned(),
            binary: binary.to_owned(),
            test: test.to_owned(),
        })
    }
}

/// The fields of a header, each in one line.
fn unfolded(header: &str) -> Vec<String> {
    let mut fields: Vec<String> = Vec::new();
    for line in header.lines() {
        match fields.last_mut() {
            Some(field) if line.starts_with(' ') => {
                field.push(' ');
                field.push_str(line.trim());
            }
            _ => fields.push(line.to_owned()),
        }
    }
    fields
}

#[cfg(test)]
impl Bug {
    /// A bug that changes nothing.
    pub(crate) fn for_tests(seeds: Option<u32>) -> Self {
        Self {
            name: "name".into(),
            what: "One is two.".into(),
            suite: Suite::parse("package binary test").expect("three words"),
            seeds,
            diff: String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "Bug: One is two.\nFound-by: p b t::name\nSeeds: 7";
    const DIFF: &str = "--- a/server/src/x.rs\n+++ b/server/src/x.rs\n@@ -1,2 +1,2 @@\n \
                        same\n-one\n+two\n";

    fn parsed(header: &str, diff: &str) -> anyhow::Result<Bug> {
        Bug::parse("name", &format!("{header}\n\n{diff}"))
    }

    #[test]
    fn a_header_says_all_there_is_to_know() {
        let bug = parsed(HEADER, DIFF).expect("whole");
        assert_eq!(bug.what, "One is two.");
        assert_eq!(
            bug.suite.to_string(),
            "cargo test -p p --test b -- --exact t::name"
        );
        assert_eq!(bug.seeds, Some(7));
        let folded = HEADER.replace("One is two", "One is\n  two");
        assert_eq!(parsed(&folded, DIFF).expect("whole").what, bug.what);
    }

    #[test]
    fn a_header_that_is_not_whole_is_refused() {
        for line in ["Bug: One is two.", "Found-by: p b t::name"] {
            assert!(parsed(&HEADER.replace(line, "Seeds: 1"), DIFF).is_err());
            let without: Vec<_> = HEADER.lines().filter(|l| *l != line).collect();
            assert!(parsed(&without.join("\n"), DIFF).is_err(), "without {line}");
        }
        for (now, then) in [
            ("two.", "two"),
            ("p b", "p"),
            ("7", "many"),
            ("Seeds", "Size"),
        ] {
            assert!(parsed(&HEADER.replace(now, then), DIFF).is_err(), "{then}");
        }
    }

    /// A folder with one file of the product.
    fn root_with(test: &str, text: &str) -> PathBuf {
        let root = std::env::temp_dir().join(format!("planted-{test}-{}", std::process::id()));
        fs::create_dir_all(root.join("server/src")).expect("a folder");
        fs::write(root.join("server/src/x.rs"), text).expect("a file");
        root
    }

    #[test]
    fn a_patch_is_found_its_place_by_what_stands_around_it() {
        let root = root_with("fits", "new\nsame\none\n");
        let files = parsed(HEADER, DIFF).expect("whole").applied(&root);
        let expected = (
            PathBuf::from("server/src/x.rs"),
            "new\nsame\ntwo\n".to_owned(),
        );
        assert_eq!(files.expect("it fits"), [expected]);
        fs::remove_dir_all(root).expect("ours");
    }

    #[test]
    fn a_patch_that_does_not_fit_is_refused() {
        let root = root_with("not", "other\none\n");
        let elsewhere = DIFF.replace("server/src", "server/tests");
        let nothing = DIFF.replace("+two", "+one");
        for diff in [DIFF, &elsewhere, &nothing, ""] {
            assert!(
                parsed(HEADER, diff).expect("whole").applied(&root).is_err(),
                "{diff}"
            );
        }
        fs::remove_dir_all(root).expect("ours");
    }
}
