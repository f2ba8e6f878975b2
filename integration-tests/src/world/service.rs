//! The service without a socket: requests go straight into it.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use tokio::time::sleep;
use trandb_client::{Endpoint, TransportError};
use trandb_server::{App, Shards, http::BoxError};

use crate::faults::network::{Deliver, Upload};

/// A service. Dropping a request drops its handler, as hyper does when a client
/// goes away.
#[derive(Debug)]
pub(super) struct Service<S>(pub(super) App<S>);

impl<S: Shards> Deliver for Service<S> {
    async fn deliver(
        &self,
        _: &Endpoint,
        request: Request<Bytes>,
        upload: Upload,
    ) -> Result<Response<Bytes>, TransportError> {
        let answer = match self.0.handle_now(&request) {
            Some(answer) => answer,
            None => {
                self.0
                    .handle(request.map(|bytes| body(bytes, &upload)))
                    .await
            }
        };
        let (head, body) = answer.into_parts();
        let body = body.collect().await;
        let bytes = body.map_err(|error| TransportError::maybe_sent(error.to_string()))?;
        Ok(Response::from_parts(head, bytes.to_bytes()))
    }
}

type RequestBody = UnsyncBoxBody<Bytes, BoxError>;

fn body(bytes: Bytes, upload: &Upload) -> RequestBody {
    match *upload {
        Upload::Whole => Full::from(bytes).map_err(Into::into).boxed_unsync(),
        Upload::Pieces { pieces, pause_ms } => {
            let size = bytes.len().div_ceil(usize::from(pieces.max(1))).max(1);
            let pieces = bytes.chunks(size).map(Bytes::copy_from_slice);
            let pieces: Vec<_> = pieces.map(Ok).collect();
            slowly(pieces, pause_ms)
        }
        Upload::Cut { percent } => {
            let kept = bytes.len() * usize::from(percent) / 100;
            slowly(vec![Ok(bytes.slice(..kept)), Err("cut off".into())], 0)
        }
    }
}

fn slowly(pieces: Vec<Result<Bytes, BoxError>>, pause_ms: u32) -> RequestBody {
    let pause = Duration::from_millis(u64::from(pause_ms));
    let frames = futures_util::stream::unfold(pieces.into_iter(), move |mut rest| async move {
        let piece = rest.next()?;
        sleep(pause).await;
        Some((piece.map(Frame::data), rest))
    });
    StreamBody::new(Box::pin(frames)).boxed_unsync()
}
