//! Any tower service as a transport: a server's router in the same process, or an HTTP client
//! over a simulated network.

use std::{fmt, future::poll_fn};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use tower_service::Service;
use trandb_common::limits::ANSWER_BYTES_MAX;

use super::{BoxError, Transport, TransportError};
use crate::Endpoint;

/// Sends requests into a [`tower_service::Service`].
///
/// The service gets requests with an absolute URI, as HTTP clients want them. One that takes
/// another body than [`Full<Bytes>`] is adapted with tower's `map_request`.
pub struct TowerTransport<S: Service<Request<Full<Bytes>>>> {
    service: S,
    not_sent: fn(&S::Error) -> bool,
}

impl<S: Service<Request<Full<Bytes>>>> TowerTransport<S> {
    /// A transport into `service`, of which a clone is made for every request.
    ///
    /// After an error of the service the request counts as one that may have arrived, unless it
    /// came before the service was ready; see [`not_sent_if`](Self::not_sent_if).
    pub fn new(service: S) -> Self {
        Self {
            service,
            not_sent: |_| false,
        }
    }

    /// Names the errors after which the request certainly did not arrive, so that even a write is
    /// sent again. For hyper-util's client it is
    /// `not_sent_if(hyper_util::client::legacy::Error::is_connect)`.
    #[must_use]
    pub fn not_sent_if(mut self, predicate: fn(&S::Error) -> bool) -> Self {
        self.not_sent = predicate;
        self
    }
}

impl<S: Service<Request<Full<Bytes>>>> fmt::Debug for TowerTransport<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TowerTransport").finish_non_exhaustive()
    }
}

impl<S, B> Transport for TowerTransport<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: Body + Send,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    async fn send(
        &self,
        endpoint: &Endpoint,
        request: Request<Bytes>,
    ) -> Result<Response<Bytes>, TransportError> {
        let (mut parts, body) = request.into_parts();
        parts.uri = endpoint
            .uri(&parts.uri)
            .ok_or_else(|| TransportError::not_sent("the request's path makes no URI"))?;
        let mut service = self.service.clone();
        poll_fn(|context| service.poll_ready(context))
            .await
            .map_err(TransportError::not_sent)?;
        let answer = service
            .call(Request::from_parts(parts, Full::new(body)))
            .await
            .map_err(|error| {
                if (self.not_sent)(&error) {
                    TransportError::not_sent(error)
                } else {
                    TransportError::maybe_sent(error)
                }
            })?;
        read(answer).await
    }
}

async fn read<B>(answer: Response<B>) -> Result<Response<Bytes>, TransportError>
where
    B: Body + Send,
    B::Error: Into<BoxError>,
{
    let (parts, body) = answer.into_parts();
    match Limited::new(body, ANSWER_BYTES_MAX).collect().await {
        Ok(body) => Ok(Response::from_parts(parts, body.to_bytes())),
        Err(error) if error.is::<LengthLimitError>() => Err(TransportError::answer_too_large()),
        Err(error) => Err(TransportError::maybe_sent(error)),
    }
}
