//! What a replica does unasked: keeps its log short, and finishes a change of membership that a
//! leader has left behind.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use openraft::{ChangeMembers, async_runtime::WatchReceiver as _};

use crate::group::{Role, StateMachine};

use super::Inner;

/// How long to leave a log alone that has been shortened.
const LOOK: Duration = Duration::from_millis(20);

/// How long to wait when a change cannot be finished at once.
const AGAIN: Duration = Duration::from_millis(200);

/// Announces a snapshot whenever the log has grown large, and drops the entries before it but for
/// some that a lagging replica may yet ask for.
pub(super) async fn keep_log_short<S: StateMachine>(inner: Arc<Inner<S>>) {
    loop {
        inner.log.much().await;
        let shortened = inner.shorten_log(inner.log_kept_bytes).await;
        if shortened.is_none() || inner.status().role == Role::Stopped {
            return;
        }
        // As long as much is not applied yet, every append says that there is much.
        tokio::time::sleep(LOOK).await;
    }
}

/// At every new leader: ends a joint configuration that it finds.
pub(super) async fn finish_changes<S: StateMachine>(inner: Arc<Inner<S>>) {
    let mut metrics = inner.raft.server_metrics();
    loop {
        let status = inner.status();
        if status.role == Role::Stopped {
            return;
        }
        let left_behind = status.role == Role::Leader && status.membership.is_joint();
        if left_behind {
            // Not while the change is being made by this very leader.
            let _alone = inner.changing.lock().await;
            let status = inner.status();
            if status.role == Role::Leader && status.membership.is_joint() {
                let nothing = ChangeMembers::AddVoterIds(BTreeSet::new());
                let finished = inner.raft.change_membership(nothing, false).await;
                if let Err(error) = finished {
                    tracing::info!(group = %inner.group, %error, "a change is not finished yet");
                    tokio::time::sleep(AGAIN).await;
                }
            }
            continue;
        }
        if metrics.changed().await.is_err() {
            return;
        }
    }
}
