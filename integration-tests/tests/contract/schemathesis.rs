//! What a stranger makes of `/openapi.json`: schemathesis reads it, asks what it says may be asked
//! and what it says may not, follows its links, and holds every answer against it.
//!
//! The settings, and what is not held against us, stand in `schemathesis.toml` beside this file. A
//! finding is printed with the `curl` that shows it.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use tokio::time::{Instant, sleep};
use trandb_integration_tests::local::Served;

/// Far beyond what a run takes; only a hang meets it.
const PATIENCE: Duration = Duration::from_mins(10);

/// Room for every value that is written: what a full server answers is for other tests.
const FLAGS: [&str; 4] = ["--memory-limit", "1GiB", "--in-flight-limit", "256MiB"];

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs schemathesis: just contract"]
async fn schemathesis_finds_nothing() {
    let seed = env::var("TRANDB_CONTRACT_SEED").expect("a seed: run `just contract`");
    let examples = env::var("TRANDB_CONTRACT_EXAMPLES").expect("a number: run `just contract`");
    let again = format!("seed {seed}; the same again: just contract {seed} {examples}");
    println!("{again}");
    let served = Served::start(&FLAGS).await;
    let settings = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/contract/schemathesis.toml");
    let mut child = Command::new(home().join("bin/schemathesis"))
        .arg("--config-file")
        .arg(settings)
        .args(["run", "--no-color", "--seed", &seed])
        .args(["--max-examples", &examples])
        .arg(format!("http://{}/openapi.json", served.address))
        .current_dir(home())
        .stdin(Stdio::null())
        .spawn()
        .expect("schemathesis: .ci/install-tools installs it");
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = child.try_wait().expect("our own child") {
            break status;
        }
        if Instant::now() > deadline {
            let _ = child.kill();
        }
        sleep(Duration::from_millis(50)).await;
    };
    println!("{again}");
    assert!(status.success(), "schemathesis: {status}; see above");
    served.until_nothing_is_in_flight().await;
}

/// Where `.ci/install-tools` installs it.
fn home() -> PathBuf {
    let test = env::current_exe().expect("a test knows its own file");
    // target/<profile>/deps/<test>
    test.ancestors()
        .nth(3)
        .expect("a target folder")
        .join("schemathesis")
}
