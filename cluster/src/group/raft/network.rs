//! Sends what openraft has to say over the transport.

use std::{marker::PhantomData, pin::pin, sync::Arc, time::Duration};

use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::Stream;
use openraft::{
    OptionalSend, RaftNetworkFactory, RaftNetworkV2,
    base::{BoxFuture, BoxStream},
    errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable},
    network::RPCOption,
    raft::{
        AppendEntriesRequest, SnapshotResponse, StreamAppendResult, TransferLeaderRequest,
        TransferLeaderResponse, VoteRequest,
    },
};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::{
    group::StateMachine,
    identity::{Epoch, GroupId, NodeId},
    transport::{Address, Refusal, Request, Transport, TransportError},
};

use super::{
    append,
    message::{AppendAnswer, Message, Piece, PieceAnswer, VoteAnswer, decode_all, encode},
    types::{Snapshot, Types, VoteOf},
};

/// How long an answer to entries may take. openraft would give up after one heartbeat, which is
/// too short for megabytes on a slow wire; it does not insist where a stream is its own.
const APPEND_DEADLINE: Duration = Duration::from_secs(1);

/// How long one piece of a snapshot may take; the last one, with installing all.
const PIECE_DEADLINE: Duration = Duration::from_secs(10);

/// The bytes of one piece of a snapshot.
const PIECE_BYTES: usize = 1024 * 1024;

/// Which group speaks, and over what.
pub(super) struct Network<T> {
    pub(super) transport: Arc<T>,
    pub(super) group: GroupId,
    pub(super) epoch: Epoch,
}

/// What openraft asks of who sends it a stream of entries.
type Appending<'s, S> = BoxFuture<
    's,
    Result<
        BoxStream<'s, Result<StreamAppendResult<Types<S>>, RPCError<Types<S>>>>,
        RPCError<Types<S>>,
    >,
>;

/// Speaks to one replica.
pub(super) struct Peer<S, T> {
    transport: Arc<T>,
    group: GroupId,
    epoch: Epoch,
    to: Address,
    machine: PhantomData<fn() -> S>,
}

impl<S: StateMachine, T: Transport> RaftNetworkFactory<Types<S>> for Network<T>
where
    Peer<S, T>: RaftNetworkV2<Types<S>>,
{
    type Network = Peer<S, T>;

    async fn new_client(&mut self, target: NodeId, at: &String) -> Peer<S, T> {
        Peer {
            transport: Arc::clone(&self.transport),
            group: self.group,
            epoch: self.epoch,
            to: Address {
                node: target,
                at: at.clone(),
            },
            machine: PhantomData,
        }
    }
}

impl<S: StateMachine, T: Transport> Peer<S, T> {
    async fn call(&self, body: Bytes, wait: Duration) -> Result<Bytes, TransportError> {
        let request = Request {
            group: self.group,
            epoch: self.epoch,
            body,
        };
        let deadline = Instant::now() + wait;
        self.transport.call(&self.to, request, deadline).await
    }

    async fn ask<A: DeserializeOwned>(
        &self,
        message: &Message<S>,
        wait: Duration,
    ) -> Result<A, RPCError<Types<S>>> {
        let answer = self.call(encode(message).into(), wait).await;
        let answer = answer.map_err(rpc_error)?;
        decode_all(&answer).ok_or_else(|| NetworkError::from_string("an unreadable answer").into())
    }
}

/// A replica that refuses will refuse the same again: it is asked less and less often, as one that
/// cannot be reached.
fn rpc_error<S: StateMachine>(error: TransportError) -> RPCError<Types<S>> {
    match error {
        TransportError::Unreachable(_)
        | TransportError::Refused(
            Refusal::WrongNode { .. }
            | Refusal::WrongCluster { .. }
            | Refusal::WrongEpoch { .. }
            | Refusal::WrongVersion { .. }
            | Refusal::UnknownGroup
            | Refusal::ShuttingDown,
        ) => Unreachable::from_string(error).into(),
        _ => NetworkError::from_string(error).into(),
    }
}

impl<S: StateMachine, T: Transport> RaftNetworkV2<Types<S>> for Peer<S, T> {
    type SnapshotData = Option<S>;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types<S>>,
        _: RPCOption,
    ) -> Result<AppendAnswer<S>, RPCError<Types<S>>> {
        self.append(request).await
    }

    fn stream_append<I>(&mut self, requests: I, _: RPCOption) -> Appending<'_, S>
    where
        I: Stream<Item = AppendEntriesRequest<Types<S>>> + OptionalSend + Unpin + 'static,
    {
        let answers = append::answers(self, requests);
        Box::pin(async move { Ok(answers) })
    }

    async fn vote(
        &mut self,
        request: VoteRequest<Types<S>>,
        option: RPCOption,
    ) -> Result<VoteAnswer<S>, RPCError<Types<S>>> {
        self.ask(&Message::Vote(request), option.soft_ttl()).await
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<Types<S>>,
        option: RPCOption,
    ) -> Result<VoteAnswer<S>, RPCError<Types<S>>> {
        self.ask(&Message::PreVote(request), option.soft_ttl())
            .await
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<Types<S>>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types<S>>, RPCError<Types<S>>> {
        self.ask(&Message::Transfer(request), option.soft_ttl())
            .await
    }

    async fn full_snapshot(
        &mut self,
        vote: VoteOf,
        snapshot: Snapshot<S>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _: RPCOption,
    ) -> Result<SnapshotResponse<Types<S>>, StreamingError<Types<S>>> {
        let sent = pin!(self.send_pieces(vote, snapshot));
        let cancelled = pin!(cancel);
        tokio::select! {
            biased;
            closed = cancelled => Err(closed.into()),
            sent = sent => sent,
        }
    }
}

impl<S: StateMachine, T: Transport> Peer<S, T> {
    pub(super) async fn append(
        &self,
        request: AppendEntriesRequest<Types<S>>,
    ) -> Result<AppendAnswer<S>, RPCError<Types<S>>> {
        self.ask(&Message::Append(request), APPEND_DEADLINE).await
    }

    async fn send_pieces(
        &self,
        vote: VoteOf,
        snapshot: Snapshot<S>,
    ) -> Result<SnapshotResponse<Types<S>>, StreamingError<Types<S>>> {
        let unreadable = || NetworkError::<Types<S>>::from_string("not the piece to come");
        let state = snapshot
            .snapshot
            .ok_or_else(|| NetworkError::<Types<S>>::from_string("a place, not a state"))?;
        let bytes = Bytes::from(aside(move || state.snapshot()).await);
        let mut offset = 0;
        loop {
            let end = bytes.len().min(offset + PIECE_BYTES);
            let piece = Message::<S>::Piece(Piece {
                vote,
                meta: snapshot.meta.clone(),
                offset: offset as u64,
                total: bytes.len() as u64,
            });
            let mut body = BytesMut::from(&encode(&piece)[..]);
            body.put(bytes.slice(offset..end));
            let answer = self.call(body.freeze(), PIECE_DEADLINE).await;
            let answer = answer.map_err(rpc_error::<S>)?;
            match decode_all(&answer) {
                Some(PieceAnswer::Done(response)) => return Ok(response),
                Some(PieceAnswer::<S>::More) if end < bytes.len() => offset = end,
                _ => return Err(unreadable().into()),
            }
        }
    }
}

/// Runs what takes long where it keeps no task waiting. In the simulator there are no threads.
#[cfg(not(simulation))]
pub(super) async fn aside<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> R {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

#[cfg(simulation)]
pub(super) async fn aside<R>(work: impl FnOnce() -> R) -> R {
    work()
}
