//! The body of an answer.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use trandb_common::Value;

use crate::in_flight::Permit;

/// Any error of a body.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A large value goes out in pieces of this many bytes, so that a slow reader holds no copy of it.
const PIECE_BYTES: usize = 64 * 1024;

/// The body of an answer: a stored value, or what axum made.
#[derive(Debug)]
pub struct Body(Kind);

#[derive(Debug)]
enum Kind {
    /// What is left to send. Its bytes are the stored ones, and count as in flight.
    Value {
        rest: Bytes,
        _permit: Option<Permit>,
    },
    Axum(axum::body::Body),
}

impl Body {
    /// No bytes.
    pub(super) fn empty() -> Self {
        Self(Kind::Value {
            rest: Bytes::new(),
            _permit: None,
        })
    }

    /// Bytes made for this answer, which count as in flight like a value's.
    pub(super) fn made(bytes: Vec<u8>, permit: Permit) -> Self {
        Self(Kind::Value {
            rest: bytes.into(),
            _permit: Some(permit),
        })
    }

    /// A stored value. It counts as in flight until the last piece is taken.
    pub(super) fn value(value: Value, permit: Permit) -> Self {
        Self(Kind::Value {
            rest: value.into_bytes(),
            _permit: Some(permit),
        })
    }
}

impl From<axum::body::Body> for Body {
    fn from(body: axum::body::Body) -> Self {
        Self(Kind::Axum(body))
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Kind::Value {
            rest: bytes.into(),
            _permit: None,
        })
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match &mut self.0 {
            Kind::Value { rest, .. } if rest.is_empty() => Poll::Ready(None),
            Kind::Value { rest, .. } => {
                let piece = rest.split_to(rest.len().min(PIECE_BYTES));
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
            Kind::Axum(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Value { rest, .. } => rest.is_empty(),
            Kind::Axum(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Value { rest, .. } => SizeHint::with_exact(rest.len() as u64),
            Kind::Axum(body) => body.size_hint(),
        }
    }
}
