//! The network, through reqwest.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Method, Request, Response, header::CONTENT_LENGTH};
use trandb_common::limits::ANSWER_BYTES_MAX;

use super::{Transport, TransportError};
use crate::{Endpoint, Error};

/// Most idle connections that are kept to one endpoint.
const IDLE_CONNECTIONS_MAX: usize = 64;

/// Longest time that an idle connection is kept: shorter than what servers and proxies commonly
/// allow, so that the side that might be sending a request is the one that closes.
const IDLE_TIME_MAX: Duration = Duration::from_secs(15);

/// HTTP/1.1 over TCP with a pool of connections.
///
/// It follows no redirect, uses no proxy, asks for no compression and sends every request at most
/// once. [`Client::connect`](crate::Client::connect) and
/// [`Client::builder`](crate::Client::builder) use it unless told otherwise. It needs a tokio
/// runtime with input, output and time enabled.
///
/// With the cargo feature `tls` it takes `https` endpoints, too, whose certificates are checked
/// against the system's (on Linux those that `SSL_CERT_FILE` or `SSL_CERT_DIR` name, if set).
#[derive(Debug, Clone)]
pub struct HttpTransport {
    client: reqwest::Client,
}

/// What the builder lets its user choose.
#[derive(Debug, Clone)]
pub(crate) struct HttpOptions {
    /// Longest time to establish a connection, looking up the name included.
    pub(crate) connect_timeout: Duration,
}

impl HttpTransport {
    /// A transport with a pool of connections of its own, for whoever wraps it into another one;
    /// else the builder makes it. `connect_timeout` is the longest time to establish a connection.
    ///
    /// # Errors
    ///
    /// When the system's settings allow no HTTP client.
    pub fn with_connect_timeout(connect_timeout: Duration) -> Result<Self, Error> {
        Self::new(&HttpOptions { connect_timeout })
    }

    pub(crate) fn new(options: &HttpOptions) -> Result<Self, Error> {
        #[cfg(feature = "tls")]
        choose_cryptography();
        let client = reqwest::Client::builder()
            .user_agent(concat!("trandb-client/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(options.connect_timeout)
            .tcp_nodelay(true)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .pool_idle_timeout(IDLE_TIME_MAX)
            .http1_only()
            .no_proxy()
            .referer(false)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .build()
            .map_err(|error| {
                Error::configuration("no HTTP client can be made", Some(error.into()))
            })?;
        Ok(Self { client })
    }
}

/// rustls wants one provider of cryptography for the whole process.
#[cfg(feature = "tls")]
fn choose_cryptography() {
    // It fails where the application has chosen one, which then stands.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

impl Transport for HttpTransport {
    async fn send(
        &self,
        endpoint: &Endpoint,
        request: Request<Bytes>,
    ) -> Result<Response<Bytes>, TransportError> {
        let request = to_reqwest(endpoint, request)?;
        let answer = self.client.execute(request).await.map_err(to_error)?;
        read(answer).await
    }
}

fn to_reqwest(
    endpoint: &Endpoint,
    request: Request<Bytes>,
) -> Result<reqwest::Request, TransportError> {
    let (parts, body) = request.into_parts();
    let url = reqwest::Url::parse(&format!("{endpoint}{}", parts.uri))
        .map_err(TransportError::not_sent)?;
    let mut request = reqwest::Request::new(parts.method, url);
    *request.headers_mut() = parts.headers;
    if matches!(*request.method(), Method::PUT | Method::POST) {
        // A body of no bytes is one all the same; the library would announce none.
        let length = HeaderValue::from(body.len());
        request.headers_mut().insert(CONTENT_LENGTH, length);
        *request.body_mut() = Some(body.into());
    }
    Ok(request)
}

/// Reads the whole body into a buffer of its own, so that a small value does not keep the
/// connection's buffer alive.
async fn read(mut answer: reqwest::Response) -> Result<Response<Bytes>, TransportError> {
    let announced = usize::try_from(answer.content_length().unwrap_or(0));
    let Ok(announced @ ..=ANSWER_BYTES_MAX) = announced else {
        return Err(TransportError::answer_too_large());
    };
    let mut body = BytesMut::with_capacity(announced);
    while let Some(chunk) = answer.chunk().await.map_err(to_error)? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(TransportError::answer_too_large());
        }
        body.extend_from_slice(&chunk);
    }
    let mut response = Response::new(body.freeze());
    *response.status_mut() = answer.status();
    *response.headers_mut() = std::mem::take(answer.headers_mut());
    Ok(response)
}

fn to_error(error: reqwest::Error) -> TransportError {
    let timed_out = error.is_timeout();
    let error = if error.is_connect() || error.is_builder() {
        TransportError::not_sent(error)
    } else {
        TransportError::maybe_sent(error)
    };
    error.timed_out(timed_out)
}
