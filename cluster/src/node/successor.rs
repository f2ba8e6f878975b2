//! Whether somebody else has come to this node's place.
//!
//! Who is replaced hears of it from nobody, since its groups do not send to it any more: a process
//! that stood still for long enough, or two that were given one name. So a node asks the others now
//! and then who is in its place. The numbers at a place only grow, so that a higher one is a
//! successor, however old the map of who says so.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::time::sleep;

use crate::{
    founding::Answer, group::Group as _, identity::NodeId, peer::network::Network, system::System,
};

use super::{Inner, joining::ask};

/// Between two questions, each to the next of the others.
const ASK_EVERY: Duration = Duration::from_secs(2);

/// Of a member, until it stops or has a successor.
pub(super) async fn watch<N: Network>(inner: Arc<Inner<N>>) {
    for turn in 0.. {
        sleep(ASK_EVERY).await;
        if inner.is_stopping() {
            return;
        }
        let others = others(&inner);
        let Some(at) = others.iter().nth(turn % others.len().max(1)) else {
            continue;
        };
        if let Some(successor) = successor(&inner, at).await {
            tracing::error!(%successor, "another node has come to this one's place");
            inner.successor.send_replace(Some(successor));
            return;
        }
    }
}

/// Where the others are, as this node's own map has it.
fn others<N: Network>(inner: &Inner<N>) -> BTreeSet<String> {
    let mine = &inner.config.description.slot;
    let addresses = |map: &System| {
        let others = map.slots().iter().filter(|(slot, _)| *slot != mine);
        others.map(|(_, one)| one.description.at.clone()).collect()
    };
    let groups = inner.groups.get();
    groups.map_or_else(BTreeSet::new, |groups| groups.system.read_with(addresses))
}

async fn successor<N: Network>(inner: &Inner<N>, at: &str) -> Option<NodeId> {
    let me = inner.identity.get();
    match ask(inner, at, &inner.who()).await? {
        Answer::Member {
            cluster,
            occupant: Some(occupant),
            ..
        } if cluster == me.cluster && occupant > me.node => Some(occupant),
        _ => None,
    }
}
