//! Clients that go on when a node dies: each writes one key after another, to another node if one
//! does not answer, and again until it is acknowledged.
//!
//! A thread each. Writing again what may have been written is right here, since a key always gets
//! the same value. Tests: at the end of this file.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow, bail};

use crate::{
    process::pause,
    protocol::{Dialect, Fault, Protocol},
    workload::{Operation, Request},
};

const CONNECT_MAX: Duration = Duration::from_millis(500);

/// Longer than any server keeps a client waiting.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Between an attempt that failed and the next.
const AGAIN: Duration = Duration::from_millis(5);

/// A write that was acknowledged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Acknowledged {
    /// The number of the key.
    pub(super) key: u64,
    /// When the last attempt was begun, which succeeded.
    pub(super) sent: Instant,
    /// When the first attempt was begun.
    pub(super) begun: Instant,
    /// When the answer came.
    pub(super) at: Instant,
}

impl Acknowledged {
    /// How long the client waited, all attempts together.
    pub(super) fn wait(&self) -> Duration {
        self.at - self.begun
    }
}

/// Some clients; they end with this value.
pub(super) struct Clients {
    control: Arc<Control>,
    acknowledged: mpsc::Receiver<Acknowledged>,
    threads: Vec<JoinHandle<anyhow::Result<()>>>,
}

#[derive(Default)]
struct Control {
    stopping: AtomicBool,
    /// How often clients were sent back to the nodes where they began.
    rounds: AtomicU64,
}

/// What clients have in common.
#[derive(Clone)]
pub(super) struct Habits {
    /// The nodes; each client begins with the next one.
    pub(super) addresses: Vec<SocketAddr>,
    /// Bytes of a value.
    pub(super) value_size: usize,
    /// Between an acknowledgement and the next write.
    pub(super) pause: Duration,
}

impl Clients {
    /// Starts so many. `key` gives a client's next key by its number and a random number.
    pub(super) fn start(
        count: usize,
        habits: &Habits,
        key: impl Fn(usize, u64) -> u64 + Send + Clone + 'static,
    ) -> Self {
        let control = Arc::new(Control::default());
        let (sender, acknowledged) = mpsc::channel();
        let threads = (0..count).map(|number| {
            let (control, sender) = (Arc::clone(&control), sender.clone());
            let (key, habits) = (key.clone(), habits.clone());
            std::thread::spawn(move || {
                let mut random = fastrand::Rng::with_seed(number as u64);
                run(number, &habits, &control, &sender, || {
                    key(number, random.u64(..))
                })
            })
        });
        let threads = threads.collect();
        Self {
            control,
            acknowledged,
            threads,
        }
    }

    /// Sends all clients back to the nodes where they began.
    pub(super) fn go_back(&self) {
        self.control.rounds.fetch_add(1, Ordering::Relaxed);
    }

    /// What was acknowledged since the last call.
    ///
    /// Errors: a client has ended, because an answer was wrong.
    pub(super) fn acknowledged(&mut self) -> anyhow::Result<Vec<Acknowledged>> {
        while let Some(ended) = self.threads.iter().position(JoinHandle::is_finished) {
            join(self.threads.swap_remove(ended))?;
        }
        Ok(self.acknowledged.try_iter().collect())
    }

    /// Ends all, and returns what was acknowledged since.
    pub(super) fn stop(mut self) -> anyhow::Result<Vec<Acknowledged>> {
        self.control.stopping.store(true, Ordering::Relaxed);
        self.threads.drain(..).try_for_each(join)?;
        Ok(self.acknowledged.try_iter().collect())
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        self.control.stopping.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // Whoever wants to know has called `stop`.
            let _ = thread.join();
        }
    }
}

fn join(thread: JoinHandle<anyhow::Result<()>>) -> anyhow::Result<()> {
    let ended = thread.join();
    ended.map_err(|_| anyhow!("a client panicked"))?
}

fn run(
    number: usize,
    habits: &Habits,
    control: &Control,
    acknowledged: &mpsc::Sender<Acknowledged>,
    mut key: impl FnMut() -> u64,
) -> anyhow::Result<()> {
    let protocol = Dialect::Trandb.protocol(habits.value_size);
    let mut client = Client {
        addresses: &habits.addresses,
        at: number,
        stream: None,
        inbound: Vec::new(),
        protocol: &*protocol,
    };
    let mut round = 0;
    loop {
        let now = control.rounds.load(Ordering::Relaxed);
        if now != round {
            round = now;
            client.stream = None;
            client.at = number;
        }
        let key = key();
        let begun = Instant::now();
        loop {
            if control.stopping.load(Ordering::Relaxed) {
                return Ok(());
            }
            let sent = Instant::now();
            if client.put(key)? {
                let at = Instant::now();
                let write = Acknowledged {
                    key,
                    sent,
                    begun,
                    at,
                };
                if acknowledged.send(write).is_err() {
                    return Ok(());
                }
                break;
            }
            client.stream = None;
            client.at += 1;
            pause(AGAIN);
        }
        pause(habits.pause);
    }
}

struct Client<'a> {
    addresses: &'a [SocketAddr],
    /// Which of them, and again from the first.
    at: usize,
    stream: Option<TcpStream>,
    inbound: Vec<u8>,
    protocol: &'a dyn Protocol,
}

impl Client<'_> {
    /// Whether the write was acknowledged. If not, it may have happened all the same.
    ///
    /// Errors: an answer that no node may give.
    fn put(&mut self, key: u64) -> anyhow::Result<bool> {
        let request = Request {
            operation: Operation::Put,
            key,
        };
        let Ok(()) = self.send(request) else {
            return Ok(false);
        };
        self.inbound.clear();
        loop {
            if let Some(answer) = self.protocol.decode(request, &self.inbound)? {
                return match answer.fault {
                    None => Ok(true),
                    Some(Fault::Refused(words)) if is_passing(&words) => Ok(false),
                    Some(fault) => bail!("a write was answered by {fault}"),
                };
            }
            let mut buffer = [0; 4096];
            let stream = self.stream.as_mut().context("not connected")?;
            match stream.read(&mut buffer) {
                Ok(0) | Err(_) => return Ok(false),
                Ok(bytes) => self.inbound.extend_from_slice(&buffer[..bytes]),
            }
        }
    }

    fn send(&mut self, request: Request) -> std::io::Result<()> {
        let mut bytes = Vec::new();
        self.protocol.encode(request, &mut bytes);
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => {
                let address = self.addresses[self.at % self.addresses.len()];
                let stream = TcpStream::connect_timeout(&address, CONNECT_MAX)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(ANSWER_MAX))?;
                stream.set_write_timeout(Some(ANSWER_MAX))?;
                none.insert(stream)
            }
        };
        stream.write_all(&bytes)
    }
}

/// Nobody leads, or the answer of who led was lost.
fn is_passing(words: &str) -> bool {
    words.starts_with("503 ") || words.starts_with("504 ")
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// A server of one connection that answers each read by one of `answers`, and then closes it.
    fn server(answers: &'static [&'static str]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            for answer in answers {
                let mut buffer = [0; 4096];
                if stream.read(&mut buffer).unwrap_or(0) == 0 {
                    return;
                }
                let head = format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n");
                stream.write_all(head.as_bytes()).unwrap();
            }
        });
        address
    }

    fn clients(addresses: Vec<SocketAddr>) -> Clients {
        let habits = Habits {
            addresses,
            value_size: 20,
            pause: Duration::ZERO,
        };
        Clients::start(1, &habits, |_, random| random % 10)
    }

    #[test]
    fn a_write_goes_on_at_another_node_until_it_is_acknowledged() {
        let first = server(&["200 OK", "503 No"]);
        let second = server(&["504 No"]);
        let third = server(&["200 OK", "200 OK", "500 No"]);
        let clients = clients(vec![first, second, third]);
        let writes: Vec<Acknowledged> = clients.acknowledged.iter().take(3).collect();
        // The second one was tried three times, with a pause after the first two.
        assert!(writes[1].wait() >= 2 * AGAIN, "{writes:?}");
        assert!(writes[1].sent >= writes[1].begun + 2 * AGAIN, "{writes:?}");
        assert!(writes.iter().all(|write| write.sent <= write.at));
    }

    #[test]
    fn an_answer_that_no_node_may_give_is_an_error() {
        let mut clients = clients(vec![server(&["200 OK", "500 No"])]);
        let error = loop {
            match clients.acknowledged() {
                Ok(_) => std::thread::yield_now(),
                Err(error) => break error.to_string(),
            }
        };
        assert!(error.contains("500"), "{error}");
    }
}
