//! What goes wrong in a simulated network, as data. Hosts count from 1.

use std::time::Duration;

use fastrand::Rng;
use turmoil::Sim;

use super::{LATENCY_MAX, host_name};

/// A fault, or what ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Ends the process; another one begins there later.
    Crash {
        /// Where.
        host: usize,
        /// After this many milliseconds.
        back_ms: u64,
    },
    /// As `Crash`, of whoever leads then.
    CrashLeader {
        /// After this many milliseconds another process begins there.
        back_ms: u64,
    },
    /// As `Crash`, of one who does not lead then.
    CrashFollower {
        /// Which, counted from 0.
        nth: usize,
        /// After this many milliseconds another process begins there.
        back_ms: u64,
    },
    /// Ends the process as planned; another one begins there later.
    Stop {
        /// Where.
        host: usize,
        /// After this many milliseconds.
        back_ms: u64,
    },
    /// Nothing passes between the two.
    Partition {
        /// One.
        a: usize,
        /// The other.
        b: usize,
    },
    /// Nothing passes from one to the other.
    OneWay {
        /// Who is not heard.
        from: usize,
        /// By whom.
        to: usize,
    },
    /// What is sent between the two waits.
    Hold {
        /// One.
        a: usize,
        /// The other.
        b: usize,
    },
    /// As `Hold`, between whoever leads then and all others.
    HoldLeader,
    /// Nothing passes between the host and any other.
    Isolate {
        /// Which.
        host: usize,
    },
    /// As `Isolate`, of whoever leads then.
    IsolateLeader,
    /// As `Isolate`, of one who does not lead then.
    IsolateFollower {
        /// Which, counted from 0.
        nth: usize,
    },
    /// The links between those who do not lead are whole again.
    HealFollowers,
    /// Nothing comes in at whoever leads, who is heard by the others.
    DeafenLeader,
    /// All links are whole again, nothing is lost any more, and what waited is delivered.
    Heal,
    /// From now on messages take up to this many milliseconds.
    Latency {
        /// So many.
        max_ms: u64,
    },
    /// From now on so many of a thousand messages break the link that they are sent on, for a while.
    Loss {
        /// So many.
        per_mille: u16,
    },
    /// Whoever leads hands over.
    Transfer,
}

/// What a fault asks of processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnProcesses {
    /// One ends, and another begins there later.
    Crash {
        /// Where.
        host: usize,
        /// After this many milliseconds.
        back_ms: u64,
    },
    /// The same, as planned.
    Stop {
        /// Where.
        host: usize,
        /// After this many milliseconds.
        back_ms: u64,
    },
    /// Whoever leads hands over.
    Transfer,
}

impl Fault {
    /// Does to the links of `hosts` what it says, and returns what is left to be done. What concerns
    /// a leader comes to nothing while there is none.
    pub fn on_links(
        self,
        sim: &mut Sim<'_>,
        hosts: usize,
        leader: Option<usize>,
    ) -> Option<OnProcesses> {
        let others = |host: usize| (1..=hosts).filter(move |other| *other != host);
        let isolate = |sim: &Sim<'_>, host: usize| {
            for other in others(host) {
                sim.partition(host_name(host), host_name(other));
            }
        };
        match self {
            Self::Crash { host, back_ms } => return Some(OnProcesses::Crash { host, back_ms }),
            Self::CrashLeader { back_ms } => {
                let host = leader?;
                return Some(OnProcesses::Crash { host, back_ms });
            }
            Self::CrashFollower { nth, back_ms } => {
                let host = others(leader?).nth(nth)?;
                return Some(OnProcesses::Crash { host, back_ms });
            }
            Self::Stop { host, back_ms } => return Some(OnProcesses::Stop { host, back_ms }),
            Self::Transfer => return Some(OnProcesses::Transfer),
            Self::Partition { a, b } => sim.partition(host_name(a), host_name(b)),
            Self::OneWay { from, to } => sim.partition_oneway(host_name(from), host_name(to)),
            Self::Hold { a, b } => sim.hold(host_name(a), host_name(b)),
            Self::HoldLeader => {
                let leader = leader?;
                for other in others(leader) {
                    sim.hold(host_name(leader), host_name(other));
                }
            }
            Self::Isolate { host } => isolate(sim, host),
            Self::IsolateLeader => isolate(sim, leader?),
            Self::IsolateFollower { nth } => isolate(sim, others(leader?).nth(nth)?),
            Self::HealFollowers => {
                let leader = leader?;
                for a in others(leader) {
                    for b in others(leader).filter(|b| *b > a) {
                        sim.repair(host_name(a), host_name(b));
                    }
                }
            }
            Self::DeafenLeader => {
                let leader = leader?;
                for other in others(leader) {
                    sim.partition_oneway(host_name(other), host_name(leader));
                }
            }
            Self::Heal => {
                sim.set_fail_rate(0.0);
                for a in 1..=hosts {
                    for b in a + 1..=hosts {
                        sim.repair(host_name(a), host_name(b));
                        sim.release(host_name(a), host_name(b));
                    }
                }
            }
            Self::Latency { max_ms } => {
                sim.set_max_message_latency(Duration::from_millis(max_ms));
            }
            Self::Loss { per_mille } => sim.set_fail_rate(f64::from(per_mille) / 1_000.0),
        }
        None
    }

    /// Nothing is in the way of anybody any more.
    pub fn end_all(sim: &mut Sim<'_>, hosts: usize) {
        Self::Heal.on_links(sim, hosts, None);
        sim.set_max_message_latency(LATENCY_MAX);
    }
}

/// Draws a fault of one kind for so many hosts.
pub type Kind = fn(&mut Rng, usize) -> Fault;

/// The faults of a run, each with the milliseconds after the beginning.
///
/// Each seed has some of the `kinds` only, so that kinds do not drown each other; and links are
/// healed often enough that something goes on between.
pub fn draw(
    rng: &mut Rng,
    hosts: usize,
    (begin_ms, end_ms): (u64, u64),
    kinds: &[Kind],
) -> Vec<(u64, Fault)> {
    let mut chosen: Vec<Kind> = kinds.iter().copied().filter(|_| rng.u8(..3) == 0).collect();
    if chosen.is_empty() {
        chosen.extend(rng.choice(kinds));
    }
    let mut faults = Vec::new();
    let mut now = begin_ms;
    while now < end_ms {
        let Some(kind) = rng.choice(&chosen) else {
            break;
        };
        faults.push((now, kind(rng, hosts)));
        now += rng.u64(50..1_500);
        if rng.u8(..3) > 0 {
            faults.push((now, Fault::Heal));
            now += rng.u64(50..1_000);
        }
    }
    faults
}

/// Two different hosts.
fn two(rng: &mut Rng, hosts: usize) -> (usize, usize) {
    let a = rng.usize(1..=hosts);
    (a, 1 + (a - 1 + rng.usize(1..hosts)) % hosts)
}

impl Fault {
    /// The kinds that concern links alone, and processes that end at once.
    pub const KINDS: &'static [Kind] = &[
        |rng, hosts| Self::Crash {
            host: rng.usize(1..=hosts),
            back_ms: rng.u64(50..1_500),
        },
        |rng, _| Self::CrashLeader {
            back_ms: rng.u64(50..1_500),
        },
        |rng, hosts| {
            let (a, b) = two(rng, hosts);
            Self::Partition { a, b }
        },
        |rng, hosts| {
            let (from, to) = two(rng, hosts);
            Self::OneWay { from, to }
        },
        |rng, hosts| {
            let (a, b) = two(rng, hosts);
            Self::Hold { a, b }
        },
        |rng, hosts| Self::Isolate {
            host: rng.usize(1..=hosts),
        },
        |_, _| Self::IsolateLeader,
        |_, _| Self::HoldLeader,
        |_, _| Self::DeafenLeader,
        |rng, _| Self::Latency {
            max_ms: rng.u64(2..60),
        },
    ];

    /// Messages that break their links.
    pub const LOSS: Kind = |rng, _| Self::Loss {
        per_mille: rng.u16(1..20),
    };

    /// Leadership that is handed over.
    pub const TRANSFER: Kind = |_, _| Self::Transfer;

    /// Processes that end as planned.
    pub const STOP: Kind = |rng, hosts| Self::Stop {
        host: rng.usize(1..=hosts),
        back_ms: rng.u64(50..1_500),
    };
}
