//! Scenarios for proptest: [`strategy`] draws them as everywhere else, from a seed, and
//! [`Shrinking`] makes a failing one smaller, whatever drew it.
//!
//! What a step does is data, so that a step that is left out changes nothing for the others but
//! what the others see. Only the seam draws while it runs.

use proptest::{
    strategy::{NewTree, Strategy, ValueTree},
    test_runner::{Config, TestCaseError, TestError, TestRunner},
};

use super::{Scenario, Setup};
use crate::{
    faults::{network::Passage, seam::SeamFaults},
    seed::Seed,
    traffic::{Call, Condition, Workload},
};

/// Runs while a scenario is made smaller.
const RUNS_MAX: u32 = 4_000;

/// Scenarios of a workload.
pub fn strategy(workload: &'static Workload) -> impl Strategy<Value = Scenario> {
    Scenarios(workload)
}

#[derive(Debug)]
struct Scenarios(&'static Workload);

impl Strategy for Scenarios {
    type Tree = Shrinking;
    type Value = Scenario;

    fn new_tree(&self, runner: &mut TestRunner) -> NewTree<Self> {
        let seed = Seed(rand_core(runner)).nth(1);
        Ok(Shrinking::new(Scenario::of(self.0, seed)))
    }
}

fn rand_core(runner: &mut TestRunner) -> u64 {
    let seeds = proptest::num::u64::ANY.new_tree(runner);
    seeds.map_or(0, |seed| seed.current())
}

/// The smallest scenario that is found by leaving out parts of `scenario`, one after another, as
/// long as it `fails`.
pub fn shrink(scenario: &Scenario, fails: impl Fn(&Scenario) -> bool) -> Scenario {
    let mut runner = TestRunner::new(Config {
        failure_persistence: None,
        max_shrink_iters: RUNS_MAX,
        ..Config::default()
    });
    let result = runner.run_one(Shrinking::new(scenario.clone()), |candidate| {
        if fails(&candidate) {
            Err(TestCaseError::fail("it fails"))
        } else {
            Ok(())
        }
    });
    match result {
        Err(TestError::Fail(_, smallest)) => smallest,
        _ => scenario.clone(),
    }
}

/// A scenario on its way to a smaller one.
#[derive(Debug)]
pub struct Shrinking {
    /// The smallest that failed.
    best: Scenario,
    /// Smaller by one edit.
    candidate: Scenario,
    /// What is left to try in this round.
    edits: std::vec::IntoIter<Edit>,
    /// Whether this round has made it smaller.
    progress: bool,
}

/// One way to make it smaller. The largest come first.
#[derive(Debug, Clone, Copy)]
enum Edit {
    Client(usize),
    AllTrouble,
    Seam,
    Setup,
    OneShard,
    OneKey,
    Disturbance(usize),
    Steps {
        client: usize,
        from: usize,
        count: usize,
    },
    Passage {
        client: usize,
        step: usize,
    },
    Trouble {
        client: usize,
        step: usize,
    },
    Think {
        client: usize,
        step: usize,
    },
    Condition {
        client: usize,
        step: usize,
    },
    Size {
        client: usize,
        step: usize,
    },
    /// Of a transaction: one of its reads and writes.
    Part {
        client: usize,
        step: usize,
        part: usize,
    },
    Ids(usize),
    Timeout(usize),
}

impl Shrinking {
    /// Nothing tried yet.
    pub fn new(scenario: Scenario) -> Self {
        Self {
            candidate: scenario.clone(),
            edits: edits(&scenario).into_iter(),
            best: scenario,
            progress: false,
        }
    }

    /// Goes on to the next candidate; if there is none, back to the best.
    fn advance(&mut self) -> bool {
        loop {
            for edit in self.edits.by_ref() {
                if let Some(smaller) = apply(&self.best, edit) {
                    self.candidate = smaller;
                    return true;
                }
            }
            if !self.progress {
                self.candidate = self.best.clone();
                return false;
            }
            self.progress = false;
            self.edits = edits(&self.best).into_iter();
        }
    }
}

impl ValueTree for Shrinking {
    type Value = Scenario;

    fn current(&self) -> Scenario {
        self.candidate.clone()
    }

    /// The candidate failed.
    fn simplify(&mut self) -> bool {
        self.progress |= self.best != self.candidate;
        self.best = self.candidate.clone();
        self.advance()
    }

    /// The candidate passed.
    fn complicate(&mut self) -> bool {
        self.advance()
    }
}

fn edits(scenario: &Scenario) -> Vec<Edit> {
    let clients = &scenario.schedule.clients;
    // From the end on: earlier places stay what they are.
    let mut edits: Vec<Edit> = (0..clients.len()).rev().map(Edit::Client).collect();
    edits.extend([
        Edit::AllTrouble,
        Edit::Seam,
        Edit::Setup,
        Edit::OneShard,
        Edit::OneKey,
    ]);
    edits.extend(
        (0..scenario.disturbances.len())
            .rev()
            .map(Edit::Disturbance),
    );
    for (client, plan) in clients.iter().enumerate() {
        let mut count = plan.steps.len().div_ceil(2);
        loop {
            let chunks = (0..plan.steps.len()).step_by(count.max(1)).rev();
            edits.extend(chunks.map(|from| Edit::Steps {
                client,
                from,
                count,
            }));
            if count <= 1 {
                break;
            }
            count = count.div_ceil(2);
        }
        for step in (0..plan.steps.len()).rev() {
            edits.extend([
                Edit::Passage { client, step },
                Edit::Trouble { client, step },
                Edit::Think { client, step },
                Edit::Condition { client, step },
                Edit::Size { client, step },
            ]);
            if let Call::Transaction(transaction) = &plan.steps[step].call {
                let parts = (0..transaction.parts()).rev();
                edits.extend(parts.map(|part| Edit::Part { client, step, part }));
            }
        }
        edits.extend([Edit::Ids(client), Edit::Timeout(client)]);
    }
    edits
}

/// None if it leaves nothing out.
fn apply(scenario: &Scenario, edit: Edit) -> Option<Scenario> {
    let mut smaller = scenario.clone();
    let clients = &mut smaller.schedule.clients;
    match edit {
        Edit::Client(client) => {
            if client >= clients.len() || clients.len() == 1 {
                return None;
            }
            clients.remove(client);
        }
        Edit::AllTrouble => {
            for step in clients.iter_mut().flat_map(|client| &mut client.steps) {
                step.passage.trouble = None;
            }
        }
        Edit::Seam => smaller.seam = SeamFaults::default(),
        Edit::Setup => smaller.setup = Setup::ample(smaller.setup.shards, smaller.setup.epoch),
        Edit::OneShard => smaller.setup.shards = 1,
        Edit::OneKey => {
            let first = smaller.schedule.keys().into_iter().next()?;
            let steps = smaller.schedule.clients.iter_mut();
            for step in steps.flat_map(|client| &mut client.steps) {
                step.call.on_key(&first);
            }
        }
        Edit::Disturbance(number) => {
            if number >= smaller.disturbances.len() {
                return None;
            }
            smaller.disturbances.remove(number);
        }
        Edit::Steps {
            client,
            from,
            count,
        } => {
            let steps = &mut clients.get_mut(client)?.steps;
            let end = (from + count).min(steps.len());
            steps.drain(from.min(end)..end);
        }
        Edit::Timeout(client) => clients.get_mut(client)?.timeout_ms = 10_000,
        Edit::Ids(client) => clients.get_mut(client)?.writes_with_ids = false,
        Edit::Part { client, step, part } => {
            let step = clients.get_mut(client)?.steps.get_mut(step)?;
            let Call::Transaction(transaction) = &mut step.call else {
                return None;
            };
            *transaction = transaction.without(part)?;
        }
        Edit::Passage { client, step }
        | Edit::Trouble { client, step }
        | Edit::Think { client, step }
        | Edit::Condition { client, step }
        | Edit::Size { client, step } => {
            let step = clients.get_mut(client)?.steps.get_mut(step)?;
            match edit {
                Edit::Passage { .. } => step.passage = Passage::default(),
                Edit::Trouble { .. } => step.passage.trouble = None,
                Edit::Think { .. } => step.think_ms = 0,
                Edit::Size { .. } => {
                    for content in step.call.contents_mut() {
                        content.shrink();
                    }
                }
                _ => {
                    if let Call::Put { condition, .. } | Call::Delete { condition, .. } =
                        &mut step.call
                    {
                        *condition = Condition::None;
                    }
                }
            }
        }
    }
    (smaller != *scenario).then_some(smaller)
}
