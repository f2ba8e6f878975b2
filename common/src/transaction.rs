//! A transaction: what must be true, what is read, what is written, all at one moment.

use std::{collections::BTreeSet, fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    ErrorCode, InvalidKey, Key, Value, ValueTooLarge, Version,
    limits::{KEY_BYTES_MAX, TRANSACTION_BYTES_MAX, TRANSACTION_OPERATIONS_MAX, VALUE_BYTES_MAX},
};

/// The client's name for a transaction: a UUID (RFC 9562), any version of it.
///
/// Whoever sends the same transaction again sends the same id, and it is run once. Two
/// transactions with one id are a mistake that the server answers with
/// [`IdReused`](ErrorCode::IdReused).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransactionId(pub u128);

/// The text is not a UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id is a UUID, such as 0199c2f4-5d1e-7c3a-9a41-2f60c1f0a7d2")]
pub struct InvalidTransactionId;

impl fmt::Display for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&uuid::Uuid::from_u128(self.0).as_hyphenated(), f)
    }
}

impl fmt::Debug for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for TransactionId {
    type Err = InvalidTransactionId;

    fn from_str(text: &str) -> Result<Self, InvalidTransactionId> {
        let uuid = uuid::Uuid::try_parse(text).map_err(|_| InvalidTransactionId)?;
        Ok(Self(uuid.as_u128()))
    }
}

/// A condition of a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Check {
    /// Of this key.
    pub key: Key,
    /// It has this version; none: it has no value.
    pub version: Option<Version>,
}

/// A change that a transaction makes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Write {
    /// Gives the key a value.
    Put {
        /// Which key.
        key: Key,
        /// Its new value.
        value: Value,
    },
    /// Takes the key's value away, if it has one.
    Delete {
        /// Which key.
        key: Key,
    },
}

impl Write {
    /// The key that it changes.
    pub fn key(&self) -> &Key {
        match self {
            Self::Put { key, .. } | Self::Delete { key } => key,
        }
    }

    /// The new value; none for a delete.
    pub fn value(&self) -> Option<&Value> {
        match self {
            Self::Put { value, .. } => Some(value),
            Self::Delete { .. } => None,
        }
    }
}

/// Checks, reads and writes: of a transaction, or of the part of it that one shard carries out.
///
/// Reads see what was there before the writes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Operations {
    /// All must hold.
    pub checks: Vec<Check>,
    /// What to return.
    pub reads: Vec<Key>,
    /// What to change.
    pub writes: Vec<Write>,
}

impl Operations {
    /// The keys that are looked at: those of the checks, then those of the reads.
    pub fn looked_at(&self) -> impl Iterator<Item = &Key> + Clone {
        let checks = self.checks.iter().map(|check| &check.key);
        checks.chain(&self.reads)
    }

    /// The keys that are changed.
    pub fn changed(&self) -> impl Iterator<Item = &Key> + Clone {
        self.writes.iter().map(Write::key)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.checks.len() + self.reads.len() + self.writes.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The keys and values together, in bytes.
    pub fn bytes(&self) -> usize {
        let keys = self.looked_at().chain(self.changed());
        let values = self.writes.iter().filter_map(Write::value);
        keys.map(|key| key.as_bytes().len()).sum::<usize>() + values.map(Value::len).sum::<usize>()
    }
}

/// Operations that make a legal transaction: some, not too many, and no key twice in one list.
///
/// Clones share the operations.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TransactionBody(Arc<Operations>);

impl TransactionBody {
    /// Checks `operations` and takes them as a transaction.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong.
    pub fn new(operations: Operations) -> Result<Self, InvalidTransaction> {
        match operations.len() {
            0 => return Err(InvalidTransaction::Empty),
            actual if actual > TRANSACTION_OPERATIONS_MAX => {
                return Err(InvalidTransaction::TooManyOperations { actual });
            }
            _ => {}
        }
        let checked = operations.checks.iter().map(|check| &check.key);
        each_once(List::Checks, &checked)?;
        each_once(List::Reads, &operations.reads.iter())?;
        each_once(List::Writes, &operations.changed())?;
        match operations.bytes() {
            actual if actual > TRANSACTION_BYTES_MAX => {
                Err(InvalidTransaction::TooLarge { actual })
            }
            _ => Ok(Self(Arc::new(operations))),
        }
    }

    /// What it does.
    pub fn operations(&self) -> &Arc<Operations> {
        &self.0
    }

    /// The key whose shard decides: that of the first write, else of the first check, else of the
    /// first read. A body that is sent again has the same.
    pub fn home(&self) -> &Key {
        let mut keys = self.0.changed().chain(self.0.looked_at());
        keys.next().expect("a body is not empty")
    }
}

fn each_once<'a>(
    list: List,
    keys: &(impl Iterator<Item = &'a Key> + Clone),
) -> Result<(), InvalidTransaction> {
    /// Of so few keys each is compared with all before it: a set costs more.
    const FEW: usize = 8;
    let mut seen = BTreeSet::new();
    for (index, key) in keys.clone().enumerate() {
        let is_new = if index < FEW {
            !keys.clone().take(index).any(|before| before == key)
        } else {
            if index == FEW {
                seen.extend(keys.clone().take(FEW));
            }
            seen.insert(key)
        };
        if !is_new {
            let at = Place { list, index };
            let key = key.clone();
            return Err(InvalidTransaction::DuplicateKey { at, key });
        }
    }
    Ok(())
}

/// One of the lists of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    /// What must be true.
    Checks,
    /// What is read.
    Reads,
    /// What is written.
    Writes,
    /// What the client needs to be told no more.
    Acknowledged,
}

/// An element of a list, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Of this list.
    pub list: List,
    /// From 0.
    pub index: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = match self.list {
            List::Checks => "checks",
            List::Reads => "reads",
            List::Writes => "writes",
            List::Acknowledged => "acknowledged",
        };
        write!(f, "{list}[{}]", self.index)
    }
}

/// Why something is not a transaction. Nothing of it was run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTransaction {
    /// No checks, no reads, no writes.
    #[error("there is nothing to check, to read or to write")]
    Empty,
    /// More than [`TRANSACTION_OPERATIONS_MAX`] checks, reads and writes together.
    #[error(
        "a transaction has at most {TRANSACTION_OPERATIONS_MAX} checks, reads and writes, \
         this one has {actual}"
    )]
    TooManyOperations {
        /// Their number.
        actual: usize,
    },
    /// More than [`TRANSACTION_BYTES_MAX`] bytes of keys and values together.
    #[error(
        "the keys and values of a transaction have at most {TRANSACTION_BYTES_MAX} bytes \
         together, these have {actual}"
    )]
    TooLarge {
        /// In bytes.
        actual: usize,
    },
    /// A key stands in one list twice.
    #[error("{at}: {key:?} stands in this list already")]
    DuplicateKey {
        /// The second time.
        at: Place,
        /// The key.
        key: Key,
    },
    /// A key is not legal.
    #[error("{at}: {error}")]
    Key {
        /// Where.
        at: Place,
        /// Why not.
        error: InvalidKey,
    },
    /// A value is too large.
    #[error("{at}: {error}")]
    Value {
        /// Where.
        at: Place,
        /// By how much.
        error: ValueTooLarge,
    },
    /// An element of a list is not what belongs there.
    #[error("{at}: {what}")]
    Malformed {
        /// Where.
        at: Place,
        /// What is wrong.
        what: &'static str,
    },
}

impl InvalidTransaction {
    /// How the server answers it.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Empty => ErrorCode::EmptyTransaction,
            Self::TooManyOperations { .. } | Self::TooLarge { .. } => {
                ErrorCode::TransactionTooLarge
            }
            Self::DuplicateKey { .. } => ErrorCode::DuplicateKey,
            Self::Key { error, .. } => match error {
                InvalidKey::TooLong { .. } => ErrorCode::KeyTooLongInBody,
                InvalidKey::NotUtf8 => ErrorCode::InvalidUtf8,
                InvalidKey::Empty | InvalidKey::DotSegment | InvalidKey::BadEscape => {
                    ErrorCode::InvalidKey
                }
            },
            Self::Value { .. } => ErrorCode::ValueTooLarge,
            Self::Malformed { .. } => ErrorCode::MalformedBody,
        }
    }

    /// The limit that was exceeded and by what, where one was.
    pub fn limit(&self) -> Option<(usize, usize)> {
        match self {
            Self::TooManyOperations { actual } => Some((TRANSACTION_OPERATIONS_MAX, *actual)),
            Self::TooLarge { actual } => Some((TRANSACTION_BYTES_MAX, *actual)),
            Self::Key {
                error: InvalidKey::TooLong { actual },
                ..
            } => Some((KEY_BYTES_MAX, *actual)),
            Self::Value { error, .. } => Some((VALUE_BYTES_MAX, error.actual)),
            _ => None,
        }
    }

    /// Where in the transaction, if it is one element that is wrong.
    pub fn place(&self) -> Option<Place> {
        match self {
            Self::DuplicateKey { at, .. }
            | Self::Key { at, .. }
            | Self::Value { at, .. }
            | Self::Malformed { at, .. } => Some(*at),
            Self::Empty | Self::TooManyOperations { .. } | Self::TooLarge { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        Key::new(text).expect("legal")
    }

    fn put(name: &str, bytes: usize) -> Write {
        let value = Value::try_from(vec![0; bytes]).expect("legal");
        Write::Put {
            key: key(name),
            value,
        }
    }

    fn body(
        checks: Vec<Check>,
        reads: Vec<Key>,
        writes: Vec<Write>,
    ) -> Result<TransactionBody, InvalidTransaction> {
        TransactionBody::new(Operations {
            checks,
            reads,
            writes,
        })
    }

    #[test]
    fn any_list_alone_makes_a_transaction_and_none_does_not() {
        let check = Check {
            key: key("a"),
            version: None,
        };
        assert!(body(vec![check], vec![], vec![]).is_ok());
        assert!(body(vec![], vec![key("a")], vec![]).is_ok());
        assert!(body(vec![], vec![], vec![put("a", 0)]).is_ok());
        assert_eq!(body(vec![], vec![], vec![]), Err(InvalidTransaction::Empty));
    }

    #[test]
    fn a_key_stands_once_in_each_list() {
        let check = Check {
            key: key("a"),
            version: None,
        };
        let write = put("a", 1);
        assert!(body(vec![check], vec![key("a")], vec![write]).is_ok());
        let twice = body(vec![], vec![key("a"), key("b"), key("a")], vec![]);
        assert_eq!(
            twice,
            Err(InvalidTransaction::DuplicateKey {
                at: Place {
                    list: List::Reads,
                    index: 2
                },
                key: key("a")
            })
        );
    }

    /// However many stand before it.
    #[test]
    fn the_first_key_that_stands_twice_is_told() {
        for first in 0..20 {
            for second in first + 1..20 {
                let mut names: Vec<_> = (0..20).map(|i| format!("k{i}")).collect();
                names[second] = names[first].clone();
                let reads = names.iter().map(|name| key(name)).collect();
                let at = Place {
                    list: List::Reads,
                    index: second,
                };
                let key = key(&names[first]);
                assert_eq!(
                    body(vec![], reads, vec![]),
                    Err(InvalidTransaction::DuplicateKey { at, key })
                );
            }
        }
    }

    #[test]
    fn operations_are_counted_over_all_lists() {
        let keys = |n: usize| (0..n).map(|i| key(&i.to_string())).collect::<Vec<_>>();
        assert!(body(vec![], keys(1023), vec![put("a", 0)]).is_ok());
        assert_eq!(
            body(vec![], keys(1024), vec![put("a", 0)]),
            Err(InvalidTransaction::TooManyOperations { actual: 1025 })
        );
    }

    #[test]
    fn keys_and_values_have_16_mib_together() {
        let four = |last: usize| {
            let mut writes: Vec<_> = ["a", "b", "c"].map(|k| put(k, 4 << 20)).into();
            writes.push(put("d", last));
            body(vec![], vec![], writes)
        };
        assert!(four((4 << 20) - 4).is_ok());
        assert_eq!(
            four((4 << 20) - 3),
            Err(InvalidTransaction::TooLarge {
                actual: (16 << 20) + 1
            })
        );
    }

    #[test]
    fn an_id_has_one_text_and_is_understood_in_all() {
        let text = "0199c2f4-5d1e-7c3a-9a41-2f60c1f0a7d2";
        let id: TransactionId = text.parse().expect("a UUID");
        assert_eq!(id.to_string(), text);
        assert_eq!("0199C2F45D1E7C3A9A412F60C1F0A7D2".parse(), Ok(id));
        for wrong in ["", "0", "0199c2f4-5d1e-7c3a-9a41-2f60c1f0a7d", "{}"] {
            assert_eq!(wrong.parse::<TransactionId>(), Err(InvalidTransactionId));
        }
    }
}
