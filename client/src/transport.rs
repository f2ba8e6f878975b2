//! How one request reaches one server: the seam between the client and the network.
//!
//! Everything above it (retries, fail-over, time limits, errors) is the same over the network
//! ([`HttpTransport`]), straight into a service in the same process ([`TowerTransport`]) and over
//! a simulated network.
//!
//! Tests: `tests/it/transport.rs`.

mod http;
mod tower;

use std::{error::Error as StdError, pin::Pin};

use ::http::{Request, Response};
use bytes::Bytes;

pub(crate) use self::http::HttpOptions;
pub use self::{http::HttpTransport, tower::TowerTransport};
use crate::Endpoint;

/// Any error of somebody else's.
pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

/// Sends one request to one endpoint and returns the whole answer.
///
/// An implementation
/// - sends the request at most once, and follows no redirect;
/// - says in its error whether the request may have reached the server: a write is sent again
///   only when it certainly did not;
/// - returns no answer whose body has more than
///   [`ANSWER_BYTES_MAX`](trandb_common::limits::ANSWER_BYTES_MAX) bytes, and stops reading there;
/// - gives up cleanly when its future is dropped: that is how the client ends a request whose
///   time is up.
///
/// ```
/// use bytes::Bytes;
/// use trandb_client::{Client, Endpoint, Transport, TransportError};
///
/// /// A server without a single key.
/// struct Empty;
///
/// impl Transport for Empty {
///     async fn send(
///         &self,
///         _endpoint: &Endpoint,
///         _request: http::Request<Bytes>,
///     ) -> Result<http::Response<Bytes>, TransportError> {
///         let page = Bytes::from_static(br#"{"keys":[],"next":null}"#);
///         Ok(http::Response::new(page))
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), trandb_client::Error> {
/// let client = Client::builder().transport(Empty).build()?;
/// assert!(client.list("").await?.keys.is_empty());
/// # Ok(())
/// # }
/// ```
pub trait Transport: Send + Sync + 'static {
    /// Sends `request`, whose URI is a path and a query, to `endpoint`.
    fn send(
        &self,
        endpoint: &Endpoint,
        request: Request<Bytes>,
    ) -> impl Future<Output = Result<Response<Bytes>, TransportError>> + Send;
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.stage.describe())]
pub struct TransportError {
    pub(crate) stage: Stage,
    pub(crate) timed_out: bool,
    source: Option<BoxError>,
}

/// How far the request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Nothing of it left this process.
    NotSent,
    /// Some of it may have reached the server, and the whole answer did not come back.
    MaybeSent,
    /// There is an answer, of more bytes than any of TranDB's.
    AnswerTooLarge,
}

impl Stage {
    const fn describe(self) -> &'static str {
        match self {
            Self::NotSent => "no connection to the server",
            Self::MaybeSent => "the connection failed before the whole answer came",
            Self::AnswerTooLarge => "the answer is larger than any of TranDB's",
        }
    }
}

impl TransportError {
    /// The request certainly did not reach the server, for instance since it refused the
    /// connection. Any request may be sent again.
    pub fn not_sent(source: impl Into<BoxError>) -> Self {
        Self::new(Stage::NotSent, Some(source.into()))
    }

    /// The request may have reached the server. A write is not sent again.
    pub fn maybe_sent(source: impl Into<BoxError>) -> Self {
        Self::new(Stage::MaybeSent, Some(source.into()))
    }

    /// The answer has more than
    /// [`ANSWER_BYTES_MAX`](trandb_common::limits::ANSWER_BYTES_MAX) bytes. Nothing is sent again.
    pub fn answer_too_large() -> Self {
        Self::new(Stage::AnswerTooLarge, None)
    }

    fn new(stage: Stage, source: Option<BoxError>) -> Self {
        Self {
            stage,
            timed_out: false,
            source,
        }
    }

    /// Says that a time limit was the reason.
    #[must_use]
    pub fn timed_out(mut self, timed_out: bool) -> Self {
        self.timed_out = timed_out;
        self
    }
}

/// A [`Transport`] behind a pointer, so that the client's type does not depend on it.
pub(crate) trait DynTransport: Send + Sync {
    fn send<'a>(
        &'a self,
        endpoint: &'a Endpoint,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, TransportError>> + Send + 'a>>;
}

impl<T: Transport> DynTransport for T {
    fn send<'a>(
        &'a self,
        endpoint: &'a Endpoint,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, TransportError>> + Send + 'a>> {
        Box::pin(Transport::send(self, endpoint, request))
    }
}
