//! Writes many small answers at once, for clients that pipeline.
//!
//! hyper flushes after every answer, also when the next requests are in its buffer already: one
//! system call an answer. Its own remedy (`pipeline_flush`) gathers answers without a bound, and
//! copies large values: one client with a few hundred pipelined reads of large values could make
//! it hold gigabytes. Here what is gathered has a bound, and what is large goes out as it is.
//!
//! A flush is put off only while hyper still has input that it has not looked at: when the last read
//! gave bytes, and none has been asked for since. As soon as it wants more, what was gathered goes
//! out first. While a request is being handled nothing is put off, so that a slow one does not hold
//! back the answers before it.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::handling::Handling;

/// What is gathered at most, in bytes.
const GATHERED_BYTES_MAX: usize = 16 * 1024;

/// A connection whose small writes are gathered.
#[derive(Debug)]
pub(super) struct Coalesce<T> {
    inner: T,
    gathered: Vec<u8>,
    /// How much of `gathered` has been written already.
    written: usize,
    handling: Handling,
    /// The last read gave nothing: hyper has looked at all there is, and will not read again before
    /// more has come.
    read_blocked: bool,
}

impl<T: AsyncWrite + Unpin> Coalesce<T> {
    pub(super) fn new(inner: T, handling: Handling) -> Self {
        Self {
            inner,
            gathered: Vec::new(),
            written: 0,
            handling,
            read_blocked: false,
        }
    }

    /// Hands on everything that was gathered.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.gathered.len() {
            let rest = &self.gathered[self.written..];
            match ready!(Pin::new(&mut self.inner).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.written += written,
            }
        }
        self.gathered.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }

    fn fits(&self, bytes: usize) -> bool {
        self.gathered.len() + bytes <= GATHERED_BYTES_MAX
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Coalesce<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // More input is wanted only after what was answered is on its way: a client that does not
        // read its answers is not read from.
        if !self.gathered.is_empty() {
            ready!(self.poll_drain(cx))?;
            ready!(Pin::new(&mut self.inner).poll_flush(cx))?;
        }
        let read = Pin::new(&mut self.inner).poll_read(cx, buffer);
        self.read_blocked = read.is_pending();
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Coalesce<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let bytes = slices.iter().map(|slice| slice.len()).sum();
        if !self.fits(bytes) {
            ready!(self.poll_drain(cx))?;
            if bytes > GATHERED_BYTES_MAX {
                return Pin::new(&mut self.inner).poll_write_vectored(cx, slices);
            }
        }
        for slice in slices {
            self.gathered.extend_from_slice(slice);
        }
        Poll::Ready(Ok(bytes))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.handling.is_on() && !self.read_blocked {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio_test::io::Builder;

    use super::*;

    #[tokio::test]
    async fn small_writes_go_out_together_when_input_is_wanted() {
        let io = Builder::new().write(b"one two").read(b"next").build();
        let mut io = Coalesce::new(io, Handling::default());
        io.write_all(b"one ").await.expect("gathered");
        io.flush().await.expect("put off");
        io.write_all(b"two").await.expect("gathered");
        io.flush().await.expect("put off");
        let mut next = [0; 4];
        io.read_exact(&mut next).await.expect("read");
        assert_eq!(&next, b"next");
    }

    #[tokio::test]
    async fn when_there_is_no_more_input_nothing_is_put_off() {
        let (client, server) = tokio::io::duplex(64);
        let mut io = Coalesce::new(server, Handling::default());
        let mut byte = [0; 1];
        let read = tokio_test::task::spawn(io.read(&mut byte)).poll();
        assert!(read.is_pending(), "the client has sent nothing");
        io.write_all(b"one").await.expect("gathered");
        io.flush().await.expect("flushed");
        assert!(io.gathered.is_empty());
        drop(client);
    }

    #[tokio::test]
    async fn while_a_request_is_handled_nothing_is_put_off() {
        let handling = Handling::default();
        let mut io = Coalesce::new(Builder::new().write(b"one").build(), handling.clone());
        io.write_all(b"one").await.expect("gathered");
        handling.set(true);
        io.flush().await.expect("flushed");
        assert!(io.gathered.is_empty());
    }

    #[tokio::test]
    async fn what_is_large_is_not_copied_and_comes_after_what_is_gathered() {
        let large = vec![7; GATHERED_BYTES_MAX + 1];
        let mut io = Coalesce::new(
            Builder::new().write(b"small").write(&large).build(),
            Handling::default(),
        );
        io.write_all(b"small").await.expect("gathered");
        io.write_all(&large).await.expect("written");
        assert!(io.gathered.is_empty());
    }

    #[tokio::test]
    async fn what_is_gathered_has_a_bound() {
        let piece = vec![7; GATHERED_BYTES_MAX / 4 + 1];
        let mut builder = Builder::new();
        builder.write(&piece.repeat(3)).write(&piece.repeat(2));
        let mut io = Coalesce::new(builder.build(), Handling::default());
        for _ in 0..5 {
            io.write_all(&piece).await.expect("gathered or written");
            assert!(io.gathered.len() <= GATHERED_BYTES_MAX);
        }
        io.shutdown().await.expect("written");
    }

    #[tokio::test]
    async fn the_end_of_a_connection_writes_what_is_left() {
        let mut io = Coalesce::new(Builder::new().write(b"bye").build(), Handling::default());
        io.write_all(b"bye").await.expect("gathered");
        io.shutdown().await.expect("written");
    }
}
