//! Where connections come from: TCP, or a simulation of it.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};

/// Bytes in order, both ways.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for S {}

/// Makes connections.
pub trait Network: Clone + Send + Sync + 'static {
    /// One end of a connection.
    type Stream: Stream;

    /// Connects to `at`, which is `host:port`; a name is resolved each time.
    fn connect(&self, at: &str) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

/// Takes connections.
pub trait Accept: Send + 'static {
    /// One end of a connection.
    type Stream: Stream;

    /// The next one, and who made it. Dropping the future loses no connection.
    fn accept(&mut self) -> impl Future<Output = io::Result<(Self::Stream, SocketAddr)>> + Send;
}

/// TCP, where small messages are not delayed (`TCP_NODELAY`).
#[derive(Debug, Clone, Copy, Default)]
pub struct Tcp;

impl Network for Tcp {
    type Stream = TcpStream;

    async fn connect(&self, at: &str) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(at).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

impl Accept for TcpListener {
    type Stream = TcpStream;

    async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, from) = TcpListener::accept(self).await?;
        // It fails only on a connection that has ended already, which its first read will tell.
        let _ = stream.set_nodelay(true);
        Ok((stream, from))
    }
}
