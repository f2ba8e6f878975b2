//! The connections that other nodes make.

use std::{
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, split},
    sync::{Notify, watch},
    task::JoinSet,
    time::{sleep, timeout},
};
use tracing::{debug, error, info, warn};
use trandb_common::limits::PEER_BODY_BYTES_MAX;

use super::{
    CALLS_MAX, HELLO_TIMEOUT, IDLE, INCOMING_MAX, Identity, PING_EVERY, QUEUE_BYTES_MAX,
    frame::{Message, VERSION},
    hello::{self, Standing},
    network::{Accept, Stream},
    outbox::Outbox,
    stream::{End, Reader, Turn, write, write_turns},
};
use crate::{
    identity::NodeId,
    transport::{Handler, Refusal, Request},
};

/// Waits after an error of accepting: most often the process has too many files open.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// For the peer to take the last answers of a connection that is closed.
const LINGER: Duration = Duration::from_secs(1);

/// Takes the connections of peers and hands their requests to a [`Handler`].
#[derive(Debug)]
pub struct Listener<A> {
    accept: A,
    identity: Identity,
}

impl<A: Accept> Listener<A> {
    /// Of the node that `identity` is, or becomes.
    pub fn new(accept: A, identity: Identity) -> Self {
        Self { accept, identity }
    }

    /// Serves until `stop` is ready. Then it refuses new requests, waits for `drain` until those
    /// that have begun are answered, and returns how many connections it had to cut off.
    pub async fn serve<H: Handler>(
        mut self,
        handler: Arc<H>,
        stop: impl Future<Output = ()>,
        drain: Duration,
    ) -> usize {
        let (stopping, stopped) = watch::channel(false);
        let mut connections = JoinSet::new();
        let mut stop = pin!(stop);
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut stop => break,
                Some(_) = connections.join_next(), if !connections.is_empty() => continue,
                accepted = self.accept.accept() => accepted,
            };
            match accepted {
                Ok((stream, from)) if connections.len() < INCOMING_MAX => {
                    let identity = self.identity.clone();
                    let (handler, stopped) = (Arc::clone(&handler), stopped.clone());
                    connections.spawn(async move {
                        let end = serve_stream(stream, identity, handler, stopped).await;
                        if end.is_ordinary() {
                            debug!(%from, reason = %end, "a connection of a peer has ended");
                        } else {
                            info!(%from, reason = %end, "a connection of a peer has ended");
                        }
                    });
                }
                Ok((_, from)) => warn!(%from, "dropped a connection: too many of them"),
                Err(error) => {
                    warn!(%error, "a connection could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(self.accept);
        let _ = stopping.send(true);
        let drained = async { while connections.join_next().await.is_some() {} };
        let _ = timeout(drain, drained).await;
        let cut_off = connections.len();
        connections.shutdown().await;
        cut_off
    }
}

async fn serve_stream<H: Handler>(
    stream: impl Stream,
    identity: Identity,
    handler: Arc<H>,
    stopped: watch::Receiver<bool>,
) -> End {
    let (reader, mut writer) = split(stream);
    let mut reader = Reader::new(reader);
    let me = identity.get();
    let hello = match timeout(HELLO_TIMEOUT, reader.next()).await {
        Err(_) => return End::Silent,
        Ok(Err(end)) => return end,
        Ok(Ok(message)) => message,
    };
    let admitted = match hello {
        Message::Hello(hello) => hello::admit(me, &hello).map(|standing| (hello.from, standing)),
        Message::ForeignHello { .. } => Err(Refusal::WrongVersion { here: VERSION }),
        _ => return End::OutOfPlace,
    };
    let answer = match admitted {
        Ok((from, _)) => Message::Hello(hello::hello(me, from)),
        Err(refusal) => {
            if refusal.is_misconfiguration() {
                warn!(?hello, %refusal, "refused a peer");
            } else {
                debug!(?hello, %refusal, "refused a peer");
            }
            Message::Refused(refusal)
        }
    };
    match timeout(HELLO_TIMEOUT, write(&mut writer, answer)).await {
        Err(_) => return End::Stalled,
        Ok(Err(error)) => return End::Io(error),
        Ok(Ok(())) => {}
    }
    let Ok((from, standing)) = admitted else {
        drop(writer);
        reader.drain(LINGER).await;
        return End::Finished;
    };
    let answers = Arc::new(Answers::default());
    let mut incoming = Incoming {
        identity,
        from,
        standing,
        handler,
        answers: Arc::clone(&answers),
        running: JoinSet::new(),
        draining: false,
    };
    let end = tokio::select! {
        biased;
        end = incoming.take_requests(&mut reader, stopped) => end,
        end = write_turns(writer, &answers.wake, |output| answers.take_turn(output)) => end,
    };
    if matches!(end, End::Finished) {
        reader.drain(LINGER).await;
    }
    end
}

/// One connection of a peer. Dropping it drops what its requests have begun.
struct Incoming<H> {
    identity: Identity,
    from: NodeId,
    standing: Standing,
    handler: Arc<H>,
    answers: Arc<Answers>,
    running: JoinSet<()>,
    draining: bool,
}

impl<H: Handler> Incoming<H> {
    /// Takes what the peer sends until the connection ends. The peer asks for signs of life while
    /// it waits, so that one of whom nothing comes has no use for the connection.
    async fn take_requests(
        &mut self,
        reader: &mut Reader<impl AsyncRead + Unpin>,
        mut stopped: watch::Receiver<bool>,
    ) -> End {
        const QUIET_MAX: Duration = IDLE.saturating_add(PING_EVERY.saturating_mul(10));
        loop {
            if self.draining && self.running.is_empty() {
                self.answers.finish();
                return std::future::pending().await;
            }
            tokio::select! {
                biased;
                Some(_) = self.running.join_next(), if !self.running.is_empty() => {}
                _ = stopped.wait_for(|stopped| *stopped), if !self.draining => {
                    self.draining = true;
                }
                message = timeout(QUIET_MAX, reader.next()) => {
                    let taken = match message {
                        Ok(Ok(message)) => self.take(message),
                        Ok(Err(end)) => Err(end),
                        Err(_) => Err(End::Idle),
                    };
                    if let Err(end) = taken {
                        return end;
                    }
                }
            }
        }
    }

    fn take(&mut self, message: Message) -> Result<(), End> {
        match message {
            Message::Ping { call } => self.answers.push(call, Message::Pong { call }),
            Message::Request {
                call,
                to,
                group,
                epoch,
                time_left_ms,
                body,
            } => {
                let request = Request { group, epoch, body };
                let time_left = Duration::from_millis(time_left_ms.into());
                match self.admit(to, &request) {
                    Ok(()) => self.begin(call, request, time_left),
                    Err(refusal) => {
                        let refusal = Some(refusal);
                        self.answers.push(call, Message::Failure { call, refusal });
                    }
                }
            }
            _ => return Err(End::OutOfPlace),
        }
        if self.answers.state().outbox.len() > 2 * CALLS_MAX {
            return Err(End::Stalled);
        }
        Ok(())
    }

    fn admit(&self, to: NodeId, request: &Request) -> Result<(), Refusal> {
        hello::admit_request(self.identity.get(), self.standing, to, request.group)?;
        if self.draining {
            return Err(Refusal::ShuttingDown);
        }
        let state = self.answers.state();
        let bytes = state.request_bytes + state.outbox.bytes() + request.body.len();
        if self.running.len() >= CALLS_MAX || bytes > QUEUE_BYTES_MAX {
            return Err(Refusal::Busy);
        }
        Ok(())
    }

    fn begin(&mut self, call: u64, request: Request, time_left: Duration) {
        let answering = Answering::new(&self.answers, call, request.body.len());
        let (handler, from) = (Arc::clone(&self.handler), self.from);
        self.running.spawn(async move {
            match timeout(time_left, handler.handle(from, request)).await {
                Ok(Ok(body)) if body.len() <= PEER_BODY_BYTES_MAX => {
                    answering.end(Message::Answer { call, body });
                }
                Ok(Ok(body)) => error!(bytes = body.len(), "an answer is too large for its peer"),
                Ok(Err(refusal)) => {
                    let refusal = Some(refusal);
                    answering.end(Message::Failure { call, refusal });
                }
                // The caller waits no longer.
                Err(_) => {}
            }
        });
    }
}

/// What goes back to the peer.
#[derive(Debug, Default)]
struct Answers {
    state: Mutex<AnswersState>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct AnswersState {
    outbox: Outbox,
    /// Bodies of requests without an answer.
    request_bytes: usize,
    /// Nothing will be added.
    finished: bool,
}

impl Answers {
    /// Nothing panics while it holds the lock, so a poisoned one is as good as any.
    fn state(&self) -> MutexGuard<'_, AnswersState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, call: u64, message: Message) {
        self.state().outbox.push(call, message);
        self.wake.notify_one();
    }

    fn finish(&self) {
        self.state().finished = true;
        self.wake.notify_one();
    }

    fn take_turn(&self, output: &mut bytes::BytesMut) -> Turn {
        let mut state = self.state();
        if !state.outbox.is_empty() {
            state.outbox.take_turn(output);
            Turn::Write
        } else if state.finished {
            Turn::Finish
        } else {
            Turn::Wait
        }
    }
}

/// The duty to end a call: one that is dropped, or panics, has failed.
struct Answering {
    answers: Arc<Answers>,
    call: u64,
    request_bytes: usize,
    message: Message,
}

impl Answering {
    fn new(answers: &Arc<Answers>, call: u64, request_bytes: usize) -> Self {
        answers.state().request_bytes += request_bytes;
        let refusal = None;
        Self {
            answers: Arc::clone(answers),
            call,
            request_bytes,
            message: Message::Failure { call, refusal },
        }
    }

    fn end(mut self, message: Message) {
        self.message = message;
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.answers.state().request_bytes -= self.request_bytes;
        let call = self.call;
        let message = std::mem::replace(&mut self.message, Message::Pong { call });
        self.answers.push(call, message);
    }
}
