//! Ends a connection whose client takes too long to send the head of a request.
//!
//! hyper can do that too, but makes a timer for every head. Here a connection has one timer, which
//! is set again only when it has run out: it then waits for as long as the present head has left.
//!
//! The time of a head begins when the answer before it has been handed to the socket whole, so a
//! slow download is not cut off; that has a time of its own. It does not begin anew with every byte.
//! When a refused body was still being thrown away after the answer, the next head may get up to
//! twice the time.
//!
//! Not here: time-outs of bodies (`http::upload`) and of answers (`TimeoutWriter`).

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

use super::handling::Handling;

/// A stream that fails to be read from when a head has been awaited for too long.
#[derive(Debug)]
pub(super) struct HeadDeadline<T> {
    inner: T,
    handling: Handling,
    time: Duration,
    /// Something was written and not flushed since.
    sending: bool,
    /// When the wait for a head began, if one is awaited.
    since: Instant,
    timer: Pin<Box<Sleep>>,
    /// Whom the timer wakes.
    waker: Option<Waker>,
}

impl<T> HeadDeadline<T> {
    /// The first head is awaited from now on.
    pub(super) fn new(inner: T, handling: Handling, time: Duration) -> Self {
        handling.await_head();
        Self {
            inner,
            handling,
            time,
            sending: false,
            since: Instant::now(),
            timer: Box::pin(sleep(time)),
            waker: None,
        }
    }

    fn begin_sending(&mut self) {
        self.sending = true;
        self.handling.head_not_awaited();
    }

    /// The wait for a head begins now, unless it has begun already or something comes before it.
    fn await_head(&mut self) {
        if !self.sending && self.handling.await_head() {
            self.since = Instant::now();
        }
    }

    /// Makes sure that the timer will wake this task; fails when a head is overdue.
    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let waker = self.waker.as_ref();
        if !self.timer.is_elapsed() && waker.is_some_and(|waker| waker.will_wake(cx.waker())) {
            return Ok(());
        }
        self.waker = Some(cx.waker().clone());
        while self.timer.as_mut().poll(cx).is_ready() {
            // A wait that began with the end of a body was not noticed.
            self.await_head();
            let begin = if self.handling.is_head_awaited() {
                self.since
            } else {
                Instant::now()
            };
            let deadline = begin + self.time;
            if deadline <= Instant::now() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.timer.as_mut().reset(deadline);
        }
        Ok(())
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for HeadDeadline<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.inner).poll_read(cx, buffer);
        if read.is_pending() {
            self.check(cx)?;
        }
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for HeadDeadline<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.begin_sending();
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.begin_sending();
        Pin::new(&mut self.inner).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.inner).poll_flush(cx))?;
        self.sending = false;
        self.await_head();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;

    const TIME: Duration = Duration::from_secs(10);
    const ALMOST: Duration = Duration::from_secs(9);

    /// The client's end, and the server's with what the service would say of it.
    fn connection() -> (DuplexStream, HeadDeadline<DuplexStream>, Handling) {
        let (client, server) = duplex(4);
        let handling = Handling::default();
        let server = HeadDeadline::new(server, handling.clone(), TIME);
        (client, server, handling)
    }

    /// Waits for input that does not come, and returns how long that took.
    async fn time_out(server: &mut HeadDeadline<DuplexStream>) -> Duration {
        let begin = Instant::now();
        let read = server.read(&mut [0; 4]).await;
        let error = read.expect_err("the client sends nothing");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        begin.elapsed()
    }

    /// Input that does not come may be waited for as long as `time`.
    async fn assert_waits_for(server: &mut HeadDeadline<DuplexStream>, time: Duration) {
        let mut bytes = [0; 4];
        let read = tokio::time::timeout(time, server.read(&mut bytes)).await;
        assert!(read.is_err(), "{read:?}");
    }

    fn assert_about(actual: Duration, expected: Duration) {
        let difference = actual.abs_diff(expected);
        assert!(difference < Duration::from_millis(10), "{actual:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_head_has_its_time() {
        let (_client, mut server, _) = connection();
        assert_about(time_out(&mut server).await, TIME);
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_in_drops_gets_no_more_time() {
        let (mut client, mut server, _) = connection();
        for _ in 0..3 {
            sleep(TIME / 4).await;
            client.write_all(b"G").await.expect("open");
            assert_eq!(server.read(&mut [0; 4]).await.expect("in time"), 1);
        }
        assert_about(time_out(&mut server).await, TIME / 4);
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_begins_anew_after_an_answer() {
        let (mut client, mut server, handling) = connection();
        for _ in 0..3 {
            assert_waits_for(&mut server, ALMOST).await;
            handling.head_not_awaited();
            server.write_all(b"done").await.expect("open");
            server.flush().await.expect("open");
            client.read_exact(&mut [0; 4]).await.expect("answered");
        }
        assert_about(time_out(&mut server).await, TIME);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_takes_long_is_not_cut_off() {
        let (mut client, mut server, handling) = connection();
        handling.head_not_awaited();
        handling.set(true);
        assert_waits_for(&mut server, 5 * TIME).await;
        handling.set(false);
        server.write_all(b"done").await.expect("open");
        server.flush().await.expect("open");
        client.read_exact(&mut [0; 4]).await.expect("answered");
        assert_about(time_out(&mut server).await, TIME);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_download_is_not_cut_off() {
        let (_client, mut server, handling) = connection();
        handling.head_not_awaited();
        server.write_all(b"one ").await.expect("room");
        server.flush().await.expect("open");
        let stuck = server.write_all(b"two ");
        assert!(tokio::time::timeout(5 * TIME, stuck).await.is_err());
        assert_waits_for(&mut server, 5 * TIME).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_body_that_is_thrown_away_is_not_cut_off() {
        let (mut client, mut server, handling) = connection();
        handling.head_not_awaited();
        let body = super::super::handling::Receiving::new((), handling.clone());
        server.write_all(b"no! ").await.expect("open");
        server.flush().await.expect("open");
        client.read_exact(&mut [0; 4]).await.expect("answered");
        assert_waits_for(&mut server, 5 * TIME).await;
        drop(body);
        let time = time_out(&mut server).await;
        assert!(
            (TIME..=2 * TIME + Duration::from_millis(10)).contains(&time),
            "{time:?}"
        );
    }
}
