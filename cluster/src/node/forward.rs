//! What a node asks another in the name of its clients. Who is asked does it with its own replica,
//! or says who may lead; it never asks a third one.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::time::Instant;
use trandb_common::limits::PEER_BODY_BYTES_MAX;
use trandb_engine::ShardId;

use crate::{
    group::{Group as _, ProposeError},
    identity::NodeId,
    peer::network::Network,
    system::{Command, Reply},
    transport::{Refusal, Request},
};

use super::{
    EPOCH, Failure, Groups, Inner,
    administration::Asked,
    giving_up,
    operation::{Miss, Operation, Outcome},
    rounds::{self, Claim},
};

/// A request of another node.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Forwarded {
    Shard {
        shard: ShardId,
        /// In milliseconds.
        time_left: u64,
        operation: Operation,
    },
    /// The node that asks is about to end.
    Left,
    /// What a person asks, at whatever node.
    Administer(Asked),
    /// The map.
    Map,
    /// Whether the node that asks is a member of the shard's group; none: of the members' group.
    Belongs(Option<ShardId>),
    /// The node that asks leads all of these, as it believes.
    Confirm(Vec<Claim>),
}

/// What a replica answers a node that does not lead.
pub(super) type Answered = Result<Outcome, Miss>;

/// How long who leads may take to note that somebody leaves or is removed.
const SYSTEM_DEADLINE: Duration = Duration::from_secs(1);

/// Of what cannot fail: memory takes everything, and every length is known.
pub(super) fn encode(message: &impl Serialize) -> Bytes {
    postcard::to_stdvec(message)
        .expect("memory takes everything")
        .into()
}

/// None: it is not what was expected.
pub(super) fn decode<T: DeserializeOwned>(body: &[u8]) -> Option<T> {
    let (message, rest) = postcard::take_from_bytes(body).ok()?;
    rest.is_empty().then_some(message)
}

impl<N: Network> Inner<N> {
    pub(super) async fn answer_forwarded(
        &self,
        groups: &Groups,
        from: NodeId,
        request: Request,
    ) -> Result<Bytes, Refusal> {
        if request.epoch != EPOCH {
            return Err(Refusal::WrongEpoch { here: EPOCH });
        }
        let forwarded = decode(&request.body).ok_or(Refusal::Unreadable)?;
        match forwarded {
            Forwarded::Shard {
                shard,
                time_left,
                operation,
            } => {
                let deadline = Instant::now() + Duration::from_millis(time_left);
                let answered = self.here(groups, shard, &operation, deadline).await;
                let body = encode(&answered);
                if body.len() <= PEER_BODY_BYTES_MAX {
                    return Ok(body);
                }
                // It can be no answer to a command that changed something: those are small, but
                // for what a transaction reads, which is bounded below.
                let bytes = body.len() as u64;
                let failure = if operation.is_command() {
                    Failure::Unknown
                } else {
                    Failure::TooLarge { bytes }
                };
                let answered: Answered = Err(Miss::Failed(failure));
                Ok(encode(&answered))
            }
            Forwarded::Confirm(claims) => Ok(encode(&rounds::confirm(groups, from, &claims))),
            Forwarded::Left => {
                let noted = propose(groups, Command::Left { node: from }).await;
                Ok(encode(&noted.is_ok()))
            }
            Forwarded::Administer(asked) => Ok(encode(&self.answer(groups, &asked).await)),
            Forwarded::Map => Ok(encode(&groups.map(Clone::clone))),
            Forwarded::Belongs(shard) => Ok(encode(&giving_up::answer(groups, from, shard).await)),
        }
    }
}

/// Asks the system group, as far as it is led here.
pub(super) async fn propose(groups: &Groups, command: Command) -> Result<Reply, ProposeError> {
    let deadline = Instant::now() + SYSTEM_DEADLINE;
    groups.system.propose(command, deadline).await
}
