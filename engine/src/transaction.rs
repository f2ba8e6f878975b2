//! What a transaction is: checks, reads and writes that happen at one instant or not at all.
//!
//! A [`Body`] is legal by construction: within the limits, no key twice in one list. It fixes
//! which shards take part and which of them is the *home*, the one that decides.
//!
//! That an id is sent again with another body is told by the home that remembers it. Another body
//! may have another home, which knows nothing of the id: two transactions under one id that share
//! no home are two transactions. Whoever makes ids owes it to himself to make them unique.
//!
//! # Digest
//!
//! [`Body::digest`] names a body, so that an id that is sent again with another body can be told.
//! It is SHA-256 over these bytes; numbers are 8 bytes, little-endian; a text or a value is its
//! length as a number, then its bytes:
//!
//! ```text
//! "trandb transaction 1"
//! number of checks; each: key, then 0, or 1 epoch counter      (0 and 1: one byte)
//! number of reads;  each: key
//! number of writes; each: 0 key, or 1 key value                (0: delete, 1: put)
//! ```
//!
//! A transaction whose id the server has made goes by [`Digest::OF_NO_BODY`].
//!
//! The lists are taken in the order of the body, so that another order is another body. Nothing
//! about how it was sent counts (JSON or CBOR, time-outs, acknowledgements). Every length stands
//! before what it measures, so that no two bodies have the same bytes. A hash that only spreads
//! well would not do: whoever can find two bodies with one digest gets "committed" for a body that
//! never was; SHA-256 is a standard (FIPS 180-4) that any client can compute too.
//!
//! Tests: below.

use std::{collections::BTreeMap, fmt, num::NonZeroU16, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use trandb_common::{InvalidTransaction, TransactionBody, Version, transaction::Operations};

use crate::{ShardId, route};

/// Milliseconds since 1970 by some proposer's clock.
///
/// Of a shard: the largest that any of its commands carried. Nothing but the keeping of memory and
/// the moment of questions depends on it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct LogTime(pub u64);

impl LogTime {
    /// This much later; whole milliseconds count.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(wait))
    }
}

/// What a transaction's body is called by: see the module's documentation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Of a transaction whose id its client did not give: nobody can send it again, so that its
    /// body need not be told from another. Whoever sends any body under that id has reused it.
    pub const OF_NO_BODY: Self = Self([0; 32]);
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in &self.0[..4] {
            write!(f, "{byte:02x}")?;
        }
        f.write_str("…")
    }
}

/// A legal transaction, as the shards see it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Body(TransactionBody);

impl From<TransactionBody> for Body {
    fn from(body: TransactionBody) -> Self {
        Self(body)
    }
}

impl Body {
    /// # Errors
    ///
    /// As [`TransactionBody::new`].
    pub fn new(operations: Operations) -> Result<Self, InvalidTransaction> {
        TransactionBody::new(operations).map(Self)
    }

    /// What it does.
    pub fn operations(&self) -> &Arc<Operations> {
        self.0.operations()
    }

    /// The shard that decides: that of the first write, else of the first check, else of the first
    /// read. A body that is sent again has the same.
    pub fn home(&self, shards: NonZeroU16) -> ShardId {
        route(self.0.home(), shards)
    }

    /// Each shard's part, in the order of the body. The home has one, as everybody who takes part.
    pub fn parts(&self, shards: NonZeroU16) -> BTreeMap<ShardId, Arc<Operations>> {
        let home = self.home(shards);
        let all = self.operations();
        let mut keys = all.looked_at().chain(all.changed());
        if keys.all(|key| route(key, shards) == home) {
            return BTreeMap::from([(home, Arc::clone(all))]);
        }
        let mut parts: BTreeMap<ShardId, Operations> = BTreeMap::new();
        for check in &self.operations().checks {
            let part = parts.entry(route(&check.key, shards)).or_default();
            part.checks.push(check.clone());
        }
        for key in &self.operations().reads {
            let part = parts.entry(route(key, shards)).or_default();
            part.reads.push(key.clone());
        }
        for write in &self.operations().writes {
            let part = parts.entry(route(write.key(), shards)).or_default();
            part.writes.push(write.clone());
        }
        let parts = parts.into_iter();
        parts.map(|(shard, part)| (shard, part.into())).collect()
    }

    /// What the body is called by: see the module's documentation.
    pub fn digest(&self) -> Digest {
        let mut hash = Sha256::new_with_prefix("trandb transaction 1");
        number(&mut hash, self.operations().checks.len());
        for check in &self.operations().checks {
            text(&mut hash, check.key.as_bytes());
            match check.version {
                None => hash.update([0]),
                Some(Version { epoch, counter }) => {
                    hash.update([1]);
                    hash.update(epoch.to_le_bytes());
                    hash.update(counter.to_le_bytes());
                }
            }
        }
        number(&mut hash, self.operations().reads.len());
        for key in &self.operations().reads {
            text(&mut hash, key.as_bytes());
        }
        number(&mut hash, self.operations().writes.len());
        for write in &self.operations().writes {
            hash.update([u8::from(write.value().is_some())]);
            text(&mut hash, write.key().as_bytes());
            if let Some(value) = write.value() {
                text(&mut hash, value.as_bytes());
            }
        }
        Digest(hash.finalize().into())
    }
}

fn number(hash: &mut Sha256, number: usize) {
    hash.update((number as u64).to_le_bytes());
}

fn text(hash: &mut Sha256, bytes: &[u8]) {
    number(hash, bytes.len());
    hash.update(bytes);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use trandb_common::{
        Key, Value,
        transaction::{Check, Write},
    };

    use super::*;

    fn key(text: &str) -> Key {
        Key::new(text).expect("legal")
    }

    fn put(name: &str, value: &str) -> Write {
        Write::Put {
            key: key(name),
            value: Value::try_from(value).expect("legal"),
        }
    }

    /// As most do: nothing is copied.
    #[test]
    fn what_lies_in_one_shard_is_its_part_as_it_is() {
        let writes = vec![put("a", "1"), put("b", "2")];
        let body = Body::new(Operations {
            writes,
            ..Operations::default()
        });
        let body = body.expect("legal");
        let parts = body.parts(NonZeroU16::MIN);
        assert!(Arc::ptr_eq(&parts[&ShardId(0)], body.operations()));
    }

    fn check(name: &str, counter: Option<u64>) -> Check {
        let version = counter.map(|counter| Version { epoch: 1, counter });
        Check {
            key: key(name),
            version,
        }
    }

    fn body(
        checks: Vec<Check>,
        reads: &[&str],
        writes: Vec<Write>,
    ) -> Result<Body, InvalidTransaction> {
        Body::new(Operations {
            checks,
            reads: reads.iter().map(|name| key(name)).collect(),
            writes,
        })
    }

    #[test]
    fn the_digest_is_what_the_documentation_says() {
        let text = |bytes: &mut Vec<u8>, text: &str| {
            bytes.extend((text.len() as u64).to_le_bytes());
            bytes.extend(text.as_bytes());
        };
        let mut bytes = b"trandb transaction 1".to_vec();
        bytes.extend(2_u64.to_le_bytes());
        text(&mut bytes, "c");
        bytes.push(0);
        text(&mut bytes, "d");
        bytes.push(1);
        bytes.extend(1_u64.to_le_bytes());
        bytes.extend(7_u64.to_le_bytes());
        bytes.extend(1_u64.to_le_bytes());
        text(&mut bytes, "r");
        bytes.extend(2_u64.to_le_bytes());
        bytes.push(1);
        text(&mut bytes, "p");
        text(&mut bytes, "value");
        bytes.push(0);
        text(&mut bytes, "q");
        let body = body(
            vec![check("c", None), check("d", Some(7))],
            &["r"],
            vec![put("p", "value"), Write::Delete { key: key("q") }],
        );
        let digest: [u8; 32] = Sha256::digest(&bytes).into();
        assert_eq!(body.expect("legal").digest(), Digest(digest));
    }

    #[test]
    fn bodies_that_differ_in_anything_have_other_digests() {
        let delete = |name| Write::Delete { key: key(name) };
        let bodies = [
            body(vec![], &["a", "b"], vec![]),
            body(vec![], &["b", "a"], vec![]),
            body(vec![], &["ab"], vec![]),
            body(vec![check("a", None)], &["b"], vec![]),
            body(vec![check("a", Some(0))], &["b"], vec![]),
            body(vec![check("a", Some(1))], &["b"], vec![]),
            body(vec![], &[], vec![delete("a")]),
            body(vec![], &[], vec![put("a", "")]),
            body(vec![], &[], vec![put("a", "b")]),
            body(vec![], &["a"], vec![delete("b")]),
        ];
        let digests: BTreeSet<Digest> = bodies
            .iter()
            .map(|body| body.as_ref().expect("legal").digest())
            .collect();
        assert_eq!(digests.len(), bodies.len());
    }

    #[test]
    fn the_home_is_the_first_writes_else_the_first_checks_else_the_first_reads() {
        let shards = NonZeroU16::new(997).expect("not 0");
        let home = |body: Result<Body, InvalidTransaction>| body.expect("legal").home(shards);
        let at = |name| route(&key(name), shards);
        let checks = || vec![check("c", None)];
        assert_eq!(home(body(checks(), &["r"], vec![put("w", "")])), at("w"));
        assert_eq!(home(body(checks(), &["r"], vec![])), at("c"));
        assert_eq!(home(body(vec![], &["r", "s"], vec![])), at("r"));
    }

    #[test]
    fn parts_keep_the_order_and_lose_nothing() {
        let shards = NonZeroU16::new(3).expect("not 0");
        let names: Vec<String> = (0..20).map(|n| format!("k{n}")).collect();
        let keys: Vec<&str> = names.iter().map(String::as_str).collect();
        let all = body(vec![], &keys, vec![]).expect("legal");
        let parts = all.parts(shards);
        assert_eq!(parts.len(), 3, "all shards have some of 20 keys");
        for (shard, part) in &parts {
            let here = keys.iter().map(|name| key(name));
            let here: Vec<Key> = here.filter(|key| route(key, shards) == *shard).collect();
            assert_eq!(part.reads, here);
        }
    }
}
