//! Operations from events: each call with its return.
//!
//! Invariants:
//!
//! - Memory is bounded by what is in flight and by how many operations are open for ever.
//! - A process has one operation in flight, and none after one that is open for ever.
//! - A tick is an event's place among the events, so ticks increase strictly.

use std::{fmt, vec};

use hashbrown::HashMap;

use super::{BadHistory, Event, Field, Interval, Kind, OperationId, Outcome, Value};

/// An operation as it was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completed {
    /// Its place among the calls.
    pub id: OperationId,
    /// Who called it.
    pub process: i64,
    /// When it ran; none in a format without times.
    pub interval: Option<Interval>,
    /// What is known of its effect.
    pub outcome: Outcome,
    /// Its call; without times, the whole.
    pub call: Event,
    /// Its return, if there is one.
    pub ret: Option<Event>,
}

/// What an event makes of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// It is called.
    Called(OperationId),
    /// All that there is to know of it is known.
    Completed(Box<Completed>),
}

/// Joins calls to returns. Operations are completed in the order of their returns; at the end those
/// that are still in flight, which are open for ever, in the order of their calls.
pub struct Steps<I> {
    events: I,
    processes: HashMap<i64, Process, foldhash::fast::FixedState>,
    /// Whether a process may go on after an `info`.
    come_back: bool,
    calls: usize,
    tick: u64,
    pending: Option<vec::IntoIter<Box<Completed>>>,
}

enum Process {
    Idle,
    InFlight(Box<Completed>),
    /// Its operation is open for ever, as this line says.
    Gone(u64),
}

impl<I: Iterator<Item = Result<Event, BadHistory>>> Steps<I> {
    /// The steps of these events.
    pub fn new(events: I) -> Self {
        let processes = HashMap::default();
        Self {
            events,
            processes,
            come_back: false,
            calls: 0,
            tick: 0,
            pending: None,
        }
    }

    /// Lets a process go on after an `info`, as some recorders do; else that is refused. The
    /// operation stays open for ever either way, and nothing follows it in its process.
    #[must_use]
    pub fn letting_processes_come_back(self, come_back: bool) -> Self {
        Self { come_back, ..self }
    }

    fn take(&mut self, event: Event) -> Result<Step, BadHistory> {
        let tick = self.tick;
        self.tick += 1;
        match event.kind {
            Kind::Invoke => self.call(event, tick).map(Step::Called),
            Kind::Committed => {
                let id = self.next_id();
                Ok(Step::Completed(Box::new(Completed {
                    id,
                    process: event.process,
                    interval: None,
                    outcome: Outcome::Ok,
                    call: event,
                    ret: None,
                })))
            }
            Kind::Ok | Kind::Fail | Kind::Info => self.ret(event, tick).map(Step::Completed),
        }
    }

    fn next_id(&mut self) -> OperationId {
        self.calls += 1;
        OperationId(self.calls - 1)
    }

    fn call(&mut self, event: Event, tick: u64) -> Result<OperationId, BadHistory> {
        let id = self.next_id();
        let (line, number) = (event.line, event.process);
        let process = self.processes.entry(number).or_insert(Process::Idle);
        match process {
            Process::Idle => {
                *process = Process::InFlight(Box::new(Completed {
                    id,
                    process: number,
                    interval: Some(Interval {
                        call: tick,
                        ret: Interval::NEVER,
                    }),
                    outcome: Outcome::Unknown,
                    call: event,
                    ret: None,
                }));
                Ok(id)
            }
            Process::InFlight(earlier) => Err(BadHistory::at(
                line,
                format!(
                    "process {number} calls {} while its {} of line {} is in flight",
                    named(&event),
                    named(&earlier.call),
                    earlier.call.line
                ),
            )),
            Process::Gone(info) => Err(BadHistory::at(
                line,
                format!(
                    "process {number} goes on although line {info} left its operation open (a \
                     process needs a new number then)"
                ),
            )),
        }
    }

    fn ret(&mut self, event: Event, tick: u64) -> Result<Box<Completed>, BadHistory> {
        let (line, number) = (event.line, event.process);
        let process = self.processes.entry(number).or_insert(Process::Idle);
        let next = if event.kind == Kind::Info && !self.come_back {
            Process::Gone(line)
        } else {
            Process::Idle
        };
        let mut operation = match std::mem::replace(process, next) {
            Process::InFlight(operation) => operation,
            Process::Idle => {
                return Err(BadHistory::at(
                    line,
                    format!(
                        "process {number} returns from {} without a call",
                        named(&event)
                    ),
                ));
            }
            Process::Gone(info) => {
                return Err(BadHistory::at(
                    line,
                    format!(
                        "process {number} returns although line {info} left its operation open"
                    ),
                ));
            }
        };
        if event.f != operation.call.f {
            let call = &operation.call;
            return Err(BadHistory::at(
                line,
                format!(
                    "process {number} returns from {}, but it called {} in line {}",
                    named(&event),
                    named(call),
                    call.line
                ),
            ));
        }
        let (outcome, ret) = match event.kind {
            Kind::Ok => (Outcome::Ok, tick),
            Kind::Fail => (Outcome::Failed, tick),
            _ => (Outcome::Unknown, Interval::NEVER),
        };
        operation.outcome = outcome;
        if let Some(interval) = &mut operation.interval {
            interval.ret = ret;
        }
        operation.ret = Some(event);
        Ok(operation)
    }

    fn pending(&mut self) -> &mut vec::IntoIter<Box<Completed>> {
        let processes = &mut self.processes;
        self.pending.get_or_insert_with(|| {
            let left = processes.drain().filter_map(|(_, process)| match process {
                Process::InFlight(operation) => Some(operation),
                Process::Idle | Process::Gone(_) => None,
            });
            let mut left: Vec<_> = left.collect();
            left.sort_unstable_by_key(|operation| operation.id);
            left.into_iter()
        })
    }
}

impl<I: Iterator<Item = Result<Event, BadHistory>>> Iterator for Steps<I> {
    type Item = Result<Step, BadHistory>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.pending.is_none()
            && let Some(event) = self.events.next()
        {
            let step = event.and_then(|event| self.take(event));
            if step.is_err() {
                self.pending = Some(Vec::new().into_iter());
            }
            return Some(step);
        }
        self.pending()
            .next()
            .map(|operation| Ok(Step::Completed(operation)))
    }
}

/// The operations of a history, in the order in which [`Steps`] completes them.
pub struct Operations<I>(Steps<I>);

impl<I: Iterator<Item = Result<Event, BadHistory>>> Operations<I> {
    /// The operations of these events.
    pub fn new(events: I) -> Self {
        Self(Steps::new(events))
    }

    /// See [`Steps::letting_processes_come_back`].
    #[must_use]
    pub fn letting_processes_come_back(self, come_back: bool) -> Self {
        Self(self.0.letting_processes_come_back(come_back))
    }
}

impl<I: Iterator<Item = Result<Event, BadHistory>>> Iterator for Operations<I> {
    type Item = Result<Completed, BadHistory>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.find_map(|step| match step {
            Ok(Step::Called(_)) => None,
            Ok(Step::Completed(completed)) => Some(Ok(*completed)),
            Err(error) => Some(Err(error)),
        })
    }
}

impl fmt::Display for Completed {
    /// In one line: what was called and what was answered.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            call, ret, outcome, ..
        } = self;
        let is_transaction = matches!(call.f.as_str(), "" | "txn");
        if !is_transaction {
            write!(f, "{} ", call.f)?;
        }
        if let Some(key) = call.field(Field::Key) {
            write!(f, "{key} ")?;
        }
        let answer = ret.as_ref().filter(|_| *outcome == Outcome::Ok);
        let asked = Words(&call.value);
        match answer.map(|ret| &ret.value) {
            Some(Value::Nil) if matches!(call.f.as_str(), "read" | "get") => f.write_str("nil"),
            None | Some(Value::Nil) if call.value.is_nil() => Ok(()),
            None | Some(Value::Nil) => write!(f, "{asked}"),
            Some(answer) if is_transaction || *answer == call.value || call.value.is_nil() => {
                write!(f, "{}", Words(answer))
            }
            Some(answer) => write!(f, "{asked} -> {}", Words(answer)),
        }?;
        if let Some(version) = answer.and_then(|ret| ret.field(Field::Version)) {
            write!(f, " (version {version})")?;
        }
        Ok(())
    }
}

/// A value; a list of micro-operations without brackets.
struct Words<'a>(&'a Value);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.as_list().filter(|list| !list.is_empty());
        let micros = micros.map(|list| list.iter().map(Value::as_list).collect::<Option<Vec<_>>>());
        let Some(Some(micros)) = micros else {
            return self.0.fmt(f);
        };
        for (index, micro) in micros.into_iter().enumerate() {
            let between = if index == 0 { "" } else { "; " };
            write!(
                f,
                "{between}{}",
                micro
                    .iter()
                    .map(Value::to_string)
                    .collect::<Vec<_>>()
                    .join(" ")
            )?;
        }
        Ok(())
    }
}

fn named(event: &Event) -> String {
    let name = if event.f.is_empty() {
        "a transaction"
    } else {
        &event.f
    };
    if event.f.is_empty() {
        name.to_owned()
    } else {
        format!("`{name}`")
    }
}
