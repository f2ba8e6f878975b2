//! Comparing two servers: adjacent windows in the order A B B A.
//!
//! The machine's speed drifts within seconds, so a window is only ever compared with its
//! neighbour: each block A B B A gives two ratios, and drift that is linear within a block
//! cancels. Both servers run all the time, on the same core; the idle one costs nothing.
//!
//! Not here: which servers and which goals (`goals`, `peers`). A wrong answer in any window is an
//! error. Tests: at the end of this file.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::{
    load::{self, Load, Pace},
    process::machine_cpu,
    protocol::Protocol,
    servers::Server,
    stats::{Goal, Quartiles, Verdict},
    workload::Mix,
};

/// How long a load of all keys may take.
const FILL_MAX: Duration = Duration::from_mins(5);

/// Above this share of its core the generator is the bottleneck, if the server is not.
const BUSY: f64 = 0.95;

/// What all comparisons of a run have in common.
#[derive(Clone, Debug, Serialize)]
pub struct Settings {
    /// Pairs of windows, rounded up to an even number.
    pub pairs: usize,
    /// Length of a window.
    #[serde(skip)]
    pub window: Duration,
    /// Keep-alive connections.
    pub connections: usize,
    /// Different keys.
    pub keys: u64,
    /// Bytes of a value.
    pub value_size: usize,
    /// Measure only what has this in its name.
    pub only: Option<String>,
}

impl Settings {
    /// Whether the measurement of this name is not wanted.
    pub fn leaves_out(&self, name: &str) -> bool {
        self.only.as_ref().is_some_and(|only| !name.contains(only))
    }

    /// A closed loop of these settings.
    pub fn load(&self, mix: Mix, depth: usize) -> Load {
        Load {
            connections: self.connections,
            depth,
            pace: Pace::Closed,
            duration: self.window,
            mix,
            seed: 1,
        }
    }

    /// Puts every key once.
    pub fn fill(&self, server: &Server) -> anyhow::Result<()> {
        let mut load = self.load(Mix::load(self.keys), 1);
        load.duration = FILL_MAX;
        let protocol = server.dialect.protocol(self.value_size);
        load::run_at(server.addresses(), &*protocol, &load)?.all_right()?;
        Ok(())
    }
}

/// One window, or the medians of several.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Window {
    /// Right answers per second.
    pub per_second: f64,
    /// CPU time of the server per request, in microseconds.
    pub cpu_us: f64,
    /// Share of one core that the server used.
    pub server_share: f64,
    /// Share of its core that the generator used.
    pub generator_share: f64,
    /// Cores that other processes used meanwhile.
    pub others: f64,
    /// Latency in microseconds: half of the requests were faster.
    pub p50_us: f64,
    /// Latency in microseconds: 99 % of the requests were faster.
    pub p99_us: f64,
    /// Latency in microseconds: 99.9 % of the requests were faster.
    pub p999_us: f64,
    /// Share of the requests that were answered with 503.
    pub put_off: f64,
}

/// Measures one window.
fn window(side: &Side<'_>) -> anyhow::Result<Window> {
    let server = side.server;
    let (machine_before, server_before) = (machine_cpu()?, server.cpu()?);
    let start = Instant::now();
    let outcome = load::run_to(server.targets(), side.protocol, &side.load)?;
    let outcome = if side.may_be_put_off {
        outcome.all_right_or_put_off()?
    } else {
        outcome.all_right()?
    };
    let elapsed = start.elapsed().as_secs_f64();
    let server_cpu = server.cpu()?.saturating_sub(server_before).as_secs_f64();
    let machine = machine_cpu()?.saturating_sub(machine_before).as_secs_f64();
    let others = machine - server_cpu - outcome.generator_cpu.as_secs_f64();
    let latency_us = |quantile| outcome.latency.value_at_quantile(quantile) as f64 / 1e3;
    Ok(Window {
        per_second: outcome.per_second(),
        cpu_us: server_cpu * 1e6 / outcome.answers as f64,
        server_share: server_cpu / elapsed,
        generator_share: outcome.generator_share(),
        others: others.max(0.0) / elapsed,
        p50_us: latency_us(0.5),
        p99_us: latency_us(0.99),
        p999_us: latency_us(0.999),
        put_off: outcome.put_off as f64 / (outcome.answers + outcome.put_off) as f64,
    })
}

impl Window {
    /// The median of each figure by itself.
    pub fn medians(windows: &[Self]) -> Option<Self> {
        let median = |of: fn(&Self) -> f64| Quartiles::of(windows.iter().map(of)).map(|q| q.median);
        Some(Self {
            per_second: median(|w| w.per_second)?,
            cpu_us: median(|w| w.cpu_us)?,
            server_share: median(|w| w.server_share)?,
            generator_share: median(|w| w.generator_share)?,
            others: median(|w| w.others)?,
            p50_us: median(|w| w.p50_us)?,
            p99_us: median(|w| w.p99_us)?,
            p999_us: median(|w| w.p999_us)?,
            put_off: median(|w| w.put_off)?,
        })
    }

    /// Whether the generator and not the server set the speed.
    fn is_generator_bound(&self) -> bool {
        self.generator_share > BUSY && self.server_share < BUSY
    }
}

/// A server and what it is asked.
#[derive(Clone, Copy)]
pub struct Side<'a> {
    /// The server.
    pub server: &'a Server,
    /// How requests look.
    pub protocol: &'a dyn Protocol,
    /// What is sent, and when.
    pub load: Load,
    /// Whether an answer of 503 is no fault but a transaction less.
    pub may_be_put_off: bool,
}

impl Side<'_> {
    /// The same, where an answer of 503 is no fault but a transaction less.
    #[must_use]
    pub fn or_put_off(self) -> Self {
        Self {
            may_be_put_off: true,
            ..self
        }
    }
}

/// Which figures of two windows are divided, ours by the peer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ratio {
    /// Right answers per second.
    Throughput,
    /// CPU time of the server per request.
    Cpu,
}

impl Ratio {
    fn of(self, ours: &Window, peer: &Window) -> f64 {
        match self {
            Self::Throughput => ours.per_second / peer.per_second,
            Self::Cpu => ours.cpu_us / peer.cpu_us,
        }
    }
}

/// What is under test and what it is compared with.
pub struct Comparison<'a> {
    /// What is compared.
    pub name: &'a str,
    /// The goal for the ratio.
    pub goal: Goal,
    /// The ratio of what.
    pub ratio: Ratio,
    /// What is under test.
    pub ours: Side<'a>,
    /// What it is compared with.
    pub peer: Side<'a>,
}

/// A line of the final table.
#[derive(Debug, Serialize)]
pub struct Row {
    /// What was measured.
    pub name: String,
    /// What is asked.
    pub goal: Goal,
    /// The measured ratio or figure.
    pub figure: Quartiles,
    /// Whether the goal is reached.
    pub verdict: Verdict,
    /// Medians of our windows.
    pub ours: Option<Window>,
    /// Medians of the peer's windows.
    pub peer: Option<Window>,
    /// What the reader should know besides.
    pub note: Option<String>,
}

impl Row {
    /// A row of a figure that was not measured in windows.
    pub fn figure(name: &str, goal: Goal, figure: Quartiles, note: Option<String>) -> Self {
        let verdict = goal.judge(&figure);
        Self {
            name: name.to_owned(),
            goal,
            figure,
            verdict,
            ours: None,
            peer: None,
            note,
        }
    }
}

impl Comparison<'_> {
    /// Measures all pairs of windows, after one uncounted window of each side.
    pub fn run(&self, settings: &Settings) -> anyhow::Result<Row> {
        let (mut ours, mut peer) = (Vec::new(), Vec::new());
        window(&self.ours)?;
        window(&self.peer)?;
        for _ in 0..settings.pairs.div_ceil(2) {
            ours.push(window(&self.ours)?);
            peer.push(window(&self.peer)?);
            peer.push(window(&self.peer)?);
            ours.push(window(&self.ours)?);
        }
        Ok(row(self.name, self.goal, self.ratio, &ours, &peer))
    }
}

/// Judges pairs of windows; the windows at the same place are neighbours in time.
fn row(name: &str, goal: Goal, ratio: Ratio, ours: &[Window], peer: &[Window]) -> Row {
    let ratios = ours.iter().zip(peer).map(|(a, b)| ratio.of(a, b));
    let nothing = Quartiles::exact(f64::NAN);
    let mut row = Row::figure(name, goal, Quartiles::of(ratios).unwrap_or(nothing), None);
    (row.ours, row.peer) = (Window::medians(ours), Window::medians(peer));
    let is_generator_bound = [&row.ours, &row.peer]
        .into_iter()
        .flatten()
        .any(Window::is_generator_bound);
    // What a request costs the server does not depend on who waited for whom.
    if is_generator_bound && ratio == Ratio::Throughput {
        if goal != Goal::None {
            row.verdict = Verdict::Inconclusive;
        }
        row.note = Some("the generator was the bottleneck".to_owned());
    }
    let put_off = |window: &Option<Window>| window.map_or(0.0, |window| window.put_off * 100.0);
    let (ours, peer) = (put_off(&row.ours), put_off(&row.peer));
    if ours + peer > 0.0 {
        let put_off = format!("{ours:.1} % / {peer:.1} % were answered with 503");
        row.note = Some(match row.note {
            Some(note) => format!("{note}; {put_off}"),
            None => put_off,
        });
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(per_second: &[f64], server_share: f64, generator_share: f64) -> Vec<Window> {
        let window = |&per_second| Window {
            per_second,
            cpu_us: 10.0,
            server_share,
            generator_share,
            others: 0.0,
            p50_us: 1.0,
            p99_us: 1.0,
            p999_us: 1.0,
            put_off: 0.0,
        };
        per_second.iter().map(window).collect()
    }

    #[test]
    fn each_window_is_compared_with_its_neighbour_and_not_with_the_average() {
        // The machine becomes half as fast; the ratio stays.
        let ours = windows(&[90.0, 91.0, 44.0, 45.0], 1.0, 0.7);
        let peer = windows(&[100.0, 100.0, 50.0, 50.0], 1.0, 0.7);
        let row = row("x", Goal::AtLeast(0.89), Ratio::Throughput, &ours, &peer);
        assert!((row.figure.median - 0.90).abs() < 1e-9, "{:?}", row.figure);
        assert!(row.figure.spread() < 0.03);
        assert_eq!(row.verdict, Verdict::Pass);
        assert!((row.peer.unwrap().per_second - 75.0).abs() < 1e-9);
    }

    #[test]
    fn a_busy_generator_decides_nothing_but_cpu_time() {
        let ours = windows(&[100.0; 4], 1.0, 0.7);
        let peer = windows(&[100.0; 4], 0.6, 0.99);
        let judge = |ratio| row("x", Goal::AtLeast(0.9), ratio, &ours, &peer);
        let throughput = judge(Ratio::Throughput);
        assert_eq!(throughput.verdict, Verdict::Inconclusive);
        assert!(throughput.note.unwrap().contains("generator"));
        assert_eq!(judge(Ratio::Cpu).verdict, Verdict::Pass);
    }

    #[test]
    fn cpu_time_is_compared_and_not_throughput() {
        let mut ours = windows(&[100.0; 4], 1.0, 0.7);
        let peer = windows(&[300.0; 4], 1.0, 0.7);
        for window in &mut ours {
            window.cpu_us = 15.0;
        }
        let row = row("x", Goal::AtMost(1.6), Ratio::Cpu, &ours, &peer);
        assert!((row.figure.median - 1.5).abs() < 1e-9, "{:?}", row.figure);
    }
}
