//! Reading a value from a client that may be slow, wrong or gone.

use std::{future::poll_fn, pin::Pin, task::Poll, time::Duration};

use bytes::Bytes;
use tokio::time::{Instant, timeout_at};
use trandb_common::{ErrorCode, Value, limits::VALUE_BYTES_MAX};

use super::{
    RequestBody,
    problem::{Rejection, value_too_large},
};
use std::sync::Arc;

use crate::in_flight::{InFlight, Permit};

/// What is reserved at first for a body of any announced length: an announcement is cheap.
const RESERVED_BYTES_MAX: usize = 64 * 1024;

/// A value that has arrived whole. Its bytes count as in flight until it is stored.
#[derive(Debug)]
pub(super) struct Upload {
    pub(super) value: Value,
    pub(super) _permit: Permit,
}

/// Reads a whole body as a value, within `time`.
///
/// What is announced as too large is refused before a byte is read; what turns out too large, at
/// the first byte too many. The value owns exactly its bytes: nothing of the connection's buffer
/// is kept.
pub(super) async fn read<B: RequestBody>(
    body: &mut B,
    in_flight: &Arc<InFlight>,
    time: Duration,
) -> Result<Upload, Rejection> {
    let announced = body.size_hint().exact();
    if announced.is_some_and(|bytes| bytes > VALUE_BYTES_MAX as u64) {
        return Err(value_too_large(announced));
    }
    let mut permit = in_flight.take(0).ok_or_else(overloaded)?;
    let deadline = Instant::now() + time;

    // A small body has mostly arrived with its head, as one piece.
    let Some(first) = next_piece(body, deadline).await? else {
        // A body that has ended must not be asked again.
        return Ok(Upload {
            value: Value::default(),
            _permit: permit,
        });
    };
    take(&mut permit, &first)?;
    if announced == Some(first.len() as u64) {
        return Ok(Upload {
            value: Value::copy_from(&first)?,
            _permit: permit,
        });
    }

    let announced = announced
        .and_then(|bytes| usize::try_from(bytes).ok())
        .unwrap_or_default();
    let mut bytes =
        Vec::with_capacity(announced.clamp(first.len(), RESERVED_BYTES_MAX.max(first.len())));
    bytes.extend_from_slice(&first);
    drop(first);
    while let Some(piece) = next_piece(body, deadline).await? {
        if bytes.len() + piece.len() > VALUE_BYTES_MAX {
            return Err(value_too_large(None));
        }
        take(&mut permit, &piece)?;
        bytes.extend_from_slice(&piece);
    }
    Ok(Upload {
        value: Value::copy_from(&bytes)?,
        _permit: permit,
    })
}

/// Reads on and throws away, so that a client that sends its whole body before it looks at the
/// answer gets to see the answer instead of a reset connection. Bounded in bytes and time: a
/// client that sends still more is cut off.
pub(super) async fn discard<B: RequestBody>(mut body: B) {
    const BYTES_MAX: usize = 2 * VALUE_BYTES_MAX;
    const TIME_MAX: Duration = Duration::from_secs(5);
    let deadline = Instant::now() + TIME_MAX;
    let mut bytes = 0;
    while let Ok(Some(piece)) = next_piece(&mut body, deadline).await {
        bytes += piece.len();
        if bytes > BYTES_MAX {
            return;
        }
    }
}

pub(super) fn take(permit: &mut Permit, piece: &Bytes) -> Result<(), Rejection> {
    if permit.grow(piece.len() as u64) {
        Ok(())
    } else {
        Err(overloaded())
    }
}

/// The next bytes of the body, none at its end.
pub(super) async fn next_piece<B: RequestBody>(
    body: &mut B,
    deadline: Instant,
) -> Result<Option<Bytes>, Rejection> {
    loop {
        let mut poll = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx));
        // What is there already needs no timer.
        let frame = match futures_util::poll!(&mut poll) {
            Poll::Ready(frame) => frame,
            Poll::Pending => timeout_at(deadline, poll).await.map_err(|_| too_slow())?,
        };
        match frame {
            None => return Ok(None),
            Some(Err(error)) => return Err(cut_off(&error.into())),
            Some(Ok(frame)) => {
                // Trailers mean nothing to us.
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}

pub(super) fn overloaded() -> Rejection {
    Rejection::new(
        ErrorCode::Overloaded,
        "Too many bytes are on their way to or from this server. Nothing was changed. Try again \
         in a moment, or with fewer requests at a time.",
    )
}

fn too_slow() -> Rejection {
    Rejection::new(
        ErrorCode::RequestTimeout,
        "The body did not arrive in time. Nothing was changed.",
    )
}

fn cut_off(error: &super::BoxError) -> Rejection {
    Rejection::new(
        ErrorCode::MalformedBody,
        format!("The body ended early or is not well formed ({error}). Nothing was changed."),
    )
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::{StreamExt as _, stream};
    use http_body::Frame;
    use http_body_util::StreamBody;

    use super::*;

    /// Unlike hyper's, many bodies panic when they are polled after their end.
    #[tokio::test]
    async fn a_body_without_a_byte_is_read_to_its_end_and_no_further() {
        let nothing = stream::unfold((), |()| async { None::<(Result<_, Infallible>, ())> });
        let mut body = StreamBody::new(Box::pin(
            nothing.map(|frame| frame.map(Frame::<Bytes>::data)),
        ));
        let in_flight = InFlight::new(0);
        let upload = read(&mut body, &in_flight, Duration::from_secs(1)).await;
        assert!(upload.expect("read").value.is_empty());
    }
}
