//! What replicas say to each other: [postcard](https://postcard.jamesmunns.com/wire-format), in
//! one request and one answer of the transport each.
//!
//! A snapshot goes in pieces, in order, each behind a message that says which piece it is; the last
//! one is answered when the snapshot has been installed.
//!
//! The format is openraft's own, so it changes with openraft's version: nodes of one cluster have
//! one version of the peer protocol.

use bytes::Bytes;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    VoteRequest, VoteResponse,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::group::StateMachine;

use super::types::{SnapshotMeta, Types, VoteOf};

/// A request.
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
pub(super) enum Message<S: StateMachine> {
    Append(AppendEntriesRequest<Types<S>>),
    Vote(VoteRequest<Types<S>>),
    PreVote(VoteRequest<Types<S>>),
    Transfer(TransferLeaderRequest<Types<S>>),
    Piece(Piece),
}

/// Which piece of which snapshot the bytes behind this are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Piece {
    /// Of the leader that sends it.
    pub(super) vote: VoteOf,
    pub(super) meta: SnapshotMeta,
    /// Where in the snapshot the bytes begin.
    pub(super) offset: u64,
    /// Of the whole snapshot, in bytes.
    pub(super) total: u64,
}

/// The answer to a piece.
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
pub(super) enum PieceAnswer<S: StateMachine> {
    /// Send the next one.
    More,
    /// The snapshot is installed; or another leader has come, and it is not.
    Done(SnapshotResponse<Types<S>>),
    /// Begin again: this is not the piece that was to come next, or together they are no snapshot.
    Again,
}

pub(super) type AppendAnswer<S> = AppendEntriesResponse<Types<S>>;
pub(super) type VoteAnswer<S> = VoteResponse<Types<S>>;

/// Of what cannot fail: memory takes everything, and every length is known.
pub(super) fn encode(message: &impl Serialize) -> Vec<u8> {
    postcard::to_stdvec(message).expect("memory takes everything")
}

/// The message at the beginning of `body`, and the bytes behind it.
pub(super) fn decode<T: DeserializeOwned>(body: &Bytes) -> Option<(T, Bytes)> {
    let (message, rest) = postcard::take_from_bytes(body).ok()?;
    Some((message, body.slice_ref(rest)))
}

/// The message that `body` is.
pub(super) fn decode_all<T: DeserializeOwned>(body: &Bytes) -> Option<T> {
    let (message, rest) = decode(body)?;
    rest.is_empty().then_some(message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use trandb_engine::Shard;

    use crate::{group::raft::types::VoteOf, identity::NodeId};

    use super::*;

    fn piece() -> Message<Shard> {
        Message::Piece(Piece {
            vote: VoteOf::new_committed(1, NodeId(1)),
            meta: SnapshotMeta::default(),
            offset: 3,
            total: 5,
        })
    }

    #[test]
    fn bytes_behind_a_message_are_not_part_of_it() {
        let mut body = encode(&piece());
        body.extend(b"raw");
        let body = Bytes::from(body);
        let (message, rest) = decode::<Message<Shard>>(&body).expect("a message");
        assert!(matches!(message, Message::Piece(Piece { offset: 3, .. })));
        assert_eq!(rest, "raw");
        assert!(decode_all::<Message<Shard>>(&body).is_none());
    }

    #[test]
    fn what_is_cut_off_is_no_message() {
        let body = encode(&piece());
        for length in 0..body.len() {
            let short = Bytes::copy_from_slice(&body[..length]);
            assert!(decode::<Message<Shard>>(&short).is_none(), "{length}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_message_or_none(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode::<Message<Shard>>(&bytes.into());
        }
    }
}
