//! One keep-alive connection: bytes out, answers in, and the requests in between.
//!
//! Not here: which request comes next and when. Invariant: answers come in the order of the
//! requests, so the oldest request without an answer is the one that an answer belongs to.
//! Tests: `load/mod.rs`.

use std::{
    collections::VecDeque,
    io::{ErrorKind, Read, Write},
    net::SocketAddr,
    time::Instant,
};

use anyhow::{Context, bail};
use mio::{Interest, Registry, Token, net::TcpStream};

use super::Tally;
use crate::{protocol::Protocol, workload::Request};

/// Room for answers at the start; it grows with the largest answer.
const INBOUND_BYTES: usize = 64 * 1024;

/// No right answer is larger: 4 MiB of value, in base64, and its frame.
const INBOUND_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A request that was sent, and the moment from which its latency counts.
struct Pending {
    request: Request,
    since: Instant,
}

pub(super) struct Connection {
    stream: TcpStream,
    outbound: Vec<u8>,
    /// Bytes of `outbound` that the kernel has taken.
    sent: usize,
    inbound: Vec<u8>,
    /// Bytes of `inbound` that hold data.
    received: usize,
    pending: VecDeque<Pending>,
    /// Requests so far.
    pushed: u64,
}

impl Connection {
    /// Connects (blocking) and registers the connection under `token`.
    pub(super) fn open(
        address: SocketAddr,
        protocol: &dyn Protocol,
        registry: &Registry,
        token: Token,
    ) -> anyhow::Result<Self> {
        let stream = std::net::TcpStream::connect(address)
            .with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self {
            stream,
            outbound: protocol.greeting().to_vec(),
            sent: 0,
            inbound: vec![0; INBOUND_BYTES],
            received: 0,
            pending: VecDeque::new(),
            pushed: 0,
        })
    }

    /// Requests without an answer.
    pub(super) fn in_flight(&self) -> usize {
        self.pending.len()
    }

    /// Queues `request`, whose latency counts from `since`; [`Self::flush`] sends it.
    pub(super) fn push(&mut self, request: Request, since: Instant, protocol: &dyn Protocol) {
        protocol.encode_nth(self.pushed, request, &mut self.outbound);
        self.pushed += 1;
        self.pending.push_back(Pending { request, since });
    }

    /// Gives the kernel as much as it takes.
    pub(super) fn flush(&mut self) -> anyhow::Result<()> {
        while self.sent < self.outbound.len() {
            match self.stream.write(&self.outbound[self.sent..]) {
                Ok(bytes) => self.sent += bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("cannot send"),
            }
        }
        self.outbound.clear();
        self.sent = 0;
        Ok(())
    }

    /// Reads what has come and counts the answers in it. `is_closed`: the server has closed its
    /// side, which is an error once everything before it is read.
    pub(super) fn receive(
        &mut self,
        is_closed: bool,
        protocol: &dyn Protocol,
        tally: &mut Tally,
    ) -> anyhow::Result<()> {
        loop {
            if self.received == self.inbound.len() {
                if self.received >= INBOUND_BYTES_MAX {
                    bail!("an answer of more than {INBOUND_BYTES_MAX} bytes");
                }
                self.inbound.resize(self.received * 2, 0);
            }
            match self.stream.read(&mut self.inbound[self.received..]) {
                Ok(0) if self.pending.is_empty() => bail!("the server closed a connection"),
                Ok(0) => bail!("the server closed a connection that waited for answers"),
                Ok(bytes) => self.received += bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error).context("cannot receive"),
            }
            let has_room = self.received < self.inbound.len();
            self.take_answers(protocol, tally)?;
            // A read that left room has emptied the socket, and new bytes make a new event:
            // the second read, only to be told `WouldBlock`, is saved. The end of the stream
            // makes no new event when this event already told of it.
            if has_room && !is_closed {
                return Ok(());
            }
        }
    }

    fn take_answers(&mut self, protocol: &dyn Protocol, tally: &mut Tally) -> anyhow::Result<()> {
        let now = Instant::now();
        let mut start = 0;
        while start < self.received {
            let bytes = &self.inbound[start..self.received];
            let Some(oldest) = self.pending.front() else {
                match protocol.unasked(bytes)? {
                    0 => break,
                    length => start += length,
                }
                continue;
            };
            let Some(answer) = protocol.decode(oldest.request, bytes)? else {
                break;
            };
            start += answer.length;
            tally.count(
                oldest.request,
                answer.fault,
                now.saturating_duration_since(oldest.since),
            );
            self.pending.pop_front();
        }
        self.inbound.copy_within(start..self.received, 0);
        self.received -= start;
        Ok(())
    }
}
