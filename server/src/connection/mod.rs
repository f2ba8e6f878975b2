//! Sockets: accepting, limits, time-outs, draining.
//!
//! A slow client cannot hold anything for long: the head of a request, its body and the progress
//! of an answer each have their time, and connections have a number. Accepted sockets never delay
//! small writes (`TCP_NODELAY`).

mod coalesce;
mod handling;
mod head_deadline;
mod refuse;

use std::{
    convert::Infallible,
    future::{Ready, pending, ready},
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::Either;
use http::{Request, Response};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{sleep, timeout},
};
use tokio_io_timeout::TimeoutWriter;
use tracing::{debug, info, warn};

use self::{
    coalesce::Coalesce,
    handling::{Handling, Receiving},
    head_deadline::HeadDeadline,
};
use crate::{
    App, Body, Config, Shards,
    http::{Answering, Phase},
};

/// A connection's buffer for what it reads, in bytes: the longest head of a request.
const READ_BUFFER_BYTES_MAX: usize = 64 * 1024;

/// How connections are served; see [`Config`] for each.
#[derive(Debug, Clone)]
pub struct Settings {
    /// More are refused.
    pub connections_max: usize,
    /// For the head of a request; also the longest idle time.
    pub header_timeout: Duration,
    /// Without progress in sending an answer.
    pub write_timeout: Duration,
    /// From the signal to the end of serving.
    pub drain_delay: Duration,
    /// For requests in flight to finish.
    pub drain_timeout: Duration,
}

impl From<&Config> for Settings {
    fn from(config: &Config) -> Self {
        Self {
            connections_max: config.connections_max as usize,
            header_timeout: config.header_timeout,
            write_timeout: config.write_timeout,
            drain_delay: config.drain_delay,
            drain_timeout: config.drain_timeout,
        }
    }
}

/// Serves `app` on `listener` until `stop` is ready, then drains.
///
/// Readiness is off first; then requests in flight finish while new ones are refused. Returns the
/// number of connections that were cut off because their requests took longer than
/// `drain_timeout`.
pub async fn serve<S: Shards>(
    listener: TcpListener,
    app: App<S>,
    settings: Settings,
    stop: impl Future<Output = ()>,
) -> usize {
    // Each connection has a receiver while it is open.
    let drain = watch::Sender::new(());
    let drain_timeout = settings.drain_timeout;
    let acceptor = Acceptor {
        listener,
        open: Arc::new(Semaphore::new(settings.connections_max)),
        refusals: refuse::Refusals::default(),
        app: app.clone(),
        settings,
    };
    let mut stop = pin!(async {
        stop.await;
        info!("leaving: readiness is off");
        app.enter(Phase::Leaving);
        sleep(acceptor.settings.drain_delay).await;
        app.enter(Phase::Draining);
    });
    loop {
        tokio::select! {
            biased;
            () = &mut stop => break,
            () = acceptor.accept(Some(&drain)) => {}
        }
    }
    info!(
        connections = acceptor.open_connections(),
        "draining: requests in flight finish"
    );
    drain.send_replace(());
    let mut drained = pin!(timeout(drain_timeout, drain.closed()));
    loop {
        tokio::select! {
            biased;
            in_time = &mut drained => {
                return if in_time.is_ok() { 0 } else { acceptor.open_connections() };
            }
            // New connections are told properly that the server is about to end.
            () = acceptor.accept(None) => {}
        }
    }
}

struct Acceptor<S> {
    listener: TcpListener,
    open: Arc<Semaphore>,
    refusals: refuse::Refusals,
    app: App<S>,
    settings: Settings,
}

impl<S: Shards> Acceptor<S> {
    fn open_connections(&self) -> usize {
        self.settings.connections_max - self.open.available_permits()
    }

    /// Accepts one connection and lets it go its way.
    async fn accept(&self, drain: Option<&watch::Sender<()>>) {
        /// Files are used up: waiting for some to be closed is better than spinning.
        const PAUSE: Duration = Duration::from_millis(50);
        match self.listener.accept().await {
            Ok((stream, peer)) => {
                if let Ok(permit) = Arc::clone(&self.open).try_acquire_owned() {
                    self.spawn(stream, permit, drain);
                } else {
                    debug!(%peer, "refused: too many connections");
                    self.refusals.refuse(stream);
                }
            }
            Err(error) if is_of_the_connection(&error) => debug!(%error, "not accepted"),
            Err(error) => {
                warn!(%error, "no connection can be accepted");
                sleep(PAUSE).await;
            }
        }
    }

    fn spawn(
        &self,
        stream: TcpStream,
        permit: OwnedSemaphorePermit,
        drain: Option<&watch::Sender<()>>,
    ) {
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%error, "small answers may be delayed");
        }
        let drain = drain.map(watch::Sender::subscribe);
        let connection = connection(stream, self.app.clone(), &self.settings, drain);
        spawn_connection(connection, permit);
    }
}

/// Serves `app` on one connection, whatever it is made of, until its client closes it: what
/// [`serve`] does for each one that it accepts. For tests, and for networks that are simulated.
///
/// # Errors
///
/// The client goes away in the middle, is too slow or does not speak HTTP.
pub async fn serve_stream<S: Shards>(
    stream: impl AsyncRead + AsyncWrite + Send + 'static,
    app: App<S>,
    settings: &Settings,
) -> hyper::Result<()> {
    connection(stream, app, settings, None).await
}

/// Serves one connection until its end; after a message from `drain`, until the requests in flight
/// are done.
fn connection<S: Shards>(
    stream: impl AsyncRead + AsyncWrite + Send + 'static,
    app: App<S>,
    settings: &Settings,
    mut drain: Option<watch::Receiver<()>>,
) -> impl Future<Output = hyper::Result<()>> + Send + 'static {
    let mut stream = TimeoutWriter::new(stream);
    stream.set_timeout(Some(settings.write_timeout));
    let handling = Handling::default();
    let stream = HeadDeadline::new(Box::pin(stream), handling.clone(), settings.header_timeout);
    let mut io = Coalesce::new(stream, handling.clone());
    let service = Service { app, handling };
    let mut http = http1::Builder::new();
    http.max_buf_size(READ_BUFFER_BYTES_MAX);
    // Who has finished sending may still read: what was asked is answered. It also keeps hyper from
    // reading on while a request is handled, which would take a new buffer for every body.
    http.half_close(true);
    async move {
        let ended = {
            let mut connection = pin!(http.serve_connection(TokioIo::new(&mut io), service));
            let ended = tokio::select! {
                biased;
                () = told(&mut drain) => {
                    connection.as_mut().graceful_shutdown();
                    connection.as_mut().await
                }
                ended = connection.as_mut() => ended,
            };
            // Where an upgrade was asked for, hyper ends for whoever takes the connection over, and
            // keeps what it has not sent yet. Nobody does: polled again, it ends as it does else.
            if !is_broken(&ended) {
                let _ = connection.await;
            }
            ended
        };
        // Nor does it shut down where HTTP/2 begins: what is gathered goes out all the same.
        if !is_broken(&ended) {
            let _ = io.shutdown().await;
        }
        ended
    }
}

/// Whether nothing more can be sent, or need be: anything but the client's having finished, or
/// having sent what is no HTTP.
fn is_broken(ended: &hyper::Result<()>) -> bool {
    ended.as_ref().is_err_and(|error| !error.is_parse())
}

/// Ends with the first message; never where none can come.
async fn told(drain: &mut Option<watch::Receiver<()>>) {
    if let Some(drain) = drain
        && drain.changed().await.is_ok()
    {
        return;
    }
    pending::<()>().await;
}

/// The service of one connection.
struct Service<S> {
    app: App<S>,
    handling: Handling,
}

impl<S: Shards> hyper::service::Service<Request<Incoming>> for Service<S> {
    type Response = Response<Body>;
    type Error = Infallible;
    /// What is answered at once needs no box.
    type Future = Either<Ready<Answer>, Exchange>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let Self { app, handling } = self;
        handling.head_not_awaited();
        if let Some(answer) = app.handle_now(&request) {
            return Either::Left(ready(Ok(answer)));
        }
        handling.set(true);
        let request = request.map(|body| Receiving::new(body, handling.clone()));
        Either::Right(Exchange {
            answering: app.handle(request),
            handling: handling.clone(),
        })
    }
}

type Answer = Result<Response<Body>, Infallible>;

/// A request that is being answered on a connection.
struct Exchange {
    answering: Answering,
    handling: Handling,
}

impl Future for Exchange {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        Pin::new(&mut self.answering).poll(cx).map(|answer| {
            self.handling.set(false);
            Ok(answer)
        })
    }
}

fn spawn_connection(
    connection: impl Future<Output = hyper::Result<()>> + Send + 'static,
    permit: OwnedSemaphorePermit,
) {
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            // A client that goes away, is too slow or does not speak HTTP: its own affair.
            debug!(%error, "connection ended early");
        }
        drop(permit);
    });
}

/// Whether an error of `accept` is about the one connection that was to be accepted.
fn is_of_the_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}
