//! What the integration tests share: servers to ask, and ways to ask them.
//!
//! - [`local`]: the whole service in this process, with or without a socket in front of it;
//! - [`process`]: the real binary as a process of its own;
//! - [`wire`]: requests and answers byte by byte, for what no HTTP client would send or show;
//! - [`contract`]: every answer of the interface as scripts with recorded answers, for whatever
//!   server stands behind an address.
//!
//! Invariants: whatever is started ends with the value that stands for it; every wait has a
//! limit ([`PATIENCE`]), after which the test fails and says what it waited for.
//!
//! What is not here: any expectation about TranDB but those of [`contract`]. The tests are in
//! `tests/`: one binary for each folder.

pub mod contract;
pub mod local;
pub mod process;
pub mod wire;

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
