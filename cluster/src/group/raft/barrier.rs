//! Reads share their rounds: one question to a majority serves all that wait.
//!
//! A reader that comes while a round is under way waits for the next one, since the majority may
//! have answered before it came.

use std::time::Duration;

use openraft::{
    LinearizerOption, ReadPolicy,
    errors::{LinearizableReadError, RaftError},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use crate::group::{ReadError, StateMachine};

use super::{Raft, address};

/// Most readers that wait; the others are refused.
const READERS_MAX: usize = 65_536;

/// How long a round may take, so that readers with patience are not kept by one that ends never.
const ROUND_MAX: Duration = Duration::from_secs(1);

pub(super) type Waiting = oneshot::Sender<Result<(), ReadError>>;

/// The way to the rounds, and what makes them, which runs until nobody can ask any more.
pub(super) fn rounds<S: StateMachine>(
    raft: Raft<S>,
) -> (mpsc::Sender<Waiting>, impl Future<Output = ()> + Send) {
    let (ask, mut asked) = mpsc::channel::<Waiting>(READERS_MAX);
    let run = async move {
        let mut readers = Vec::new();
        while asked.recv_many(&mut readers, READERS_MAX).await > 0 {
            let result = timeout(ROUND_MAX, round(&raft)).await;
            let result = result.unwrap_or(Err(ReadError::NoMajority));
            for reader in readers.drain(..) {
                // Whoever waits no longer needs no answer.
                let _ = reader.send(result.clone());
            }
        }
    };
    (ask, run)
}

async fn round<S: StateMachine>(raft: &Raft<S>) -> Result<(), ReadError> {
    let option = LinearizerOption::from(ReadPolicy::ReadIndex);
    match raft.ensure_linearizable(option).await {
        Ok(_) => Ok(()),
        Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(to))) => {
            Err(ReadError::NotLeader {
                leader: address(to.leader_id, to.leader_node),
            })
        }
        Err(RaftError::APIError(LinearizableReadError::QuorumNotEnough(_))) => {
            Err(ReadError::NoMajority)
        }
        Err(RaftError::Fatal(_)) => Err(ReadError::Stopped),
    }
}
