//! Connections beyond the limit: told why, and closed.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Semaphore,
    time::timeout,
};
use trandb_common::{ErrorCode, PROBLEM_CONTENT_TYPE, Problem};

/// How many clients are told at a time; those beyond are closed without a word.
const REFUSALS_MAX: usize = 64;
/// How long one may take to listen.
const TIME_MAX: Duration = Duration::from_secs(1);
/// How much is read of what it sends meanwhile.
const READ_BYTES_MAX: u64 = 64 * 1024;

/// Refuses connections, a bounded number at a time.
#[derive(Debug)]
pub(super) struct Refusals {
    permits: Arc<Semaphore>,
    answer: Arc<[u8]>,
}

impl Default for Refusals {
    fn default() -> Self {
        Self {
            permits: Arc::new(Semaphore::new(REFUSALS_MAX)),
            answer: answer().into(),
        }
    }
}

impl Refusals {
    /// Answers 503 without reading the request, then closes.
    pub(super) fn refuse(&self, mut stream: TcpStream) {
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            return;
        };
        let answer = Arc::clone(&self.answer);
        tokio::spawn(async move {
            let told = async {
                stream.write_all(&answer).await?;
                stream.shutdown().await?;
                // Closing with unread bytes would reset the connection, and lose the answer.
                tokio::io::copy(&mut stream.take(READ_BYTES_MAX), &mut tokio::io::sink()).await
            };
            let _ = timeout(TIME_MAX, told).await;
            drop(permit);
        });
    }
}

fn answer() -> Vec<u8> {
    let problem = Problem::new(
        ErrorCode::Overloaded,
        "This server has as many connections as it takes. Nothing was changed. Try again in a \
         moment, and keep connections open for several requests.",
    );
    let body = serde_json::to_string(&problem).unwrap_or_default();
    format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: {PROBLEM_CONTENT_TYPE}\r\n\
         cache-control: no-store\r\nretry-after: 1\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
