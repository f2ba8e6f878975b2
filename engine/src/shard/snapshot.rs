//! A whole shard as bytes, so that a replica can begin with what the others have.
//!
//! ```text
//! "trandb shard 1"
//! head        epoch, counter, log time, budget of the outcomes, number of entries
//! entries     key, value, counter; in byte order of the keys
//! locks       key -> who holds it and how
//! attempts    the prepared ones, then the finalized ones -> expiry
//! outcomes    transaction -> record
//! checksum    XXH3 (64 bits, seed 0) of all before, 8 bytes, little-endian
//! ```
//!
//! All but the first and the last line is [postcard](https://postcard.jamesmunns.com/wire-format).
//! What follows from the rest (sums of bytes, orders by expiry) is computed again, so that it
//! cannot contradict it.
//!
//! Equal shards have equal bytes (I8). The bytes of anything else are refused. The checksum tells
//! accidents, not forgeries: a snapshot comes from another replica, which is trusted as much as
//! its log is.
//!
//! Tests: `tests/snapshot.rs`; in the middle of transactions, `tests/transactions/snapshot.rs`.

use std::{collections::BTreeMap, hash::Hasher as _, io};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use trandb_common::{Key, TransactionId, Value};
use twox_hash::XxHash3_64;

use crate::{
    AttemptId, LockTable, LogTime,
    attempts::{Attempts, Prepared},
    locks::Lock,
    outcomes::{Outcomes, Record},
};

use super::Shard;

const MAGIC: &[u8] = b"trandb shard 1";
const CHECKSUM_BYTES: usize = 8;

/// The bytes are not a snapshot of a shard, or are damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSnapshot {
    /// They do not begin as one of this version does.
    #[error("it does not begin as a snapshot of this version does")]
    Unknown,
    /// The checksum is another one.
    #[error("its checksum does not match: it is damaged or cut off")]
    Damaged,
    /// The checksum matches, and still this part makes no sense.
    #[error("its {part} make no sense")]
    Malformed {
        /// Which part.
        part: &'static str,
    },
}

#[derive(Serialize, Deserialize)]
struct Head {
    epoch: u64,
    counter: u64,
    clock: LogTime,
    outcome_budget: u64,
    entries: u64,
}

impl Shard {
    /// The whole shard as bytes: see the module's documentation. It takes as much memory again.
    pub fn snapshot(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        self.encode(&mut bytes);
        let checksum = XxHash3_64::oneshot(&bytes);
        bytes.extend(checksum.to_le_bytes());
        bytes
    }

    /// The shard of which `bytes` are the [`snapshot`](Self::snapshot).
    ///
    /// # Errors
    ///
    /// They are not one.
    pub fn restore(bytes: &[u8]) -> Result<Self, InvalidSnapshot> {
        if !bytes.starts_with(MAGIC) {
            return Err(InvalidSnapshot::Unknown);
        }
        let (rest, checksum) = bytes
            .split_last_chunk::<CHECKSUM_BYTES>()
            .ok_or(InvalidSnapshot::Damaged)?;
        if XxHash3_64::oneshot(rest).to_le_bytes() != *checksum {
            return Err(InvalidSnapshot::Damaged);
        }
        let body = rest.strip_prefix(MAGIC).ok_or(InvalidSnapshot::Damaged)?;
        Self::decode(body)
    }

    /// Names the state: equal for equal shards, and for others equal by an accident of one in
    /// 2^64. Takes time as [`snapshot`](Self::snapshot) does, but no memory.
    pub fn digest(&self) -> u64 {
        let mut hash = Hashing(XxHash3_64::default());
        self.encode(&mut hash);
        hash.0.finish()
    }

    fn encode(&self, to: &mut impl io::Write) {
        let head = Head {
            epoch: self.epoch,
            counter: self.counter,
            clock: self.clock,
            outcome_budget: self.outcomes.budget(),
            entries: self.entries.len() as u64,
        };
        write(&head, to);
        for entry in self.entries.from("", true) {
            write(&(&entry.key, &entry.value, entry.counter), to);
        }
        write(self.locks.by_key(), to);
        let (prepared, finalized) = self.attempts.parts();
        write(&prepared.collect::<Vec<_>>(), to);
        write(finalized, to);
        write(self.outcomes.records(), to);
    }

    fn decode(bytes: &[u8]) -> Result<Self, InvalidSnapshot> {
        let mut rest = bytes;
        let head: Head = read("head", &mut rest)?;
        let mut shard = Self::new(head.epoch);
        shard.counter = head.counter;
        shard.clock = head.clock;
        shard.read_entries(head.entries, &mut rest)?;
        let locks: BTreeMap<Key, Lock> = read("locks", &mut rest)?;
        shard.locks = LockTable::from_locks(locks).ok_or(malformed("locks"))?;
        let prepared: Vec<Prepared> = read("prepared attempts", &mut rest)?;
        let finalized: BTreeMap<AttemptId, LogTime> = read("finalized attempts", &mut rest)?;
        shard.attempts = Attempts::from_parts(prepared, finalized);
        let records: BTreeMap<TransactionId, Record> = read("outcomes", &mut rest)?;
        shard.outcomes = Outcomes::from_records(records, head.outcome_budget);
        match rest {
            [] => Ok(shard),
            _ => Err(malformed("last bytes")),
        }
    }

    /// Keys ascend and no version is from the future, or two entries would have one name.
    fn read_entries(&mut self, count: u64, rest: &mut &[u8]) -> Result<(), InvalidSnapshot> {
        let mut last: Option<Key> = None;
        for _ in 0..count {
            let (key, value, counter): (Key, Value, u64) = read("entries", rest)?;
            let ascends = last.is_none_or(|last| last < key);
            if !ascends || counter > self.counter {
                return Err(malformed("entries"));
            }
            self.set(&key, value, counter);
            last = Some(key);
        }
        Ok(())
    }
}

fn malformed(part: &'static str) -> InvalidSnapshot {
    InvalidSnapshot::Malformed { part }
}

fn write(part: &impl Serialize, to: &mut impl io::Write) {
    postcard::to_io(part, to).expect("memory takes everything, and nothing here has no length");
}

fn read<T: DeserializeOwned>(part: &'static str, rest: &mut &[u8]) -> Result<T, InvalidSnapshot> {
    let (value, after) = postcard::take_from_bytes(rest).map_err(|_| malformed(part))?;
    *rest = after;
    Ok(value)
}

/// Takes bytes into a hash alone.
struct Hashing(XxHash3_64);

impl io::Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
