//! The real world: several threads, sockets on the loopback address, and real time.
//!
//! Nothing repeats here; the history is the evidence. The same scenarios run as far as their
//! faults apply: bodies go at once, since the HTTP client sends them so, and times are cut short
//! ([`hurried`]).

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use tokio::{net::TcpListener, sync::oneshot};
use trandb_client::{Endpoint, HttpTransport, Transport as _, TransportError};
use trandb_server::connection;

use super::{Run, play::Stage};
use crate::{
    PATIENCE,
    faults::network::{Deliver, Trouble, Upload},
    scenario::Scenario,
};

/// Threads of the service and its clients together.
const THREADS: usize = 4;

/// Longest time of a call, in milliseconds.
const TIMEOUT_MS_MAX: u64 = 400;

/// Runs a scenario over sockets.
pub fn run_real(scenario: &Scenario) -> Run {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build()
        .expect("the system has threads");
    runtime.block_on(async {
        let stage = Stage::new(scenario, |local| local);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = connection::serve(listener, stage.app.clone(), settings(), async {
            let _ = stopped.await;
        });
        let serving = tokio::spawn(serving);
        let http = HttpTransport::with_connect_timeout(Duration::from_secs(2));
        let way = Sockets(http.expect("an HTTP client"));
        // A request that its client gave up may still be carried out: it is over when the
        // service has ended.
        let over = async || {
            let _ = stop.send(());
            let cut_off = serving.await.expect("the service does not panic");
            assert_eq!(
                cut_off, 0,
                "connections were cut off when the service ended"
            );
        };
        let endpoint = format!("http://{address}");
        let end = stage.play(scenario, &endpoint, way, over).await;
        Run::new(scenario, &stage.watch, end)
    })
}

fn settings() -> connection::Settings {
    connection::Settings {
        connections_max: 1_000,
        header_timeout: PATIENCE,
        write_timeout: PATIENCE,
        drain_delay: Duration::ZERO,
        drain_timeout: PATIENCE,
    }
}

/// The same scenario in less time, and without what needs a network of our own.
#[must_use]
pub fn hurried(mut scenario: Scenario) -> Scenario {
    for client in &mut scenario.schedule.clients {
        client.timeout_ms = client.timeout_ms.min(TIMEOUT_MS_MAX);
        for step in &mut client.steps {
            step.think_ms = step.think_ms.min(2);
            let passage = &mut step.passage;
            passage.out_ms = passage.out_ms.min(2);
            passage.back_ms = passage.back_ms.min(2);
            passage.trouble = match passage.trouble.take() {
                Some(Trouble::SlowBody { .. } | Trouble::CutBody { .. }) => None,
                Some(Trouble::Late { after_ms }) => Some(Trouble::Late {
                    after_ms: after_ms.min(20),
                }),
                Some(Trouble::Duplicate { after_ms }) => Some(Trouble::Duplicate {
                    after_ms: after_ms.min(20),
                }),
                other => other,
            };
        }
    }
    for disturbance in &mut scenario.disturbances {
        disturbance.at_ms = disturbance.at_ms.min(50);
        disturbance.for_ms = disturbance.for_ms.min(100);
    }
    scenario.seam.pause_ms_max = scenario.seam.pause_ms_max.min(2);
    // What is left then stays locked for seconds.
    scenario.seam.vanish_percent = 0;
    scenario
}

/// The client library's own transport.
#[derive(Debug)]
pub(super) struct Sockets(pub(super) HttpTransport);

impl Deliver for Sockets {
    async fn deliver(
        &self,
        endpoint: &Endpoint,
        request: Request<Bytes>,
        _: Upload,
    ) -> Result<Response<Bytes>, TransportError> {
        self.0.send(endpoint, request).await
    }
}
