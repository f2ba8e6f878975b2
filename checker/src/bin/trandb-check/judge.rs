//! Which judge a model has, and what it needs of the history.

use std::{
    cell::{Cell, RefCell},
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget};
use trandb_checker::{
    Verdict,
    decode::{self, Decode, DecodeTransaction},
    history::{
        BadHistory, Completed, Events, Format, OperationId, Operations, Outcome, Step, Steps,
    },
    linearizability::{self, Model as Sequential, Stream, models},
    serializability::{self, Transaction, Unusable},
    workload::{bank, counter, long_fork, set_full},
};

use crate::{
    args::{Arguments, Model},
    source::{self, Source},
};

const CHECKING: &str = "checking {wide_bar} {pos} of {len} operations, {elapsed}";
/// Between two looks at how far a check has come.
const LOOK: Duration = Duration::from_millis(100);
/// Steps of a stream between two looks at the clock.
const STEPS_BETWEEN_LOOKS: usize = 4096;

/// A judge of transactions.
type Check<O> = fn(&[Transaction<O>], &serializability::Options) -> Result<Verdict, Unusable>;

/// A verdict and what is known of the history.
pub(crate) struct Judgement {
    pub(crate) verdict: Verdict,
    pub(crate) format: Format,
    pub(crate) operations: usize,
    /// By operation; empty if it was judged while it was read.
    pub(crate) places: Vec<Place>,
}

/// Where an operation stands.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Place {
    pub(crate) process: i64,
    pub(crate) call_line: u64,
    /// None if it never returned; the call's where call and return are one.
    pub(crate) ret_line: Option<u64>,
}

/// Reads and judges the history.
pub(crate) fn judge(arguments: &Arguments, source: &Source) -> Result<Judgement, BadHistory> {
    let (events, bar) = source.events(arguments)?;
    let court = Court {
        arguments,
        format: events.format(),
        bar,
        places: RefCell::default(),
        operations: Cell::new(0),
    };
    let verdict = court.verdict(events)?;
    court.bar.finish_and_clear();
    let places = court.places.into_inner();
    Ok(Judgement {
        verdict,
        format: court.format,
        operations: court.operations.get(),
        places,
    })
}

struct Court<'a> {
    arguments: &'a Arguments,
    format: Format,
    /// How far the history is read.
    bar: ProgressBar,
    places: RefCell<Vec<Place>>,
    operations: Cell<usize>,
}

impl Court<'_> {
    fn verdict(&self, events: Events<'_>) -> Result<Verdict, BadHistory> {
        let initial = self.arguments.initial.clone();
        let initial = initial.unwrap_or_else(|| decode::initial_of_registers(self.format));
        match self.arguments.model {
            model @ (Model::Register | Model::CasRegister) => {
                let decoder = decode::Register {
                    initial: initial.clone(),
                    cas: model == Model::CasRegister,
                    format: self.format,
                };
                self.linearizability(&decoder, &models::Registers { initial }, events)
            }
            Model::Kv => self.linearizability(&decode::Kv, &self.kv(), events),
            Model::MultiRegister => {
                let decoder = decode::MultiRegister {
                    initial: initial.clone(),
                };
                self.linearizability(&decoder, &models::MultiRegister { initial }, events)
            }
            Model::Set => self.linearizability(&decode::Set, &models::Set, events),
            Model::Mutex => self.linearizability(&decode::Mutex, &models::Mutex, events),
            Model::ListAppend => {
                let check = serializability::check_list_append;
                self.serializability(&decode::ListAppend, check, events)
            }
            Model::RwRegister => {
                let check = serializability::check_registers;
                self.serializability(&decode::RwRegister, check, events)
            }
            Model::Bank => {
                let options = bank::Options {
                    total: self.arguments.total,
                    allow_negative_balances: self.arguments.allow_negative_balances,
                };
                Ok(bank::check(&bank::decode(self.completed(events))?, options))
            }
            Model::Counter => Ok(counter::check(&counter::decode(self.completed(events))?)),
            Model::SetFull => Ok(set_full::check(&set_full::decode(self.completed(events))?)),
            Model::LongFork => {
                let size = self.arguments.group_size;
                Ok(long_fork::check(&long_fork::decode(
                    self.completed(events),
                    size,
                )?))
            }
        }
    }

    fn kv(&self) -> models::Kv {
        let absent = match &self.arguments.initial {
            None => decode::initial_of_keys(self.format),
            Some(initial) => Some(initial.clone()).filter(|initial| !initial.is_nil()),
        };
        // In our own format versions grow; elsewhere they only differ.
        let versions = match self.format {
            Format::JsonLines => models::Versions::Ordered,
            _ => models::Versions::Opaque,
        };
        models::Kv { versions, absent }
    }

    fn linearizability<D: Decode, M: Sequential<Op = D::Op>>(
        &self,
        decoder: &D,
        model: &M,
        events: Events<'_>,
    ) -> Result<Verdict, BadHistory> {
        if self.arguments.stream {
            return self.stream(decoder, model, events);
        }
        let operations = decode::operations(decoder, self.completed(events))?;
        let decided = AtomicUsize::new(0);
        let mut options = linearizability::Options {
            time_limit: self.arguments.time_limit,
            decided: Some(&decided),
            ..linearizability::Options::default()
        };
        if let Some(bytes) = self.arguments.memory_limit {
            options.memory_bytes_max = usize::try_from(bytes.as_u64()).unwrap_or(usize::MAX);
        }
        let check = || linearizability::check(model, &operations, &options);
        Ok(self.watched(operations.len(), &decided, check))
    }

    fn serializability<D: DecodeTransaction>(
        &self,
        decoder: &D,
        check: Check<D::Op>,
        events: Events<'_>,
    ) -> Result<Verdict, BadHistory> {
        let transactions = decode::transactions(decoder, self.completed(events))?;
        let mut options = serializability::Options {
            time_limit: self.arguments.time_limit,
            ..serializability::Options::default()
        };
        if let Some(consistency) = self.arguments.consistency {
            options.consistency = consistency.into();
        }
        if let Some(bytes) = self.arguments.memory_limit {
            options.memory_limit = usize::try_from(bytes.as_u64()).unwrap_or(usize::MAX);
        }
        let decided = AtomicUsize::new(0);
        let check = || check(&transactions, &options);
        self.watched(transactions.len(), &decided, check)
            .map_err(|unusable| BadHistory {
                line: self
                    .places
                    .borrow()
                    .get(unusable.id.0)
                    .map(|place| place.call_line),
                reason: unusable.reason,
            })
    }

    /// Judges while reading.
    fn stream<D: Decode, M: Sequential<Op = D::Op>>(
        &self,
        decoder: &D,
        model: &M,
        events: Events<'_>,
    ) -> Result<Verdict, BadHistory> {
        let mut stream = Stream::new(model);
        let deadline = self
            .arguments
            .time_limit
            .map(|limit| Instant::now() + limit);
        let come_back = self.format.lets_processes_come_back();
        let steps = Steps::new(events).letting_processes_come_back(come_back);
        for (count, step) in steps.enumerate() {
            match step? {
                Step::Called(id) => {
                    self.operations.set(id.0 + 1);
                    stream.call(id);
                }
                Step::Completed(completed) => complete(&mut stream, decoder, &completed)?,
            }
            if count % STEPS_BETWEEN_LOOKS == 0 && deadline.is_some_and(|d| d < Instant::now()) {
                return Ok(Verdict::Unknown("the time limit was reached".to_owned()));
            }
        }
        Ok(stream.finish())
    }

    /// The operations, whose places are kept.
    fn completed(&self, events: Events<'_>) -> impl Iterator<Item = Result<Completed, BadHistory>> {
        let come_back = self.format.lets_processes_come_back();
        let operations = Operations::new(events).letting_processes_come_back(come_back);
        operations.inspect(|completed| {
            if let Ok(completed) = completed {
                let OperationId(index) = completed.id;
                let mut places = self.places.borrow_mut();
                if places.len() <= index {
                    places.resize(index + 1, Place::default());
                }
                places[index] = Place {
                    process: completed.process,
                    call_line: completed.call.line,
                    ret_line: match &completed.ret {
                        Some(ret) => Some(ret.line),
                        None => completed.interval.is_none().then_some(completed.call.line),
                    },
                };
                self.operations.set(places.len());
            }
        })
    }

    /// Runs a check and shows on a terminal how far it has come.
    fn watched<T>(&self, operations: usize, decided: &AtomicUsize, check: impl FnOnce() -> T) -> T {
        self.bar.finish_and_clear();
        let target = ProgressDrawTarget::stderr();
        let bar = ProgressBar::with_draw_target(Some(operations as u64), target);
        bar.set_style(source::style(CHECKING));
        let (done, is_done) = mpsc::channel::<()>();
        let result = thread::scope(|scope| {
            scope.spawn(|| {
                let is_done = is_done;
                while is_done.recv_timeout(LOOK) == Err(mpsc::RecvTimeoutError::Timeout) {
                    bar.set_position(decided.load(Ordering::Relaxed) as u64);
                }
            });
            let result = check();
            drop(done);
            result
        });
        bar.finish_and_clear();
        result
    }
}

/// Tells a stream what became of an operation.
fn complete<D: Decode, M: Sequential<Op = D::Op>>(
    stream: &mut Stream<'_, M>,
    decoder: &D,
    completed: &Completed,
) -> Result<(), BadHistory> {
    match decode::operation(decoder, completed)? {
        // What constrains nothing is as if it had not happened.
        None => stream.failed(completed.id),
        Some(operation) if completed.outcome == Outcome::Unknown => {
            stream.unknown(operation.id, operation.op);
        }
        Some(operation) => stream.ok(operation.id, operation.op),
    }
    Ok(())
}
