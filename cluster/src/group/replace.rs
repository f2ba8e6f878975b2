//! A new node in the place of a dead one.
//!
//! 1. The new node becomes a learner, so that it gets the log, or a snapshot and then the log.
//! 2. When it has nearly everything it gets the vote, and the dead one loses its own: one joint
//!    change. The group never has fewer voters alive than before.
//!
//! Whoever leads runs it, again and again until it has succeeded: a new leader finds the group in
//! one of these states and goes on from there. A joint change that was left behind is finished
//! without being asked.
//!
//! Tests: `tests/simulation`, with leaders killed in between.

use std::{collections::BTreeSet, time::Duration};

use tokio::time::{Instant, sleep_until};

use crate::{identity::NodeId, transport::Address};

use super::{ChangeError, Group, Status};

/// How many entries a learner may lack when it gets the vote. With more, the group would have to
/// wait for it if another voter died at this moment.
pub const LAG_MAX: u64 = 64;

/// How often the learner's lag is looked at.
const POLL: Duration = Duration::from_millis(50);

/// Puts `new` into the place of `dead`; at the leader. Nothing happens if that is done already.
///
/// `dead` are all that had this place before: more than one if a newcomer ended before it had the
/// vote.
///
/// # Errors
///
/// It is not done, as far as is known here.
pub async fn replace<G: Group>(
    group: &G,
    dead: &BTreeSet<NodeId>,
    new: Address,
    deadline: Instant,
) -> Result<(), ChangeError> {
    let membership = group.status().membership;
    if !membership.members.contains_key(&new.node) {
        group.add_learner(new.clone(), deadline).await?;
    }
    let status = caught_up(group, new.node, deadline).await?;
    let membership = status.membership;
    let gone = dead
        .iter()
        .all(|node| !membership.members.contains_key(node));
    if gone && membership.is_voter(new.node) && !membership.is_joint() {
        return Ok(());
    }
    if membership.is_joint() {
        return Err(ChangeError::InProgress);
    }
    group
        .swap_voters(
            membership.position,
            dead.clone(),
            [new.node].into(),
            deadline,
        )
        .await
}

/// Waits until `learner` lacks little.
async fn caught_up<G: Group>(
    group: &G,
    learner: NodeId,
    deadline: Instant,
) -> Result<Status, ChangeError> {
    loop {
        let status = group.status();
        if status.leader != Some(status.node) {
            return Err(ChangeError::NotLeader {
                leader: group.leader(),
            });
        }
        let has = status.replicated.get(&learner).copied().flatten();
        let lag = match (status.last, has) {
            (Some(last), Some(has)) => last.saturating_sub(has),
            _ => u64::MAX,
        };
        if lag <= LAG_MAX || learner == status.node {
            return Ok(status);
        }
        let next = Instant::now() + POLL;
        if next > deadline {
            return Err(ChangeError::Unknown("the learner does not catch up"));
        }
        sleep_until(next).await;
    }
}
