//! The bodies of `POST /transactions`, as JSON and as CBOR.
//!
//! One schema for both; the formats differ in values alone: base64 text in JSON, byte strings in
//! CBOR. A [`Request`] is what came, legal or not; [`Request::check`] makes a [`TransactionBody`] of
//! it or says which element is wrong.
//!
//! Bounded: of a list that is too long only as much is kept as is needed to know that.

use std::{borrow::Cow, fmt, marker::PhantomData, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use compact_str::CompactString;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};

use crate::{
    InvalidTransaction, Key, TransactionBody, TransactionId, Value, Version,
    limits::TRANSACTION_OPERATIONS_MAX,
    transaction::{self, List, Operations, Place},
};

/// The media type of the JSON form.
pub const JSON_CONTENT_TYPE: &str = "application/json";

/// The media type of the CBOR form (RFC 8949).
pub const CBOR_CONTENT_TYPE: &str = "application/cbor";

/// The body of `POST /transactions`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = TransactionRequest))]
pub struct Request {
    /// A UUID. The same transaction sent again under its id is run once. Without an id the server
    /// makes one, and an answer that is lost leaves the outcome unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = "uuid"))]
    pub id: Option<TransactionId>,
    /// What must be true. A key at most once.
    #[serde(default, skip_serializing_if = "Bounded::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<CheckRow>))]
    pub checks: Bounded<CheckRow>,
    /// What is read, as it is at the moment of the commit and before its writes. A key at most
    /// once.
    #[serde(default, skip_serializing_if = "Bounded::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<ReadRow>))]
    pub reads: Bounded<ReadRow>,
    /// What is written. A key at most once.
    #[serde(default, skip_serializing_if = "Bounded::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<WriteRow>))]
    pub writes: Bounded<WriteRow>,
    /// How long the server may try, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// Earlier transactions whose answers have arrived: their outcomes need be kept no longer.
    #[serde(default, skip_serializing_if = "Bounded::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<Acknowledged>))]
    pub acknowledged: Bounded<Acknowledged>,
}

/// A condition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = TransactionCheck))]
pub struct CheckRow {
    /// Of this key.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub key: CompactString,
    /// It has this version; `null`: it has no value.
    #[serde(deserialize_with = "must_be_there")]
    #[cfg_attr(feature = "openapi", schema(required = true))]
    pub version: Option<String>,
}

/// Left out is not the same as null: who forgets the version would check something else.
fn must_be_there<'de, D: Deserializer<'de>>(d: D) -> Result<Option<String>, D::Error> {
    Option::deserialize(d)
}

/// A key that is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = TransactionRead))]
pub struct ReadRow {
    /// This key.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub key: CompactString,
}

/// A change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = TransactionWrite))]
pub struct WriteRow {
    /// What is done.
    pub op: WriteOp,
    /// With this key.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub key: CompactString,
    /// With `put`: the value. Base64 in JSON, a byte string in CBOR.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = "byte"))]
    pub value: Option<Octets>,
    /// With `put`, instead of `value`: the value as UTF-8 text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// What a [`WriteRow`] does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = TransactionWriteOp))]
pub enum WriteOp {
    /// Gives the key a value.
    Put,
    /// Takes its value away.
    Delete,
}

/// A transaction whose answer has arrived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = TransactionAcknowledged))]
pub struct Acknowledged {
    /// Its id.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "uuid"))]
    pub id: TransactionId,
    /// The key that it wrote first (else checked first, else read first): its outcome is kept
    /// there.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub key: CompactString,
}

/// The answer to a transaction that was committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = TransactionCommitted))]
pub struct Committed {
    /// The transaction's id, also when the server made it.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "uuid"))]
    pub id: TransactionId,
    /// `committed`.
    pub outcome: Decision,
    /// The new version of each key that was put.
    #[cfg_attr(feature = "openapi", schema(value_type = std::collections::BTreeMap<String, String>))]
    pub versions: std::collections::BTreeMap<Key, Version>,
    /// What was read, in the order in which it was asked for. Absent from the answer to a
    /// transaction that was committed before: values that were read are not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reads: Option<Vec<Found>>,
}

/// What a transaction read of one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = TransactionFound))]
pub struct Found {
    /// Of this key.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub key: Key,
    /// Its version; `null`: it has no value.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub version: Option<Version>,
    /// Its value, as base64 in JSON and as a byte string in CBOR; `null`: it has none.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = "byte"))]
    pub value: Option<Octets>,
}

/// The answer of `GET /transactions/{id}` and of `POST /transactions/{id}/abort`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = TransactionStatus))]
pub struct Status {
    /// What became of it.
    pub outcome: Decision,
}

/// What became of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = TransactionDecision))]
pub enum Decision {
    /// All of its writes happened.
    Committed,
    /// None of its writes happened, nor will.
    NotCommitted,
    /// It is not decided yet.
    InProgress,
}

/// A check that failed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = TransactionFailedCheck))]
pub struct FailedCheck {
    /// Of this key.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub key: Key,
    /// The version that it was to have; `null`: no value.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub expected: Option<Version>,
    /// The version that it has; `null`: no value.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub actual: Option<Version>,
}

impl Request {
    /// What `transaction` asks, under `id`.
    pub fn new(id: TransactionId, transaction: &TransactionBody) -> Self {
        let operations = transaction.operations();
        let checks = operations.checks.iter().map(|check| CheckRow {
            key: check.key.as_str().into(),
            version: check.version.map(|version| version.to_string()),
        });
        let reads = operations.reads.iter().map(|key| ReadRow {
            key: key.as_str().into(),
        });
        let writes = operations.writes.iter().map(|write| WriteRow {
            op: match write {
                transaction::Write::Put { .. } => WriteOp::Put,
                transaction::Write::Delete { .. } => WriteOp::Delete,
            },
            key: write.key().as_str().into(),
            value: write.value().cloned().map(Octets::from),
            text: None,
        });
        Self {
            id: Some(id),
            checks: checks.collect(),
            reads: reads.collect(),
            writes: writes.collect(),
            timeout_ms: None,
            acknowledged: Bounded::default(),
        }
    }

    /// The transaction that it asks for.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<TransactionBody, InvalidTransaction> {
        let operations = self.checks.len() + self.reads.len() + self.writes.len();
        if operations > TRANSACTION_OPERATIONS_MAX {
            return Err(InvalidTransaction::TooManyOperations { actual: operations });
        }
        TransactionBody::new(Operations {
            checks: each(List::Checks, &self.checks, check)?,
            reads: each(List::Reads, &self.reads, |at, row| key(at, &row.key))?,
            writes: each(List::Writes, &self.writes, write)?,
        })
    }

    /// The acknowledged transactions, and for each the key that says where its outcome is kept.
    ///
    /// # Errors
    ///
    /// The first key that is not legal, or that there are too many.
    pub fn check_acknowledged(&self) -> Result<Vec<(TransactionId, Key)>, InvalidTransaction> {
        let actual = self.acknowledged.len();
        if actual > TRANSACTION_OPERATIONS_MAX {
            return Err(InvalidTransaction::TooManyOperations { actual });
        }
        each(List::Acknowledged, &self.acknowledged, |at, row| {
            Ok((row.id, key(at, &row.key)?))
        })
    }
}

fn each<T, U>(
    list: List,
    rows: &Bounded<T>,
    convert: impl Fn(Place, &T) -> Result<U, InvalidTransaction>,
) -> Result<Vec<U>, InvalidTransaction> {
    let rows = rows.kept.iter().enumerate();
    rows.map(|(index, row)| convert(Place { list, index }, row))
        .collect()
}

fn key(at: Place, text: &str) -> Result<Key, InvalidTransaction> {
    Key::new(text).map_err(|error| InvalidTransaction::Key { at, error })
}

fn check(at: Place, row: &CheckRow) -> Result<transaction::Check, InvalidTransaction> {
    let version = match row.version.as_deref().map(str::parse) {
        None => None,
        Some(Ok(version)) => Some(version),
        Some(Err(_)) => {
            let what = "`version` is null, or text as it came in an ETag, without the quotes";
            return Err(InvalidTransaction::Malformed { at, what });
        }
    };
    Ok(transaction::Check {
        key: key(at, &row.key)?,
        version,
    })
}

fn write(at: Place, row: &WriteRow) -> Result<transaction::Write, InvalidTransaction> {
    let value = match (row.op, &row.value, &row.text) {
        (WriteOp::Put, Some(Octets(bytes)), None) => Some(Value::new(Arc::clone(bytes))),
        (WriteOp::Put, None, Some(text)) => Some(Value::copy_from(text.as_bytes())),
        (WriteOp::Delete, None, None) => None,
        (WriteOp::Put, None, None) => {
            let what = "a put has a `value`, or a `text`";
            return Err(InvalidTransaction::Malformed { at, what });
        }
        (WriteOp::Put, Some(_), Some(_)) => {
            let what = "a put has either a `value` or a `text`, not both";
            return Err(InvalidTransaction::Malformed { at, what });
        }
        (WriteOp::Delete, ..) => {
            let what = "a delete has neither a `value` nor a `text`";
            return Err(InvalidTransaction::Malformed { at, what });
        }
    };
    let key = key(at, &row.key)?;
    Ok(match value.transpose() {
        Ok(Some(value)) => transaction::Write::Put { key, value },
        Ok(None) => transaction::Write::Delete { key },
        Err(error) => return Err(InvalidTransaction::Value { at, error }),
    })
}

/// By hand, since what serde derives for an enum takes `{"put":null}` for `"put"`, too.
impl<'de> Deserialize<'de> for WriteOp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;

        impl Visitor<'_> for Name {
            type Value = WriteOp;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`put` or `delete`")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<WriteOp, E> {
                match name {
                    "put" => Ok(WriteOp::Put),
                    "delete" => Ok(WriteOp::Delete),
                    other => Err(E::unknown_variant(other, &["put", "delete"])),
                }
            }
        }

        deserializer.deserialize_str(Name)
    }
}

/// What serde derives for a struct takes a list of its fields, too: `["k"]` for `{"key":"k"}`. Here
/// only an object is one. (`remote = "Self"` gives what is derived to the type, not to the trait.)
macro_rules! only_objects {
    ($($object:ty)*) => {$(
        impl Serialize for $object {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                <$object>::serialize(self, serializer)
            }
        }

        impl<'de> Deserialize<'de> for $object {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Fields;

                impl<'de> Visitor<'de> for Fields {
                    type Value = $object;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<$object, A::Error> {
                        <$object>::deserialize(MapAccessDeserializer::new(map))
                    }
                }

                deserializer.deserialize_map(Fields)
            }
        }
    )*};
}

only_objects! { Request CheckRow ReadRow WriteRow Acknowledged }

/// Bytes of a value: base64 text where people read (RFC 4648, section 4, padded), a byte string
/// elsewhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Octets(Arc<[u8]>);

impl Octets {
    /// The bytes.
    pub fn into_bytes(self) -> bytes::Bytes {
        bytes::Bytes::from_owner(self.0)
    }
}

impl From<Value> for Octets {
    fn from(value: Value) -> Self {
        Self(value.into_shared())
    }
}

/// How many there are: they may be large, and may be anything.
impl fmt::Debug for Octets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Octets({} bytes)", self.0.len())
    }
}

impl Serialize for Octets {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&BASE64.encode(&self.0))
        } else {
            serializer.serialize_bytes(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Octets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = Octets;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a base64 text")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Octets, E> {
                let bytes = BASE64
                    .decode(text)
                    .map_err(|error| E::custom(format_args!("`value` is not base64: {error}")))?;
                Ok(Octets(bytes.into()))
            }
        }

        struct Raw;

        impl Visitor<'_> for Raw {
            type Value = Octets;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a byte string")
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Octets, E> {
                Ok(Octets(bytes.into()))
            }
        }

        if deserializer.is_human_readable() {
            deserializer.deserialize_str(Text)
        } else {
            deserializer.deserialize_bytes(Raw)
        }
    }
}

impl Serialize for TransactionId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let uuid = uuid::Uuid::from_u128(self.0).as_hyphenated().to_owned();
        serializer.serialize_str(uuid.encode_lower(&mut uuid::Uuid::encode_buffer()))
    }
}

impl<'de> Deserialize<'de> for TransactionId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// A list of which at most one element more is kept than any transaction may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounded<T> {
    kept: Vec<T>,
    /// How many there were.
    len: usize,
}

impl<T> Default for Bounded<T> {
    fn default() -> Self {
        Self {
            kept: Vec::new(),
            len: 0,
        }
    }
}

impl<T> Bounded<T> {
    /// How many there were, also those that are not kept.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there was none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn push(&mut self, element: T) {
        self.len += 1;
        if self.kept.len() <= TRANSACTION_OPERATIONS_MAX {
            self.kept.push(element);
        }
    }
}

impl<T> FromIterator<T> for Bounded<T> {
    fn from_iter<I: IntoIterator<Item = T>>(elements: I) -> Self {
        let mut list = Self::default();
        elements.into_iter().for_each(|element| list.push(element));
        list
    }
}

impl<T: Serialize> Serialize for Bounded<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.kept.serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Bounded<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Elements<T> {
            type Value = Bounded<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Bounded<T>, A::Error> {
                let mut list = Bounded::default();
                while let Some(element) = seq.next_element()? {
                    list.push(element);
                }
                Ok(list)
            }
        }

        deserializer.deserialize_seq(Elements(PhantomData))
    }
}
