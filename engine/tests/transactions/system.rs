//! Clients, shards and resolvers, with everything that is on its way between them.
//!
//! There is no network and no time but what the actions make of them: a command is applied some
//! day or never, once or several times, its reply arrives or not. Who chooses the actions decides
//! what is tested.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU16,
    time::Duration,
};

use trandb_common::{Key, Value};
use trandb_engine::{
    Answer, AttemptId, Body, Call, Command, Condition, Coordinator, Effect, Fault, Forget, Input,
    LogTime, NotCommitted, Refusal, Reply, Resolver, Shard, ShardId, Step, Transaction,
    TransactionId, route,
};

use super::judge::{ATTEMPTS_EACH, Judge, Rule, client_of};

pub(crate) const EPOCH: u64 = 1;
pub(crate) const NOW: LogTime = LogTime(1_000_000);
pub(crate) const TIMEOUT: Duration = Duration::from_secs(5);
/// Later than any attempt that was begun at `NOW` expires, and earlier than an outcome is due.
pub(crate) const EXPIRED: LogTime = LogTime(1_060_000);

/// What does not change.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) shards: NonZeroU16,
    /// What is there at first; versions count from 1 in each shard.
    pub(crate) initial: Vec<(Key, Value)>,
    pub(crate) clients: Vec<Transaction>,
    /// Plain writes, each of which happens once at most.
    pub(crate) puts: Vec<(Key, Value)>,
    /// The keys of each shard.
    keys: Vec<Vec<Key>>,
    pub(crate) limits: Limits,
}

/// How often what may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Limits {
    /// Commands applied a second time.
    pub(crate) duplicates: u8,
    /// Commands whose fate the sender does not learn, or that do not enter a log.
    pub(crate) faults: u8,
    pub(crate) crashes: u8,
    pub(crate) time_outs: u8,
    /// Attempts of a client beyond the first.
    pub(crate) retries: u8,
    pub(crate) resolvers: u8,
    /// Shards whose log time jumps past every expiry.
    pub(crate) ticks: u8,
}

impl Config {
    pub(crate) fn new(
        shards: NonZeroU16,
        initial: Vec<(Key, Value)>,
        clients: Vec<Transaction>,
        puts: Vec<(Key, Value)>,
    ) -> Self {
        let mut keys: Vec<BTreeSet<Key>> = vec![BTreeSet::new(); usize::from(shards.get())];
        let plain = initial.iter().chain(&puts).map(|(key, _)| key);
        let bodies = clients.iter().map(|client| client.body.operations());
        let bodies = bodies.flat_map(|part| part.looked_at().chain(part.changed()));
        for key in plain.chain(bodies) {
            keys[usize::from(route(key, shards).0)].insert(key.clone());
        }
        let keys = keys.into_iter().map(Vec::from_iter).collect();
        let limits = Limits::default();
        Self {
            shards,
            initial,
            clients,
            puts,
            keys,
            limits,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Sender {
    Client(usize),
    /// Begun at this shard for this attempt.
    Resolver(ShardId, AttemptId),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    Start(usize),
    Deliver(Sender, Call),
    Duplicate(Sender, Call),
    Reply(Sender, Call),
    Fail(Sender, Call, Fault),
    Again(usize),
    TimeOut(usize),
    Crash(usize),
    Resolve(ShardId, AttemptId),
    FinishCommit(ShardId, TransactionId),
    Tick(ShardId),
    Put(usize),
}

impl Action {
    /// Whether it belongs to a run in which nothing goes wrong.
    pub(crate) fn is_plain(&self) -> bool {
        matches!(
            self,
            Self::Start(_) | Self::Deliver(..) | Self::Reply(..) | Self::Again(_) | Self::Put(_)
        )
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Phase {
    Waiting,
    Running(Box<Coordinator>),
    Gone,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Client {
    phase: Phase,
    attempts: u8,
    pausing: bool,
    timed_out: bool,
    answer: Option<Answer>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Sent {
    command: Command,
    delivered: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct System {
    pub(crate) shards: Vec<Shard>,
    clients: Vec<Client>,
    resolvers: BTreeMap<(ShardId, AttemptId), Resolver>,
    sent: BTreeMap<(Sender, Call), Sent>,
    replies: BTreeMap<(Sender, Call), Vec<Reply>>,
    puts: Vec<bool>,
    left: Limits,
    pub(crate) judge: Judge,
}

impl System {
    pub(crate) fn new(config: &Config) -> Self {
        let shard = |_| Shard::new(EPOCH);
        let client = Client {
            phase: Phase::Waiting,
            attempts: 0,
            pausing: false,
            timed_out: false,
            answer: None,
        };
        let mut system = Self {
            shards: (0..config.shards.get()).map(shard).collect(),
            clients: vec![client; config.clients.len()],
            resolvers: BTreeMap::new(),
            sent: BTreeMap::new(),
            replies: BTreeMap::new(),
            puts: vec![false; config.puts.len()],
            left: config.limits,
            judge: Judge::default(),
        };
        for (key, value) in &config.initial {
            system.put(config, key, value);
        }
        system
    }

    pub(crate) fn answer(&self, client: usize) -> Option<&Answer> {
        self.clients[client].answer.as_ref()
    }

    /// Everything that may happen next.
    pub(crate) fn actions(&self) -> Vec<Action> {
        let mut actions = Vec::new();
        for (index, client) in self.clients.iter().enumerate() {
            match &client.phase {
                Phase::Waiting => actions.push(Action::Start(index)),
                Phase::Running(_) => {
                    if client.pausing && client.attempts <= self.left.retries {
                        actions.push(Action::Again(index));
                    }
                    if self.left.crashes > 0 {
                        actions.push(Action::Crash(index));
                    }
                    // A client that may not try again must give up.
                    let must = client.pausing && client.attempts > self.left.retries;
                    if !client.timed_out && (must || self.left.time_outs > 0) {
                        actions.push(Action::TimeOut(index));
                    }
                }
                Phase::Gone => {}
            }
        }
        for (place, sent) in &self.sent {
            if !sent.delivered {
                actions.push(Action::Deliver(place.0, place.1));
                if self.left.faults > 0 && self.listens(place.0) {
                    let refused = Fault::NotEntered(NotCommitted::ShardUnavailable);
                    actions.push(Action::Fail(place.0, place.1, refused));
                    actions.push(Action::Fail(place.0, place.1, Fault::Unknown));
                }
            } else if self.left.duplicates > 0 {
                actions.push(Action::Duplicate(place.0, place.1));
            }
        }
        for (sender, call) in self.replies.keys() {
            actions.push(Action::Reply(*sender, *call));
            if self.left.faults > 0 {
                actions.push(Action::Fail(*sender, *call, Fault::Unknown));
            }
        }
        for (shard, state) in self.numbered() {
            if self.left.resolvers > 0 {
                for doubt in state.in_doubt(LogTime(u64::MAX), 9) {
                    if !self.resolvers.contains_key(&(shard, doubt.attempt)) {
                        actions.push(Action::Resolve(shard, doubt.attempt));
                    }
                }
                for commit in state.unfinalized(LogTime(u64::MAX), 9) {
                    if !self.resolvers.contains_key(&(shard, commit.attempt)) {
                        actions.push(Action::FinishCommit(shard, commit.transaction));
                    }
                }
            }
            if self.left.ticks > 0 && state.clock() < EXPIRED {
                actions.push(Action::Tick(shard));
            }
        }
        let puts = self.puts.iter().enumerate();
        actions.extend(
            puts.filter(|(_, done)| !**done)
                .map(|(n, _)| Action::Put(n)),
        );
        actions
    }

    /// The same without what makes no difference, for exploring every order.
    ///
    /// That a client starts only puts commands on their way, which may stay there: it comes first.
    /// A reply concerns its receiver alone, and only commands go out: as long as no time-out and no
    /// fault can come between, it comes at once, or its receiver vanishes.
    pub(crate) fn distinct_actions(&self) -> Vec<Action> {
        let mut actions = self.actions();
        let start = |action: &Action| matches!(action, Action::Start(_));
        if let Some(start) = actions.iter().position(start) {
            return vec![actions.swap_remove(start)];
        }
        if self.left.time_outs > 0 || self.left.faults > 0 {
            return actions;
        }
        let replies = |action: &Action| match action {
            Action::Reply(sender, _) => Some(*sender),
            _ => None,
        };
        if let Some(receiver) = actions.iter().find_map(replies) {
            let mut replied = false;
            actions.retain(|action| match action {
                Action::Reply(sender, _) if *sender == receiver => {
                    !std::mem::replace(&mut replied, true)
                }
                Action::Crash(client) => receiver == Sender::Client(*client),
                _ => false,
            });
        }
        actions
    }

    fn numbered(&self) -> impl Iterator<Item = (ShardId, &Shard)> {
        (0..).map(ShardId).zip(&self.shards)
    }

    /// Whether anybody waits for what comes back.
    fn listens(&self, sender: Sender) -> bool {
        match sender {
            Sender::Client(client) => matches!(self.clients[client].phase, Phase::Running(_)),
            Sender::Resolver(shard, attempt) => self
                .resolvers
                .get(&(shard, attempt))
                .is_some_and(|resolver| !resolver.is_done()),
        }
    }

    pub(crate) fn act(&mut self, config: &Config, action: &Action) {
        match *action {
            Action::Start(client) => self.start(config, client),
            Action::Deliver(sender, call) => self.deliver(config, sender, call),
            Action::Duplicate(sender, call) => {
                self.left.duplicates -= 1;
                self.deliver(config, sender, call);
            }
            Action::Reply(sender, call) => {
                let replies = self.replies.get_mut(&(sender, call)).expect("there");
                let reply = replies.remove(0);
                if replies.is_empty() {
                    self.replies.remove(&(sender, call));
                }
                self.input(config, sender, &Input::Replied { call, reply });
            }
            Action::Fail(sender, call, fault) => {
                self.left.faults -= 1;
                self.replies.remove(&(sender, call));
                if matches!(fault, Fault::NotEntered(_)) {
                    self.sent.remove(&(sender, call));
                }
                self.input(config, sender, &Input::Failed { call, fault });
            }
            Action::Again(client) => {
                let attempt = self.next_attempt(client);
                self.clients[client].pausing = false;
                self.input(config, Sender::Client(client), &Input::Again { attempt });
            }
            Action::TimeOut(client) => {
                self.left.time_outs = self.left.time_outs.saturating_sub(1);
                self.clients[client].timed_out = true;
                self.clients[client].pausing = false;
                self.input(config, Sender::Client(client), &Input::TimeOut);
            }
            Action::Crash(client) => {
                self.left.crashes -= 1;
                self.clients[client].phase = Phase::Gone;
            }
            Action::Resolve(shard, attempt) => {
                self.left.resolvers -= 1;
                let state = &self.shards[usize::from(shard.0)];
                let doubts = state.in_doubt(LogTime(u64::MAX), 9);
                let doubt = doubts.into_iter().find(|doubt| doubt.attempt == attempt);
                let (resolver, effects) = Resolver::in_doubt(shard, doubt.expect("in doubt"), NOW);
                self.resolvers.insert((shard, attempt), resolver);
                self.carry_out(config, Sender::Resolver(shard, attempt), effects);
            }
            Action::FinishCommit(shard, transaction) => {
                self.left.resolvers -= 1;
                let state = &self.shards[usize::from(shard.0)];
                let all = state.unfinalized(LogTime(u64::MAX), 9);
                let one = all.into_iter().find(|one| one.transaction == transaction);
                let one = one.expect("unfinalized");
                let attempt = one.attempt;
                let (resolver, effects) = Resolver::unfinalized(shard, one, NOW);
                self.resolvers.insert((shard, attempt), resolver);
                self.carry_out(config, Sender::Resolver(shard, attempt), effects);
            }
            Action::Tick(shard) => {
                self.left.ticks -= 1;
                self.tick(config, shard, EXPIRED);
            }
            Action::Put(index) => {
                let (key, value) = &config.puts[index];
                if self.put(config, key, value) {
                    self.puts[index] = true;
                }
            }
        }
        self.tidy();
    }

    /// Lets go of what no action can refer to, so that equal situations are equal.
    fn tidy(&mut self) {
        let duplicates = self.left.duplicates > 0;
        self.sent.retain(|_, sent| duplicates || !sent.delivered);
        let mut replies = std::mem::take(&mut self.replies);
        replies.retain(|(sender, _), _| self.listens(*sender));
        self.replies = replies;
    }

    fn next_attempt(&mut self, client: usize) -> AttemptId {
        let number = self.clients[client].attempts;
        self.clients[client].attempts += 1;
        AttemptId((client as u128 + 1) * ATTEMPTS_EACH + u128::from(number))
    }

    pub(crate) fn start(&mut self, config: &Config, client: usize) {
        let attempt = self.next_attempt(client);
        let transaction = config.clients[client].clone();
        let (coordinator, effects) =
            Coordinator::start(transaction, config.shards, attempt, TIMEOUT, NOW);
        self.clients[client].phase = Phase::Running(Box::new(coordinator));
        self.carry_out(config, Sender::Client(client), effects);
    }

    pub(crate) fn tick(&mut self, config: &Config, shard: ShardId, now: LogTime) {
        let tick = Command::Forget(Forget {
            finalized: Vec::new(),
            acknowledged: Vec::new(),
            now,
        });
        let _ = self.run(config, shard, &tick, 0);
    }

    fn put(&mut self, config: &Config, key: &Key, value: &Value) -> bool {
        let put = Command::Put {
            key: key.clone(),
            value: value.clone(),
            condition: Condition::default(),
        };
        let shard = route(key, config.shards);
        matches!(self.run(config, shard, &put, 0), Reply::Written(_))
    }

    /// Applies a command that is about something of this client's.
    pub(crate) fn run(
        &mut self,
        config: &Config,
        shard: ShardId,
        command: &Command,
        client: usize,
    ) -> Reply {
        let state = &mut self.shards[usize::from(shard.0)];
        let reply = state.apply(command);
        self.judge
            .saw(shard, command, &reply, &config.clients[client].body);
        let keys = &config.keys[usize::from(shard.0)];
        self.judge.compare(shard, state, keys);
        reply
    }

    fn deliver(&mut self, config: &Config, sender: Sender, call: Call) {
        let sent = self.sent.get_mut(&(sender, call)).expect("was sent");
        let again = std::mem::replace(&mut sent.delivered, true);
        let command = sent.command.clone();
        let reply = self.run(config, call.shard, &command, client_of(call.attempt));
        if !self.listens(sender) {
            return;
        }
        // Who sends a commit again must not report that it has expired: see `Effect::Send`.
        if again
            && call.step == Step::Commit
            && matches!(reply, Reply::Refused(Refusal::Expired { .. }))
        {
            return;
        }
        let replies = self.replies.entry((sender, call)).or_default();
        if !replies.contains(&reply) {
            replies.push(reply);
        }
    }

    fn input(&mut self, config: &Config, sender: Sender, input: &Input) {
        let effects = match sender {
            Sender::Client(client) => match &mut self.clients[client].phase {
                Phase::Running(coordinator) => take(coordinator.as_mut(), input, Coordinator::step),
                Phase::Waiting | Phase::Gone => return,
            },
            Sender::Resolver(shard, attempt) => self
                .resolvers
                .get_mut(&(shard, attempt))
                .map(|resolver| take(resolver, input, Resolver::step))
                .unwrap_or_default(),
        };
        self.carry_out(config, sender, effects);
    }

    fn carry_out(&mut self, config: &Config, sender: Sender, effects: Vec<Effect>) {
        for effect in effects {
            match (effect, sender) {
                (Effect::Send { call, command }, _) => {
                    let client = client_of(call.attempt);
                    let transaction = config.clients[client].id;
                    self.judge.sends(transaction, call.shard, &command);
                    let delivered = false;
                    self.sent
                        .insert((sender, call), Sent { command, delivered });
                }
                (Effect::Answer(answer), Sender::Client(client)) => {
                    let Transaction { id, body, .. } = &config.clients[client];
                    self.judge.answered(client, *id, body, &answer);
                    let before = self.clients[client].answer.replace(answer);
                    if before.is_some() {
                        let twice = format!("client {client} is answered twice");
                        self.judge.complain(Rule::AnswersAreTrue, twice);
                    }
                }
                (Effect::Again { .. }, Sender::Client(client)) => {
                    self.clients[client].pausing = true;
                }
                (Effect::Done, Sender::Client(client)) => {
                    self.clients[client].phase = Phase::Gone;
                    if self.clients[client].answer.is_none() {
                        let never = format!("client {client} is not answered");
                        self.judge.complain(Rule::AnswersAreTrue, never);
                    }
                }
                (Effect::Done, Sender::Resolver(..)) => {}
                (effect, Sender::Resolver(..)) => panic!("a resolver does not ask for {effect:?}"),
            }
        }
    }

    /// All coordinators vanish, everything on its way is lost, and resolvers alone go on: then
    /// nothing may be left (I9). After that everything that was ever lost arrives, late: nothing
    /// may be left again.
    pub(crate) fn close(&self, config: &Config) -> Self {
        let mut end = self.clone();
        for client in &mut end.clients {
            client.phase = Phase::Gone;
        }
        let late = std::mem::take(&mut end.sent);
        end.replies.clear();
        end.resolve_all(config);
        for ((_, call), sent) in late {
            let _ = end.run(config, call.shard, &sent.command, client_of(call.attempt));
        }
        end.resolve_all(config);
        end
    }

    /// Lets resolvers run until there is nothing for them to do, and checks that this is so.
    fn resolve_all(&mut self, config: &Config) {
        self.resolvers.clear();
        self.left = Limits {
            resolvers: u8::MAX,
            ..Limits::default()
        };
        for _ in 0..1000 {
            let mut actions = self.actions().into_iter();
            let own = |action: &Action| matches!(action, Action::Start(_) | Action::Put(_));
            let next = actions.find(|action| !own(action));
            let Some(action) = next else { break };
            self.act(config, &action);
            self.resolvers.retain(|_, resolver| !resolver.is_done());
        }
        for (shard, state) in (0..).map(ShardId).zip(&self.shards) {
            let doubts = state.prepared_count();
            let open = state.unfinalized(LogTime(u64::MAX), 9).len();
            if doubts + open > 0 || !state.is_unlocked() {
                let left = format!("shard {shard}: {doubts} in doubt, {open} not finalized");
                self.judge.complain(Rule::NothingIsLeft, left);
            }
        }
    }

    /// Takes what comes first among `actions` until nothing comes.
    pub(crate) fn run_plainly(&mut self, config: &Config) -> Vec<Action> {
        let mut taken = Vec::new();
        while let Some(action) = self.next_plain() {
            self.act(config, &action);
            taken.push(action);
            assert!(taken.len() < 1000, "it does not end: {taken:?}");
        }
        taken
    }

    /// What happens next when nothing goes wrong.
    pub(crate) fn next_plain(&self) -> Option<Action> {
        let mut actions = self.actions().into_iter();
        actions
            .find(|action| match action {
                // Clients that wait for each other's locks come last.
                Action::Again(_) => false,
                // One that nobody can carry out now would come for ever.
                Action::Put(_) => self.shards.iter().all(Shard::is_unlocked),
                action => action.is_plain(),
            })
            .or_else(|| {
                let mut actions = self.actions().into_iter();
                actions.find(|action| {
                matches!(action, Action::Again(_))
                    || matches!(action, Action::TimeOut(client) if self.clients[*client].pausing)
            })
            })
    }

    pub(crate) fn assert_right(&self, what: impl FnOnce() -> String) {
        assert!(
            self.judge.broken().is_empty(),
            "{:#?}\n{}",
            self.judge.broken(),
            what()
        );
    }
}

/// A transaction with an id that its client gave.
pub(crate) fn transaction(id: u128, body: Body) -> Transaction {
    Transaction {
        id: TransactionId(id),
        promised: true,
        body,
    }
}

/// What follows from `input`. An answer that comes twice changes nothing the second time.
fn take<M: Clone + PartialEq + std::fmt::Debug>(
    machine: &mut M,
    input: &Input,
    step: fn(&mut M, LogTime, Input) -> Vec<Effect>,
) -> Vec<Effect> {
    let effects = step(machine, NOW, input.clone());
    if matches!(input, Input::Replied { .. } | Input::Failed { .. }) {
        let before = machine.clone();
        let again = step(machine, NOW, input.clone());
        assert!(
            again.is_empty() && *machine == before,
            "twice {input:?}: {again:?}"
        );
    }
    effects
}
