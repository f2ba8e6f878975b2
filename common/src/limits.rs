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

/// Keys in a page of a listing when the request does not say.
pub const LIST_LIMIT_DEFAULT: usize = 100;

/// Most keys in a page of a listing.
pub const LIST_LIMIT_MAX: usize = 1000;

/// Largest body of an answer that is not a value, in bytes: a full page of a listing in which
/// every byte of every key is escaped (`\u00XX`), and generous room for the rest of each row.
pub const ANSWER_BYTES_MAX: usize = LIST_LIMIT_MAX * (6 * KEY_BYTES_MAX + 256);

const _: () = assert!(LIST_LIMIT_DEFAULT <= LIST_LIMIT_MAX);
const _: () = assert!(
    KEY_PATH_BYTES_MAX < 64 * 1024,
    "hyper refuses longer request lines"
);
const _: () = assert!(
    VALUE_BYTES_MAX <= ANSWER_BYTES_MAX,
    "one bound serves every answer"
);
// Sizes are kept as u32 where memory per key matters.
const _: () = assert!(VALUE_BYTES_MAX <= u32::MAX as usize);
