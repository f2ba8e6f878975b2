//! The load generator: keep-alive connections, closed or open loop, every answer checked.
//!
//! One thread, one event loop, so that its cost is small and the same for every peer; the share
//! of its core that it used is part of the outcome, and a share near 1 means that the generator
//! was measured and not the server.
//!
//! - Closed loop: each connection sends `depth` requests in one write, waits for all answers, and
//!   sends the next `depth`. Latency counts from the write.
//! - Open loop: requests start at a constant rate whatever the server does, on any connection
//!   with fewer than `depth` requests in flight. Latency counts from the moment a request was
//!   meant to start, also when it had to wait for a connection.
//!
//! Not here: protocols (`protocol`), which server is compared with which (`compare`).
//!
//! Invariants: an answer that is not the right one is counted as wrong, never as an answer; an
//! answer that does not come ends the run with an error; every run ends, [`DURATION_MAX`] and
//! [`DRAIN_MAX`] at the latest. Tests: at the end of this file, against servers that misbehave.

mod connection;
mod schedule;

use std::{
    net::SocketAddr,
    num::NonZeroU16,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use hdrhistogram::Histogram;
use mio::{Events, Poll, Token};
use nix::sys::resource::{UsageWho, getrusage};
use trandb_common::Key;

use self::{connection::Connection, schedule::Schedule};
use crate::{
    protocol::{Fault, Protocol},
    workload::{Mix, Request, Requests, key_text},
};

/// No run sends for longer, whatever is asked for.
pub const DURATION_MAX: Duration = Duration::from_mins(10);

/// How long a run waits at its end for answers that are still missing.
pub const DRAIN_MAX: Duration = Duration::from_secs(10);

/// Latencies above it are counted as this one, in nanoseconds.
const LATENCY_MAX_NS: u64 = 600_000_000_000;

/// Below this distance to the next start an open loop spins, since timers are coarser.
const SPIN: Duration = Duration::from_millis(2);

/// When requests are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As soon as the answers to the connection's last requests are there.
    Closed,
    /// At this constant rate, requests per second.
    Open(u32),
}

/// A load: what is sent, how fast, how long.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Keep-alive connections, at least 1.
    pub connections: usize,
    /// Requests in flight on one connection, at least 1; above 1 they are pipelined.
    pub depth: usize,
    /// Closed or open loop.
    pub pace: Pace,
    /// How long requests are sent; cut at [`DURATION_MAX`].
    pub duration: Duration,
    /// Which requests.
    pub mix: Mix,
    /// Names the sequence of random keys.
    pub seed: u64,
}

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    /// Right answers.
    pub answers: u64,
    /// Wrong answers.
    pub wrong: u64,
    /// Those of the wrong answers that say that nothing happened and that it may be tried later.
    pub put_off: u64,
    /// The first wrong answer, in words.
    pub first_wrong: Option<String>,
    /// Open loop: requests that were due and for which no connection became free in time. They
    /// are in `latency` with the time that they had waited at the end.
    pub unsent: u64,
    /// From the first request to the last answer.
    pub elapsed: Duration,
    /// Latencies of the right answers and the unsent requests, in nanoseconds.
    pub latency: Histogram<u64>,
    /// CPU time of the generator's thread.
    pub generator_cpu: Duration,
}

impl Outcome {
    /// Right answers per second.
    pub fn per_second(&self) -> f64 {
        self.answers as f64 / self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// The share of one core that the generator used, 0 to 1.
    pub fn generator_share(&self) -> f64 {
        self.generator_cpu.as_secs_f64() / self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// The outcome, or an error if an answer was wrong in another way than being put off.
    pub fn all_right_or_put_off(mut self) -> anyhow::Result<Self> {
        if self.wrong == self.put_off {
            self.first_wrong = None;
        }
        self.all_right()
    }

    /// The outcome, or an error if a single answer was wrong.
    pub fn all_right(self) -> anyhow::Result<Self> {
        if let Some(first) = &self.first_wrong {
            let all = self.wrong + self.answers;
            bail!(
                "{} of {all} answers were wrong; the first: {first}",
                self.wrong
            );
        }
        if self.answers == 0 {
            bail!("not a single answer");
        }
        Ok(self)
    }
}

/// Counts answers while a run goes on.
pub(crate) struct Tally {
    answers: u64,
    wrong: u64,
    put_off: u64,
    first_wrong: Option<String>,
    latency: Histogram<u64>,
}

impl Tally {
    fn new() -> anyhow::Result<Self> {
        let latency = Histogram::new_with_bounds(1, LATENCY_MAX_NS, 3)?;
        Ok(Self {
            answers: 0,
            wrong: 0,
            put_off: 0,
            first_wrong: None,
            latency,
        })
    }

    fn count(&mut self, request: Request, fault: Option<Fault>, latency: Duration) {
        if let Some(fault) = fault {
            self.wrong += 1;
            self.put_off += u64::from(fault.is_put_off());
            self.first_wrong.get_or_insert_with(|| {
                format!("{:?} of key {}: {fault}", request.operation, request.key)
            });
        } else {
            self.answers += 1;
            self.record(latency);
        }
    }

    fn record(&mut self, latency: Duration) {
        let nanoseconds = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.latency.saturating_record(nanoseconds);
    }
}

/// Where a load goes.
#[derive(Clone, Copy, Debug)]
pub enum Targets<'a> {
    /// To servers that hold the same keys: each connection goes to the next one, and begins again
    /// with the first.
    Anywhere(&'a [SocketAddr]),
    /// To the leaders of shards, by their numbers: each connection goes to the next one, too, and
    /// sends nothing but keys of that shard.
    Leaders(&'a [SocketAddr]),
}

impl Targets<'_> {
    fn addresses(&self) -> &[SocketAddr] {
        match self {
            Self::Anywhere(addresses) | Self::Leaders(addresses) => addresses,
        }
    }

    /// Whether the connection of this number may send this key.
    fn takes(&self, connection: usize, key: u64) -> bool {
        let Self::Leaders(shards) = self else {
            return true;
        };
        let count = u16::try_from(shards.len()).ok().and_then(NonZeroU16::new);
        let key = Key::try_from(&key_text(key)[..]);
        let shard = key.ok().zip(count).map(|(key, count)| key.shard(count));
        shard.is_some_and(|shard| connection % shards.len() == usize::from(shard))
    }
}

/// Runs `load` against `address` on the calling thread and waits for every answer.
///
/// Errors: no connection, bytes that are not the protocol, a connection that the server closed,
/// answers still missing [`DRAIN_MAX`] after the end. Wrong answers are part of the outcome.
pub fn run(address: SocketAddr, protocol: &dyn Protocol, load: &Load) -> anyhow::Result<Outcome> {
    run_at(&[address], protocol, load)
}

/// The same [anywhere](Targets::Anywhere) at `addresses`.
///
/// Errors: as [`run`], and no address at all.
pub fn run_at(
    addresses: &[SocketAddr],
    protocol: &dyn Protocol,
    load: &Load,
) -> anyhow::Result<Outcome> {
    run_to(Targets::Anywhere(addresses), protocol, load)
}

/// The same against several servers.
///
/// Errors: as [`run`]; no address at all; a counted mix or an open loop to leaders, since what is
/// another shard's would count, too.
pub fn run_to(
    targets: Targets<'_>,
    protocol: &dyn Protocol,
    load: &Load,
) -> anyhow::Result<Outcome> {
    let addresses = targets.addresses();
    if matches!(targets, Targets::Leaders(_)) {
        let is_endless = load.pace == Pace::Closed && load.mix.requests.is_none();
        anyhow::ensure!(is_endless, "only an endless closed loop goes to leaders");
    }
    let poll = Poll::new()?;
    let connections = addresses
        .iter()
        .cycle()
        .take(load.connections.max(1))
        .enumerate()
        .map(|(index, &address)| Connection::open(address, protocol, poll.registry(), Token(index)))
        .collect::<anyhow::Result<Vec<_>>>()?;
    anyhow::ensure!(!connections.is_empty(), "a load on no address");
    let start = Instant::now();
    let end = start + load.duration.min(DURATION_MAX);
    let schedule = match load.pace {
        Pace::Closed => None,
        Pace::Open(per_second) => Some(Schedule::new(start, end, per_second)),
    };
    let cpu_before = thread_cpu()?;
    let mut generator = Generator {
        poll,
        connections,
        protocol,
        depth: load.depth.max(1),
        requests: Requests::new(load.mix, load.seed),
        targets,
        schedule,
        end,
        next_connection: 0,
        tally: Tally::new()?,
    };
    let unsent = generator
        .run()
        .with_context(|| format!("load on {addresses:?}"))?;
    let tally = generator.tally;
    Ok(Outcome {
        answers: tally.answers,
        wrong: tally.wrong,
        put_off: tally.put_off,
        first_wrong: tally.first_wrong,
        unsent,
        elapsed: start.elapsed(),
        latency: tally.latency,
        generator_cpu: thread_cpu()?.saturating_sub(cpu_before),
    })
}

fn thread_cpu() -> anyhow::Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_THREAD)?;
    let microseconds = [usage.user_time(), usage.system_time()]
        .iter()
        .map(|time| time.tv_sec() * 1_000_000 + time.tv_usec())
        .sum::<i64>();
    Ok(Duration::from_micros(u64::try_from(microseconds)?))
}

struct Generator<'a> {
    poll: Poll,
    connections: Vec<Connection>,
    protocol: &'a dyn Protocol,
    depth: usize,
    requests: Requests,
    targets: Targets<'a>,
    /// Of an open loop; a closed loop has none.
    schedule: Option<Schedule>,
    end: Instant,
    /// Open loop: where the search for a free connection starts.
    next_connection: usize,
    tally: Tally,
}

impl Generator<'_> {
    /// Sends until the end and waits for all answers; the number of requests never sent.
    fn run(&mut self) -> anyhow::Result<u64> {
        let mut events = Events::with_capacity(self.connections.len().min(1024));
        if self.schedule.is_none() {
            for index in 0..self.connections.len() {
                self.refill(index)?;
            }
        }
        loop {
            let now = Instant::now();
            let is_waiting = self.send_due(now)?;
            let in_flight: usize = self.connections.iter().map(Connection::in_flight).sum();
            if in_flight == 0 && !is_waiting {
                return Ok(self.count_unsent());
            }
            if now > self.end + DRAIN_MAX {
                bail!("{in_flight} requests without an answer {DRAIN_MAX:?} after the end");
            }
            let patience = self.patience(now);
            self.poll.poll(&mut events, Some(patience))?;
            for event in &events {
                let index = event.token().0;
                let connection = &mut self.connections[index];
                connection.flush()?;
                let is_closed = event.is_read_closed() || event.is_error();
                if event.is_readable() || is_closed {
                    connection.receive(is_closed, self.protocol, &mut self.tally)?;
                    if self.schedule.is_none() && connection.in_flight() == 0 {
                        self.refill(index)?;
                    }
                }
            }
        }
    }

    /// Closed loop: sends the next `depth` requests on an idle connection.
    fn refill(&mut self, index: usize) -> anyhow::Result<()> {
        let now = Instant::now();
        if now >= self.end {
            return Ok(());
        }
        let connection = &mut self.connections[index];
        let requests = self.requests.by_ref();
        let its_own = requests.filter(|request| self.targets.takes(index, request.key));
        for request in its_own.take(self.depth) {
            connection.push(request, now, self.protocol);
        }
        connection.flush()
    }

    /// Open loop: sends what is due while there are free connections, until the end. Whether
    /// requests remain.
    fn send_due(&mut self, now: Instant) -> anyhow::Result<bool> {
        if self.schedule.is_none() || now >= self.end {
            return Ok(false);
        }
        while let Some(index) = self.free_connection() {
            let Some(schedule) = &mut self.schedule else {
                return Ok(false);
            };
            let Some(since) = schedule.take_due(now) else {
                break;
            };
            let Some(request) = self.requests.next() else {
                self.schedule = None;
                return Ok(false);
            };
            let connection = &mut self.connections[index];
            connection.push(request, since, self.protocol);
            connection.flush()?;
        }
        Ok(self
            .schedule
            .as_ref()
            .is_some_and(|schedule| schedule.next().is_some()))
    }

    fn free_connection(&mut self) -> Option<usize> {
        let count = self.connections.len();
        let index = (0..count)
            .map(|step| (self.next_connection + step) % count)
            .find(|&index| self.connections[index].in_flight() < self.depth)?;
        self.next_connection = (index + 1) % count;
        Some(index)
    }

    /// How long the loop may sleep: to the next start, or to the end of patience.
    fn patience(&mut self, now: Instant) -> Duration {
        let has_free = self.schedule.is_some() && self.free_connection().is_some();
        let next = self
            .schedule
            .as_ref()
            .and_then(Schedule::next)
            .filter(|_| has_free);
        match next {
            Some(next) => next.saturating_duration_since(now).saturating_sub(SPIN),
            None => DRAIN_MAX,
        }
    }

    /// Records the requests that were due but never sent, each with the time it has waited.
    fn count_unsent(&mut self) -> u64 {
        let now = Instant::now();
        let mut unsent = 0;
        if let Some(schedule) = &mut self.schedule {
            while let Some(since) = schedule.take_due(now) {
                unsent += 1;
                self.tally.record(now - since);
            }
        }
        unsent
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::{TcpListener, TcpStream},
        thread,
    };

    use super::*;
    use crate::protocol::Dialect;

    const KEYS: u64 = 10;
    const VALUE_BYTES: usize = 20;

    /// A server of one connection, on a thread of its own: `answer` is given the socket after
    /// each read, with the number of whole requests that the read held.
    fn server(mut answer: impl FnMut(&mut TcpStream, usize) + Send + 'static) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_nodelay(true).unwrap();
            let mut buffer = vec![0; 65536];
            loop {
                let bytes = stream.read(&mut buffer).unwrap_or(0);
                if bytes == 0 {
                    return;
                }
                let read = &buffer[..bytes];
                answer(
                    &mut stream,
                    read.windows(4).filter(|w| w == b"\r\n\r\n").count(),
                );
            }
        });
        address
    }

    #[test]
    fn a_connection_to_a_leader_sends_the_keys_of_its_shard_and_each_key_has_one() {
        let addresses = [1, 2, 3].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let taken = |targets: Targets<'_>, key| {
            let connections = (0..6).filter(|&connection| targets.takes(connection, key));
            connections.collect::<Vec<_>>()
        };
        let mut shards = [0; 3];
        for key in 0..300 {
            assert_eq!(taken(Targets::Anywhere(&addresses), key).len(), 6);
            let at_leaders = taken(Targets::Leaders(&addresses), key);
            let &[one, other] = at_leaders.as_slice() else {
                panic!("{at_leaders:?}");
            };
            assert_eq!(other, one + 3);
            shards[one] += 1;
        }
        assert!(shards.iter().all(|&keys| keys > 50), "{shards:?}");
    }

    #[test]
    fn what_is_counted_does_not_go_to_leaders() {
        let address = [SocketAddr::from(([127, 0, 0, 1], 1))];
        let protocol = Dialect::Trandb.protocol(VALUE_BYTES);
        let refused = run_to(Targets::Leaders(&address), &*protocol, &load(1));
        assert!(refused.unwrap_err().to_string().contains("endless"));
    }

    fn load(requests: u64) -> Load {
        Load {
            connections: 1,
            depth: 1,
            pace: Pace::Closed,
            duration: Duration::from_mins(1),
            mix: Mix {
                requests: Some(requests),
                ..Mix::load(KEYS)
            },
            seed: 1,
        }
    }

    fn put(address: SocketAddr, load: &Load) -> anyhow::Result<Outcome> {
        run(address, &*Dialect::Trandb.protocol(VALUE_BYTES), load)
    }

    const STORED: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

    #[test]
    fn every_request_gets_its_answer_also_when_answers_come_in_pieces() {
        let address = server(|stream, requests| {
            for half in STORED.repeat(requests).chunks(7) {
                stream.write_all(half).unwrap();
            }
        });
        let outcome = put(
            address,
            &Load {
                depth: 4,
                ..load(102)
            },
        )
        .unwrap();
        assert_eq!(
            (outcome.answers, outcome.wrong, outcome.unsent),
            (102, 0, 0)
        );
        assert_eq!(outcome.latency.len(), 102);
        assert!(outcome.all_right().is_ok());
    }

    #[test]
    fn a_single_wrong_answer_fails_the_run() {
        let mut count = 0;
        let address = server(move |stream, _| {
            count += 1;
            let refused = b"HTTP/1.1 503 No\r\ncontent-length: 4\r\n\r\nfull";
            stream
                .write_all(if count == 8 { refused } else { STORED })
                .unwrap();
        });
        let outcome = put(address, &load(20)).unwrap();
        assert_eq!((outcome.answers, outcome.wrong), (19, 1));
        assert_eq!(
            outcome.first_wrong.as_deref(),
            Some("Put of key 7: refused: 503 full")
        );
        assert_eq!(outcome.put_off, 1);
        let error = outcome.all_right().unwrap_err().to_string();
        assert!(error.starts_with("1 of 20 answers were wrong"), "{error}");
    }

    #[test]
    fn to_be_put_off_is_no_fault_where_that_is_allowed_and_other_refusals_are() {
        for (status, is_allowed) in [("503 No", true), ("500 No", false)] {
            let mut count = 0;
            let refused = format!("HTTP/1.1 {status}\r\ncontent-length: 4\r\n\r\nfull");
            let address = server(move |stream, _| {
                count += 1;
                let answer = if count == 8 {
                    refused.as_bytes()
                } else {
                    STORED
                };
                stream.write_all(answer).unwrap();
            });
            let outcome = put(address, &load(20)).unwrap().all_right_or_put_off();
            assert_eq!(outcome.is_ok(), is_allowed, "{status}");
        }
    }

    #[test]
    fn another_keys_value_is_a_wrong_answer() {
        let address = server(|stream, _| {
            let key_0 = b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\nk000000000000000vvvv";
            stream.write_all(key_0).unwrap();
        });
        let gets = Mix {
            writes_percent: 0,
            ..load(KEYS).mix
        };
        let outcome = put(
            address,
            &Load {
                mix: gets,
                ..load(KEYS)
            },
        )
        .unwrap();
        assert_eq!((outcome.answers, outcome.wrong), (1, KEYS - 1));
    }

    #[test]
    fn a_connection_closed_in_the_middle_is_an_error() {
        let address = server(|stream, _| {
            stream.write_all(&STORED[..9]).unwrap();
            stream.shutdown(std::net::Shutdown::Both).unwrap();
        });
        let error = format!("{:#}", put(address, &load(5)).unwrap_err());
        assert!(error.contains("closed a connection that waited"), "{error}");
    }

    #[test]
    fn an_answer_that_nobody_asked_for_is_an_error() {
        let address = server(|stream, _| stream.write_all(&STORED.repeat(2)).unwrap());
        let error = format!("{:#}", put(address, &load(1)).unwrap_err());
        assert!(error.contains("an answer to no request"), "{error}");
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the server is a thread of its own"
    )]
    /// Only a lower bound is asserted: a slow machine can make latencies longer, never shorter.
    #[test]
    fn an_open_loop_counts_the_wait_of_requests_that_a_stall_kept_from_starting() {
        const STALL: Duration = Duration::from_millis(400);
        let mut is_first = true;
        let address = server(move |stream, requests| {
            if std::mem::take(&mut is_first) {
                thread::sleep(STALL);
            }
            stream.write_all(&STORED.repeat(requests)).unwrap();
        });
        let open = Load {
            pace: Pace::Open(1_000),
            duration: Duration::from_secs(1),
            mix: Mix {
                requests: None,
                ..load(0).mix
            },
            ..load(0)
        };
        let outcome = put(address, &open).unwrap();
        let is_slow = |ns: u64| ns >= u64::try_from(STALL.as_nanos()).unwrap() / 4;
        let slow: u64 = outcome
            .latency
            .iter_recorded()
            .filter(|bucket| is_slow(bucket.value_iterated_to()))
            .map(|bucket| bucket.count_at_value())
            .sum();
        // 1 per ms for the first three quarters of the stall; a generator that counts from the
        // moment of sending sees a single slow request.
        assert!(slow >= 290, "{slow} slow requests");
        assert_eq!(
            outcome.answers + outcome.unsent,
            1_000,
            "no request is lost"
        );
    }
}
