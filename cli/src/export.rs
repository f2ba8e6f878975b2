//! Export: list the keys, get their values with many requests at a time, and write one line a key
//! in the listing's order.
//!
//! What it is not: a snapshot. A key written meanwhile is exported with its old or its new value,
//! a key deleted meanwhile is left out and counted.
//!
//! Bounded: the listing is at most a page ahead; at most `--concurrency` values, and roughly
//! [`BYTES_AHEAD_MAX`] of them, are on their way or wait for the ones before them.
//!
//! Tests: `tests/it/export.rs`.

use std::collections::VecDeque;

use futures_util::StreamExt;
use indicatif::HumanCount;
use serde::Serialize;
use tokio::{
    sync::mpsc,
    task::{JoinError, JoinHandle},
};
use trandb_client::{Client, Error, Key, ListedKey};
use trandb_common::limits::LIST_LIMIT_MAX;

use crate::{
    args::{Concurrency, Export},
    failure::{Exit, Failure},
    interrupt::Interrupt,
    keys, line,
    output::Output,
    progress::{self, Progress, Totals},
    session::Session,
};

/// Most bytes of values, by the sizes in the listing, that are asked for ahead of the line that is
/// written next. A value that is larger by itself is asked for alone.
const BYTES_AHEAD_MAX: u64 = 64 * 1024 * 1024;

pub(crate) async fn export(session: &Session, options: &Export) -> Result<(), Failure> {
    let mut run = Run::new(session.client.clone(), options)?;
    let result = run.all_lines(options).await;
    run.progress.clear();
    let summary = run.summary();
    match result {
        Ok(()) => {
            run.output.finish()?;
            summary.say(session.json)
        }
        Err(failure) => {
            let hint = match &options.output {
                Some(path) if run.output.appears_at_the_end() => {
                    format!("{} is left as it was", path.display())
                }
                _ => run.how_far(),
            };
            Err(failure.with_hint(hint))
        }
    }
}

struct Run {
    client: Client,
    output: Output,
    progress: Progress,
    /// Values on their way, in the order of the listing.
    ahead: VecDeque<Fetch>,
    bytes_ahead: u64,
    /// Keys that were listed and had no value when it was asked for.
    vanished: u64,
    /// The last key that was written.
    last: Option<Key>,
}

struct Fetch {
    key: Key,
    /// Size of the value, by the listing.
    bytes: u64,
    line: JoinHandle<Result<Option<ExportedLine>, Failure>>,
}

/// A key that has not vanished.
struct ExportedLine {
    line: Vec<u8>,
    value_bytes: u64,
}

impl Run {
    fn new(client: Client, options: &Export) -> Result<Self, Failure> {
        let output = Output::open(options.output.as_deref())?;
        // On a terminal the lines are the progress.
        let progress = Progress::new(None, output.is_terminal());
        Ok(Self {
            client,
            output,
            progress,
            ahead: VecDeque::new(),
            bytes_ahead: 0,
            vanished: 0,
            last: None,
        })
    }

    async fn all_lines(&mut self, options: &Export) -> Result<(), Failure> {
        let mut interrupt = Interrupt::listen()?;
        let mut listing = listing(&self.client, &options.prefix);
        let mut listed_all = false;
        while !(listed_all && self.ahead.is_empty()) {
            tokio::select! {
                biased;
                () = interrupt.pressed() => {
                    return Err(Failure::new(Exit::Interrupted, "interrupted"));
                }
                Some(fetched) = next_line(&mut self.ahead) => self.write_next(fetched)?,
                listed = listing.recv(), if !listed_all && self.has_room(options.concurrency) => {
                    match listed {
                        Some(listed) => self.fetch(listed?),
                        None => listed_all = true,
                    }
                }
            }
        }
        Ok(())
    }

    fn has_room(&self, concurrency: Concurrency) -> bool {
        self.ahead.len() < usize::from(concurrency.requests) && self.bytes_ahead < BYTES_AHEAD_MAX
    }

    fn fetch(&mut self, listed: ListedKey) {
        let line = tokio::spawn(line_of(self.client.clone(), listed.key.clone()));
        self.bytes_ahead += listed.size;
        self.ahead.push_back(Fetch {
            key: listed.key,
            bytes: listed.size,
            line,
        });
    }

    /// Writes what the first of `ahead` has become.
    fn write_next(&mut self, fetched: FetchedLine) -> Result<(), Failure> {
        let Some(fetch) = self.ahead.pop_front() else {
            return Ok(());
        };
        self.bytes_ahead -= fetch.bytes;
        let fetched = fetched.map_err(|error| Failure::internal(&error))??;
        let Some(exported) = fetched else {
            self.vanished += 1;
            return Ok(());
        };
        self.output.write(&exported.line)?;
        self.progress.key_done(exported.value_bytes);
        self.last = Some(fetch.key);
        Ok(())
    }

    fn how_far(&self) -> String {
        match &self.last {
            Some(key) => {
                let keys = progress::counted(self.progress.keys());
                format!("{keys} exported, up to {key:?}")
            }
            None => "no key is exported".to_owned(),
        }
    }

    fn summary(&self) -> Summary {
        Summary {
            exported: self.progress.keys(),
            vanished: self.vanished,
            totals: self.progress.totals(),
        }
    }
}

/// Lists in a task of its own, so that the next page is on its way while values are.
fn listing(client: &Client, prefix: &str) -> mpsc::Receiver<Result<ListedKey, Error>> {
    let (sender, receiver) = mpsc::channel(LIST_LIMIT_MAX);
    let mut keys = client.list(prefix).stream();
    tokio::spawn(async move {
        while let Some(listed) = keys.next().await {
            if sender.send(listed).await.is_err() {
                return;
            }
        }
    });
    receiver
}

type FetchedLine = Result<Result<Option<ExportedLine>, Failure>, JoinError>;

/// Waits for the first of `ahead` and leaves it there; none when there is none.
async fn next_line(ahead: &mut VecDeque<Fetch>) -> Option<FetchedLine> {
    Some((&mut ahead.front_mut()?.line).await)
}

/// None when the key has no value any more.
async fn line_of(client: Client, key: Key) -> Result<Option<ExportedLine>, Failure> {
    let Some(entry) = client.get(&key).await? else {
        return Ok(None);
    };
    let mut line = Vec::new();
    line::append(&mut line, &key, &entry.value).map_err(|error| Failure::internal(&error))?;
    Ok(Some(ExportedLine {
        line,
        value_bytes: entry.value.len() as u64,
    }))
}

#[derive(Serialize)]
struct Summary {
    exported: u64,
    vanished: u64,
    #[serde(flatten)]
    totals: Totals,
}

impl Summary {
    fn say(&self, as_json: bool) -> Result<(), Failure> {
        if as_json {
            progress::say(&keys::as_json(self)?);
            return Ok(());
        }
        let exported = progress::counted(self.exported);
        let vanished = match self.vanished {
            0 => String::new(),
            count => format!(", {} deleted meanwhile", HumanCount(count)),
        };
        let line = format!("exported {exported}{vanished}: {}\n", self.totals);
        progress::say(line.as_bytes());
        Ok(())
    }
}
