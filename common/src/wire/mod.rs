//! The bodies that travel: what `POST /transactions` takes ([`transaction`]), and what successful
//! answers hold.

pub mod cluster;
pub mod transaction;

use serde::{Deserialize, Serialize};

use crate::{Key, Version, limits};

/// A page of `GET /keys`: keys in byte order.
///
/// A listing is not transactional: keys written or deleted while its pages are fetched may be in
/// it or not. A key that is there all the time is in it exactly once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ListPage {
    /// The keys of this page, in byte order.
    pub keys: Vec<ListedKey>,
    /// The last key of this page when there may be more: pass it as `after` for the next page.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, required))]
    pub next: Option<Key>,
}

/// One row of a listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ListedKey {
    /// The key.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub key: Key,
    /// Its version.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub version: Version,
    /// The size of its value, in bytes.
    pub size: u64,
}

/// The answer of `GET /limits`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Limits {
    /// Longest key, in bytes of UTF-8.
    pub key_bytes_max: usize,
    /// Largest value, in bytes.
    pub value_bytes_max: usize,
    /// Longest wait for a lock, in milliseconds.
    pub lock_wait_ms_max: u64,
    /// Keys in a page of a listing when the request does not say.
    pub list_limit_default: usize,
    /// Most keys in a page of a listing.
    pub list_limit_max: usize,
    /// Most checks, reads and writes of one transaction together.
    #[serde(default)]
    pub transaction_operations_max: usize,
    /// Most bytes of keys and values of one transaction together; and most bytes of values
    /// that it reads.
    #[serde(default)]
    pub transaction_bytes_max: usize,
    /// Largest body of a transaction, in bytes.
    #[serde(default)]
    pub transaction_body_bytes_max: u64,
    /// How long a transaction is tried when it does not say, in milliseconds.
    #[serde(default)]
    pub transaction_timeout_ms_default: u64,
    /// Longest time for which a transaction is tried, in milliseconds.
    #[serde(default)]
    pub transaction_timeout_ms_max: u64,
    /// What this server may store, in bytes of keys, values and their bookkeeping.
    pub memory_bytes_max: u64,
    /// What this server keeps of bodies that are on their way, in bytes.
    pub in_flight_bytes_max: u64,
    /// Connections that this server serves at a time.
    pub connections_max: usize,
}

impl Limits {
    /// The limits of the contract together with those that an operator chose.
    pub fn new(memory_bytes_max: u64, in_flight_bytes_max: u64, connections_max: usize) -> Self {
        Self {
            key_bytes_max: limits::KEY_BYTES_MAX,
            value_bytes_max: limits::VALUE_BYTES_MAX,
            lock_wait_ms_max: milliseconds(limits::LOCK_WAIT_MAX),
            list_limit_default: limits::LIST_LIMIT_DEFAULT,
            list_limit_max: limits::LIST_LIMIT_MAX,
            transaction_operations_max: limits::TRANSACTION_OPERATIONS_MAX,
            transaction_bytes_max: limits::TRANSACTION_BYTES_MAX,
            transaction_body_bytes_max: in_flight_bytes_max
                .min(limits::TRANSACTION_BODY_BYTES_MAX as u64),
            transaction_timeout_ms_default: milliseconds(limits::TRANSACTION_TIMEOUT_DEFAULT),
            transaction_timeout_ms_max: milliseconds(limits::TRANSACTION_TIMEOUT_MAX),
            memory_bytes_max,
            in_flight_bytes_max,
            connections_max,
        }
    }
}

fn milliseconds(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
