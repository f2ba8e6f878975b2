//! A server on loopback that does to each connection what it is told, and remembers what came.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use trandb_client::{Client, ClientBuilder};

/// What happens to one connection.
#[derive(Clone)]
pub(crate) enum Act {
    /// Answers every request with these bytes and keeps the connection.
    Answer(Vec<u8>),
    /// Reads one request, writes these bytes and closes.
    AnswerAndClose(Vec<u8>),
    /// Reads one request and resets the connection.
    Reset,
    /// Resets the connection before anything is read.
    ResetAtOnce,
    /// Reads one request and writes this head, and then this chunk for as long as anybody reads.
    Endless { head: Vec<u8>, chunk: Vec<u8> },
    /// Reads, and never answers.
    Silence,
}

pub(crate) struct TcpServer {
    pub(crate) address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    connections: Arc<Mutex<usize>>,
    /// One message for each connection that the client closed, with the bytes written to it.
    closed: mpsc::UnboundedReceiver<usize>,
}

impl TcpServer {
    /// One act for each connection, in order; the last one for all that follow.
    pub(crate) async fn start(acts: impl Into<Vec<Act>>) -> Self {
        let acts = acts.into();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listen");
        let address = listener.local_addr().expect("address");
        let requests = Arc::<Mutex<Vec<String>>>::default();
        let connections = Arc::<Mutex<usize>>::default();
        let (closing, closed) = mpsc::unbounded_channel();
        let (seen, count) = (requests.clone(), connections.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = {
                    let mut count = count.lock().expect("lock");
                    *count += 1;
                    *count
                };
                let act = acts[number.min(acts.len()) - 1].clone();
                let (seen, closing) = (seen.clone(), closing.clone());
                tokio::spawn(async move {
                    let written = perform(act, stream, &seen).await;
                    // The test may be over.
                    let _ = closing.send(written);
                });
            }
        });
        Self {
            address,
            requests,
            connections,
            closed,
        }
    }

    pub(crate) fn client(&self) -> Client {
        self.configure(|builder| builder)
    }

    pub(crate) fn configure(
        &self,
        settings: impl FnOnce(ClientBuilder) -> ClientBuilder,
    ) -> Client {
        let builder = Client::builder().endpoint(format!("http://{}", self.address));
        settings(builder).build().expect("client")
    }

    /// The requests so far, heads and bodies as they came.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("lock").clone()
    }

    pub(crate) fn connections(&self) -> usize {
        *self.connections.lock().expect("lock")
    }

    /// Waits until one more connection is over; gives the bytes that were written to it.
    pub(crate) async fn next_closed(&mut self) -> usize {
        self.closed.recv().await.expect("the server runs")
    }
}

/// Returns when the connection is over, with the number of bytes written to it.
async fn perform(act: Act, mut stream: TcpStream, seen: &Mutex<Vec<String>>) -> usize {
    if let Act::ResetAtOnce = act {
        reset(stream);
        return 0;
    }
    let mut written = 0;
    while let Some(request) = read_request(&mut stream).await {
        seen.lock().expect("lock").push(request);
        match &act {
            Act::Answer(bytes) => {
                if stream.write_all(bytes).await.is_err() {
                    break;
                }
                written += bytes.len();
            }
            Act::AnswerAndClose(bytes) => {
                let _ = stream.write_all(bytes).await;
                let _ = stream.shutdown().await;
                return bytes.len();
            }
            Act::Reset => {
                reset(stream);
                return 0;
            }
            Act::Endless { head, chunk } => {
                let _ = stream.write_all(head).await;
                while stream.write_all(chunk).await.is_ok() {
                    written += chunk.len();
                }
                break;
            }
            Act::Silence | Act::ResetAtOnce => {}
        }
    }
    written
}

/// Closes with RST instead of FIN.
fn reset(stream: TcpStream) {
    stream.set_zero_linger().expect("linger");
    drop(stream);
}

/// Head and body; none at the end of the connection.
async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = find(&bytes, b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |length| length.parse().expect("a length"));
            if bytes.len() >= end + 4 + length {
                return Some(String::from_utf8_lossy(&bytes).into_owned());
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}
