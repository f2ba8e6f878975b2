//! What the integration tests share: servers to ask, and ways to ask them.
//!
//! - [`local`]: the whole service in this process, with or without a socket in front of it;
//! - [`process`]: the real binary as a process of its own;
//! - [`cluster`]: several of them as one cluster;
//! - [`wire`]: requests and answers byte by byte, for what no HTTP client would send or show;
//! - [`contract`]: every answer of the interface as scripts with recorded answers, for whatever
//!   server stands behind an address.
//!
//! And simulated clients (`docs/testing.md`):
//!
//! - [`seed`]: one number that makes a whole run;
//! - [`traffic`]: what clients do, as data, one file for each workload;
//! - [`faults`]: what goes wrong, one file for each place where it does;
//! - [`scenario`]: traffic, faults and set-up of one run, drawn from a seed, and made smaller;
//! - [`world`]: where a scenario runs: simulated, over sockets, or on a cluster of processes;
//! - [`recorder`]: what was called and what came of it; [`trace`] and [`counts`] besides;
//! - [`validate`]: what must hold of it, one file for each rule;
//! - [`campaign`] and [`report`]: many seeds, and what a failure says.
//!
//! Invariants: whatever is started ends with the value that stands for it; every wait has a
//! limit ([`PATIENCE`]), after which the test fails and says what it waited for.
//!
//! What is not here: any expectation about TranDB but those of [`contract`]. The tests are in
//! `tests/`: one binary for each folder.

pub mod campaign;
pub mod cluster;
pub mod contract;
pub mod counts;
pub mod faults;
pub mod local;
pub mod process;
pub mod recorder;
pub mod report;
pub mod scenario;
pub mod seed;
pub mod trace;
pub mod traffic;
pub mod validate;
pub mod wire;
pub mod world;

use std::time::Duration;

/// How long anything may take that is expected to happen. Generous: it is no measurement, only
/// the difference between a failed test and one that hangs.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until `holds`; fails with `what` when it does not within [`PATIENCE`].
pub async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    const PAUSE: Duration = Duration::from_millis(10);
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !holds().await {
        assert!(
            tokio::time::Instant::now() < deadline,
            "not within {PATIENCE:?}: {what}"
        );
        tokio::time::sleep(PAUSE).await;
    }
}
