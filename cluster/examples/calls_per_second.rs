//! How many calls a second go over one connection on the loopback interface, beside the same
//! number of bytes echoed by raw TCP with as many in flight; both ends share one thread.
//!
//!     cargo run --release -p trandb-cluster --example calls_per_second

use std::{future::pending, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy, split},
    net::{TcpListener, TcpStream},
    time::Instant,
};
use trandb_cluster::{
    identity::{ClusterId, Epoch, GroupId, NodeId},
    peer::{Identity, Listener, Member, Peers, network::Tcp},
    transport::{Address, Handler, Refusal, Request, Transport as _},
};

const IN_FLIGHT: usize = 64;
const ROUNDS: usize = 5000;
const BODY_BYTES: usize = 128;

struct Echo;

impl Handler for Echo {
    async fn handle(&self, _: NodeId, request: Request) -> Result<Bytes, Refusal> {
        Ok(request.body)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    for _ in 0..3 {
        let (calls, echoes) = (calls().await, echoes().await);
        println!(
            "{calls:.0} calls/s, {echoes:.0} raw echoes/s, ratio {:.2}",
            calls / echoes
        );
    }
}

fn identity(node: u64) -> Identity {
    Identity::of(Member {
        cluster: ClusterId(1),
        node: NodeId(node),
    })
}

async fn calls() -> f64 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let to = Address {
        node: NodeId(2),
        at: listener.local_addr().expect("an address").to_string(),
    };
    let serve =
        Listener::new(listener, identity(2)).serve(Arc::new(Echo), pending(), Duration::ZERO);
    let serving = tokio::spawn(serve);
    let peers = Arc::new(Peers::new(Tcp, identity(1)));
    let body = Bytes::from(vec![7; BODY_BYTES]);
    let begun = Instant::now();
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..IN_FLIGHT {
        let (peers, to, body) = (Arc::clone(&peers), to.clone(), body.clone());
        callers.spawn(async move {
            for _ in 0..ROUNDS {
                let request = Request {
                    group: GroupId(1),
                    epoch: Epoch(1),
                    body: body.clone(),
                };
                let deadline = Instant::now() + Duration::from_secs(5);
                peers.call(&to, request, deadline).await.expect("answered");
            }
        });
    }
    callers.join_all().await;
    let rate = rate(begun);
    serving.abort();
    rate
}

/// As many bytes as bodies, without any frames: what the sockets alone allow.
async fn echoes() -> f64 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = listener.local_addr().expect("an address");
    let serving = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a connection");
        stream.set_nodelay(true).expect("set");
        let (mut reader, mut writer) = split(stream);
        copy(&mut reader, &mut writer).await
    });
    let mut stream = TcpStream::connect(at).await.expect("connected");
    stream.set_nodelay(true).expect("set");
    let mut bytes = vec![7; BODY_BYTES * IN_FLIGHT];
    let begun = Instant::now();
    for _ in 0..ROUNDS {
        stream.write_all(&bytes).await.expect("written");
        stream.read_exact(&mut bytes).await.expect("read");
    }
    let rate = rate(begun);
    serving.abort();
    rate
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn rate(begun: Instant) -> f64 {
    (IN_FLIGHT * ROUNDS) as f64 / begun.elapsed().as_secs_f64()
}
