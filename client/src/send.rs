//! One call: tries at one endpoint after the other, until an answer, or nothing more may be done.
//!
//! What may be sent again is decided in `retry`, what an answer means in `answer`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response};
use tokio::time::{Instant, sleep, timeout_at};
use trandb_common::{Key, Outcome};

use crate::{
    Endpoint, Error, RetryPolicy,
    answer::{self, Failure},
    client,
    error::Kind,
    leaders::Leaders,
    retry::{Effect, is_of_endpoint, may_send_again},
    transaction::{AcknowledgedLater, Ids},
    transport::DynTransport,
};

/// What all clones of a client share.
pub(crate) struct Sender {
    pub(crate) transport: Box<dyn DynTransport>,
    pub(crate) endpoints: Endpoints,
    /// None: requests are not sent to the leaders of their keys' shards.
    pub(crate) leaders: Option<Leaders>,
    pub(crate) timeout: Duration,
    pub(crate) try_timeout: Duration,
    pub(crate) retry: RetryPolicy,
    pub(crate) jitter: JitterSeeds,
    pub(crate) ids: Ids,
    pub(crate) acknowledged: AcknowledgedLater,
}

impl Sender {
    /// Sends `request`, which is about `key`, until `read` makes something of an answer.
    pub(crate) async fn send<A>(
        self: &Arc<Self>,
        key: Option<&Key>,
        effect: Effect,
        request: Request<Bytes>,
        read: impl Fn(&Response<Bytes>) -> Result<A, Failure>,
    ) -> Result<A, Error> {
        let deadline = Instant::now() + self.timeout;
        let leader = key.and_then(|key| self.leader_of(key));
        self.send_from(leader, effect, request, deadline, read)
            .await
    }

    /// Who leads the shard of `key`, if requests are sent there and it is known. Now and then it has
    /// itself told anew meanwhile.
    fn leader_of(self: &Arc<Self>, key: &Key) -> Option<Arc<Endpoint>> {
        let leaders = self.leaders.as_ref()?;
        if leaders.is_time_to_ask(Instant::now()) {
            tokio::spawn(Arc::clone(self).learn_leaders());
        }
        leaders.of(key)
    }

    /// Asks once, at the next endpoint the next time.
    async fn learn_leaders(self: Arc<Self>) {
        let (Some(leaders), Ok(request)) = (&self.leaders, client::read(Method::GET, "/cluster"))
        else {
            return;
        };
        let asked = self.endpoints.current();
        let deadline = Instant::now() + self.try_timeout;
        let endpoint = self.endpoints.get(asked);
        let answer = self.try_once(endpoint, Effect::Read, request, deadline);
        match answer.await.and_then(|answer| answer::cluster(&answer)) {
            Ok(status) => leaders.learn(&status),
            Err(failure) if is_of_endpoint(&failure.kind) => {
                self.endpoints.leave(asked);
            }
            // Whoever answers so serves requests all the same.
            Err(_) => {}
        }
    }

    /// The same, in the time until `deadline`.
    pub(crate) async fn send_until<A>(
        &self,
        effect: Effect,
        request: Request<Bytes>,
        deadline: Instant,
        read: impl Fn(&Response<Bytes>) -> Result<A, Failure>,
    ) -> Result<A, Error> {
        self.send_from(None, effect, request, deadline, read).await
    }

    /// The same, beginning at `leader` if there is one.
    async fn send_from<A>(
        &self,
        mut leader: Option<Arc<Endpoint>>,
        effect: Effect,
        request: Request<Bytes>,
        deadline: Instant,
        read: impl Fn(&Response<Bytes>) -> Result<A, Failure>,
    ) -> Result<A, Error> {
        let mut delays = None;
        let mut endpoint = self.endpoints.current();
        let mut untried = self.endpoints.len() - 1;
        let mut tries = 0;
        // How an earlier try failed that may have happened.
        let mut open = None;
        loop {
            tries += 1;
            let at = match &leader {
                Some(leader) => leader,
                None => self.endpoints.get(endpoint),
            };
            let answer = self.try_once(at, effect, request.clone(), deadline);
            let failure = match answer.await.and_then(|answer| read(&answer)) {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let elsewhere = is_of_endpoint(&failure.kind);
            let from_leader = leader.take_if(|_| elsewhere);
            if let (Some(leader), Some(leaders)) = (&from_leader, &self.leaders) {
                leaders.forget(leader);
            } else if elsewhere {
                endpoint = self.endpoints.leave(endpoint);
            }
            if !may_send_again(effect, &failure.kind) {
                return Err(Error::of_tries(failure.kind, open, effect, tries));
            }
            let delay = if from_leader.is_some() {
                Some(Duration::ZERO)
            } else if elsewhere && untried > 0 {
                untried -= 1;
                Some(Duration::ZERO)
            } else {
                delays
                    .get_or_insert_with(|| self.retry.delays(self.jitter.next()))
                    .next(failure.retry_after)
            };
            match delay {
                Some(delay) if Instant::now() + delay < deadline => sleep(delay).await,
                _ => return Err(Error::of_tries(failure.kind, open, effect, tries)),
            }
            // A sleep may end late. A try without any time would end as a write of unknown
            // outcome, although nothing of it was sent.
            if Instant::now() >= deadline {
                return Err(Error::of_tries(failure.kind, open, effect, tries));
            }
            if failure.kind.outcome(effect) == Outcome::Unknown {
                open = Some(failure.kind);
            }
        }
    }

    /// Sends `request` to one endpoint, once.
    pub(crate) async fn try_once(
        &self,
        endpoint: &Endpoint,
        effect: Effect,
        request: Request<Bytes>,
        deadline: Instant,
    ) -> Result<Response<Bytes>, Failure> {
        let begun = Instant::now();
        // Giving up a write early gains nothing: it could not be sent again.
        let end = match effect {
            Effect::Write => deadline,
            Effect::Read | Effect::WriteWithId => deadline.min(begun + self.try_timeout),
        };
        match timeout_at(end, self.transport.send(endpoint, request)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(Failure::from(Kind::Transport {
                endpoint: endpoint.clone(),
                error,
            })),
            Err(_elapsed) => Err(Failure::from(Kind::TimedOut {
                endpoint: endpoint.clone(),
                after: end - begun,
            })),
        }
    }
}

/// The endpoints, and which of them answered last.
#[derive(Debug)]
pub(crate) struct Endpoints {
    /// At least one.
    all: Vec<Endpoint>,
    current: AtomicUsize,
}

impl Endpoints {
    /// None when there is no endpoint at all.
    pub(crate) fn new(all: Vec<Endpoint>) -> Option<Self> {
        (!all.is_empty()).then_some(Self {
            all,
            current: AtomicUsize::new(0),
        })
    }

    fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn get(&self, index: usize) -> &Endpoint {
        &self.all[index]
    }

    /// Where requests go at the moment.
    pub(crate) fn current(&self) -> usize {
        self.current.load(Ordering::Relaxed)
    }

    /// The next one after `failed`. Later requests go there too, unless they have moved already.
    fn leave(&self, failed: usize) -> usize {
        let next = (failed + 1) % self.all.len();
        let _ = self
            .current
            .compare_exchange(failed, next, Ordering::Relaxed, Ordering::Relaxed);
        next
    }
}

/// A seed for each request that waits.
pub(crate) struct JitterSeeds(AtomicU64);

impl JitterSeeds {
    pub(crate) fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    pub(crate) fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}
