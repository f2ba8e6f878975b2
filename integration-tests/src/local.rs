//! The whole service in this process.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use clap::Parser as _;
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};
use trandb_common::wire::Limits;
use trandb_server::{
    App, Config, Database, Local,
    config::CommandLine,
    connection,
    http::{BoxError, Settings},
    local::{new_epoch, wall_clock},
    memory::Memory,
    transactions::Source,
};

use crate::wire::{Answer, Body, Request};

/// A server without a socket.
#[derive(Debug, Clone)]
pub struct InProcess {
    /// The service.
    pub app: App<Local>,
    /// What its shards count as stored.
    pub memory: Arc<Memory>,
    config: Config,
}

impl InProcess {
    /// A server as the binary would make it of these flags.
    pub fn new(flags: &[&str]) -> Self {
        let line = CommandLine::parse_from(std::iter::once(&"trandb-server").chain(flags));
        let config = line.config;
        let sizes = config
            .sizes()
            .expect("the machine says how much memory it has");
        let memory = Arc::new(Memory::new(sizes.memory_limit));
        let local = Local::new(config.shards(), new_epoch(), Arc::clone(&memory));
        let settings = Settings {
            limits: Limits::new(
                sizes.memory_limit,
                sizes.in_flight_limit,
                config.connections_max as usize,
            ),
            body_timeout: config.body_timeout,
        };
        Self {
            app: App::new(
                Database::new(local, Source::new(new_epoch(), wall_clock())),
                settings,
            ),
            memory,
            config,
        }
    }

    /// Asks it, without a socket.
    ///
    /// The answer is as HTTP/1.1 frames it: with the length of its body, and without a body to
    /// HEAD.
    pub async fn ask(&self, request: &Request) -> Answer {
        let (head, body) = self.app.handle(to_http(request)).await.into_parts();
        let mut body = body
            .collect()
            .await
            .expect("a body of ours never fails")
            .to_bytes()
            .to_vec();
        let mut headers: Vec<(String, String)> = head
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().expect("ASCII").to_owned()))
            .collect();
        let has_length = headers.iter().any(|(name, _)| name == "content-length");
        let status = head.status.as_u16();
        let to_head = request.method == "HEAD";
        let has_none = matches!(status, 204 | 304) || (to_head && body.is_empty());
        if !(has_length || has_none) {
            headers.push(("content-length".into(), body.len().to_string()));
        }
        if to_head {
            body.clear();
        }
        Answer {
            status,
            headers,
            body,
        }
    }

    /// Serves it on a free port of the loopback address.
    pub async fn serve(self) -> Served {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = connection::serve(listener, self.app.clone(), (&self.config).into(), async {
            let _ = stopped.await;
        });
        Served {
            address,
            server: self,
            stop: Some(stop),
            serving: tokio::spawn(serving),
        }
    }
}

/// A server of this process behind a socket. It ends with this value.
#[derive(Debug)]
pub struct Served {
    /// Where it listens.
    pub address: SocketAddr,
    /// What is served.
    pub server: InProcess,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<usize>,
}

impl Served {
    /// As the binary would serve with these flags.
    pub async fn start(flags: &[&str]) -> Self {
        InProcess::new(flags).serve().await
    }

    /// Asks it, over a connection of its own.
    pub async fn ask(&self, request: &Request) -> Answer {
        crate::wire::ask(self.address, request).await
    }

    /// Begins to drain, as the binary does after SIGTERM.
    pub fn stop(&mut self) {
        self.stop = None;
    }

    /// Waits until nothing is in flight any more; fails if something stays.
    pub async fn until_nothing_is_in_flight(&self) {
        let in_flight = self.server.app.in_flight();
        crate::eventually("nothing is in flight", async || in_flight.bytes() == 0).await;
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn to_http(request: &Request) -> http::Request<UnsyncBoxBody<Bytes, BoxError>> {
    let mut head = http::Request::builder()
        .method(request.method)
        .uri(request.target.as_str());
    for (name, value) in &request.headers {
        head = head.header(*name, value.as_bytes());
    }
    let body = match &request.body {
        Body::None => Full::default().map_err(Into::into).boxed_unsync(),
        Body::Sized(bytes) => {
            head = head.header("content-length", bytes.len());
            Full::from(bytes.clone()).map_err(Into::into).boxed_unsync()
        }
        Body::Chunked(pieces) => {
            let frames = pieces
                .clone()
                .into_iter()
                .map(|piece| Ok(http_body::Frame::data(piece.into())));
            StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync()
        }
        Body::Verbatim(_) => panic!("{:?} can be sent over a socket only", request.about),
    };
    head.body(body)
        .unwrap_or_else(|error| panic!("{:?} is no request: {error}", request.target))
}
