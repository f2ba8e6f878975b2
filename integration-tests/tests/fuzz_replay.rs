//! Runs the fuzzers' bodies over everything that the fuzzers have kept: `fuzz/corpus` holds inputs
//! that reach all the code that was ever reached, `fuzz/regressions` those that once failed and a
//! few that are worth keeping by name.
//!
//! It finds nothing new; it sees to it that what was found stays found, without a fuzzer. A failure
//! names its file last; `cargo fuzz run -s none TARGET FILE` runs it alone.

#[path = "../../fuzz/src/lib.rs"]
pub mod fuzz;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// A fuzzer that kept less than this has not run, or its corpus is elsewhere.
const INPUTS_MIN: usize = 10;

fn replay(target: &str) {
    let (_, body) = fuzz::BODIES
        .into_iter()
        .find(|(name, _)| *name == target)
        .expect("a body of this name");
    let regressions = inputs("regressions", target);
    assert!(
        !regressions.is_empty(),
        "fuzz/regressions/{target} is empty"
    );
    let corpus = inputs("corpus", target);
    assert!(corpus.len() >= INPUTS_MIN, "{} inputs", corpus.len());
    for path in regressions.into_iter().chain(corpus) {
        println!("{}", path.display());
        body(&fs::read(&path).expect("an input"));
    }
}

fn inputs(kind: &str, target: &str) -> Vec<PathBuf> {
    let mut paths = paths(&folder(kind).join(target));
    paths.sort();
    paths
}

fn paths(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    entries
        .map(|entry| entry.expect("an entry").path())
        .collect()
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz")
        .join(name)
}

/// One test for each target, so that they run side by side and fail by name.
macro_rules! replays {
    ($($target:ident)*) => {
        $(
            #[test]
            fn $target() {
                replay(stringify!($target));
            }
        )*

        #[test]
        fn every_target_is_replayed_and_every_folder_has_its_target() {
            let replayed = BTreeSet::from([$(stringify!($target).to_owned()),*]);
            for kind in ["fuzz_targets", "corpus", "regressions"] {
                let names = paths(&folder(kind)).into_iter().filter_map(|path| {
                    Some(path.file_stem()?.to_str()?.to_owned())
                });
                assert_eq!(names.collect::<BTreeSet<_>>(), replayed, "fuzz/{kind}");
            }
        }
    };
}

replays! {
    client_answer
    configuration
    connection_bytes
    history_edn
    history_json
    history_log
    import_lines
    key_body
    key_path
    linearizability
    peer_frames
    request
    shard
    transaction_body
    transactions
    version_and_etag
}
