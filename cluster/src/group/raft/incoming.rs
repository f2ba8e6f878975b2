//! Does what other replicas ask.

use bytes::Bytes;

use crate::{
    group::{Position, StateMachine},
    transport::Refusal,
};

use super::{
    Raft,
    message::{Message, Piece, PieceAnswer, decode, encode},
    network::aside,
    types::{Snapshot, position},
};

/// The largest snapshot that is taken in, in bytes (64 GiB): what is larger is a mistake.
const SNAPSHOT_BYTES_MAX: u64 = 64 * 1024 * 1024 * 1024;

/// A snapshot that is on its way. One at a time: whoever begins another replaces it.
#[derive(Default)]
pub(super) struct Incoming {
    /// The piece that came last.
    last: Option<Piece>,
    bytes: Vec<u8>,
}

impl Incoming {
    /// Takes a piece in; none: it is not the one that was to come.
    fn take(&mut self, piece: Piece, bytes: &[u8]) -> Option<()> {
        if piece.offset == 0 {
            *self = Self::default();
        } else if let Some(last) = &self.last {
            let same =
                (last.vote, &last.meta, last.total) == (piece.vote, &piece.meta, piece.total);
            if !same || piece.offset != self.bytes.len() as u64 {
                return None;
            }
        } else {
            return None;
        }
        let length = (self.bytes.len() + bytes.len()) as u64;
        if length > piece.total || piece.total > SNAPSHOT_BYTES_MAX {
            return None;
        }
        self.bytes.extend_from_slice(bytes);
        self.last = Some(piece);
        Some(())
    }

    fn is_complete(&self) -> bool {
        let total = self.last.as_ref().map(|piece| piece.total);
        total == Some(self.bytes.len() as u64)
    }
}

/// The answer to a request's body. Nobody gets a vote whose log is shorter than what was `forgotten`.
pub(super) async fn answer<S: StateMachine>(
    raft: &Raft<S>,
    incoming: &tokio::sync::Mutex<Incoming>,
    forgotten: Option<Position>,
    body: Bytes,
) -> Result<Bytes, Refusal> {
    let (message, rest) = decode::<Message<S>>(&body).ok_or(Refusal::Unreadable)?;
    if let Message::Vote(request) | Message::PreVote(request) = &message
        && request.last_log_id.as_ref().map(position) < forgotten
    {
        return Err(Refusal::UnknownGroup);
    }
    let answer = match message {
        Message::Append(request) => encode(&raft.append_entries(request).await.map_err(stopped)?),
        Message::Vote(request) => encode(&raft.vote(request).await.map_err(stopped)?),
        Message::PreVote(request) => encode(&raft.pre_vote(request).await.map_err(stopped)?),
        Message::Transfer(request) => encode(
            &raft
                .handle_transfer_leader(request)
                .await
                .map_err(stopped)?,
        ),
        Message::Piece(piece) => encode(&take_piece(raft, incoming, piece, &rest).await?),
    };
    Ok(answer.into())
}

/// All that may go wrong in openraft itself ends the replica.
fn stopped(_: impl std::error::Error) -> Refusal {
    Refusal::ShuttingDown
}

async fn take_piece<S: StateMachine>(
    raft: &Raft<S>,
    incoming: &tokio::sync::Mutex<Incoming>,
    piece: Piece,
    bytes: &[u8],
) -> Result<PieceAnswer<S>, Refusal> {
    let mut incoming = incoming.lock().await;
    if incoming.take(piece.clone(), bytes).is_none() {
        *incoming = Incoming::default();
        return Ok(PieceAnswer::Again);
    }
    if !incoming.is_complete() {
        return Ok(PieceAnswer::More);
    }
    let all = std::mem::take(&mut *incoming).bytes;
    let state = match aside(move || S::restore(&all).map_err(|error| error.to_string())).await {
        Ok(state) => state,
        Err(error) => {
            tracing::warn!(%error, "a snapshot is refused");
            return Ok(PieceAnswer::Again);
        }
    };
    let snapshot = Snapshot::<S> {
        meta: piece.meta,
        snapshot: Some(state),
    };
    let response = raft.install_full_snapshot(piece.vote, snapshot).await;
    response.map(PieceAnswer::Done).map_err(stopped)
}

#[cfg(test)]
mod tests {
    use crate::{
        group::{
            Position,
            raft::types::{SnapshotMeta, VoteOf, log_id},
        },
        identity::NodeId,
    };

    use super::*;

    fn piece(offset: u64, total: u64) -> Piece {
        Piece {
            vote: VoteOf::new_committed(1, NodeId(1)),
            meta: SnapshotMeta::default(),
            offset,
            total,
        }
    }

    #[test]
    fn pieces_in_order_make_a_whole() {
        let mut incoming = Incoming::default();
        assert_eq!(incoming.take(piece(0, 5), b"abc"), Some(()));
        assert!(!incoming.is_complete());
        assert_eq!(incoming.take(piece(3, 5), b"de"), Some(()));
        assert!(incoming.is_complete());
        assert_eq!(incoming.bytes, b"abcde");
    }

    #[test]
    fn a_first_piece_begins_again() {
        let mut incoming = Incoming::default();
        assert_eq!(incoming.take(piece(0, 5), b"abc"), Some(()));
        assert_eq!(incoming.take(piece(0, 4), b"xyz"), Some(()));
        assert_eq!(incoming.take(piece(3, 4), b"!"), Some(()));
        assert_eq!(incoming.bytes, b"xyz!");
    }

    #[test]
    fn a_piece_that_does_not_follow_is_refused() {
        let other_vote = Piece {
            vote: VoteOf::new_committed(2, NodeId(2)),
            ..piece(3, 5)
        };
        let other_snapshot = Piece {
            meta: SnapshotMeta {
                last_log_id: Some(log_id(Position { term: 1, index: 9 })),
                ..SnapshotMeta::default()
            },
            ..piece(3, 5)
        };
        let others = [
            piece(2, 5),
            piece(4, 5),
            piece(3, 6),
            other_vote,
            other_snapshot,
        ];
        for other in others {
            let mut incoming = Incoming::default();
            assert_eq!(incoming.take(piece(0, 5), b"abc"), Some(()));
            assert_eq!(incoming.take(other.clone(), b"d"), None, "{other:?}");
        }
        assert_eq!(Incoming::default().take(piece(1, 5), b"a"), None);
    }

    #[test]
    fn more_bytes_than_were_announced_are_refused() {
        assert_eq!(Incoming::default().take(piece(0, 2), b"abc"), None);
        let huge = piece(0, SNAPSHOT_BYTES_MAX + 1);
        assert_eq!(Incoming::default().take(huge, b"abc"), None);
    }
}
