//! Calls over turmoil's TCP, one connection each: simple, and nothing that one call leaves behind
//! can disturb another.
//!
//! ```text
//! request   from, to: 8 bytes each; group: 2; epoch: 8; length: 4; body
//! answer    0, length: 4, body; or 1, and who answers instead: 8
//! ```
//! Numbers are little-endian.

use std::io;

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::{Instant, timeout_at},
};
use trandb_cluster::{
    group::{Group as _, RaftGroup},
    identity::{Epoch, GroupId, NodeId},
    simulation::spawn,
    transport::{Address, Refusal, Request, Transport, TransportError},
};
use trandb_engine::Shard;
use turmoil::net::{TcpListener, TcpStream};

const ANSWER: u8 = 0;
const REFUSAL: u8 = 1;

pub(crate) struct SimulatedTransport {
    pub(crate) from: NodeId,
    /// For a test that must fail without the check.
    pub(crate) names_whom_it_means: bool,
}

impl Transport for SimulatedTransport {
    async fn call(
        &self,
        to: &Address,
        request: Request,
        deadline: Instant,
    ) -> Result<Bytes, TransportError> {
        let meant = if self.names_whom_it_means {
            to.node
        } else {
            NodeId::NOBODY
        };
        let called = timeout_at(deadline, call(self.from, meant, &to.at, request)).await;
        match called {
            Ok(Ok(answer)) => answer.map_err(TransportError::Refused),
            Ok(Err(error)) => Err(TransportError::Unreachable(error.to_string())),
            Err(_) => Err(TransportError::TimedOut { sent: true }),
        }
    }
}

async fn call(
    from: NodeId,
    to: NodeId,
    at: &str,
    request: Request,
) -> io::Result<Result<Bytes, Refusal>> {
    let mut stream = TcpStream::connect(at).await?;
    let mut bytes = Vec::new();
    bytes.extend(from.0.to_le_bytes());
    bytes.extend(to.0.to_le_bytes());
    bytes.extend(request.group.0.to_le_bytes());
    bytes.extend(request.epoch.0.to_le_bytes());
    let length = u32::try_from(request.body.len()).expect("a body is small");
    bytes.extend(length.to_le_bytes());
    bytes.extend(&request.body);
    stream.write_all(&bytes).await?;
    if stream.read_u8().await? == ANSWER {
        let length = stream.read_u32_le().await? as usize;
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        return Ok(Ok(body.into()));
    }
    let here = NodeId(stream.read_u64_le().await?);
    Ok(Err(Refusal::WrongNode { here }))
}

/// Answers calls for as long as the process lives.
pub(crate) async fn serve(
    listener: TcpListener,
    node: NodeId,
    group: RaftGroup<Shard>,
) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        let group = group.clone();
        spawn(async move {
            // Who has gone needs no answer.
            let _ = answer(stream, node, &group).await;
        });
    }
}

async fn answer(mut stream: TcpStream, node: NodeId, group: &RaftGroup<Shard>) -> io::Result<()> {
    let from = NodeId(stream.read_u64_le().await?);
    let to = NodeId(stream.read_u64_le().await?);
    let id = GroupId(stream.read_u16_le().await?);
    let epoch = Epoch(stream.read_u64_le().await?);
    let length = stream.read_u32_le().await? as usize;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let request = Request {
        group: id,
        epoch,
        body: body.into(),
    };
    let mut bytes = Vec::new();
    let meant = to == node || to == NodeId::NOBODY;
    let answer = if meant {
        group.handle(from, request).await.ok()
    } else {
        None
    };
    if let Some(body) = answer {
        bytes.push(ANSWER);
        let length = u32::try_from(body.len()).expect("an answer is small");
        bytes.extend(length.to_le_bytes());
        bytes.extend(&body);
    } else {
        bytes.push(REFUSAL);
        bytes.extend(node.0.to_le_bytes());
    }
    stream.write_all(&bytes).await
}
