//! Messages over one connection: what both of its sides share.

use std::{io, time::Duration};

use bytes::BytesMut;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    sync::Notify,
    time::timeout,
};

use super::{
    WRITE_TIMEOUT,
    frame::{Decoder, FRAME_BYTES_MAX, FrameError, LENGTH_BYTES, Message, Outgoing},
};

/// Room in the buffer for each read, in bytes.
const READ_BYTES_MIN: usize = 16 * 1024;

/// Why a connection ended. For the log, and for people.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    #[error("the peer closed it")]
    Closed,
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Frame(#[from] FrameError),
    #[error("the peer sent a message out of its place")]
    OutOfPlace,
    #[error("the peer takes nothing of what is sent")]
    Stalled,
    #[error("the peer gives no sign of life")]
    Silent,
    #[error("a call got no answer in time, nor any later one")]
    Unanswered,
    #[error("it was not used")]
    Idle,
    #[error("all is said")]
    Finished,
}

impl End {
    /// Whether nobody needs to know.
    pub(super) fn is_ordinary(&self) -> bool {
        matches!(self, Self::Closed | Self::Idle | Self::Finished)
    }
}

/// The half of a connection that reads.
pub(super) struct Reader<R> {
    io: R,
    decoder: Decoder,
    buffer: BytesMut,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    pub(super) fn new(io: R) -> Self {
        Self {
            io,
            decoder: Decoder::default(),
            buffer: BytesMut::with_capacity(LENGTH_BYTES + FRAME_BYTES_MAX + READ_BYTES_MIN),
        }
    }

    /// The next message. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Result<Message, End> {
        loop {
            if let Some(message) = self.decoder.decode(&mut self.buffer)? {
                return Ok(message);
            }
            self.buffer.reserve(READ_BYTES_MIN);
            if self.io.read_buf(&mut self.buffer).await? == 0 {
                self.decoder.end(&self.buffer)?;
                return Err(End::Closed);
            }
        }
    }

    /// Reads and forgets until the peer closes, for at most `time`. A connection that is closed
    /// with something unread takes back what it has sent last.
    pub(super) async fn drain(&mut self, time: Duration) {
        let to_the_end = async {
            loop {
                self.buffer.clear();
                self.buffer.reserve(READ_BYTES_MIN);
                if !matches!(self.io.read_buf(&mut self.buffer).await, Ok(1..)) {
                    return;
                }
            }
        };
        let _ = timeout(time, to_the_end).await;
    }
}

/// Writes one message that fits into a frame.
pub(super) async fn write(io: &mut (impl AsyncWrite + Unpin), message: Message) -> io::Result<()> {
    let mut output = BytesMut::new();
    Outgoing::new(message).put_frame(&mut output);
    io.write_all(&output).await
}

/// What is to be written next.
pub(super) enum Turn {
    /// What has been appended.
    Write,
    /// Nothing, until somebody wakes the writer.
    Wait,
    /// Nothing more, ever.
    Finish,
}

/// Writes what `take_turn` appends, until it fails or is finished. `wake` must be notified after
/// each change of what there is to write.
pub(super) async fn write_turns(
    mut io: impl AsyncWrite + Unpin,
    wake: &Notify,
    mut take_turn: impl FnMut(&mut BytesMut) -> Turn,
) -> End {
    let mut output = BytesMut::with_capacity(2 * (LENGTH_BYTES + FRAME_BYTES_MAX));
    loop {
        output.clear();
        let written = match take_turn(&mut output) {
            Turn::Write => timeout(WRITE_TIMEOUT, io.write_all(&output)).await,
            Turn::Wait => {
                wake.notified().await;
                continue;
            }
            Turn::Finish => {
                let _ = timeout(WRITE_TIMEOUT, io.shutdown()).await;
                return End::Finished;
            }
        };
        match written {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return End::Io(error),
            Err(_) => return End::Stalled,
        }
    }
}
