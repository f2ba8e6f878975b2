//! [`check`]: from a history to a verdict.
//!
//! The history is partitioned, and the parts are searched by several threads. They take turns with
//! budgets that grow: one part can take exponential time while another is plainly illegal.

use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use bytesize::ByteSize;

use super::{
    automaton::Automaton,
    evidence,
    model::{Decision, Model, Operation},
    schedule::Schedule,
    search::{Progress, Search},
};
use crate::{evidence::Verdict, history::Interval};

/// Transitions in the first turn of a part.
const FIRST_TURN_STEPS: u64 = 2_000;

/// Each turn is this many times longer than the one before.
const TURN_GROWTH: u64 = 16;

/// Between two looks at the clock: about a tenth of a second.
const STEPS_BETWEEN_LOOKS: u64 = 1 << 20;

/// What [`check`] may use.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// From the start of the check; none for as long as it takes.
    pub time_limit: Option<Duration>,
    /// For what the search remembers, about, in bytes.
    pub memory_bytes_max: usize,
    /// As many parts are searched at the same time.
    pub threads: NonZeroUsize,
    /// Whether an illegal history is explained by as few operations as possible, which takes much
    /// longer than to find out that it is illegal; else by the one that cannot be placed.
    pub explain: bool,
    /// Counts the operations of decided parts, to be watched from another thread.
    pub decided: Option<&'a AtomicUsize>,
}

impl Default for Options<'_> {
    /// No time limit, 4 GiB, a thread for each core, with an explanation.
    fn default() -> Self {
        Self {
            time_limit: None,
            memory_bytes_max: 4 << 30,
            threads: thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            explain: true,
            decided: None,
        }
    }
}

/// What a check took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Transitions of the model that were asked for: the same on every machine.
    pub steps: u64,
    /// Parts that the history fell into.
    pub parts: usize,
}

/// Judges a history: whether every part of it could have come about one operation after another.
///
/// `operations` are all that took effect or may have, in any order. Their calls and returns are
/// ticks of one history: no two are equal, and an operation returns after its call.
pub fn check<M: Model>(
    model: &M,
    operations: &[Operation<M::Op>],
    options: &Options<'_>,
) -> Verdict {
    check_counted(model, operations, options).0
}

/// [`check`], and what it took.
pub fn check_counted<M: Model>(
    model: &M,
    operations: &[Operation<M::Op>],
    options: &Options<'_>,
) -> (Verdict, Counts) {
    if let Err(reason) = validate(operations) {
        return (Verdict::Unknown(reason), Counts::default());
    }
    let mut parts = BTreeMap::<_, Vec<_>>::new();
    for operation in operations {
        parts
            .entry(model.part(&operation.op))
            .or_default()
            .push(operation);
    }
    let jobs = parts.into_values().map(|part| {
        Mutex::new(Job {
            part,
            stage: Stage::New,
        })
    });
    let bench = Bench {
        model,
        jobs: jobs.collect(),
        options,
        deadline: options.time_limit.map(|limit| Instant::now() + limit),
        held: AtomicUsize::new(0),
        steps: AtomicU64::new(0),
        first_illegal: AtomicUsize::new(usize::MAX),
    };
    bench.judge()
}

/// What no recorder of histories may write.
fn validate<O>(operations: &[Operation<O>]) -> Result<(), String> {
    let mut ticks = Vec::with_capacity(2 * operations.len());
    for Operation {
        id,
        interval,
        unknown,
        ..
    } in operations
    {
        if interval.ret <= interval.call {
            return Err(format!("{id} does not return after its call"));
        }
        ticks.push(interval.call);
        if !unknown {
            if interval.ret == Interval::NEVER {
                return Err(format!("{id} took effect but never returned"));
            }
            ticks.push(interval.ret);
        }
    }
    ticks.sort_unstable();
    match ticks.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(format!(
            "two calls or returns have the same tick {}",
            pair[0]
        )),
        None => Ok(()),
    }
}

/// One part on its way to a verdict.
struct Job<'m, M: Model> {
    part: Vec<&'m Operation<M::Op>>,
    stage: Stage<'m>,
}

enum Stage<'m> {
    New,
    Searching(Box<dyn AnySearch + Send + 'm>),
    Legal,
    Illegal(Fault),
    Unknown(String),
}

/// What makes a part illegal. Numbers are places in the part.
pub(super) enum Fault {
    /// The search could not pass the return of this operation.
    Stuck(usize),
    /// These operations exclude each other; the first cannot be placed.
    Core(Vec<usize>),
}

/// A search with slots of whatever width it needs.
trait AnySearch {
    fn run(&mut self, steps: u64, bytes: usize) -> Progress;
    fn steps(&self) -> u64;
    fn bytes(&self) -> usize;
}

impl<M: Model, const N: usize> AnySearch for Search<'_, M, N> {
    fn run(&mut self, steps: u64, bytes: usize) -> Progress {
        Search::run(self, steps, bytes)
    }

    fn steps(&self) -> u64 {
        Search::steps(self)
    }

    fn bytes(&self) -> usize {
        Search::bytes(self)
    }
}

/// A search through `part`; none if more operations are open at the same time than it can tell
/// apart.
fn search<'m, M: Model>(
    model: &'m M,
    part: &[&'m Operation<M::Op>],
) -> Option<Box<dyn AnySearch + Send + 'm>> {
    let (automaton, class) = Automaton::new(model, part);
    let schedule = Schedule::new(model, part, class);
    match schedule.words() {
        0..=1 => Some(Box::new(Search::<M, 1>::new(automaton, schedule))),
        2 => Some(Box::new(Search::<M, 2>::new(automaton, schedule))),
        3..=4 => Some(Box::new(Search::<M, 4>::new(automaton, schedule))),
        5..=16 => Some(Box::new(Search::<M, 16>::new(automaton, schedule))),
        17..=64 => Some(Box::new(Search::<M, 64>::new(automaton, schedule))),
        _ => None,
    }
}

/// Whether `part` is certainly illegal, as far as `steps` transitions show, and how many it took.
pub(super) fn is_illegal<M: Model>(
    model: &M,
    part: &[&Operation<M::Op>],
    steps: u64,
) -> (bool, u64) {
    /// Enough for the short searches of this kind.
    const BYTES_MAX: usize = 256 << 20;
    let Some(mut search) = search(model, part) else {
        return (false, 0);
    };
    let illegal = matches!(search.run(steps, BYTES_MAX), Progress::Illegal(_));
    (illegal, search.steps())
}

/// Where the jobs lie and the threads take them from.
struct Bench<'m, M: Model> {
    model: &'m M,
    jobs: Vec<Mutex<Job<'m, M>>>,
    options: &'m Options<'m>,
    deadline: Option<Instant>,
    /// Bytes of all searches that are not decided.
    held: AtomicUsize,
    steps: AtomicU64,
    /// The first illegal job so far: those behind it are left alone.
    first_illegal: AtomicUsize,
}

impl<'m, M: Model> Bench<'m, M> {
    fn judge(self) -> (Verdict, Counts) {
        let mut undecided: Vec<usize> = (0..self.jobs.len()).collect();
        let mut turn = FIRST_TURN_STEPS;
        while !undecided.is_empty() && self.first_illegal.load(Ordering::Relaxed) == usize::MAX {
            self.take_turns(&undecided, turn);
            undecided.retain(|number| {
                matches!(self.job(*number).stage, Stage::New | Stage::Searching(_))
            });
            turn = turn.saturating_mul(TURN_GROWTH);
        }
        let counts = Counts {
            steps: self.steps.load(Ordering::Relaxed),
            parts: self.jobs.len(),
        };
        (self.verdict(), counts)
    }

    /// A thread that panics ends the whole check, so a poisoned lock is met by nobody.
    fn job(&self, number: usize) -> MutexGuard<'_, Job<'m, M>> {
        self.jobs[number]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// One turn for each of the jobs.
    fn take_turns(&self, undecided: &[usize], steps: u64) {
        let next = AtomicUsize::new(0);
        let work = || {
            while let Some(number) = undecided.get(next.fetch_add(1, Ordering::Relaxed)) {
                // Those before an illegal one have their turn, so that the verdict does not
                // depend on which thread is faster.
                if *number < self.first_illegal.load(Ordering::Relaxed) {
                    self.take_turn(*number, steps);
                }
            }
        };
        let threads = self.options.threads.get().min(undecided.len());
        thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(work);
            }
            work();
        });
    }

    fn take_turn(&self, number: usize, steps: u64) {
        let mut job = self.job(number);
        let job = &mut *job;
        if matches!(job.stage, Stage::New) {
            job.stage = self.begin(&job.part);
        }
        if let Stage::Searching(search) = &mut job.stage
            && let Some(decided) = self.search(search.as_mut(), steps)
        {
            job.stage = decided;
        }
        if matches!(job.stage, Stage::Illegal(_)) {
            self.first_illegal.fetch_min(number, Ordering::Relaxed);
        }
        if let (Stage::Legal, Some(decided)) = (&job.stage, self.options.decided) {
            decided.fetch_add(job.part.len(), Ordering::Relaxed);
        }
    }

    fn begin(&self, part: &[&'m Operation<M::Op>]) -> Stage<'m> {
        match self.model.decide(part) {
            Some(Decision::Legal) => return Stage::Legal,
            Some(Decision::Illegal(core)) => return Stage::Illegal(Fault::Core(core)),
            None => {}
        }
        match search(self.model, part) {
            Some(search) => {
                self.held.fetch_add(search.bytes(), Ordering::Relaxed);
                Stage::Searching(search)
            }
            None => Stage::Unknown(format!(
                "more operations than {} are open or unknown at the same time in the part of {}",
                Schedule::SLOTS_MAX,
                part[0].id,
            )),
        }
    }

    /// Searches on until it is decided, or the turn is over.
    fn search(&self, search: &mut (dyn AnySearch + Send + 'm), steps: u64) -> Option<Stage<'m>> {
        let end = search.steps().saturating_add(steps);
        loop {
            let (steps_before, bytes_before) = (search.steps(), search.bytes());
            let others = self
                .held
                .load(Ordering::Relaxed)
                .saturating_sub(bytes_before);
            let room = self.options.memory_bytes_max.saturating_sub(others);
            let slice = STEPS_BETWEEN_LOOKS.min(end.saturating_sub(steps_before));
            let progress = search.run(slice, room);
            self.steps
                .fetch_add(search.steps() - steps_before, Ordering::Relaxed);
            let bytes = search.bytes();
            self.held.fetch_add(bytes, Ordering::Relaxed);
            self.held.fetch_sub(bytes_before, Ordering::Relaxed);
            let decided = match progress {
                Progress::Legal => Stage::Legal,
                Progress::Illegal(index) => Stage::Illegal(Fault::Stuck(index as usize)),
                Progress::Paused if bytes > room => Stage::Unknown(format!(
                    "the search would remember more than {}",
                    ByteSize(self.options.memory_bytes_max as u64),
                )),
                Progress::Paused if self.is_late() => Stage::Unknown("time is up".into()),
                Progress::Paused if search.steps() >= end => return None,
                Progress::Paused => continue,
            };
            self.held.fetch_sub(bytes, Ordering::Relaxed);
            return Some(decided);
        }
    }

    fn is_late(&self) -> bool {
        self.deadline
            .is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// Once all is decided, or something is illegal.
    fn verdict(self) -> Verdict {
        let mut undecided = None;
        for job in self.jobs {
            let Job { part, stage } = job.into_inner().unwrap_or_else(PoisonError::into_inner);
            match stage {
                Stage::Illegal(fault) => {
                    let evidence = if self.options.explain {
                        evidence::gather(self.model, &part, &fault)
                    } else {
                        evidence::name(self.model, &part, &fault)
                    };
                    return Verdict::Illegal(vec![evidence]);
                }
                Stage::Unknown(reason) => undecided = undecided.or(Some(reason)),
                Stage::New | Stage::Searching(_) | Stage::Legal => {}
            }
        }
        undecided.map_or(Verdict::Ok, Verdict::Unknown)
    }
}
