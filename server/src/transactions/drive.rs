//! Carries a machine to its end: runs what it sends, and tells it what came of that.

use std::{collections::VecDeque, future::Future, pin::Pin, sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use tokio::{
    sync::oneshot,
    time::{sleep_until, timeout},
};
use trandb_common::limits::LOCK_WAIT_MAX;
use trandb_engine::{
    Answer, AttemptId, Call, Command, Coordinator, Effect, Fault, Input, LogTime, NotCommitted,
    Resolver, ShardId, Transaction,
};

use super::Source;
use crate::{Shards, shards::ShardError, sync};

/// The first pause before another attempt, and the longest; each with up to its length more.
const PAUSE: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(50);

/// Either of the engine's machines.
enum Machine {
    /// On the heap, since it is large and a resolver is not.
    Coordinator(Box<Coordinator>),
    Resolver(Resolver),
}

impl Machine {
    fn step(&mut self, now: LogTime, input: Input) -> Vec<Effect> {
        match self {
            Self::Coordinator(machine) => machine.step(now, input),
            Self::Resolver(machine) => machine.step(now, input),
        }
    }
}

/// What the client is to be told, and the last error of a shard.
pub(super) type Told = (Answer, Option<ShardError>);

/// A transaction that has been begun.
pub(super) enum Begun<S> {
    /// Everything is done.
    Done(Told),
    /// It has to wait for something; [`Waiting::finish`] must be awaited.
    Waiting(Box<Waiting<S>>),
}

/// A transaction on its way.
pub(super) struct Waiting<S> {
    driver: Driver<S>,
    deadline: tokio::time::Instant,
    is_within_one_shard: bool,
}

/// Carries out a transaction as far as nothing has to be waited for: mostly to its end, since a
/// command at a free shard is a function call.
pub(super) fn begin<S: Shards>(
    shards: &Arc<S>,
    source: &Arc<Source>,
    transaction: Transaction,
    time: Duration,
) -> Begun<S> {
    let deadline = tokio::time::Instant::now() + time;
    let (coordinator, effects) = Coordinator::start(
        transaction,
        shards.count(),
        source.attempt(),
        time,
        source.now(),
    );
    let is_within_one_shard = coordinator.is_within_one_shard();
    let machine = Machine::Coordinator(Box::new(coordinator));
    let mut driver = Driver::new(Arc::clone(shards), Arc::clone(source), machine);
    let is_done = driver.advance(effects);
    match driver.answer.take() {
        Some(told) if is_done => Begun::Done(told),
        answer => {
            driver.answer = answer;
            Begun::Waiting(Box::new(Waiting {
                driver,
                deadline,
                is_within_one_shard,
            }))
        }
    }
}

impl<S: Shards> Waiting<S> {
    /// Whether it may be dropped at any moment and leaves nothing locked.
    pub(super) fn is_within_one_shard(&self) -> bool {
        self.is_within_one_shard
    }

    /// Carries it to its end. The client is told as soon as the answer is certain; what must be
    /// done after that is done before this ends.
    pub(super) async fn finish(self: Box<Self>, tell: oneshot::Sender<Told>) {
        let Self {
            driver, deadline, ..
        } = *self;
        driver.run(Some(deadline), Some(tell)).await;
    }
}

/// Brings to its end what was left behind.
pub(super) async fn resolver<S: Shards>(
    shards: Arc<S>,
    source: Arc<Source>,
    (resolver, effects): (Resolver, Vec<Effect>),
) {
    let mut driver = Driver::new(shards, source, Machine::Resolver(resolver));
    if !driver.advance(effects) {
        driver.run(None, None).await;
    }
}

type Sent = Pin<Box<dyn Future<Output = (Input, Option<ShardError>)> + Send>>;

struct Driver<S> {
    shards: Arc<S>,
    source: Arc<Source>,
    machine: Machine,
    machine_is_done: bool,
    /// What has come back and has not been handed in.
    inputs: VecDeque<Input>,
    /// What has not come back; none as long as nothing had to be waited for.
    sent: Option<FuturesUnordered<Sent>>,
    /// Until the client has been told.
    answer: Option<Told>,
    trouble: Option<ShardError>,
    pause: Option<Pin<Box<dyn Future<Output = AttemptId> + Send>>>,
    pauses: u32,
}

impl<S: Shards> Driver<S> {
    fn new(shards: Arc<S>, source: Arc<Source>, machine: Machine) -> Self {
        Self {
            shards,
            source,
            machine,
            machine_is_done: false,
            inputs: VecDeque::new(),
            sent: None,
            answer: None,
            trouble: None,
            pause: None,
            pauses: 0,
        }
    }

    /// Does what can be done at once; whether that was all.
    fn advance(&mut self, mut effects: Vec<Effect>) -> bool {
        loop {
            for effect in effects {
                match effect {
                    Effect::Send { call, command } => self.send(call, command),
                    Effect::Answer(answer) => self.answer = Some((answer, self.trouble)),
                    Effect::Again { holder } => self.pause(holder.map(|(shard, _)| shard)),
                    Effect::Done => {
                        self.machine_is_done = true;
                        return self.sent.is_none();
                    }
                }
            }
            let Some(input) = self.inputs.pop_front() else {
                return false;
            };
            effects = self.machine.step(self.source.now(), input);
        }
    }

    /// Goes on where [`advance`](Self::advance) had to wait.
    async fn run(
        mut self,
        mut deadline: Option<tokio::time::Instant>,
        mut tell: Option<oneshot::Sender<Told>>,
    ) {
        loop {
            if let Some(told) = self.answer.take()
                && let Some(tell) = tell.take()
            {
                // Who has gone away needs no answer.
                let _ = tell.send(told);
            }
            if self.machine_is_done {
                // What was sent last is carried out, though nothing depends on its reply: else
                // participants would keep their locks.
                if let Some(mut sent) = self.sent {
                    while sent.next().await.is_some() {}
                }
                return;
            }
            let input = self.wait(&mut deadline).await;
            let effects = self.machine.step(self.source.now(), input);
            self.advance(effects);
        }
    }

    /// Runs a command. What need not wait is done at once.
    fn send(&mut self, call: Call, command: Command) {
        match self.shards.try_execute(call.shard, &command) {
            Some(Ok(reply)) => self.inputs.push_back(Input::Replied { call, reply }),
            Some(Err(error @ (ShardError::MemoryFull { .. } | ShardError::Unknown))) => {
                self.trouble = Some(error);
                self.inputs.push_back(failed(call, error));
            }
            // Nothing was changed, and it may be a matter of waiting.
            Some(Err(ShardError::LockTimeout | ShardError::Unavailable)) | None => {
                let sent = Box::pin(execute(Arc::clone(&self.shards), call, command));
                self.sent
                    .get_or_insert_with(FuturesUnordered::new)
                    .push(sent);
            }
        }
    }

    /// Lets others go first: until the keys that are in the way may be free, or for a while.
    fn pause(&mut self, busy: Option<ShardId>) {
        let longest = PAUSE
            .saturating_mul(1 << self.pauses.min(10))
            .min(PAUSE_MAX);
        self.pauses += 1;
        let jitter = self.source.chance() % (u64::from(longest.subsec_micros()) + 1);
        let jitter = Duration::from_micros(jitter);
        let (shards, source) = (Arc::clone(&self.shards), Arc::clone(&self.source));
        self.pause = Some(Box::pin(async move {
            if let Some(shard) = busy {
                // A release between the try and now is missed; then it takes its time.
                drop(timeout(longest, shards.released(shard)).await);
            } else {
                tokio::time::sleep(longest).await;
            }
            // All who waited are woken together. If they came back together, they would keep each
            // other from the keys, and wake each other again, with no time in between.
            tokio::time::sleep(jitter).await;
            source.attempt()
        }));
    }

    async fn wait(&mut self, deadline: &mut Option<tokio::time::Instant>) -> Input {
        let sent = async {
            match &mut self.sent {
                Some(sent) => sent.next().await,
                None => None,
            }
        };
        let pausing = self.pause.is_some();
        let timed = deadline.is_some();
        let pause = async {
            match &mut self.pause {
                Some(pause) => pause.await,
                None => std::future::pending().await,
            }
        };
        let time_is_over = async {
            match *deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            Some((input, trouble)) = sent => {
                self.trouble = trouble.or(self.trouble);
                input
            }
            attempt = pause, if pausing => {
                self.pause = None;
                Input::Again { attempt }
            }
            () = time_is_over, if timed => {
                *deadline = None;
                self.pause = None;
                Input::TimeOut
            }
        }
    }
}

async fn execute<S: Shards>(
    shards: Arc<S>,
    call: Call,
    command: Command,
) -> (Input, Option<ShardError>) {
    let deadline = sync::Instant::now() + LOCK_WAIT_MAX;
    match shards.execute(call.shard, &command, deadline).await {
        Ok(reply) => (Input::Replied { call, reply }, None),
        Err(error) => (failed(call, error), Some(error)),
    }
}

fn failed(call: Call, error: ShardError) -> Input {
    let fault = match error {
        ShardError::LockTimeout => Fault::NotEntered(NotCommitted::LockTimeout),
        ShardError::MemoryFull { .. } => Fault::NotEntered(NotCommitted::MemoryFull),
        ShardError::Unavailable => Fault::NotEntered(NotCommitted::ShardUnavailable),
        ShardError::Unknown => Fault::Unknown,
    };
    Input::Failed { call, fault }
}
