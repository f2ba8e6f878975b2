//! How a client is made.

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

use crate::{
    Client, Endpoint, Error, InvalidEndpoint, RetryPolicy, Transport,
    leaders::Leaders,
    send::{Endpoints, JitterSeeds, Sender},
    transaction::{AcknowledgedLater, Ids},
    transport::{DynTransport, HttpOptions, HttpTransport},
};

/// Where a client goes when it is given no endpoint.
const DEFAULT_ENDPOINT: &str = "http://127.0.0.1:8080";

/// Longest of all time limits: a deadline can always be represented.
const TIMEOUT_MAX: Duration = Duration::from_hours(24);

/// The settings of a [`Client`]; [`Client::builder`] makes one with the defaults.
///
/// ```
/// use std::time::Duration;
/// use trandb_client::{Client, RetryPolicy};
///
/// let client = Client::builder()
///     .endpoint("http://10.0.0.1:8080")
///     .endpoint("http://10.0.0.2:8080")
///     .timeout(Duration::from_secs(3))
///     .retries(RetryPolicy::default().max_retries(2))
///     .build()?;
/// # Ok::<(), trandb_client::Error>(())
/// ```
#[must_use = "a builder makes nothing until `build`"]
pub struct ClientBuilder {
    endpoints: Vec<Result<Endpoint, InvalidEndpoint>>,
    transport: Option<Box<dyn DynTransport>>,
    http: HttpOptions,
    timeout: Duration,
    try_timeout: Duration,
    retry: RetryPolicy,
    jitter_seed: Option<u64>,
    prefer_leaders: bool,
}

impl ClientBuilder {
    pub(crate) fn new() -> Self {
        Self {
            endpoints: Vec::new(),
            transport: None,
            http: HttpOptions {
                connect_timeout: Duration::from_secs(2),
            },
            timeout: Duration::from_secs(10),
            try_timeout: Duration::from_secs(4),
            retry: RetryPolicy::default(),
            jitter_seed: None,
            prefer_leaders: false,
        }
    }

    /// Adds a server, as `http://host:port`. With several, requests stay with one as long as it
    /// answers, and go on to the next in order when it does not. Without any,
    /// `http://127.0.0.1:8080` is used.
    pub fn endpoint(mut self, url: impl AsRef<str>) -> Self {
        self.endpoints.push(url.as_ref().parse());
        self
    }

    /// Sends requests through `transport` instead of the network. What is set with
    /// [`connect_timeout`](Self::connect_timeout) does not apply to it.
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transport = Some(Box::new(transport));
        self
    }

    /// Longest time of a whole call, all tries and the waits between them included: 10 s unless
    /// set. At most a day; a longer one is taken as that.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout.min(TIMEOUT_MAX);
        self
    }

    /// Longest time of one try of a read, after which it is tried again elsewhere: 4 s unless set.
    /// A write is given all the time of its call, since it cannot be sent again after that.
    pub fn try_timeout(mut self, timeout: Duration) -> Self {
        self.try_timeout = timeout.min(TIMEOUT_MAX);
        self
    }

    /// Longest time to establish a connection, looking up the host's name included: 2 s unless
    /// set.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.http.connect_timeout = timeout.min(TIMEOUT_MAX);
        self
    }

    /// What is sent again, and when.
    pub fn retries(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// Sends what concerns one key straight to the node of the cluster that leads the key's shard,
    /// and a transaction to the one that leads its first key's, so that no node has to pass it on.
    ///
    /// The client has the endpoints tell it who that is, in the background, every few seconds while
    /// it is used. As long as it does not know, and when such a node does not serve, it goes to its
    /// endpoints as it would without. The nodes must be within its reach at the addresses that
    /// `/cluster` names (`--advertise`).
    pub fn prefer_leaders(mut self) -> Self {
        self.prefer_leaders = true;
        self
    }

    /// Makes the jitter of the waits and the ids of transactions repeatable, for simulations and
    /// tests; random unless set. Two clients with the same seed wait alike, which is what jitter is
    /// to prevent, and take each other's transactions for their own.
    pub fn jitter_seed(mut self, seed: u64) -> Self {
        self.jitter_seed = Some(seed);
        self
    }

    /// Makes the client. It connects with its first request.
    ///
    /// # Errors
    ///
    /// When an endpoint is not one, or a time limit is zero.
    pub fn build(self) -> Result<Client, Error> {
        if self.timeout.is_zero()
            || self.try_timeout.is_zero()
            || self.http.connect_timeout.is_zero()
        {
            return Err(Error::configuration("a time limit must not be zero", None));
        }
        let mut endpoints = self
            .endpoints
            .into_iter()
            .collect::<Result<Vec<_>, _>>()
            .map_err(invalid_endpoint)?;
        if endpoints.is_empty() {
            endpoints.push(DEFAULT_ENDPOINT.parse().map_err(invalid_endpoint)?);
        }
        let leaders = endpoints
            .first()
            .filter(|_| self.prefer_leaders)
            .map(Leaders::new);
        let endpoints = Endpoints::new(endpoints)
            .ok_or_else(|| Error::configuration("there is no endpoint", None))?;
        let transport = match self.transport {
            Some(transport) => transport,
            None => Box::new(HttpTransport::new(&self.http)?),
        };
        Ok(Client::from_sender(Arc::new(Sender {
            transport,
            endpoints,
            leaders,
            timeout: self.timeout,
            try_timeout: self.try_timeout,
            retry: self.retry,
            jitter: JitterSeeds::new(self.jitter_seed.unwrap_or_else(random_seed)),
            ids: Ids::new(self.jitter_seed),
            acknowledged: AcknowledgedLater::default(),
        })))
    }
}

fn invalid_endpoint(error: InvalidEndpoint) -> Error {
    Error::configuration("an endpoint cannot be used", Some(error.into()))
}

/// From the operating system: std seeds every process's hash maps with it.
fn random_seed() -> u64 {
    RandomState::new().hash_one(0_u64)
}

impl std::fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("endpoints", &self.endpoints)
            .field("timeout", &self.timeout)
            .field("retry", &self.retry)
            .finish_non_exhaustive()
    }
}
