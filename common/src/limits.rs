//! Every limit of the contract, in one place. The server publishes them at `GET /limits`.
//!
//! What an operator may choose (memory, connections, time-outs) is configuration of the server and
//! stands there; these are the same for every TranDB.

use std::time::Duration;

/// Longest key, in bytes of UTF-8.
pub const KEY_BYTES_MAX: usize = 1024;

/// Longest key as it may stand in a path, in bytes: every byte percent-encoded.
pub const KEY_PATH_BYTES_MAX: usize = 3 * KEY_BYTES_MAX;

/// Largest value, in bytes (4 MiB).
pub const VALUE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Longest wait for a lock before the answer is `503 lock_timeout`.
pub const LOCK_WAIT_MAX: Duration = Duration::from_secs(1);

/// How much longer than its client's time an attempt may be prepared or committed, in log time:
/// room for clocks that disagree and for commands on their way.
pub const ATTEMPT_GRACE: Duration = Duration::from_secs(5);

/// How long the outcome of a transaction with an id of its client's is kept, in log time, if the
/// client does not acknowledge it before.
pub const OUTCOME_KEPT: Duration = Duration::from_mins(10);

/// Memory for outcomes in one shard, in bytes (64 MiB): beyond it new transactions with an id of
/// their client's are refused.
pub const OUTCOME_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Memory for outcomes in one shard beyond [`OUTCOME_BYTES_MAX`], in bytes: for aborts, and for
/// what nobody asked to be kept. Both are dropped soon after their attempts expire.
pub const OUTCOME_RESERVE_BYTES: u64 = 4 * 1024 * 1024;

/// Most attempts that one shard has prepared or remembers to have finalized. Each is remembered for
/// about ten seconds, so that a shard takes part in some 26,000 transactions a second with others.
pub const ATTEMPTS_MAX: usize = 262_144;

/// Most acknowledged transactions that wait to be told to one shard: those beyond expire by
/// themselves, after [`OUTCOME_KEPT`].
pub const ACKNOWLEDGED_WAITING_MAX: usize = 4096;

/// Keys in a page of a listing when the request does not say.
pub const LIST_LIMIT_DEFAULT: usize = 100;

/// Most keys in a page of a listing.
pub const LIST_LIMIT_MAX: usize = 1000;

/// Largest page of a listing, in bytes: every byte of every key is escaped (`\u00XX`), and there
/// is generous room for the rest of each row.
pub const LIST_BYTES_MAX: usize = LIST_LIMIT_MAX * (6 * KEY_BYTES_MAX + 256);

/// Largest body of any answer, in bytes: all that a transaction may read, as base64, and each of
/// its keys once, escaped.
pub const ANSWER_BYTES_MAX: usize = TRANSACTION_BODY_BYTES_MAX;

/// Most checks, reads and writes of one transaction together.
pub const TRANSACTION_OPERATIONS_MAX: usize = 1024;

/// Most bytes of keys and values of one transaction together (16 MiB); and most bytes of values
/// that it reads.
pub const TRANSACTION_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Largest body of `POST /transactions`, in bytes (32 MiB): 16 MiB as base64, and generous room
/// for the rest.
pub const TRANSACTION_BODY_BYTES_MAX: usize = 32 * 1024 * 1024;

/// How long the server tries to commit a transaction that does not say how long.
pub const TRANSACTION_TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);

/// Longest time for which the server tries to commit a transaction; a longer one is taken as this.
pub const TRANSACTION_TIMEOUT_MAX: Duration = Duration::from_mins(1);

/// Largest body of a request or an answer between two nodes, in bytes (20 MiB): all keys and values
/// of the largest transaction, and generous room for what stands around them.
pub const PEER_BODY_BYTES_MAX: usize = 20 * 1024 * 1024;

const _: () = assert!(LIST_LIMIT_DEFAULT <= LIST_LIMIT_MAX);
const _: () = assert!(
    KEY_PATH_BYTES_MAX < 64 * 1024,
    "hyper refuses longer request lines"
);
const _: () = assert!(
    VALUE_BYTES_MAX <= ANSWER_BYTES_MAX && LIST_BYTES_MAX <= ANSWER_BYTES_MAX,
    "one bound serves every answer"
);
const _: () = assert!(
    TRANSACTION_TIMEOUT_MAX.as_secs() + ATTEMPT_GRACE.as_secs() < OUTCOME_KEPT.as_secs(),
    "an outcome outlives every command of its attempts"
);
// Sizes are kept as u32 where memory per key matters.
const _: () = assert!(VALUE_BYTES_MAX <= u32::MAX as usize);
const _: () = assert!(
    VALUE_BYTES_MAX + KEY_BYTES_MAX <= TRANSACTION_BYTES_MAX,
    "a value that a PUT takes fits in a transaction"
);
const _: () = assert!(
    TRANSACTION_BYTES_MAX.div_ceil(3) * 4 < TRANSACTION_BODY_BYTES_MAX,
    "the largest transaction fits in a body as base64"
);
const _: () = assert!(
    TRANSACTION_BYTES_MAX + TRANSACTION_OPERATIONS_MAX * KEY_BYTES_MAX <= PEER_BODY_BYTES_MAX,
    "a transaction goes to a shard in one request, whose answer names each key once more"
);

const _: () = assert!(
    TRANSACTION_BYTES_MAX.div_ceil(3) * 4 + TRANSACTION_OPERATIONS_MAX * (6 * KEY_BYTES_MAX + 256)
        <= ANSWER_BYTES_MAX,
    "what a transaction may read fits in an answer"
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Key, Version,
        wire::{ListPage, ListedKey},
    };

    /// A client that reads at most this much must be able to read every page; and what it must be
    /// ready to keep in memory is not much more than the largest page.
    #[test]
    fn the_largest_page_fits_into_an_answer_and_fills_it_nearly() {
        let key = Key::new(&"\0".repeat(KEY_BYTES_MAX)).expect("legal");
        let version = Version {
            epoch: u64::MAX,
            counter: u64::MAX,
        };
        let row = ListedKey {
            key: key.clone(),
            version,
            size: VALUE_BYTES_MAX as u64,
        };
        let page = ListPage {
            keys: vec![row; LIST_LIMIT_MAX],
            next: Some(key),
        };
        let bytes = serde_json::to_string(&page).expect("JSON").len();
        assert!(bytes <= LIST_BYTES_MAX, "{bytes} > {LIST_BYTES_MAX}");
        assert!(
            LIST_BYTES_MAX < bytes + bytes / 10,
            "{LIST_BYTES_MAX} for {bytes}"
        );
    }

    #[test]
    fn the_longest_key_fits_into_its_path_exactly() {
        let key = Key::new(&"%".repeat(KEY_BYTES_MAX)).expect("legal");
        let segment = crate::path::encode(key.as_str()).to_string();
        assert_eq!(segment.len(), KEY_PATH_BYTES_MAX);
    }

    #[test]
    fn the_limits_are_those_of_the_contract() {
        assert_eq!((KEY_BYTES_MAX, VALUE_BYTES_MAX), (1_024, 4_194_304));
    }
}
