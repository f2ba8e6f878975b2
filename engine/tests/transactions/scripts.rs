//! Golden scripts: one situation a file, step by step, with what the machines say to each step.
//!
//! A line that begins with `>` is a step, the indented lines below it are what came of it, `#` is
//! for the reader. `UPDATE_SCRIPTS=1 cargo test -p trandb-engine scripts` writes the answers anew;
//! read the diff as carefully as code.
//!
//! | step | |
//! |---|---|
//! | `shards N [budget BYTES]` | first of all |
//! | `put x@0=v`, `get x@0` | without a transaction; `*n` stands for a value of n bytes |
//! | `begin T ID BODY` | a coordinator called T starts; `-` for an id that nobody knows; see `cases::body` |
//! | `run T prepare@1` | the command is applied, its reply goes to T; `T.0`: of T's first attempt |
//! | `apply T prepare@1` | it is applied, its reply is lost |
//! | `refuse T commit@0`, `lose T commit@0` | it does not enter the log; its fate is unknown |
//! | `again T`, `time-out T` | |
//! | `rest T` | all that T has sent and was not yet applied is run, until nothing comes |
//! | `resolve 1` | resolvers for all that shard 1 has in doubt or unfinished |
//! | `abort ID`, `known ID` | asked of every shard |
//! | `acknowledge 0 ID` | at that home |
//! | `later SECONDS` | clocks go on; log time follows with the next command |
//! | `tick 0` | log time is told to a shard |
//! | `state` | what shards hold |

use std::{collections::BTreeMap, fmt::Write as _, fs, num::NonZeroU16, path::Path};

use trandb_common::{
    Value,
    limits::{ATTEMPT_GRACE, OUTCOME_BYTES_MAX, TRANSACTION_TIMEOUT_MAX},
};
use trandb_engine::{
    Answer, AttemptId, Body, Call, Command, Condition, Coordinator, Decided, Effect, Fault, Forget,
    Found, Input, LogTime, NotCommitted, Read, Refusal, Reply, Resolve, Resolver, Shard, ShardId,
    Step, Subject, Transaction, TransactionId, route,
};

use super::{
    cases,
    judge::{ATTEMPTS_EACH, client_of},
    names::{key, name, value},
    system::{EPOCH, NOW, TIMEOUT},
};

#[test]
fn scripts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transactions/scripts");
    let update = std::env::var_os("UPDATE_SCRIPTS").is_some();
    let mut count = 0;
    let mut wrong = Vec::new();
    for file in fs::read_dir(&folder).expect("the folder of scripts") {
        let path = file.expect("readable").path();
        let text = fs::read_to_string(&path).expect("readable");
        let now = run(&text);
        if update {
            fs::write(&path, &now).expect("writable");
        } else if now != text {
            let differs = text.lines().zip(now.lines()).find(|(old, new)| old != new);
            wrong.push(format!("{}: {differs:?}\n{now}", path.display()));
        }
        count += 1;
    }
    assert!(count >= 15, "{count} scripts");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The script with what its steps give now.
fn run(script: &str) -> String {
    let mut stage = Stage::new(1, OUTCOME_BYTES_MAX);
    let mut text = String::new();
    for line in script.lines() {
        if line.starts_with("  ") {
            continue;
        }
        let _ = writeln!(text, "{line}");
        if let Some(step) = line.strip_prefix("> ") {
            for answer in stage.step(step) {
                let _ = writeln!(text, "  {answer}");
            }
        }
    }
    text
}

struct Actor {
    name: String,
    machine: Coordinator,
    attempts: u128,
}

struct Stage {
    count: NonZeroU16,
    shards: Vec<Shard>,
    actors: Vec<Actor>,
    sent: BTreeMap<Call, Command>,
    waiting: Vec<Call>,
    now: LogTime,
}

impl Stage {
    fn new(shards: u16, budget: u64) -> Self {
        let shard = |_| Shard::with_outcome_budget(EPOCH, budget);
        Self {
            count: NonZeroU16::new(shards).expect("not 0"),
            shards: (0..shards).map(shard).collect(),
            actors: Vec::new(),
            sent: BTreeMap::new(),
            waiting: Vec::new(),
            now: NOW,
        }
    }

    fn step(&mut self, step: &str) -> Vec<String> {
        let words: Vec<&str> = step.split_whitespace().collect();
        match words[..] {
            ["shards", count] => *self = Self::new(number(count), OUTCOME_BYTES_MAX),
            ["shards", count, "budget", bytes] => {
                *self = Self::new(number(count), number(bytes));
            }
            ["put", pair] => return self.put(pair),
            ["get", key] => return self.get(key),
            ["begin", name, id, ..] => {
                let body = step.splitn(4, ' ').nth(3).expect("a body");
                return self.begin(name, id, body);
            }
            ["run", name, call] => return self.apply(name, call, true),
            ["apply", name, call] => return self.apply(name, call, false),
            ["refuse", name, call] => {
                let fault = Fault::NotEntered(NotCommitted::ShardUnavailable);
                return self.fail(name, call, fault);
            }
            ["lose", name, call] => return self.fail(name, call, Fault::Unknown),
            ["again", name] => {
                let index = self.actor(name);
                let attempt = self.next_attempt(index);
                return self.input(index, Input::Again { attempt });
            }
            ["time-out", name] => {
                let index = self.actor(name);
                return self.input(index, Input::TimeOut);
            }
            ["rest", name] => return self.rest(name),
            ["resolve", shard] => return self.resolve(ShardId(number(shard))),
            ["abort", id] => return self.abort(number(id)),
            ["known", id] => {
                let known = |s: &Shard| s.known(TransactionId(number(id)));
                let shards = self.shards.iter().enumerate();
                return shards
                    .map(|(n, shard)| match known(shard) {
                        Some(known) => format!("shard {n}: {known:?}"),
                        None => format!("shard {n}: nothing"),
                    })
                    .collect();
            }
            ["acknowledge", shard, id] => {
                return self.forget(number(shard), vec![TransactionId(number(id))]);
            }
            ["tick", shard] => return self.forget(number(shard), Vec::new()),
            ["later", seconds] => self.now.0 += number::<u64>(seconds) * 1000,
            ["state"] => return self.state(),
            _ => panic!("unknown step: {step}"),
        }
        Vec::new()
    }

    fn put(&mut self, pair: &str) -> Vec<String> {
        let (name, text) = pair.split_once('=').expect("key=value");
        let key = key(name, self.count);
        let shard = route(&key, self.count);
        let reply = self.shards[usize::from(shard.0)].apply(&Command::Put {
            key,
            value: value(text),
            condition: Condition::default(),
        });
        vec![self.reply(&reply)]
    }

    fn get(&mut self, text: &str) -> Vec<String> {
        let key = key(text, self.count);
        let shard = route(&key, self.count);
        vec![match self.shards[usize::from(shard.0)].read(&key) {
            Read::Done(found) => found_text(found.as_ref()),
            Read::Locked(holder) => format!("locked by {}", self.attempt(holder)),
        }]
    }

    fn begin(&mut self, name: &str, id: &str, body: &str) -> Vec<String> {
        let index = self.actors.len();
        let attempt = AttemptId((index as u128 + 1) * ATTEMPTS_EACH);
        let body: Body = cases::body(body, self.count);
        let transaction = Transaction {
            id: TransactionId(id.parse().unwrap_or(1000 + index as u128)),
            promised: id != "-",
            body,
        };
        let (machine, effects) =
            Coordinator::start(transaction, self.count, attempt, TIMEOUT, self.now);
        let is_one_command = matches!(
            effects.as_slice(),
            [Effect::Send { command, .. }] if matches!(command, Command::Commit(_))
        );
        assert_eq!(machine.is_within_one_shard(), is_one_command, "{name}");
        self.actors.push(Actor {
            name: name.to_owned(),
            machine,
            attempts: 1,
        });
        self.effects(effects)
    }

    fn actor(&self, name: &str) -> usize {
        let mut actors = self.actors.iter();
        actors.position(|actor| actor.name == name).expect("begun")
    }

    fn next_attempt(&mut self, index: usize) -> AttemptId {
        let actor = &mut self.actors[index];
        actor.attempts += 1;
        AttemptId((index as u128 + 1) * ATTEMPTS_EACH + actor.attempts - 1)
    }

    /// `prepare@1` of `T`, or of an earlier attempt `T.0`.
    fn call(&self, who: &str, what: &str) -> Call {
        let (name, attempt) = match who.split_once('.') {
            Some((name, attempt)) => (name, Some(number::<u128>(attempt))),
            None => (who, None),
        };
        let index = self.actor(name);
        let attempt = attempt.unwrap_or(self.actors[index].attempts - 1);
        let (step, shard) = what.split_once('@').expect("step@shard");
        Call {
            attempt: AttemptId((index as u128 + 1) * ATTEMPTS_EACH + attempt),
            step: match step {
                "prepare" => Step::Prepare,
                "commit" => Step::Commit,
                "resolve" => Step::Resolve,
                "finalize" => Step::Finalize,
                "forget" => Step::Forget,
                other => panic!("unknown command: {other}"),
            },
            shard: ShardId(number(shard)),
        }
    }

    fn apply(&mut self, who: &str, what: &str, tell: bool) -> Vec<String> {
        let call = self.call(who, what);
        self.waiting.retain(|waiting| *waiting != call);
        let command = self.sent.get(&call).expect("was sent").clone();
        let reply = self.shards[usize::from(call.shard.0)].apply(&command);
        let mut text = vec![self.reply(&reply)];
        if tell {
            let index = client_of(call.attempt);
            text.extend(self.input(index, Input::Replied { call, reply }));
        }
        text
    }

    fn fail(&mut self, who: &str, what: &str, fault: Fault) -> Vec<String> {
        let call = self.call(who, what);
        self.waiting.retain(|waiting| *waiting != call);
        self.input(client_of(call.attempt), Input::Failed { call, fault })
    }

    fn rest(&mut self, name: &str) -> Vec<String> {
        let index = self.actor(name);
        let mut text = Vec::new();
        while let Some(place) = self
            .waiting
            .iter()
            .position(|call| client_of(call.attempt) == index)
        {
            let call = self.waiting.remove(place);
            let command = self.sent.get(&call).expect("was sent").clone();
            let reply = self.shards[usize::from(call.shard.0)].apply(&command);
            text.push(format!("{}: {}", call_text(&call), self.reply(&reply)));
            text.extend(self.input(index, Input::Replied { call, reply }));
        }
        text
    }

    fn input(&mut self, index: usize, input: Input) -> Vec<String> {
        let effects = self.actors[index].machine.step(self.now, input);
        self.effects(effects)
    }

    fn effects(&mut self, effects: Vec<Effect>) -> Vec<String> {
        let mut text = Vec::new();
        for effect in effects {
            text.push(match effect {
                Effect::Send { call, command } => {
                    self.sent.insert(call, command);
                    self.waiting.push(call);
                    format!("-> {}", call_text(&call))
                }
                Effect::Answer(answer) => format!("ANSWER {}", answer_text(&answer)),
                Effect::Again { holder: None } => "-> again".to_owned(),
                Effect::Again {
                    holder: Some((shard, holder)),
                } => format!("-> again, after {} at {shard}", self.attempt(holder)),
                Effect::Done => "-> done".to_owned(),
            });
        }
        text
    }

    fn resolve(&mut self, shard: ShardId) -> Vec<String> {
        let state = &self.shards[usize::from(shard.0)];
        let doubts = state.in_doubt(self.now, 100);
        let open = state.unfinalized(self.now, 100);
        let now = self.now;
        let doubts = doubts
            .into_iter()
            .map(|doubt| Resolver::in_doubt(shard, doubt, now));
        let open = open
            .into_iter()
            .map(|one| Resolver::unfinalized(shard, one, now));
        let mut text = Vec::new();
        for (mut resolver, mut effects) in doubts.chain(open) {
            while !effects.is_empty() {
                match effects.remove(0) {
                    Effect::Send { call, command } => {
                        let reply = self.shards[usize::from(call.shard.0)].apply(&command);
                        text.push(format!("{}: {}", call_text(&call), self.reply(&reply)));
                        effects.extend(resolver.step(now, Input::Replied { call, reply }));
                    }
                    Effect::Done => text.push("done".to_owned()),
                    other => panic!("a resolver does not ask for {other:?}"),
                }
            }
        }
        text
    }

    fn abort(&mut self, id: u128) -> Vec<String> {
        let resolve = Command::Resolve(Resolve {
            transaction: TransactionId(id),
            digest: None,
            subject: Subject::Transaction {
                promised: true,
                expires: self.now.after(TRANSACTION_TIMEOUT_MAX).after(ATTEMPT_GRACE),
                checks: Vec::new(),
            },
            now: self.now,
        });
        let mut replies = Vec::new();
        for shard in &mut self.shards {
            replies.push(shard.apply(&resolve));
        }
        let numbered = replies.iter().enumerate();
        numbered
            .map(|(n, reply)| format!("shard {n}: {}", self.reply(reply)))
            .collect()
    }

    fn forget(&mut self, shard: usize, acknowledged: Vec<TransactionId>) -> Vec<String> {
        let reply = self.shards[shard].apply(&Command::Forget(Forget {
            finalized: Vec::new(),
            acknowledged,
            now: self.now,
        }));
        vec![self.reply(&reply)]
    }

    fn state(&self) -> Vec<String> {
        let mut text = Vec::new();
        for (n, shard) in self.shards.iter().enumerate() {
            let entries: Vec<String> = shard
                .list("", None, None, 100)
                .into_iter()
                .map(|row| format!("{} {}", name(&row.key), row.version))
                .collect();
            let locks = if shard.is_unlocked() {
                "no lock"
            } else {
                "locks"
            };
            text.push(format!(
                "shard {n}: [{}], {} prepared, {locks}, {} to finalize, {} bytes",
                entries.join(", "),
                shard.prepared_count(),
                shard.unfinalized(LogTime(u64::MAX), 100).len(),
                shard.bytes(),
            ));
        }
        text
    }

    fn attempt(&self, attempt: AttemptId) -> String {
        let name = &self.actors[client_of(attempt)].name;
        format!("{name}.{}", attempt.0 % ATTEMPTS_EACH)
    }

    fn reply(&self, reply: &Reply) -> String {
        match reply {
            Reply::Written(version) => format!("written {version}"),
            Reply::Deleted => "deleted".to_owned(),
            Reply::ConditionFailed(version) => format!("condition failed, {version:?}"),
            Reply::Locked(holder) => format!("locked by {}", self.attempt(*holder)),
            Reply::Yes { reads, first } => format!("yes, {}writes from {first}", reads_text(reads)),
            Reply::No { failed } => format!("no, {} checks fail", failed.len()),
            Reply::Busy { holder } => format!("busy with {}", self.attempt(*holder)),
            Reply::Decided(decided) => match &**decided {
                Decided::Committed { attempt, .. } => {
                    format!("committed by {}", self.attempt(*attempt))
                }
                Decided::AttemptAborted => "this attempt is aborted".to_owned(),
                Decided::Aborted { failed } => format!("aborted, {} checks fail", failed.len()),
            },
            Reply::Finalized => "finalized".to_owned(),
            Reply::Noted => "noted".to_owned(),
            Reply::Refused(Refusal::Expired { .. }) => "refused: expired".to_owned(),
            Reply::Refused(refusal) => format!("refused: {refusal:?}"),
        }
    }
}

fn number<T: std::str::FromStr>(text: &str) -> T {
    text.parse().unwrap_or_else(|_| panic!("a number: {text}"))
}

fn call_text(call: &Call) -> String {
    format!("{:?}@{}", call.step, call.shard).to_lowercase()
}

fn value_text(value: &Value) -> String {
    if value.len() > 100 {
        return format!("*{}", value.len());
    }
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

fn found_text(found: Option<&Found>) -> String {
    found.map_or("nothing".to_owned(), |found| {
        format!("{} {}", value_text(&found.value), found.version)
    })
}

fn reads_text(reads: &[Option<Found>]) -> String {
    let reads = reads
        .iter()
        .map(|found| format!("read {}, ", found_text(found.as_ref())));
    reads.collect()
}

fn answer_text(answer: &Answer) -> String {
    match answer {
        Answer::Committed { versions, reads } => {
            let mut text = "committed".to_owned();
            for version in versions {
                let _ = match version {
                    Some(version) => write!(text, ", wrote {version}"),
                    None => write!(text, ", deleted"),
                };
            }
            match reads {
                None => text.push_str(", reads are not kept"),
                Some(reads) => {
                    for found in reads {
                        let _ = write!(text, ", read {}", found_text(found.as_ref()));
                    }
                }
            }
            text
        }
        Answer::Conflict { failed } => {
            let mut text = "conflict".to_owned();
            for check in failed {
                let version = |v: Option<_>| v.map_or("none".to_owned(), |v| format!("{v:?}"));
                let _ = write!(
                    text,
                    ", {}: expected {}, is {}",
                    name(&check.key),
                    version(check.expected),
                    version(check.actual)
                );
            }
            text
        }
        Answer::TooMuchRead { bytes } => format!("too much read: {bytes} bytes"),
        Answer::IdReused => "id reused".to_owned(),
        Answer::NotCommitted(reason) => format!("not committed: {reason:?}"),
        Answer::Unknown => "unknown".to_owned(),
    }
}
