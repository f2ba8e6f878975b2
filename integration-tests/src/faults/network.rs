//! The network between one client and the service, as a transport of the client library.
//!
//! Each request takes a [`Passage`] that its step names: how long it takes, and at most one
//! [`Trouble`]. What the client sends again by itself passes without trouble.
//!
//! A request that is delivered twice is two operations. The second is recorded as one of a process
//! of its own, from when it is delivered until its answer is known: it may take effect at another
//! time than its call, and no client ever hears of it.
//!
//! What stands behind it is a [`Deliver`]: the service itself, or a socket.

use std::{
    fmt,
    future::pending,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use fastrand::Rng;
use http::{Request, Response};
use serde::{Deserialize, Serialize};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};
use trandb_client::{Endpoint, Transport, TransportError};

use crate::{
    counts::Tally,
    recorder::{Answered, Asked, By, InFlight, Recorder, words},
    trace::Trace,
    traffic::Call,
};

/// How long an answer is waited for that no client waits for: longer than any is on its way.
const STRAY_TIME_MAX: Duration = Duration::from_secs(70);

/// How a request and its answer travel.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passage {
    /// From the client to the service, in milliseconds.
    pub out_ms: u32,
    /// And back.
    pub back_ms: u32,
    /// What goes wrong, if anything does.
    pub trouble: Option<Trouble>,
}

/// What goes wrong on the way. Times are in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trouble {
    /// No connection is made: nothing was sent.
    Refused,
    /// The request does not arrive.
    RequestLost {
        /// Whether nobody says so, and the client waits for its time-out.
        silent: bool,
    },
    /// The request is carried out, its answer does not arrive.
    AnswerLost {
        /// Whether nobody says so, and the client waits for its time-out.
        silent: bool,
    },
    /// The client sees the connection break; the request arrives later.
    Late {
        /// By how much.
        after_ms: u32,
    },
    /// The request arrives a second time.
    Duplicate {
        /// How much later than the first time.
        after_ms: u32,
    },
    /// The body comes in pieces.
    SlowBody {
        /// How many.
        pieces: u8,
        /// Between two of them.
        pause_ms: u32,
    },
    /// The connection breaks in the middle of the body.
    CutBody {
        /// After so much of it.
        percent: u8,
    },
    /// The client gives the call up.
    Cancel {
        /// So much after it began.
        after_ms: u32,
    },
}

/// A kind of trouble.
#[derive(Debug)]
pub struct Kind {
    /// As it is counted.
    pub name: &'static str,
    /// Whether it can happen to this call.
    pub fits: fn(&Call) -> bool,
    /// Draws one.
    pub draw: fn(&mut Rng) -> Trouble,
}

/// All kinds of trouble.
pub const KINDS: &[Kind] = &[
    Kind {
        name: "connection refused",
        fits: |_| true,
        draw: |_| Trouble::Refused,
    },
    Kind {
        name: "request lost",
        fits: |_| true,
        draw: |rng| Trouble::RequestLost { silent: rng.bool() },
    },
    Kind {
        name: "answer lost",
        fits: |_| true,
        draw: |rng| Trouble::AnswerLost { silent: rng.bool() },
    },
    Kind {
        name: "late request",
        fits: Call::is_write,
        draw: |rng| Trouble::Late {
            after_ms: rng.u32(..200),
        },
    },
    Kind {
        name: "duplicate request",
        fits: Call::is_write,
        draw: |rng| Trouble::Duplicate {
            after_ms: rng.u32(..200),
        },
    },
    Kind {
        name: "slow body",
        fits: Call::has_body,
        draw: |rng| Trouble::SlowBody {
            pieces: rng.u8(2..=6),
            pause_ms: rng.u32(..20),
        },
    },
    Kind {
        name: "cut body",
        fits: Call::has_body,
        draw: |rng| Trouble::CutBody {
            percent: rng.u8(..100),
        },
    },
    Kind {
        name: "call given up",
        fits: |_| true,
        draw: |rng| Trouble::Cancel {
            after_ms: rng.u32(..30),
        },
    },
];

impl Trouble {
    /// As it is counted.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Refused => "connection refused",
            Self::RequestLost { .. } => "request lost",
            Self::AnswerLost { .. } => "answer lost",
            Self::Late { .. } => "late request",
            Self::Duplicate { .. } => "duplicate request",
            Self::SlowBody { .. } => "slow body",
            Self::CutBody { .. } => "cut body",
            Self::Cancel { .. } => "call given up",
        }
    }
}

impl Trouble {
    /// Whether the request may arrive after its client has been answered.
    fn copies(&self) -> bool {
        matches!(self, Self::Late { .. } | Self::Duplicate { .. })
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::Refused => Ok(()),
            Self::RequestLost { silent } | Self::AnswerLost { silent } => {
                f.write_str(if *silent { " silently" } else { "" })
            }
            Self::Late { after_ms } | Self::Duplicate { after_ms } | Self::Cancel { after_ms } => {
                write!(f, " after {after_ms} ms")
            }
            Self::SlowBody { pieces, pause_ms } => {
                write!(f, ": {pieces} pieces, {pause_ms} ms between")
            }
            Self::CutBody { percent } => write!(f, " after {percent} %"),
        }
    }
}

impl fmt::Display for Passage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (out, back) = (self.out_ms, self.back_ms);
        write!(f, "{out} + {back} ms")?;
        match &self.trouble {
            Some(trouble) => write!(f, ", {trouble}"),
            None => Ok(()),
        }
    }
}

/// How a body is sent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Upload {
    /// At once.
    #[default]
    Whole,
    /// In pieces.
    Pieces {
        /// How many.
        pieces: u8,
        /// Between two of them, in milliseconds.
        pause_ms: u32,
    },
    /// Cut off.
    Cut {
        /// After so much of it.
        percent: u8,
    },
}

/// What takes requests at the far end of the network.
pub trait Deliver: Send + Sync + 'static {
    /// Carries out one request.
    fn deliver(
        &self,
        endpoint: &Endpoint,
        request: Request<Bytes>,
        upload: Upload,
    ) -> impl Future<Output = Result<Response<Bytes>, TransportError>> + Send;
}

/// The network of a run: what stands behind it, and what is still on its way. A clone is another
/// handle of the same one.
#[derive(Debug)]
pub struct Network<D> {
    shared: Arc<Shared<D>>,
}

#[derive(Debug)]
struct Shared<D> {
    service: D,
    recorder: Recorder,
    tally: Tally,
    trace: Trace,
    strays: Mutex<JoinSet<()>>,
}

impl<D> Clone for Network<D> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<D: Deliver> Network<D> {
    /// A network in front of `service`.
    pub fn new(service: D, recorder: Recorder, tally: Tally, trace: Trace) -> Self {
        Self {
            shared: Arc::new(Shared {
                service,
                recorder,
                tally,
                trace,
                strays: Mutex::default(),
            }),
        }
    }

    /// A client's own way into it.
    pub fn line(&self, by: By) -> Line<D> {
        Line {
            network: self.clone(),
            by,
            next: Arc::default(),
        }
    }

    /// Waits for requests that no client waits for any more. If one of them panicked, so does
    /// this.
    pub async fn settle(&self) {
        loop {
            let mut strays = std::mem::take(&mut *self.strays());
            if strays.is_empty() {
                return;
            }
            while let Some(ended) = strays.join_next().await {
                if let Err(error) = ended {
                    std::panic::resume_unwind(error.into_panic());
                }
            }
        }
    }

    fn strays(&self) -> std::sync::MutexGuard<'_, JoinSet<()>> {
        let strays = self.shared.strays.lock();
        strays.unwrap_or_else(PoisonError::into_inner)
    }
}

/// One client's way into the network: the transport of its client library.
#[derive(Debug)]
pub struct Line<D> {
    network: Network<D>,
    by: By,
    next: Arc<Mutex<Expected>>,
}

/// What the next request is.
#[derive(Debug, Clone, Default)]
struct Expected {
    passage: Passage,
    call: Option<(InFlight, Asked)>,
    /// Whether trouble waits for the request that commits.
    at_commit: bool,
}

impl<D> Clone for Line<D> {
    fn clone(&self) -> Self {
        Self {
            network: self.network.clone(),
            by: self.by,
            next: Arc::clone(&self.next),
        }
    }
}

impl<D: Deliver> Line<D> {
    /// Says what the next request asks, and how it travels.
    pub fn expect(&self, call: InFlight, asked: Asked, passage: Passage) {
        *self.next() = Expected {
            passage,
            call: Some((call, asked)),
            at_commit: false,
        };
    }

    /// The same of a transaction that looks first: what goes wrong goes wrong with its commit.
    pub fn expect_commit(&self, call: InFlight, asked: Asked, passage: Passage) {
        self.expect(call, asked, passage);
        self.next().at_commit = true;
    }

    fn next(&self) -> std::sync::MutexGuard<'_, Expected> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends again travel as far, but without trouble.
    fn take(&self, commits: bool) -> Expected {
        let mut next = self.next();
        let mut taken = next.clone();
        if next.at_commit && !commits {
            taken.passage.trouble = None;
        } else {
            next.passage.trouble = None;
        }
        taken
    }

    async fn deliver(
        &self,
        endpoint: &Endpoint,
        request: Request<Bytes>,
        upload: Upload,
    ) -> Result<Response<Bytes>, TransportError> {
        let shared = &self.network.shared;
        let path = request.uri().clone();
        let trace = |what: fmt::Arguments<'_>| shared.trace.line(self.by, what);
        trace(format_args!("  arrives: {} {path}", request.method()));
        let id = words::sent(&request).map(|sent| sent.id);
        let id = id.or_else(|| words::aborts(&request));
        let answer = shared.service.deliver(endpoint, request, upload).await;
        match &answer {
            Ok(answer) => {
                trace(format_args!("  answered: {} {path}", answer.status()));
                if let Some((id, word)) = id.zip(words::said(answer)) {
                    shared.recorder.told(id, self.by, word);
                }
            }
            Err(error) => trace(format_args!("  not answered: {error}")),
        }
        answer
    }

    /// Delivers a request later, for nobody.
    fn deliver_later(
        &self,
        endpoint: &Endpoint,
        request: Request<Bytes>,
        after_ms: u32,
        asked: Option<Asked>,
    ) {
        let (endpoint, recorder) = (endpoint.clone(), self.network.shared.recorder.clone());
        let mut line = self.clone();
        line.by = By::Network;
        let stray = async move {
            sleep(milliseconds(after_ms)).await;
            let recorded = asked.map(|asked| {
                let process = recorder.new_process();
                recorder.call(process, By::Network, asked)
            });
            let delivering = line.deliver(&endpoint, request, Upload::Whole);
            let answer = timeout(STRAY_TIME_MAX, delivering).await;
            let answer = answer.unwrap_or_else(|_| Err(TransportError::maybe_sent("no answer")));
            if let Some(call) = recorded {
                recorder.returned(call, Answered::to_nobody(answer));
            }
        };
        self.network.strays().spawn(stray);
    }
}

impl<D: Deliver> Transport for Line<D> {
    async fn send(
        &self,
        endpoint: &Endpoint,
        request: Request<Bytes>,
    ) -> Result<Response<Bytes>, TransportError> {
        let shared = &self.network.shared;
        if request.uri() == "/cluster" {
            // The client asks for itself, beside what it is told to do.
            return self.deliver(endpoint, request, Upload::Whole).await;
        }
        let sent = words::sent(&request);
        let Expected { passage, call, .. } = self.take(sent.is_some());
        if let (Some(sent), Some((call, _))) = (&sent, &call) {
            shared.recorder.sent(*call, sent);
            if passage.trouble.as_ref().is_some_and(Trouble::copies) {
                shared.recorder.copied(*call);
            }
        }
        // What has an id is the same operation, however often it arrives.
        let asked = call.filter(|_| sent.is_none()).map(|(_, asked)| asked);
        if let Some(trouble) = &passage.trouble {
            shared.tally.count(trouble.name());
        }
        if passage.trouble == Some(Trouble::Refused) {
            return Err(TransportError::not_sent("refused by the simulated network"));
        }
        sleep(milliseconds(passage.out_ms)).await;
        let mut upload = Upload::Whole;
        match passage.trouble {
            Some(Trouble::RequestLost { silent }) => return lost(silent).await,
            Some(Trouble::Late { after_ms }) => {
                // Its own call stays open: that covers the moment when it takes effect.
                self.deliver_later(endpoint, request, after_ms, None);
                return lost(false).await;
            }
            Some(Trouble::Duplicate { after_ms }) => {
                self.deliver_later(endpoint, request.clone(), after_ms, asked);
            }
            Some(Trouble::SlowBody { pieces, pause_ms }) => {
                upload = Upload::Pieces { pieces, pause_ms };
            }
            Some(Trouble::CutBody { percent }) => upload = Upload::Cut { percent },
            _ => {}
        }
        let answer = self.deliver(endpoint, request, upload).await;
        sleep(milliseconds(passage.back_ms)).await;
        match passage.trouble {
            Some(Trouble::AnswerLost { silent }) => lost(silent).await,
            // The connection is gone, and the answer with it.
            Some(Trouble::CutBody { .. }) => lost(false).await,
            _ => answer,
        }
    }
}

async fn lost(silent: bool) -> Result<Response<Bytes>, TransportError> {
    if silent {
        pending::<()>().await;
    }
    let reason = "the simulated network broke the connection";
    Err(TransportError::maybe_sent(reason))
}

fn milliseconds(number: u32) -> Duration {
    Duration::from_millis(u64::from(number))
}
