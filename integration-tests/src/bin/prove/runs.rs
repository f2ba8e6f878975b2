//! Layers that run in this process: scenarios of all workloads in turn, from fresh seeds, on
//! several threads, each with a world of its own.
//!
//! A thread that hangs cannot be ended: it is told as a finding, and left alone.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{RecvTimeoutError, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use trandb_integration_tests::{
    campaign::smallest,
    counts::Counts,
    report::{Found, replay},
    scenario::Scenario,
    seed::Seed,
    traffic::{self, Workload},
    validate::validate,
    world::Run,
};

use crate::{
    Proof,
    child::GLANCE,
    report::{Finding, Outcome},
};

/// How long a failing run may be made smaller.
const SHRINKING: Duration = Duration::from_mins(1);

/// What takes longer than this, a failing run made smaller included, hangs.
const HANGS: Duration = Duration::from_mins(3);

/// Messages on their way from workers to whoever counts them.
const MESSAGES: usize = 1_024;

/// Where scenarios run, and how they are shown again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct World {
    pub(crate) name: &'static str,
    pub(crate) workers: usize,
    pub(crate) draw: fn(&Workload, Seed) -> Scenario,
    pub(crate) run: fn(&Scenario) -> Run,
    /// The test that runs one seed again.
    pub(crate) test: fn(&Workload) -> String,
    /// Whether the same scenario gives the same run, so that it can be made smaller.
    pub(crate) repeats: bool,
}

enum Message {
    Begins {
        worker: usize,
        test: String,
        seed: Seed,
    },
    Ended(Counts),
    Found(Counts, Box<Finding>),
}

/// Runs scenarios for so many seconds. A workload that has shown a failure is not run again.
pub(crate) fn search(proof: &Proof, world: World, seconds: u64) -> Outcome {
    let base = proof.seed_of(world.name);
    let deadline = Instant::now() + Duration::from_secs(seconds);
    let next = Arc::new(AtomicU64::new(0));
    let failed: Arc<Vec<AtomicBool>> =
        Arc::new(traffic::ALL.iter().map(|_| false.into()).collect());
    let (sender, messages) = sync_channel(MESSAGES);
    for worker in 0..world.workers {
        let (next, failed, sender) = (next.clone(), failed.clone(), sender.clone());
        let (stop, folder) = (proof.stop.clone(), proof.folder.clone());
        thread::spawn(move || {
            while Instant::now() < deadline && !stop.load(Ordering::Relaxed) {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let place = usize::try_from(number).unwrap_or(0) % traffic::ALL.len();
                if failed.iter().all(|failed| failed.load(Ordering::Relaxed)) {
                    return;
                }
                if failed[place].load(Ordering::Relaxed) {
                    continue;
                }
                let one = One {
                    world,
                    workload: traffic::ALL[place],
                    seed: base.nth(number),
                    number,
                };
                let message = one.run(worker, &sender, &folder);
                if matches!(message, Message::Found(..)) {
                    failed[place].store(true, Ordering::Relaxed);
                }
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
    }
    drop(sender);
    let mut outcome = Outcome::default();
    let mut busy: Vec<Option<(Instant, String, Seed)>> = vec![None; world.workers];
    loop {
        match messages.recv_timeout(GLANCE) {
            Ok(Message::Begins { worker, test, seed }) => {
                busy[worker] = Some((Instant::now(), test, seed));
            }
            Ok(Message::Ended(counts)) => outcome.counts.merge(&counts),
            Ok(Message::Found(counts, finding)) => {
                outcome.counts.merge(&counts);
                proof.progress.event(&format!("FOUND: {}", finding.what));
                outcome.findings.push(*finding);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        let hanging = busy
            .iter()
            .flatten()
            .find(|(since, ..)| since.elapsed() > HANGS);
        if let Some((_, test, seed)) = hanging {
            outcome.findings.push(Finding {
                what: "hang".to_owned(),
                reason: format!("{test}, seed {seed}: not at its end within {HANGS:?}"),
                replay: replay(test, *seed),
                saved: "nothing: the run has not ended".to_owned(),
            });
            break;
        }
        proof
            .progress
            .tick(|| format!("{}: {} runs", world.name, outcome.counts.runs));
    }
    outcome.seeds = format!("{} from {base} on", outcome.counts.runs);
    outcome.judged = Some(outcome.counts.runs);
    outcome
}

/// One scenario.
struct One {
    world: World,
    workload: &'static Workload,
    seed: Seed,
    number: u64,
}

impl One {
    fn run(
        &self,
        worker: usize,
        sender: &SyncSender<Message>,
        folder: &std::path::Path,
    ) -> Message {
        let Self { world, seed, .. } = *self;
        let test = (world.test)(self.workload);
        let begins = Message::Begins {
            worker,
            test: test.clone(),
            seed,
        };
        // Nobody listens any more: then nobody misses it.
        let _ = sender.send(begins);
        let scenario = (world.draw)(self.workload, seed);
        let judged = catch_unwind(AssertUnwindSafe(|| {
            let run = (world.run)(&scenario);
            let failure = validate(&run).err();
            (run.counts, failure)
        }));
        match judged {
            Ok((counts, None)) => Message::Ended(counts),
            Ok((counts, Some(failure))) => {
                let until = Instant::now() + SHRINKING;
                let smallest = world
                    .repeats
                    .then(|| smallest(&failure, &world.run, || Instant::now() < until));
                let smallest = smallest.flatten().map(|smallest| *smallest);
                let found = Found::new(&test, self.number + 1, *failure, smallest);
                let finding = Finding::of(&found.saved_below(folder));
                Message::Found(counts, Box::new(finding))
            }
            Err(panic) => {
                let said = panic.downcast_ref::<String>().cloned();
                let said = said.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
                let finding = Finding {
                    what: "panic".to_owned(),
                    reason: format!("{test}: {}", said.unwrap_or_default()),
                    replay: replay(&test, seed),
                    saved: "nothing: the run has not ended".to_owned(),
                };
                Message::Found(Counts::default(), Box::new(finding))
            }
        }
    }
}
