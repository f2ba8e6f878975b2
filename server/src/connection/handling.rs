//! What the layers of a connection know of its requests.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use http_body::{Body, Frame, SizeHint};

/// Where the requests of a connection are.
///
/// Shared between the service, the bodies and the streams of one connection. A hint for when to
/// flush and when to lose patience; nothing is synchronised by it.
#[derive(Debug, Clone, Default)]
pub(super) struct Handling(Arc<Flags>);

#[derive(Debug, Default)]
struct Flags {
    handled: AtomicBool,
    /// How many bodies of requests the service still reads or throws away: one may still be known of
    /// when the next begins.
    receiving: AtomicUsize,
    head_awaited: AtomicBool,
}

impl Handling {
    /// A request is handled from here on, or no longer.
    pub(super) fn set(&self, handling: bool) {
        self.0.handled.store(handling, Ordering::Relaxed);
    }

    /// Whether a request is being handled, that is: has no answer yet.
    pub(super) fn is_on(&self) -> bool {
        self.0.handled.load(Ordering::Relaxed)
    }

    /// Whether nothing is missing but the head of the client's next request.
    pub(super) fn is_head_awaited(&self) -> bool {
        self.0.head_awaited.load(Ordering::Relaxed)
    }

    /// A head has come, or an answer has begun to go out.
    pub(super) fn head_not_awaited(&self) {
        self.0.head_awaited.store(false, Ordering::Relaxed);
    }

    /// What was answered is on its way: unless a request is under way, the next head is awaited.
    /// Whether that is new.
    pub(super) fn await_head(&self) -> bool {
        let is_busy = self.is_on() || self.0.receiving.load(Ordering::Relaxed) > 0;
        let is_new = !is_busy && !self.is_head_awaited();
        if is_new {
            self.0.head_awaited.store(true, Ordering::Relaxed);
        }
        is_new
    }
}

/// The body of a request, which is being received until this is dropped.
#[derive(Debug)]
pub(super) struct Receiving<B> {
    inner: B,
    handling: Handling,
}

impl<B> Receiving<B> {
    pub(super) fn new(inner: B, handling: Handling) -> Self {
        handling.0.receiving.fetch_add(1, Ordering::Relaxed);
        Self { inner, handling }
    }
}

impl<B> Drop for Receiving<B> {
    fn drop(&mut self) {
        self.handling.0.receiving.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<B: Body + Unpin> Body for Receiving<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
