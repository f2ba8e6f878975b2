//! Entries on their way to another replica: one request after another.
//!
//! Whenever a majority has more of the log, openraft tells the others at once, in a request without
//! entries. That is as many requests as there are with entries, when a few clients write one after
//! another. So one without entries waits a little for one with some, which says the same and more.
//! Nobody waits for it meanwhile: what it says only makes followers apply what the leader has applied
//! already.
//!
//! Tests: with the group, `tests/simulation`.

use std::time::Duration;

use futures_util::{Stream, StreamExt as _, stream};
use openraft::{
    base::BoxStream,
    entry::RaftEntry,
    errors::RPCError,
    raft::{AppendEntriesRequest, AppendEntriesResponse, StreamAppendResult},
};
use tokio::time::{Instant, timeout_at};

use crate::{group::StateMachine, transport::Transport};

use super::{network::Peer, types::Types};

/// How long a request without entries waits for one with some: much less than a heartbeat.
const WAIT: Duration = Duration::from_millis(2);

type Request<S> = AppendEntriesRequest<Types<S>>;
type Answer<S> = Result<StreamAppendResult<Types<S>>, RPCError<Types<S>>>;

/// Sends each of `requests` when the one before is answered, until one is not or they end.
pub(super) fn answers<'s, S: StateMachine, T: Transport>(
    peer: &'s Peer<S, T>,
    requests: impl Stream<Item = Request<S>> + Send + Unpin + 's,
) -> BoxStream<'s, Answer<S>> {
    let requests = Some(requests.fuse());
    Box::pin(stream::unfold(requests, async move |requests| {
        let mut requests = requests?;
        let request = next(&mut requests).await?;
        let before = request.prev_log_id;
        let last = request.entries.last().map(RaftEntry::log_id).or(before);
        let answer = match peer.append(request).await {
            Ok(answer) => answer,
            Err(error) => return Some((Err(error), None)),
        };
        let took_all = match &answer {
            AppendEntriesResponse::PartialSuccess(upto) => *upto == last,
            answer => answer.is_success(),
        };
        let answer = answer.into_stream_result(before, last);
        Some((Ok(answer), took_all.then_some(requests)))
    }))
}

/// The next request that must be sent. One without entries is left out if another comes soon.
async fn next<S: StateMachine>(
    requests: &mut (impl Stream<Item = Request<S>> + Unpin),
) -> Option<Request<S>> {
    let mut request = requests.next().await?;
    let until = Instant::now() + WAIT;
    while request.entries.is_empty() {
        match timeout_at(until, requests.next()).await {
            Ok(Some(later)) => request = later,
            Ok(None) | Err(_) => break,
        }
    }
    Some(request)
}
