//! One side of a connection: the calls to one node, and the task that carries them there.
//!
//! | state | what ends it | next |
//! |---|---|---|
//! | waiting | a call is begun | connecting |
//! | waiting | nothing for [`IDLE`] | closed |
//! | connecting | Hello for Hello | connected |
//! | connecting | no connection, or a refusal: every call that waits fails | pausing |
//! | connected | an error, silence, a call without an answer: every call that was sent fails | waiting, or pausing if not one answer came |
//! | connected | no call for [`IDLE`] | closed |
//! | pausing | a delay that doubles | waiting |
//!
//! A call that was begun while there is no connection waits for the next attempt to make one, and
//! fails with it, so that it costs no more than its deadline and never waits for two attempts. What
//! is asked in the name of a client ([`GroupId::FORWARD`]) fails at once while the link is pausing:
//! there is another node to ask, as soon as one has been elected in the place of the one that is gone.
//!
//! When a deadline passes, the call is given up. If the peer has not answered anything that was
//! asked after it (another call, or a ping), the connection itself must be taken for dead: bytes
//! may be lost for good in its middle while both ends believe in it. Otherwise only that one answer
//! is late, and everybody else's calls go on.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use backon::{BackoffBuilder as _, ExponentialBuilder};
use bytes::Bytes;
use tokio::{
    io::{AsyncRead, ReadHalf, WriteHalf, split},
    sync::{Notify, oneshot},
    time::{Instant, sleep, timeout, timeout_at},
};
use tracing::{debug, info, warn};

use super::{
    CALLS_MAX, CONNECT_TIMEOUT, HELLO_TIMEOUT, IDLE, Member, PING_EVERY, QUEUE_BYTES_MAX,
    RECONNECT_DELAY_MAX, RECONNECT_DELAY_MIN, SILENCE_MAX,
    frame::Message,
    hello,
    network::Network,
    outbox::Outbox,
    stream::{End, Reader, Turn, write, write_turns},
};
use crate::{
    identity::{GroupId, NodeId},
    transport::{Address, Refusal, Request, TransportError},
};

type Answer = Result<Bytes, TransportError>;

/// The calls to one node.
#[derive(Debug)]
pub(super) struct Link {
    state: Mutex<State>,
    /// A call was begun, or there is something else to send.
    work: Notify,
    /// The connection has been found to be broken.
    broken: Notify,
    /// The last call has ended.
    emptied: Notify,
}

#[derive(Debug)]
struct State {
    outbox: Outbox,
    /// The calls without an answer. Those that are not in the outbox have been sent.
    calls: BTreeMap<u64, oneshot::Sender<Answer>>,
    /// The last number that was given to a call or a ping.
    last: u64,
    /// The highest number that was answered over this connection.
    answered: u64,
    /// When the peer last said something, or when it first had to.
    quiet_since: Instant,
    /// While the link is pausing: why there is no connection.
    unreachable: Option<TransportError>,
    /// The connection is to be dropped.
    broken: bool,
    /// Nobody carries calls any more.
    closed: bool,
}

/// Why a call was not begun.
pub(super) enum NotBegun {
    /// The link has been closed; another one may take the request.
    Closed(Request),
    Failed(TransportError),
}

impl Link {
    pub(super) fn new() -> Self {
        let state = State {
            outbox: Outbox::default(),
            calls: BTreeMap::new(),
            last: 0,
            answered: 0,
            quiet_since: Instant::now(),
            unreachable: None,
            broken: false,
            closed: false,
        };
        Self {
            state: Mutex::new(state),
            work: Notify::new(),
            broken: Notify::new(),
            emptied: Notify::new(),
        }
    }

    /// Nothing panics while it holds the lock, so a poisoned one is as good as any.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a call to `to`.
    pub(super) fn begin(
        self: &Arc<Self>,
        to: NodeId,
        request: Request,
        deadline: Instant,
    ) -> Result<Call, NotBegun> {
        let now = Instant::now();
        let time_left = deadline.saturating_duration_since(now).as_millis();
        if time_left == 0 {
            let error = TransportError::TimedOut { sent: false };
            return Err(NotBegun::Failed(error));
        }
        let mut state = self.state();
        if state.closed {
            return Err(NotBegun::Closed(request));
        }
        if let Some(error) = &state.unreachable
            && request.group == GroupId::FORWARD
        {
            return Err(NotBegun::Failed(error.clone()));
        }
        let bytes = state.outbox.bytes() + request.body.len();
        if state.calls.len() >= CALLS_MAX || bytes > QUEUE_BYTES_MAX {
            return Err(NotBegun::Failed(TransportError::Overloaded));
        }
        if state.calls.is_empty() {
            state.quiet_since = now;
        }
        let number = state.next_number();
        let message = Message::Request {
            call: number,
            to,
            group: request.group,
            epoch: request.epoch,
            time_left_ms: u32::try_from(time_left).unwrap_or(u32::MAX),
            body: request.body,
        };
        state.outbox.push(number, message);
        let (sender, answer) = oneshot::channel();
        state.calls.insert(number, sender);
        drop(state);
        self.work.notify_one();
        let link = Arc::clone(self);
        Ok(Call {
            link,
            number,
            answer,
        })
    }

    /// Gives up a call whose deadline is over. Whether it had been sent.
    fn give_up(&self, number: u64) -> bool {
        let mut state = self.state();
        let sent = !state.outbox.remove(number);
        if sent && state.calls.contains_key(&number) && state.answered < number {
            state.broken = true;
            self.broken.notify_one();
        }
        sent
    }

    /// Waits until the connection is found to be broken.
    async fn broken(&self) {
        while !self.state().broken {
            self.broken.notified().await;
        }
    }

    /// Takes a call out, answered or not.
    fn end(&self, number: u64) -> Option<oneshot::Sender<Answer>> {
        let mut state = self.state();
        let sender = state.calls.remove(&number)?;
        state.outbox.remove(number);
        if state.calls.is_empty() {
            self.emptied.notify_waiters();
        }
        Some(sender)
    }

    /// Takes calls out with an error: all, or those that have been sent.
    fn fail(&self, only_sent: bool, error: &TransportError) {
        let mut state = self.state();
        let waiting: BTreeSet<u64> = if only_sent {
            state.outbox.forget_begun();
            state.outbox.calls().collect()
        } else {
            state.outbox = Outbox::default();
            BTreeSet::new()
        };
        let (kept, failed) = std::mem::take(&mut state.calls)
            .into_iter()
            .partition(|(number, _)| waiting.contains(number));
        state.calls = kept;
        if state.calls.is_empty() {
            self.emptied.notify_waiters();
        }
        drop(state);
        let failed: BTreeMap<u64, oneshot::Sender<Answer>> = failed;
        for (_, sender) in failed {
            let _ = sender.send(Err(error.clone()));
        }
    }

    /// Waits until no call is left.
    pub(super) async fn emptied(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.state().calls.is_empty() {
                return;
            }
            emptied.await;
        }
    }

    /// Closes the link if it has no call; then whoever holds it opens another one.
    fn close_if_unused(&self) -> bool {
        let mut state = self.state();
        state.closed = state.calls.is_empty();
        state.closed
    }

    /// Takes what the peer has said.
    fn hear(&self, message: Message) -> Result<(), End> {
        let (number, answer) = match message {
            Message::Answer { call, body } => (call, Some(Ok(body))),
            Message::Failure { call, refusal } => {
                let error = refusal.map_or(TransportError::Failed, TransportError::Refused);
                (call, Some(Err(error)))
            }
            Message::Pong { call } => (call, None),
            _ => return Err(End::OutOfPlace),
        };
        let mut state = self.state();
        if number > state.last {
            return Err(End::OutOfPlace);
        }
        state.answered = state.answered.max(number);
        state.quiet_since = Instant::now();
        drop(state);
        // An answer that comes too late has nobody to take it.
        if let Some(answer) = answer
            && let Some(sender) = self.end(number)
        {
            let _ = sender.send(answer);
        }
        Ok(())
    }
}

impl State {
    fn next_number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }
}

/// A call that was begun. Dropping it gives it up.
#[derive(Debug)]
pub(super) struct Call {
    link: Arc<Link>,
    number: u64,
    answer: oneshot::Receiver<Answer>,
}

impl Call {
    pub(super) async fn answer(mut self, deadline: Instant) -> Answer {
        match timeout_at(deadline, &mut self.answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(TransportError::Disconnected("given up".to_owned())),
            Err(_) => Err(TransportError::TimedOut {
                sent: self.link.give_up(self.number),
            }),
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.link.end(self.number);
    }
}

/// Carries the calls of a link to its node.
pub(super) struct Carrier<N> {
    pub(super) network: N,
    pub(super) me: Member,
    pub(super) to: Address,
    pub(super) link: Arc<Link>,
}

/// However the carrier ends, nobody waits for it any longer.
impl<N> Drop for Carrier<N> {
    fn drop(&mut self) {
        let mut state = self.link.state();
        state.closed = true;
        state.outbox = Outbox::default();
        state.calls.clear();
        self.link.emptied.notify_waiters();
    }
}

impl<N: Network> Carrier<N> {
    /// Where a node was configured to look for others there may be nobody yet: who asks there
    /// knows how long it has waited.
    fn tell_of(&self, error: &TransportError) {
        let Address { node: to, at } = &self.to;
        if *to == NodeId::NOBODY {
            debug!(at, %error, "no connection to a peer");
        } else {
            warn!(%to, at, %error, "no connection to a peer");
        }
    }

    /// Carries until the link has not been used for a while.
    pub(super) async fn run(self) {
        let new_delays = || {
            ExponentialBuilder::new()
                .with_min_delay(RECONNECT_DELAY_MIN)
                .with_max_delay(RECONNECT_DELAY_MAX)
                .without_max_times()
                .build()
        };
        let mut delays = new_delays();
        // A failure is told to the log once, not at each attempt.
        let mut told = None;
        loop {
            if timeout(IDLE, self.called()).await.is_err() && self.link.close_if_unused() {
                return;
            }
            match self.connect().await {
                Err(error) => {
                    self.link.state().unreachable = Some(error.clone());
                    self.link.fail(false, &error);
                    if told.as_ref() != Some(&error) {
                        self.tell_of(&error);
                        told = Some(error);
                    }
                }
                Ok((reader, writer)) => {
                    told = None;
                    if !self.carry(reader, writer).await {
                        return;
                    }
                    if self.link.state().answered > 0 {
                        delays = new_delays();
                        continue;
                    }
                }
            }
            sleep(delays.next().unwrap_or(RECONNECT_DELAY_MAX)).await;
            self.link.state().unreachable = None;
        }
    }

    /// Waits for a call.
    async fn called(&self) {
        while self.link.state().calls.is_empty() {
            self.link.work.notified().await;
        }
    }

    async fn connect(
        &self,
    ) -> Result<(Reader<ReadHalf<N::Stream>>, WriteHalf<N::Stream>), TransportError> {
        let unreachable = TransportError::Unreachable;
        let stream = timeout(CONNECT_TIMEOUT, self.network.connect(&self.to.at))
            .await
            .map_err(|_| unreachable("no connection in time".to_owned()))?
            .map_err(|error| unreachable(error.to_string()))?;
        let (reader, mut writer) = split(stream);
        let mut reader = Reader::new(reader);
        let exchange = async {
            let hello = hello::hello(self.me, self.to.node);
            write(&mut writer, Message::Hello(hello)).await?;
            reader.next().await
        };
        let answer = timeout(HELLO_TIMEOUT, exchange)
            .await
            .map_err(|_| unreachable("connected, but no Hello in time".to_owned()))?
            .map_err(|end| unreachable(format!("connected, but no Hello: {end}")))?;
        match answer {
            Message::Hello(answer) => hello::check_answer(self.me, self.to.node, &answer)?,
            Message::ForeignHello { version } => {
                return Err(Refusal::WrongVersion { here: version }.into());
            }
            Message::Refused(refusal) => return Err(refusal.into()),
            _ => return Err(unreachable("connected, but no Hello".to_owned())),
        }
        Ok((reader, writer))
    }

    /// Carries calls over a connection until it ends. False: the link is closed.
    async fn carry(
        &self,
        mut reader: Reader<impl AsyncRead + Unpin>,
        writer: WriteHalf<N::Stream>,
    ) -> bool {
        debug!(to = %self.to.node, at = self.to.at, "connected to a peer");
        {
            let mut state = self.link.state();
            state.answered = 0;
            state.broken = false;
            state.quiet_since = Instant::now();
        }
        let take_turn = |output: &mut _| {
            let mut state = self.link.state();
            if state.outbox.is_empty() {
                return Turn::Wait;
            }
            state.outbox.take_turn(output);
            Turn::Write
        };
        let read = async {
            loop {
                if let Err(end) = async { self.link.hear(reader.next().await?) }.await {
                    return end;
                }
            }
        };
        let end = tokio::select! {
            biased;
            end = read => end,
            () = self.link.broken() => End::Unanswered,
            end = write_turns(writer, &self.link.work, take_turn) => end,
            end = self.keep() => end,
        };
        if matches!(end, End::Idle) {
            debug!(to = %self.to.node, at = self.to.at, "closed an unused connection to a peer");
            return false;
        }
        info!(to = %self.to.node, at = self.to.at, reason = %end, "lost a connection to a peer");
        let error = TransportError::Disconnected(end.to_string());
        self.link.fail(true, &error);
        true
    }

    /// Asks the peer for signs of life while calls wait for it, and ends what is not used.
    async fn keep(&self) -> End {
        let mut used = Instant::now();
        loop {
            sleep(PING_EVERY).await;
            let mut state = self.link.state();
            if state.calls.is_empty() {
                drop(state);
                if used.elapsed() >= IDLE && self.link.close_if_unused() {
                    return End::Idle;
                }
                continue;
            }
            used = Instant::now();
            if state.quiet_since.elapsed() >= SILENCE_MAX {
                return End::Silent;
            }
            let call = state.next_number();
            state.outbox.push(call, Message::Ping { call });
            drop(state);
            self.link.work.notify_one();
        }
    }
}
