//! Import: put the key of every line, with many requests at a time.
//!
//! What it is not: atomic. What is written before a failure stays written, and the report says
//! with which line to go on.
//!
//! Invariants: two lines of one key are never on their way together, so the later one wins, as
//! the file says; every line before the one to go on with is written.
//!
//! Bounded: at most `--concurrency` values, and about [`BYTES_IN_FLIGHT_MAX`] bytes of them, are on
//! their way; what is read ahead is bounded in `input.rs`.
//!
//! Tests: `tests/it/import.rs`.

use std::collections::{BTreeSet, HashSet, VecDeque};

use indicatif::HumanCount;
use serde::Serialize;
use tokio::{sync::mpsc, task::JoinSet};
use trandb_client::{Client, Error, Key, Version};

use crate::{
    args::Import,
    failure::{Exit, Failure},
    input::{Batch, Input, NumberedLine},
    interrupt::Interrupt,
    keys,
    progress::{self, Progress, Totals},
    session::Session,
};

/// Most bytes of values on their way. A value that is larger by itself goes alone.
const BYTES_IN_FLIGHT_MAX: usize = 64 * 1024 * 1024;

pub(crate) async fn import(session: &Session, options: &Import) -> Result<(), Failure> {
    let input = Input::open(options.input.as_deref())?;
    let progress = Progress::new(input.size, false);
    let lines = input.read(options.from_line)?;
    let mut run = Run::new(session.client.clone(), options, progress);
    let result = run.all_lines(lines).await;
    run.progress.clear();
    run.summary().say(session.json)?;
    result.map_err(|failure| failure.with_hint(run.how_to_go_on()))
}

struct Run {
    client: Client,
    concurrency: usize,
    if_absent: bool,
    progress: Progress,
    /// Read, and not yet sent. An error is the last.
    ready: VecDeque<Result<NumberedLine, Failure>>,
    in_flight: JoinSet<Answer>,
    keys_in_flight: HashSet<Key>,
    bytes_in_flight: usize,
    /// Lines that are sent and not known to be written.
    unwritten: BTreeSet<u64>,
    /// The line that is sent next, or a blank one before it.
    next: u64,
    /// Lines whose keys had a value already, and kept it.
    kept: u64,
}

/// What became of a line.
struct Answer {
    number: u64,
    key: Key,
    line_bytes: u64,
    value_bytes: usize,
    result: Result<Version, Error>,
}

impl Run {
    fn new(client: Client, options: &Import, progress: Progress) -> Self {
        Self {
            client,
            concurrency: options.concurrency.requests.into(),
            if_absent: options.if_absent,
            progress,
            ready: VecDeque::new(),
            in_flight: JoinSet::new(),
            keys_in_flight: HashSet::new(),
            bytes_in_flight: 0,
            unwritten: BTreeSet::new(),
            next: options.from_line,
            kept: 0,
        }
    }

    /// Sends until the end or the first failure, and in any case waits for what is on its way.
    async fn all_lines(&mut self, lines: mpsc::Receiver<Batch>) -> Result<(), Failure> {
        let mut first = self.send_lines(lines).await.err();
        while let Some(answer) = self.in_flight.join_next().await {
            let answer = answer.map_err(|error| Failure::internal(&error));
            if let Err(failure) = answer.and_then(|answer| self.finish(answer)) {
                first = Some(match first {
                    Some(first) => worse(first, failure),
                    None => failure,
                });
            }
        }
        first.map_or(Ok(()), Err)
    }

    async fn send_lines(&mut self, mut lines: mpsc::Receiver<Batch>) -> Result<(), Failure> {
        let mut interrupt = Interrupt::listen()?;
        let mut read_all = false;
        while !(read_all && self.ready.is_empty()) {
            self.send_what_may_go()?;
            tokio::select! {
                biased;
                () = interrupt.pressed() => {
                    return Err(Failure::new(Exit::Interrupted, "interrupted"));
                }
                Some(answer) = self.in_flight.join_next() => {
                    self.finish(answer.map_err(|error| Failure::internal(&error))?)?;
                }
                batch = lines.recv(), if !read_all && self.ready.is_empty() => match batch {
                    Some(batch) => self.ready.extend(batch),
                    None => read_all = true,
                },
            }
        }
        Ok(())
    }

    /// Fails with the line that cannot be read, when its turn has come.
    fn send_what_may_go(&mut self) -> Result<(), Failure> {
        while self.in_flight.len() < self.concurrency && self.bytes_in_flight < BYTES_IN_FLIGHT_MAX
        {
            match self.ready.pop_front() {
                None => return Ok(()),
                Some(Err(failure)) => return Err(failure),
                Some(Ok(line)) if self.keys_in_flight.contains(&line.line.key) => {
                    self.ready.push_front(Ok(line));
                    return Ok(());
                }
                Some(Ok(line)) => self.send(line),
            }
        }
        Ok(())
    }

    fn send(&mut self, line: NumberedLine) {
        self.keys_in_flight.insert(line.line.key.clone());
        self.bytes_in_flight += line.line.value.len();
        self.unwritten.insert(line.number);
        self.next = line.number + 1;
        self.in_flight
            .spawn(put(self.client.clone(), line, self.if_absent));
    }

    fn finish(&mut self, answer: Answer) -> Result<(), Failure> {
        self.keys_in_flight.remove(&answer.key);
        self.bytes_in_flight -= answer.value_bytes;
        match answer.result {
            Ok(_version) => self.progress.key_done(answer.line_bytes),
            Err(error) if self.if_absent && error.is_conflict() => {
                self.kept += 1;
                self.progress.advance(answer.line_bytes);
            }
            Err(error) => return Err(Failure::from(error).at_line(answer.number)),
        }
        self.unwritten.remove(&answer.number);
        Ok(())
    }

    fn how_to_go_on(&self) -> String {
        let line = self.unwritten.first().copied().unwrap_or(self.next);
        if line == 1 {
            return "begin again with the first line".to_owned();
        }
        format!("every line before {line} is done: --from-line {line} goes on there")
    }

    fn summary(&self) -> Summary {
        Summary {
            imported: self.progress.keys(),
            kept: self.kept,
            totals: self.progress.totals(),
        }
    }
}

async fn put(client: Client, line: NumberedLine, if_absent: bool) -> Answer {
    let value_bytes = line.line.value.len();
    let write = client.put(&line.line.key, line.line.value);
    let result = if if_absent {
        write.if_absent().await
    } else {
        write.await
    };
    Answer {
        number: line.number,
        key: line.line.key,
        line_bytes: line.bytes,
        value_bytes,
        result,
    }
}

/// The one to report: a write whose outcome is unknown makes the outcome of the import unknown;
/// of others the first.
fn worse(first: Failure, other: Failure) -> Failure {
    if other.exit == Exit::OutcomeUnknown && first.exit != Exit::OutcomeUnknown {
        other
    } else {
        first
    }
}

#[derive(Serialize)]
struct Summary {
    imported: u64,
    /// Keys that had a value already, and kept it.
    kept: u64,
    #[serde(flatten)]
    totals: Totals,
}

impl Summary {
    fn say(&self, as_json: bool) -> Result<(), Failure> {
        if as_json {
            progress::say(&keys::as_json(self)?);
            return Ok(());
        }
        let imported = progress::counted(self.imported);
        let kept = match self.kept {
            0 => String::new(),
            1 => ", 1 kept its value".to_owned(),
            count => format!(", {} kept their values", HumanCount(count)),
        };
        let line = format!("imported {imported}{kept}: {}\n", self.totals);
        progress::say(line.as_bytes());
        Ok(())
    }
}
