//! What happens when, all of it drawn from one seed before the run begins.

use std::time::Duration;

/// A fault, or what ends it. Hosts count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Ends the process; another one begins there after this many milliseconds.
    Crash { host: usize, back_ms: u64 },
    /// As `Crash`, of whoever leads then.
    CrashLeader { back_ms: u64 },
    /// Nothing passes between the two.
    Partition { a: usize, b: usize },
    /// Nothing passes from one to the other.
    OneWay { from: usize, to: usize },
    /// What is sent between the two waits.
    Hold { a: usize, b: usize },
    /// Nothing passes between the host and any other.
    Isolate { host: usize },
    /// As `Isolate`, of whoever leads then.
    IsolateLeader,
    /// As `Crash`, of one who does not lead then, counted from 0.
    CrashFollower { nth: usize, back_ms: u64 },
    /// As `Isolate`, of one who does not lead then.
    IsolateFollower { nth: usize },
    /// The links between those who do not lead are whole again.
    HealFollowers,
    /// Nothing comes in at whoever leads, who is heard by the others.
    DeafenLeader,
    /// All links are whole again, and what waited is delivered.
    Heal,
    /// From now on messages take up to this many milliseconds.
    Latency { max_ms: u64 },
    /// Whoever leads hands over.
    Transfer,
}

/// A run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) hosts: usize,
    /// Of each process.
    pub(crate) clients: u64,
    pub(crate) keys: u64,
    pub(crate) writes_percent: u64,
    /// Between two operations of a client, on average.
    pub(crate) pause_ms: u64,
    pub(crate) value_bytes: usize,
    pub(crate) log_much_bytes: usize,
    /// Each with the milliseconds after the beginning.
    pub(crate) faults: Vec<(u64, Fault)>,
    /// When peace begins.
    pub(crate) peace_ms: u64,
    /// What happens whenever a change of membership is half done.
    pub(crate) in_joint: Option<Fault>,
    /// Off only to show that it is needed.
    pub(crate) names_whom_it_means: bool,
}

impl Plan {
    /// Without any fault.
    pub(crate) fn calm(seed: u64, hosts: usize) -> Self {
        Self {
            seed,
            hosts,
            clients: 2,
            keys: 3,
            writes_percent: 60,
            pause_ms: 20,
            value_bytes: 40,
            log_much_bytes: 20_000,
            faults: Vec::new(),
            peace_ms: 3_000,
            in_joint: None,
            names_whom_it_means: true,
        }
    }

    /// What the seed says: a size, a load, and some kinds of faults (a tenth has none).
    pub(crate) fn of(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let hosts = if rng.bool() { 3 } else { 5 };
        let mut plan = Self {
            clients: rng.u64(1..4),
            keys: rng.u64(1..6),
            writes_percent: rng.u64(20..90),
            pause_ms: rng.u64(5..60),
            value_bytes: rng.usize(1..400),
            log_much_bytes: *rng.choice(&[5_000, 20_000, 10_000_000]).expect("some"),
            peace_ms: rng.u64(6_000..12_000),
            in_joint: in_joint(&mut rng, hosts),
            ..Self::calm(seed, hosts)
        };
        if rng.u8(..10) > 0 {
            plan.faults = faults(&mut rng, hosts, plan.peace_ms);
        }
        plan
    }

    pub(crate) fn peace(&self) -> Duration {
        Duration::from_millis(self.peace_ms)
    }
}

fn in_joint(rng: &mut fastrand::Rng, hosts: usize) -> Option<Fault> {
    match rng.u8(..3) {
        // Of three, with one dead already, no majority would be left.
        0 if hosts > 3 => Some(Fault::CrashLeader { back_ms: 300 }),
        1 => Some(Fault::IsolateLeader),
        _ => None,
    }
}

/// Each seed has some kinds of faults only, so that kinds do not drown each other.
fn faults(rng: &mut fastrand::Rng, hosts: usize, end_ms: u64) -> Vec<(u64, Fault)> {
    let kinds: Vec<u8> = (0..10).filter(|_| rng.u8(..3) == 0).collect();
    let kinds = if kinds.is_empty() {
        vec![rng.u8(..10)]
    } else {
        kinds
    };
    let mut faults = Vec::new();
    let mut now = 800;
    while now < end_ms {
        let a = rng.usize(1..=hosts);
        let b = 1 + (a - 1 + rng.usize(1..hosts)) % hosts;
        let back_ms = rng.u64(50..1_500);
        let fault = match rng.choice(&kinds).expect("some") {
            0 => Fault::Crash { host: a, back_ms },
            1 => Fault::CrashLeader { back_ms },
            2 => Fault::Partition { a, b },
            3 => Fault::OneWay { from: a, to: b },
            4 => Fault::Hold { a, b },
            5 => Fault::Isolate { host: a },
            6 => Fault::IsolateLeader,
            7 => Fault::DeafenLeader,
            8 => Fault::Latency {
                max_ms: rng.u64(2..60),
            },
            _ => Fault::Transfer,
        };
        faults.push((now, fault));
        now += rng.u64(50..1_500);
        // Often enough that something goes on between.
        if rng.u8(..3) > 0 {
            faults.push((now, Fault::Heal));
            now += rng.u64(50..1_000);
        }
    }
    faults
}
