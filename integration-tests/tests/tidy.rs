//! Rules of this repository that no compiler checks, as tests: which crate may depend on which,
//! what stays out of the pure crates, and a few habits of the sources. Each failure names the
//! places and says how to mend them.
//!
//! Not a linter: what `cargo fmt`, clippy and cargo-deny know is left to them (`just verify`).
//!
//! Everything here is read from files and from `cargo`'s own answers, without the network; a rule
//! that finds nothing to look at fails, so that a moved folder cannot switch it off.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use cargo_metadata::{Metadata, MetadataCommand, Package, TargetKind};

/// The house: a crate depends only on crates of a strictly lower rank.
const RANKS: &[(&str, u32)] = &[
    ("trandb-common", 0),
    ("trandb-engine", 1),
    ("trandb-checker", 0),
    ("trandb-client", 2),
    ("trandb-cluster", 2),
    ("trandb-server", 3),
    ("trandb-cli", 3),
    ("trandb-bench", 4),
    ("trandb-planted", 4),
    ("trandb-integration-tests", 4),
];

/// What a crate must not know although its rank would allow it.
const MUST_NOT_KNOW: &[(&str, &[&str])] = &[
    ("trandb-client", &["trandb-engine", "trandb-server"]),
    ("trandb-cluster", &["axum", "hyper"]),
    ("trandb-cli", &["trandb-engine"]),
];

/// State machines without input, output, clock or randomness.
const PURE_CRATES: &[&str] = &["trandb-common", "trandb-engine"];

/// None of these may be reached from a pure crate, however indirectly.
const IMPURE: &[&str] = &[
    "axum",
    "getrandom",
    "hyper",
    "mio",
    "openraft",
    "rand",
    "reqwest",
    "socket2",
    "tokio",
];

/// Longest source file, in lines, its tests included.
const LINES_MAX: usize = 800;

#[test]
fn crates_depend_only_on_lower_ranks() {
    let mut violations = Vec::new();
    for package in members() {
        let Some(rank) = rank(&package.name) else {
            violations.push(format!("{} has no rank: add it to RANKS", package.name));
            continue;
        };
        for dependency in &package.dependencies {
            if let Some(below) = rank_of_own(&dependency.name)
                && below >= rank
            {
                violations.push(format!(
                    "{} (rank {rank}) depends on {} (rank {below})",
                    package.name, dependency.name
                ));
            }
        }
    }
    assert_none(
        &violations,
        "move what is shared into a crate of a lower rank",
    );
}

#[test]
fn no_crate_knows_what_it_must_not_know() {
    let mut violations = Vec::new();
    for (name, unknown) in MUST_NOT_KNOW {
        let package = member(name);
        for dependency in &package.dependencies {
            if unknown.contains(&dependency.name.as_str()) {
                violations.push(format!("{name} depends on {}", dependency.name));
            }
        }
    }
    assert_none(
        &violations,
        "go through the crates between them, as MUST_NOT_KNOW lists it",
    );
}

#[test]
fn a_folder_is_named_as_its_crate() {
    let mut violations = Vec::new();
    for package in members() {
        let folder = package
            .manifest_path
            .parent()
            .and_then(|path| path.file_name());
        if package.name.strip_prefix("trandb-") != folder {
            violations.push(format!("{} is in {}", package.name, package.manifest_path));
        }
    }
    assert_none(
        &violations,
        "folder X holds crate trandb-X: rename one of them",
    );
}

#[test]
fn pure_crates_reach_no_input_output_clock_or_randomness() {
    let mut violations = Vec::new();
    for name in PURE_CRATES {
        let reached = dependencies_of(name);
        assert!(
            reached.contains(*name),
            "cargo tree does not list {name} itself: {reached:?}"
        );
        for impure in IMPURE {
            if reached.contains(*impure) {
                violations.push(format!(
                    "{name} reaches {impure}; to see how: \
                     cargo tree -p {name} --all-features -e normal,build -i {impure}"
                ));
            }
        }
    }
    assert_none(
        &violations,
        "take the effect as data, or switch the dependency's feature off",
    );
}

/// Not even with all features: only a cfg that nobody sets by accident brings it in.
#[test]
fn the_server_is_built_without_the_scheduler_of_the_interleavings() {
    let reached = dependencies_of("trandb-server");
    let schedulers: Vec<String> = reached
        .into_iter()
        .filter(|name| name.starts_with("shuttle") || name == "loom")
        .collect();
    assert_none(&schedulers, "keep it under [target.'cfg(shuttle)']");
}

#[test]
fn versions_stand_once_in_the_workspace() {
    let mut violations = Vec::new();
    for package in members() {
        let manifest: toml::Table = read(package.manifest_path.as_std_path())
            .parse()
            .expect("a manifest is TOML");
        let mut tables = dependency_tables(&manifest);
        for platform in manifest
            .get("target")
            .and_then(|t| t.as_table())
            .into_iter()
            .flatten()
        {
            tables.extend(
                platform
                    .1
                    .as_table()
                    .map(dependency_tables)
                    .unwrap_or_default(),
            );
        }
        for (name, value) in tables.into_iter().flatten() {
            let inherited = value.get("workspace").and_then(toml::Value::as_bool);
            if inherited != Some(true) {
                violations.push(format!("{} sets its own {name}: {value:?}", package.name));
            }
        }
    }
    assert_none(
        &violations,
        "put the version into [workspace.dependencies] and write `name.workspace = true`",
    );
}

#[test]
fn the_workspace_lists_no_dependency_that_nobody_uses() {
    let manifest: toml::Table = read(&root().join("Cargo.toml")).parse().expect("TOML");
    let used: BTreeSet<String> = members()
        .iter()
        .flat_map(|p| &p.dependencies)
        .map(|d| d.name.clone())
        .collect();
    let listed = manifest["workspace"]["dependencies"]
        .as_table()
        .expect("a table");
    let violations: Vec<String> = listed
        .keys()
        .filter(|name| !used.contains(*name))
        .cloned()
        .collect();
    assert_none(&violations, "remove it from [workspace.dependencies]");
}

#[test]
fn every_ignored_test_says_why() {
    let bare = concat!("#[", "ignore]");
    let violations = lines_of_sources(|line| line.contains(bare) && !is_comment(line));
    assert_none(
        &violations,
        "write #[ignore = \"the reason, and the command that runs it\"]",
    );
}

#[test]
fn nothing_is_left_undone() {
    let marks = [
        concat!("to", "do!("),
        concat!("unimple", "mented!("),
        concat!("FIX", "ME"),
    ];
    let violations = lines_of_sources(|line| marks.iter().any(|mark| line.contains(mark)));
    assert_none(
        &violations,
        "do it, or describe what is absent and why in the module's docs",
    );
}

#[test]
fn source_files_stay_readable_in_length() {
    let mut violations = Vec::new();
    for path in sources() {
        let lines = read(&path).lines().count();
        if lines > LINES_MAX {
            violations.push(format!("{}: {lines} lines", relative(&path)));
        }
    }
    assert_none(
        &violations,
        &format!("split it by noun: at most {LINES_MAX} lines a file"),
    );
}

#[test]
fn no_file_names_a_place_on_somebodys_machine() {
    let mut violations = Vec::new();
    for path in text_files() {
        for (index, line) in read(&path).lines().enumerate() {
            if names_a_machine_path(line) {
                violations.push(format!(
                    "{}:{}: {}",
                    relative(&path),
                    index + 1,
                    line.trim()
                ));
            }
        }
    }
    assert_none(
        &violations,
        "make the path relative to the repository, or take it as an argument",
    );
}

#[test]
fn every_fuzz_target_has_its_regressions() {
    let manifest = root().join("fuzz/Cargo.toml");
    let fuzz = MetadataCommand::new()
        .manifest_path(manifest)
        .no_deps()
        .exec()
        .expect("metadata");
    let targets: Vec<&str> = fuzz
        .packages
        .iter()
        .flat_map(|package| &package.targets)
        .filter(|target| target.kind.contains(&TargetKind::Bin))
        .map(|target| target.name.as_str())
        .collect();
    assert!(!targets.is_empty(), "fuzz/Cargo.toml names no target");
    let violations: Vec<String> = targets
        .iter()
        .map(|target| format!("fuzz/regressions/{target}"))
        .filter(|folder| {
            root()
                .join(folder)
                .read_dir()
                .map_or(true, |mut files| files.next().is_none())
        })
        .collect();
    assert_none(
        &violations,
        "make the folder, with at least one input that the tests replay",
    );
}

// What the rules look at.

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent()
        .expect("the crate is a folder of the workspace")
        .to_owned()
}

fn workspace() -> Metadata {
    MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .exec()
        .expect("cargo metadata")
}

fn members() -> Vec<Package> {
    let members = workspace().packages;
    assert!(!members.is_empty(), "the workspace has no member");
    members
}

fn member(name: &str) -> Package {
    members()
        .into_iter()
        .find(|package| package.name == name)
        .unwrap_or_else(|| panic!("{name} is not in the workspace: mend the tables of this file"))
}

fn rank(name: &str) -> Option<u32> {
    RANKS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, rank)| *rank)
}

/// The rank of one of our own crates; of an unranked one the highest, so that it cannot hide.
fn rank_of_own(name: &str) -> Option<u32> {
    name.starts_with("trandb-")
        .then(|| rank(name).unwrap_or(u32::MAX))
}

/// Names of all crates that `package` is built from on this platform, with all its features.
fn dependencies_of(package: &str) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .current_dir(root())
        .args([
            "tree",
            "--locked",
            "--all-features",
            "--edges",
            "normal,build",
        ])
        .args(["--prefix", "none", "--format", "{p}", "--package", package])
        .output()
        .expect("cargo tree");
    assert!(
        output.status.success(),
        "cargo tree: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).expect("cargo prints UTF-8");
    text.lines()
        .filter_map(|line| line.split(' ').next())
        .map(str::to_owned)
        .collect()
}

fn dependency_tables(manifest: &toml::Table) -> Vec<&toml::Table> {
    ["dependencies", "dev-dependencies", "build-dependencies"]
        .iter()
        .filter_map(|name| manifest.get(*name)?.as_table())
        .collect()
}

/// Every file of the repository that git would keep.
fn files() -> Vec<PathBuf> {
    let files: Vec<PathBuf> = ignore::WalkBuilder::new(root())
        .hidden(false)
        .require_git(false)
        .filter_entry(|entry| entry.file_name() != ".git")
        .build()
        .map(|entry| entry.expect("a readable folder").into_path())
        .filter(|path| path.is_file())
        .collect();
    assert!(
        files.len() > 30,
        "only {} files found under {}",
        files.len(),
        root().display()
    );
    files
}

fn sources() -> Vec<PathBuf> {
    files()
        .into_iter()
        .filter(|path| path.extension().is_some_and(|e| e == "rs"))
        .collect()
}

/// Inputs of the fuzzers are bytes of no meaning: no rule reads them.
fn text_files() -> Vec<PathBuf> {
    files()
        .into_iter()
        .filter(|path| {
            let path = relative(path);
            !path.starts_with("fuzz/corpus/") && !path.starts_with("fuzz/regressions/")
        })
        .collect()
}

fn lines_of_sources(broken: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for path in sources() {
        for (index, line) in read(&path).lines().enumerate() {
            if broken(line) {
                found.push(format!(
                    "{}:{}: {}",
                    relative(&path),
                    index + 1,
                    line.trim()
                ));
            }
        }
    }
    found
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

/// Whether the line holds an absolute path into a person's or a build machine's folders. A folder
/// of that name further down in a path or a URL is none.
fn names_a_machine_path(line: &str) -> bool {
    let folders = ["home", "root", "Users", "work"].map(|name| format!("/{name}/"));
    folders.iter().any(|folder| {
        line.match_indices(folder.as_str()).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            before.is_none_or(|c| !c.is_alphanumeric() && !"._-~}/*".contains(c))
        })
    })
}

fn read(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    String::from_utf8_lossy(&bytes).into_owned()
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root())
        .unwrap_or(path)
        .display()
        .to_string()
}

fn assert_none(violations: &[String], remedy: &str) {
    assert!(
        violations.is_empty(),
        "\n  {}\n\nTo mend it: {remedy}.\n",
        violations.join("\n  ")
    );
}
