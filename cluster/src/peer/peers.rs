//! The connections that this node makes.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use tokio::{
    task::JoinSet,
    time::{Instant, timeout_at},
};
use trandb_common::limits::PEER_BODY_BYTES_MAX;

use super::{
    Identity, Member, PEERS_MAX,
    link::{Call, Carrier, Link, NotBegun},
    network::{Network, Tcp},
};
use crate::transport::{Address, Request, Transport, TransportError};

/// Calls other nodes, over one connection to each, which is made when it is first needed and
/// closed when it is not used for a while.
///
/// Needs a Tokio runtime. Dropping it drops the connections; see [`shut_down`](Self::shut_down).
#[derive(Debug)]
pub struct Peers<N: Network = Tcp> {
    network: N,
    identity: Identity,
    links: Mutex<Links>,
}

#[derive(Debug, Default)]
struct Links {
    by_address: BTreeMap<Address, Arc<Link>>,
    /// The tasks of these links, and of some that have been closed.
    carriers: JoinSet<()>,
    /// Who this node was when it opened them.
    me: Member,
    shutting_down: bool,
}

impl<N: Network> Peers<N> {
    /// Of the node that `identity` is, or becomes.
    pub fn new(network: N, identity: Identity) -> Self {
        Self {
            network,
            identity,
            links: Mutex::default(),
        }
    }

    /// Begins no more calls, waits for those that have been begun until `deadline`, then closes
    /// the connections. A call that has no answer by then is [`TransportError::Disconnected`].
    pub async fn shut_down(&self, deadline: Instant) {
        let (links, mut carriers) = {
            let mut links = self.links();
            links.shutting_down = true;
            (
                std::mem::take(&mut links.by_address),
                std::mem::take(&mut links.carriers),
            )
        };
        let emptied = async {
            for link in links.values() {
                link.emptied().await;
            }
        };
        let _ = timeout_at(deadline, emptied).await;
        carriers.shutdown().await;
    }

    /// Nothing panics while it holds the lock, so a poisoned one is as good as any.
    fn links(&self) -> MutexGuard<'_, Links> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(
        &self,
        to: &Address,
        request: Request,
        deadline: Instant,
    ) -> Result<Call, TransportError> {
        let bytes = request.body.len();
        if bytes > PEER_BODY_BYTES_MAX {
            return Err(TransportError::TooLarge { bytes });
        }
        let mut links = self.links();
        if links.shutting_down {
            return Err(TransportError::ShuttingDown);
        }
        let me = self.identity.get();
        if links.me != me {
            // What it said in its Hellos is true no more. These connections end when they are not
            // used any longer.
            links.by_address.clear();
            links.me = me;
        }
        let begun = match links.by_address.get(to) {
            Some(link) => link.begin(to.node, request, deadline),
            None => Err(NotBegun::Closed(request)),
        };
        let begun = match begun {
            Err(NotBegun::Closed(request)) => {
                let link = self.open(&mut links, to)?;
                link.begin(to.node, request, deadline)
            }
            begun => begun,
        };
        begun.map_err(|error| match error {
            NotBegun::Failed(error) => error,
            NotBegun::Closed(_) => TransportError::ShuttingDown,
        })
    }

    /// A link in the place of one that was closed, or of none.
    fn open(&self, links: &mut Links, to: &Address) -> Result<Arc<Link>, TransportError> {
        links.by_address.remove(to);
        while links.carriers.try_join_next().is_some() {}
        if links.carriers.len() >= PEERS_MAX {
            return Err(TransportError::Overloaded);
        }
        let link = Arc::new(Link::new());
        let carrier = Carrier {
            network: self.network.clone(),
            me: links.me,
            to: to.clone(),
            link: Arc::clone(&link),
        };
        links.carriers.spawn(carrier.run());
        links.by_address.insert(to.clone(), Arc::clone(&link));
        Ok(link)
    }
}

impl<N: Network> Transport for Peers<N> {
    async fn call(
        &self,
        to: &Address,
        request: Request,
        deadline: Instant,
    ) -> Result<Bytes, TransportError> {
        self.begin(to, request, deadline)?.answer(deadline).await
    }
}
