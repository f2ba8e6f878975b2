//! What a group replicates.

use std::fmt;

use serde::{Serialize, de::DeserializeOwned};
use trandb_engine::{Command, InvalidSnapshot, Operations, Reply, Shard, Subject};

/// A deterministic state machine: the state and the command alone decide what becomes of it.
///
/// Cloning must be cheap beside what the state holds, as it is if values are shared: the group
/// clones the state for a replica that needs all of it.
pub trait StateMachine: Clone + Send + Sync + 'static {
    /// What changes the state.
    type Command: Serialize + DeserializeOwned + fmt::Debug + Send + Sync + 'static;
    /// What a command did.
    type Reply: Serialize + DeserializeOwned + Send + Sync + 'static;
    /// Why bytes are not a snapshot.
    type InvalidSnapshot: std::error::Error;

    /// Applies a command that a majority has.
    fn apply(&mut self, command: &Self::Command) -> Self::Reply;

    /// What a command takes in memory and on the wire, in bytes, about.
    fn command_bytes(command: &Self::Command) -> usize;

    /// Called on a state that takes the place of `old`, because another replica has sent a snapshot:
    /// for what is not part of the state, as who is to be told of changes.
    fn take_place_of(&mut self, _old: &Self) {}

    /// All of the state as bytes. Equal states have equal bytes.
    fn snapshot(&self) -> Vec<u8>;

    /// The state of which `bytes` are the snapshot.
    ///
    /// # Errors
    ///
    /// They are not one.
    fn restore(bytes: &[u8]) -> Result<Self, Self::InvalidSnapshot>;
}

impl StateMachine for Shard {
    type Command = Command;
    type Reply = Reply;
    type InvalidSnapshot = InvalidSnapshot;

    fn apply(&mut self, command: &Command) -> Reply {
        Shard::apply(self, command)
    }

    fn command_bytes(command: &Command) -> usize {
        /// What a command takes beside keys and values.
        const COMMAND_BYTES: usize = 256;
        /// What each operation, participant or transaction adds.
        const ITEM_BYTES: usize = 64;
        let part = |part: &Operations| part.bytes() + ITEM_BYTES * part.len();
        let rest = match command {
            Command::Put { key, value, .. } => key.as_bytes().len() + value.len(),
            Command::Delete { key, .. } => key.as_bytes().len(),
            Command::Prepare(prepare) => part(&prepare.part),
            Command::Commit(commit) => part(&commit.part) + ITEM_BYTES * commit.participants.len(),
            Command::Resolve(resolve) => match &resolve.subject {
                Subject::Attempt { .. } => 0,
                Subject::Transaction { checks, .. } => checks
                    .iter()
                    .map(|check| ITEM_BYTES + check.key.as_bytes().len())
                    .sum(),
            },
            Command::Finalize(_) => 0,
            Command::Forget(forget) => {
                ITEM_BYTES * (forget.finalized.len() + forget.acknowledged.len())
            }
        };
        COMMAND_BYTES + rest
    }

    fn snapshot(&self) -> Vec<u8> {
        Shard::snapshot(self)
    }

    fn restore(bytes: &[u8]) -> Result<Self, InvalidSnapshot> {
        Shard::restore(bytes)
    }
}

#[cfg(test)]
mod tests {
    use trandb_common::{
        Key, TransactionId, Value, Version,
        limits::{KEY_BYTES_MAX, TRANSACTION_OPERATIONS_MAX},
    };
    use trandb_engine::{
        AttemptId, Check, Commit, Condition, Digest, Forget, LogTime, PartVersions, ShardId, Write,
    };

    use super::*;

    fn assert_enough(command: &Command) {
        let sent = postcard::to_stdvec(command).expect("bytes").len();
        let bytes = Shard::command_bytes(command);
        assert!(bytes >= sent, "{bytes} for {sent} of {command:.100?}");
    }

    fn key(index: usize) -> Key {
        let text = format!("{index:0KEY_BYTES_MAX$}");
        Key::new(&text).expect("legal")
    }

    const VERSION: Version = Version {
        epoch: u64::MAX,
        counter: u64::MAX,
    };

    /// The bound of the log and of messages counts on it.
    #[test]
    fn no_command_takes_more_on_the_wire_than_it_says() {
        let value = Value::try_from(vec![7; 100_000]).expect("legal");
        assert_enough(&Command::Put {
            key: key(0),
            value: value.clone(),
            condition: Condition::version(VERSION),
        });
        assert_enough(&Command::Delete {
            key: key(0),
            condition: Condition::absent(),
        });
        let some = || 0..TRANSACTION_OPERATIONS_MAX / 3;
        let check = |index| Check {
            key: key(index),
            version: Some(VERSION),
        };
        let write = |index| Write::Put {
            key: key(index),
            value: Value::default(),
        };
        let versions = |shard| PartVersions {
            shard: ShardId(shard),
            first: VERSION,
        };
        assert_enough(&Command::Commit(Box::new(Commit {
            transaction: TransactionId(u128::MAX),
            promised: true,
            digest: Digest([255; 32]),
            attempt: AttemptId(u128::MAX),
            home: ShardId(u16::MAX),
            expires: LogTime(u64::MAX),
            now: LogTime(u64::MAX),
            part: Operations {
                checks: some().map(check).collect(),
                reads: some().map(key).collect(),
                writes: some().map(write).collect(),
            }
            .into(),
            participants: (0..100).map(versions).collect(),
            read_bytes: u64::MAX,
        })));
        assert_enough(&Command::Forget(Forget {
            finalized: Vec::new(),
            acknowledged: vec![TransactionId(u128::MAX); 1_000],
            now: LogTime(u64::MAX),
        }));
    }
}
