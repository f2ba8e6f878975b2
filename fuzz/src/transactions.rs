//! Transactions of several coordinators in any order of messages, against a plain serial map.
//!
//! The map carries a transaction out, whole, at the moment when its home says that it is committed.
//! So the commits themselves are the serial order, and each lies between the start of its
//! transaction and its answer: the order keeps to real time.

use std::collections::{BTreeMap, BTreeSet};
use std::{num::NonZeroU16, time::Duration};

use arbitrary::{Arbitrary, Unstructured};
use trandb_common::{Key, Value, Version};
use trandb_engine::{
    Answer, AttemptId, Body, Call, Check, Command, Condition, Coordinator, Decided, Effect,
    FailedCheck, Fault, Forget, Found, Input, LogTime, NotCommitted, Operations, PartVersions,
    Read, Refusal, Reply, Resolve, Resolver, Shard, ShardId, Step, Subject, Transaction,
    TransactionId, Write, route,
};

use super::EPOCH;

const CLIENTS_MAX: usize = 4;
const ACTIONS_MAX: usize = 300;
const TIMEOUT: Duration = Duration::from_secs(5);
/// As long as the outcomes of all transactions are kept: what is sent again is run once.
const TIME_MAX: LogTime = LogTime(500_000);
/// An attempt's number is its client's, times this, and its own.
const ATTEMPTS_EACH: u128 = 1000;
const KEYS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// What a transaction does with each of the keys.
#[derive(Debug, Arbitrary)]
struct Row {
    check: AnyCheck,
    read: bool,
    write: AnyWrite,
}

#[derive(Debug, Arbitrary)]
enum AnyCheck {
    None,
    Absent,
    Version(u8),
}

#[derive(Debug, Arbitrary)]
enum AnyWrite {
    None,
    Delete,
    Put(u8),
}

#[derive(Debug, Arbitrary)]
struct Wish {
    rows: [Row; KEYS.len()],
    /// Sent again: the body and the id of the client before.
    copy: bool,
    /// Another body under the id of the client before.
    reuse: bool,
    promised: bool,
}

/// Numbers choose among what there is.
#[derive(Debug, Arbitrary)]
enum Action {
    Deliver(u8),
    Copy(u8),
    Refuse(u8),
    Lose(u8),
    Reply(u8),
    LoseReply(u8),
    Again(u8),
    TimeOut(u8),
    Vanish(u8),
    Resolve(u8),
    Finish(u8),
    Later(u8),
    Tick(u8),
    Put(u8, u8),
    Get(u8),
    Abort(u8),
}

/// Clients that vanish do so with all that they would have heard.
pub fn transactions(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let Ok((shards, wishes)) = <(u8, Vec<Wish>)>::arbitrary(&mut input) else {
        return;
    };
    let Ok(actions) = Vec::<Action>::arbitrary_take_rest(input) else {
        return;
    };
    let mut world = World::new(NonZeroU16::MIN.saturating_add(u16::from(shards % 3)));
    for wish in wishes.iter().take(CLIENTS_MAX) {
        world.begin(wish);
    }
    for action in actions.iter().take(ACTIONS_MAX) {
        world.act(action);
    }
    world.end();
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sender {
    Client(usize),
    Resolver(usize),
}

struct Letter {
    sender: Sender,
    call: Call,
    command: Command,
    /// Whether it has been applied before.
    again: bool,
}

struct Client {
    transaction: Transaction,
    machine: Option<Coordinator>,
    attempts: u128,
    pausing: bool,
    timed_out: bool,
    answer: Option<Answer>,
}

/// A transaction that was committed, as the map has carried it out.
struct Win {
    client: usize,
    versions: Vec<Option<Version>>,
    reads: Vec<Option<Found>>,
}

struct World {
    count: NonZeroU16,
    shards: Vec<Shard>,
    now: LogTime,
    clients: Vec<Client>,
    resolvers: Vec<Resolver>,
    letters: Vec<Letter>,
    replies: Vec<(Sender, Call, Reply)>,
    map: BTreeMap<Key, Found>,
    given: BTreeSet<(ShardId, Version)>,
    wins: Vec<Win>,
    aborted: BTreeSet<TransactionId>,
}

fn key(index: usize) -> Key {
    Key::new(KEYS[index % KEYS.len()]).expect("legal")
}

fn value(number: u8) -> Value {
    Value::copy_from(&[number]).expect("legal")
}

fn client_of(attempt: AttemptId) -> usize {
    usize::try_from(attempt.0 / ATTEMPTS_EACH).expect("few clients")
}

/// The one that a number chooses.
fn chosen(number: u8, length: usize) -> Option<usize> {
    (length > 0).then(|| usize::from(number) % length)
}

impl World {
    fn new(count: NonZeroU16) -> Self {
        Self {
            count,
            shards: (0..count.get()).map(|_| Shard::new(EPOCH)).collect(),
            now: LogTime::default(),
            clients: Vec::new(),
            resolvers: Vec::new(),
            letters: Vec::new(),
            replies: Vec::new(),
            map: BTreeMap::new(),
            given: BTreeSet::new(),
            wins: Vec::new(),
            aborted: BTreeSet::new(),
        }
    }

    fn begin(&mut self, wish: &Wish) {
        let index = self.clients.len();
        let before = self.clients.last().map(|client| &client.transaction);
        let id = TransactionId(index as u128 + 1);
        let transaction = match before {
            // Whoever sends again has given the id.
            Some(before) if wish.copy && before.promised => before.clone(),
            _ => {
                let Ok(body) = Body::new(operations(wish)) else {
                    return;
                };
                match before {
                    Some(before) if wish.reuse && before.promised => Transaction {
                        body,
                        ..before.clone()
                    },
                    _ => Transaction {
                        id,
                        promised: wish.promised,
                        body,
                    },
                }
            }
        };
        let attempt = AttemptId(index as u128 * ATTEMPTS_EACH);
        let (machine, effects) =
            Coordinator::start(transaction.clone(), self.count, attempt, TIMEOUT, self.now);
        self.clients.push(Client {
            transaction,
            machine: Some(machine),
            attempts: 1,
            pausing: false,
            timed_out: false,
            answer: None,
        });
        self.carry_out(Sender::Client(index), effects);
    }

    fn act(&mut self, action: &Action) {
        let _ = match *action {
            Action::Deliver(number) => self.deliver(number, false),
            Action::Copy(number) => self.deliver(number, true),
            Action::Refuse(number) => self.refuse(number),
            Action::Lose(number) => self.lose(number),
            Action::Reply(number) => self.reply(number),
            Action::LoseReply(number) => self.lose_reply(number),
            Action::Again(number) => self.again(number),
            Action::TimeOut(number) => self.time_out(number),
            Action::Vanish(number) => chosen(number, self.clients.len()).map(|index| {
                self.clients[index].machine = None;
            }),
            Action::Resolve(number) => self.resolve(number),
            Action::Finish(number) => self.finish(number),
            Action::Later(seconds) => {
                let later = self.now.after(Duration::from_secs(u64::from(seconds)));
                self.now = later.min(TIME_MAX);
                None
            }
            Action::Tick(number) => chosen(number, self.shards.len()).map(|index| {
                let tick = Command::Forget(Forget {
                    finalized: Vec::new(),
                    acknowledged: Vec::new(),
                    now: self.now,
                });
                let _ = self.shards[index].apply(&tick);
            }),
            Action::Put(number, text) => {
                self.put(&key(usize::from(number)), value(text));
                None
            }
            Action::Get(number) => {
                self.get(&key(usize::from(number)));
                None
            }
            Action::Abort(number) => self.abort(number),
        };
    }

    fn deliver(&mut self, number: u8, keep: bool) -> Option<()> {
        let index = chosen(number, self.letters.len())?;
        let letter = &mut self.letters[index];
        let again = std::mem::replace(&mut letter.again, true);
        let (sender, call, command) = (letter.sender, letter.call, letter.command.clone());
        if !keep {
            self.letters.remove(index);
        }
        let reply = self.apply(call.shard, &command);
        // Who sends a commit again must not report that it has expired: see `Effect::Send`.
        let expired = matches!(reply, Reply::Refused(Refusal::Expired { .. }));
        if !(again && call.step == Step::Commit && expired) {
            self.replies.push((sender, call, reply));
        }
        Some(())
    }

    /// A command does not enter the log, and never will.
    fn refuse(&mut self, number: u8) -> Option<()> {
        let index = chosen(number, self.letters.len())?;
        if self.letters[index].again {
            return None;
        }
        let letter = self.letters.remove(index);
        let fault = Fault::NotEntered(NotCommitted::ShardUnavailable);
        let call = letter.call;
        self.input(letter.sender, Input::Failed { call, fault });
        Some(())
    }

    /// Nothing is known of a command, which may come yet.
    fn lose(&mut self, number: u8) -> Option<()> {
        let index = chosen(number, self.letters.len())?;
        let letter = &mut self.letters[index];
        letter.again = true;
        let (sender, call) = (letter.sender, letter.call);
        let fault = Fault::Unknown;
        self.input(sender, Input::Failed { call, fault });
        Some(())
    }

    fn reply(&mut self, number: u8) -> Option<()> {
        let index = chosen(number, self.replies.len())?;
        let (sender, call, reply) = self.replies.remove(index);
        self.input(sender, Input::Replied { call, reply });
        Some(())
    }

    fn lose_reply(&mut self, number: u8) -> Option<()> {
        let index = chosen(number, self.replies.len())?;
        let (sender, call, _) = self.replies.remove(index);
        let fault = Fault::Unknown;
        self.input(sender, Input::Failed { call, fault });
        Some(())
    }

    fn again(&mut self, number: u8) -> Option<()> {
        let index = chosen(number, self.clients.len())?;
        let client = &mut self.clients[index];
        if !std::mem::take(&mut client.pausing) {
            return None;
        }
        let attempt = AttemptId(index as u128 * ATTEMPTS_EACH + client.attempts);
        client.attempts += 1;
        self.input(Sender::Client(index), Input::Again { attempt });
        Some(())
    }

    fn time_out(&mut self, number: u8) -> Option<()> {
        let index = chosen(number, self.clients.len())?;
        let client = &mut self.clients[index];
        if std::mem::replace(&mut client.timed_out, true) {
            return None;
        }
        client.pausing = false;
        self.input(Sender::Client(index), Input::TimeOut);
        Some(())
    }

    /// Somebody asks about what a shard has in doubt.
    fn resolve(&mut self, number: u8) -> Option<()> {
        let index = chosen(number, self.shards.len())?;
        let doubts = self.shards[index].in_doubt(LogTime(u64::MAX), 4);
        let doubt = doubts.get(chosen(number / 4, doubts.len())?)?;
        let shard = ShardId(u16::try_from(index).expect("few shards"));
        let (resolver, effects) = Resolver::in_doubt(shard, *doubt, self.now);
        self.resolvers.push(resolver);
        self.carry_out(Sender::Resolver(self.resolvers.len() - 1), effects);
        Some(())
    }

    /// Somebody tells the participants what a home has committed.
    fn finish(&mut self, number: u8) -> Option<()> {
        let index = chosen(number, self.shards.len())?;
        let open = self.shards[index].unfinalized(LogTime(u64::MAX), 4);
        let one = open.get(chosen(number / 4, open.len())?)?.clone();
        let shard = ShardId(u16::try_from(index).expect("few shards"));
        let (resolver, effects) = Resolver::unfinalized(shard, one, self.now);
        self.resolvers.push(resolver);
        self.carry_out(Sender::Resolver(self.resolvers.len() - 1), effects);
        Some(())
    }

    fn put(&mut self, key: &Key, value: Value) {
        let shard = route(key, self.count);
        let put = Command::Put {
            key: key.clone(),
            value: value.clone(),
            condition: Condition::default(),
        };
        match self.shards[usize::from(shard.0)].apply(&put) {
            Reply::Written(version) => self.set(shard, key, Some(value), version),
            Reply::Locked(_) => {}
            other => panic!("{other:?} to a plain write"),
        }
    }

    /// What may be read is what the map holds.
    fn get(&self, key: &Key) {
        let shard = route(key, self.count);
        if let Read::Done(found) = self.shards[usize::from(shard.0)].read(key) {
            assert_eq!(found.as_ref(), self.map.get(key), "a read of {key:?}");
        }
    }

    /// Aborts a transaction by its id.
    fn abort(&mut self, number: u8) -> Option<()> {
        let index = chosen(number, self.clients.len())?;
        let id = self.clients[index].transaction.id;
        let resolve = Command::Resolve(Resolve {
            transaction: id,
            digest: None,
            subject: Subject::Transaction {
                promised: true,
                expires: TIME_MAX.after(TIMEOUT * 4),
                checks: Vec::new(),
            },
            now: self.now,
        });
        let mut is_committed = false;
        for shard in &mut self.shards {
            match shard.apply(&resolve) {
                Reply::Decided(decided) => {
                    is_committed |= matches!(*decided, Decided::Committed { .. });
                }
                other => panic!("{other:?} to an abort"),
            }
        }
        let mut wins = self.wins.iter();
        let won = wins.any(|win| self.clients[win.client].transaction.id == id);
        // One that its client cannot ask for may be forgotten, and is finalized then.
        let promised = self.clients[index].transaction.promised;
        assert!(is_committed == won || !promised, "{id}: {is_committed}");
        if !won {
            self.aborted.insert(id);
        }
        Some(())
    }

    fn input(&mut self, sender: Sender, input: Input) {
        let effects = match sender {
            Sender::Client(index) => match &mut self.clients[index].machine {
                Some(machine) => machine.step(self.now, input),
                None => return,
            },
            Sender::Resolver(index) => self.resolvers[index].step(self.now, input),
        };
        self.carry_out(sender, effects);
    }

    fn carry_out(&mut self, sender: Sender, effects: Vec<Effect>) {
        for effect in effects {
            match (effect, sender) {
                (Effect::Send { call, command }, _) => self.letters.push(Letter {
                    sender,
                    call,
                    command,
                    again: false,
                }),
                (Effect::Answer(answer), Sender::Client(index)) => self.answered(index, answer),
                (Effect::Again { .. }, Sender::Client(index)) => {
                    assert!(!self.clients[index].timed_out, "its time is over");
                    self.clients[index].pausing = true;
                }
                (Effect::Done, Sender::Client(index)) => {
                    let client = &mut self.clients[index];
                    assert!(client.answer.is_some(), "client {index} has no answer");
                    client.machine = None;
                }
                (Effect::Done, Sender::Resolver(_)) => {}
                (other, Sender::Resolver(_)) => panic!("a resolver asks for {other:?}"),
            }
        }
    }

    fn apply(&mut self, shard: ShardId, command: &Command) -> Reply {
        let reply = self.shards[usize::from(shard.0)].apply(command);
        match &reply {
            Reply::No { failed } => self.failed(failed),
            Reply::Decided(decided) => match (&**decided, command) {
                (Decided::Aborted { failed }, _) => self.failed(failed),
                (
                    Decided::Committed {
                        versions,
                        reads: Some(_),
                        ..
                    },
                    Command::Commit(commit),
                ) => self.committed(client_of(commit.attempt), versions),
                _ => {}
            },
            _ => {}
        }
        reply
    }

    /// A check that is said to fail does, at this moment.
    fn failed(&self, failed: &[FailedCheck]) {
        for check in failed {
            let actual = self.map.get(&check.key).map(|found| found.version);
            assert_eq!(check.actual, actual, "{:?}", check.key);
            assert_ne!(check.expected, actual, "{:?}", check.key);
        }
    }

    /// The map carries the transaction out.
    fn committed(&mut self, client: usize, versions: &[PartVersions]) {
        let Transaction { id, body, .. } = self.clients[client].transaction.clone();
        assert!(
            !self.aborted.contains(&id),
            "{id} is committed after its abort"
        );
        let home = body.home(self.count);
        for win in &self.wins {
            let other = &self.clients[win.client].transaction;
            let same = other.id == id && other.body.home(self.count) == home;
            assert!(!same, "{id} is committed twice");
        }
        for check in &body.operations().checks {
            let actual = self.map.get(&check.key).map(|found| found.version);
            assert_eq!(actual, check.version, "{id} commits against its check");
        }
        let reads = body.operations().reads.iter();
        let reads = reads.map(|key| self.map.get(key).cloned()).collect();
        let mut next: BTreeMap<ShardId, usize> = BTreeMap::new();
        let mut written = Vec::new();
        for write in &body.operations().writes {
            let shard = route(write.key(), self.count);
            let index = next.entry(shard).or_default();
            let part = versions.iter().find(|part| part.shard == shard);
            let version = part.expect("every shard has a part").of(*index);
            *index += 1;
            self.set(shard, write.key(), write.value().cloned(), version);
            written.push(write.value().map(|_| version));
        }
        self.wins.push(Win {
            client,
            versions: written,
            reads,
        });
    }

    fn set(&mut self, shard: ShardId, key: &Key, value: Option<Value>, version: Version) {
        match value {
            Some(value) => {
                let new = self.given.insert((shard, version));
                assert!(new, "{version} is given twice");
                self.map.insert(key.clone(), Found { value, version });
            }
            None => {
                self.map.remove(key);
            }
        }
    }

    fn answered(&mut self, client: usize, answer: Answer) {
        if let Answer::Committed { versions, reads } = &answer {
            let asked = &self.clients[client].transaction;
            let mut wins = self.wins.iter();
            let win = wins.find(|win| self.clients[win.client].transaction == *asked);
            let win = win.expect("it was committed");
            assert_eq!(*versions, win.versions, "client {client}");
            if let Some(reads) = reads {
                assert_eq!(*reads, win.reads, "client {client}");
            }
        }
        let before = self.clients[client].answer.replace(answer);
        assert_eq!(before, None, "client {client} is answered twice");
    }

    /// Everybody vanishes; resolvers alone leave nothing, even when all that was lost arrives.
    fn end(mut self) {
        for client in &mut self.clients {
            client.machine = None;
        }
        let late = std::mem::take(&mut self.letters);
        self.resolve_all();
        for letter in late {
            let _ = self.apply(letter.call.shard, &letter.command);
        }
        self.resolve_all();
        for shard in &self.shards {
            assert!(shard.is_unlocked(), "a lock is left");
            assert_eq!(shard.prepared_count(), 0, "in doubt");
            assert_eq!(shard.unfinalized(LogTime(u64::MAX), 9), []);
        }
        let held: usize = self.shards.iter().map(Shard::len).sum();
        assert_eq!(held, self.map.len(), "keys");
        (0..KEYS.len()).for_each(|index| self.get(&key(index)));
        for client in &self.clients {
            let mut wins = self.wins.iter().map(|win| &self.clients[win.client]);
            let transaction = &client.transaction;
            let won = match &client.answer {
                None | Some(Answer::Unknown | Answer::Committed { .. }) => continue,
                // For good, whoever else has sent it.
                Some(Answer::Conflict { .. } | Answer::TooMuchRead { .. }) => {
                    wins.any(|winner| winner.transaction == *transaction)
                }
                Some(Answer::NotCommitted(_) | Answer::IdReused) => {
                    wins.any(|winner| std::ptr::eq(winner, client))
                }
            };
            assert!(!won, "{:?}, but it was committed", client.answer);
        }
    }

    fn resolve_all(&mut self) {
        const ROUNDS: usize = 20;
        for _ in 0..ROUNDS {
            self.letters.clear();
            self.replies.clear();
            for number in 0..self.shards.len() {
                let number = u8::try_from(number).expect("few shards");
                for _ in 0..4 {
                    let _ = self.resolve(number);
                    let _ = self.finish(number);
                    while self.deliver(0, false).is_some() || self.reply(0).is_some() {}
                }
            }
        }
    }
}

fn operations(wish: &Wish) -> Operations {
    let mut operations = Operations::default();
    for (index, row) in wish.rows.iter().enumerate() {
        let key = key(index);
        let version = match row.check {
            AnyCheck::None => None,
            AnyCheck::Absent => Some(None),
            AnyCheck::Version(counter) => Some(Some(Version {
                epoch: EPOCH,
                counter: u64::from(counter % 8),
            })),
        };
        operations.checks.extend(version.map(|version| Check {
            key: key.clone(),
            version,
        }));
        if row.read {
            operations.reads.push(key.clone());
        }
        match row.write {
            AnyWrite::None => {}
            AnyWrite::Delete => operations.writes.push(Write::Delete { key }),
            AnyWrite::Put(number) => operations.writes.push(Write::Put {
                key,
                value: value(number),
            }),
        }
    }
    operations
}
