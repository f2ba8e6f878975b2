//! Nodes that are as small as a test needs them, and peers that do not keep to the protocol.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    time::Instant,
};
use trandb_cluster::{
    identity::{ClusterId, Epoch, GroupId, NodeId},
    peer::{
        Identity, Member,
        frame::{Decoder, Hello, Message, Outgoing, VERSION},
        network::{Accept, Network},
    },
    transport::{Address, Handler, Refusal, Request},
};

/// The network of a simulation. Counts the connections that are tried for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Simulated(pub(crate) Arc<AtomicU64>);

impl Network for Simulated {
    type Stream = turmoil::net::TcpStream;

    async fn connect(&self, at: &str) -> io::Result<Self::Stream> {
        self.0.fetch_add(1, Ordering::Relaxed);
        turmoil::net::TcpStream::connect(at).await
    }
}

pub(crate) struct SimulatedListener(pub(crate) turmoil::net::TcpListener);

impl SimulatedListener {
    pub(crate) async fn bind(port: u16) -> io::Result<Self> {
        turmoil::net::TcpListener::bind(("0.0.0.0", port))
            .await
            .map(Self)
    }
}

impl Accept for SimulatedListener {
    type Stream = turmoil::net::TcpStream;

    async fn accept(&mut self) -> io::Result<(Self::Stream, SocketAddr)> {
        self.0.accept().await
    }
}

/// A handler that is a function.
pub(crate) struct Answer<F>(F);

pub(crate) fn handler<F, R>(answer: F) -> Arc<Answer<F>>
where
    F: Fn(NodeId, Request) -> R + Send + Sync + 'static,
    R: Future<Output = Result<Bytes, Refusal>> + Send,
{
    Arc::new(Answer(answer))
}

impl<F, R> Handler for Answer<F>
where
    F: Fn(NodeId, Request) -> R + Send + Sync + 'static,
    R: Future<Output = Result<Bytes, Refusal>> + Send,
{
    fn handle(
        &self,
        from: NodeId,
        request: Request,
    ) -> impl Future<Output = Result<Bytes, Refusal>> + Send {
        (self.0)(from, request)
    }
}

/// Answers with the body, after as many milliseconds as a body that is a number says.
pub(crate) async fn echo(request: Request) -> Result<Bytes, Refusal> {
    let text = std::str::from_utf8(&request.body).ok();
    if let Some(ms) = text.and_then(|text| text.parse().ok()) {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
    Ok(request.body)
}

pub(crate) const CLUSTER: ClusterId = ClusterId(0xc1);

pub(crate) fn member(node: u64) -> Member {
    Member {
        cluster: CLUSTER,
        node: NodeId(node),
    }
}

pub(crate) fn identity(node: u64) -> Identity {
    Identity::of(member(node))
}

pub(crate) fn address(node: u64, at: impl Into<String>) -> Address {
    Address {
        node: NodeId(node),
        at: at.into(),
    }
}

pub(crate) fn request(body: impl Into<Bytes>) -> Request {
    Request {
        group: GroupId(1),
        epoch: Epoch(1),
        body: body.into(),
    }
}

pub(crate) fn within(ms: u64) -> Instant {
    Instant::now() + Duration::from_millis(ms)
}

/// For tests in real time: nothing waits for so long unless it hangs.
pub(crate) fn soon() -> Instant {
    within(60_000)
}

/// A connection on which a test says what it likes.
pub(crate) struct Raw<S> {
    pub(crate) stream: S,
    decoder: Decoder,
    input: BytesMut,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Raw<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self {
            stream,
            decoder: Decoder::default(),
            input: BytesMut::new(),
        }
    }

    pub(crate) async fn say(&mut self, message: Message) {
        let mut output = BytesMut::new();
        let mut outgoing = Outgoing::new(message);
        while outgoing.remaining() > 0 {
            outgoing.put_frame(&mut output);
        }
        self.stream.write_all(&output).await.expect("written");
    }

    /// None: the connection has ended.
    pub(crate) async fn hear(&mut self) -> Option<Message> {
        loop {
            if let Some(message) = self.decoder.decode(&mut self.input).expect("messages") {
                return Some(message);
            }
            if !matches!(self.stream.read_buf(&mut self.input).await, Ok(1..)) {
                return None;
            }
        }
    }

    /// Does what every listener does first, as `node`.
    pub(crate) async fn welcome(&mut self, node: u64) {
        let Some(Message::Hello(theirs)) = self.hear().await else {
            panic!("no Hello");
        };
        self.say(hello(node, theirs.from.0)).await;
    }
}

pub(crate) fn hello(from: u64, to: u64) -> Message {
    Message::Hello(Hello {
        version: VERSION,
        cluster: CLUSTER,
        from: NodeId(from),
        to: NodeId(to),
    })
}
