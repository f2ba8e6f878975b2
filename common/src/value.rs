//! A value: 0 to 4 MiB of bytes, immutable and cheap to share.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::limits::VALUE_BYTES_MAX;

/// A legal value.
///
/// It owns exactly its bytes: making one copies them out of whatever buffer they came in, so a
/// stored value never keeps a connection's read buffer alive. Clones share the bytes, and so does
/// one that was made of a shared slice, which has no other bytes beside them.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Value(Arc<[u8]>);

/// More than [`VALUE_BYTES_MAX`] bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a value has at most {VALUE_BYTES_MAX} bytes, this one has {actual}")]
pub struct ValueTooLarge {
    /// Its size in bytes.
    pub actual: usize,
}

impl Value {
    /// Takes `bytes`, which are shared, as a value.
    pub fn new(bytes: Arc<[u8]>) -> Result<Self, ValueTooLarge> {
        check(bytes.len())?;
        Ok(Self(bytes))
    }

    /// Copies `bytes` into a value.
    pub fn copy_from(bytes: &[u8]) -> Result<Self, ValueTooLarge> {
        check(bytes.len())?;
        Ok(Self(Arc::from(bytes)))
    }

    /// The value's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The value's size in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the value has no bytes (which is legal, and not the same as an absent key).
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The same bytes, shared with all clones.
    pub fn into_shared(self) -> Arc<[u8]> {
        self.0
    }

    /// The same bytes as a [`Bytes`], without copying.
    pub fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

fn check(actual: usize) -> Result<(), ValueTooLarge> {
    if actual > VALUE_BYTES_MAX {
        return Err(ValueTooLarge { actual });
    }
    Ok(())
}

impl AsRef<[u8]> for Value {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Size and the first bytes: values may be large, and may be anything.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN_BYTES: usize = 32;
        let shown = &self.0[..self.0.len().min(SHOWN_BYTES)];
        let more = if shown.len() < self.0.len() {
            "…"
        } else {
            ""
        };
        write!(
            f,
            "Value({} bytes, b\"{}{more}\")",
            self.0.len(),
            shown.escape_ascii()
        )
    }
}

/// As bytes, for binary formats; what JSON says instead stands in [`wire`](crate::wire).
impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(ValueVisitor)
    }
}

struct ValueVisitor;

impl de::Visitor<'_> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {VALUE_BYTES_MAX} bytes")
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Value, E> {
        Value::copy_from(bytes).map_err(E::custom)
    }
}

impl TryFrom<&[u8]> for Value {
    type Error = ValueTooLarge;

    fn try_from(bytes: &[u8]) -> Result<Self, ValueTooLarge> {
        Self::copy_from(bytes)
    }
}

impl TryFrom<&str> for Value {
    type Error = ValueTooLarge;

    fn try_from(text: &str) -> Result<Self, ValueTooLarge> {
        Self::copy_from(text.as_bytes())
    }
}

impl TryFrom<Vec<u8>> for Value {
    type Error = ValueTooLarge;

    fn try_from(bytes: Vec<u8>) -> Result<Self, ValueTooLarge> {
        Self::copy_from(&bytes)
    }
}

impl TryFrom<String> for Value {
    type Error = ValueTooLarge;

    fn try_from(text: String) -> Result<Self, ValueTooLarge> {
        Self::copy_from(text.as_bytes())
    }
}

impl TryFrom<Bytes> for Value {
    type Error = ValueTooLarge;

    fn try_from(bytes: Bytes) -> Result<Self, ValueTooLarge> {
        Self::copy_from(&bytes)
    }
}

impl<const N: usize> TryFrom<&[u8; N]> for Value {
    type Error = ValueTooLarge;

    fn try_from(bytes: &[u8; N]) -> Result<Self, ValueTooLarge> {
        Self::copy_from(bytes)
    }
}

/// For a `Value` itself, whose conversion cannot fail.
impl From<std::convert::Infallible> for ValueTooLarge {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_is_0_to_4_mib() {
        assert!(Value::try_from("").expect("legal").is_empty());
        assert_eq!(
            Value::try_from(vec![7; 4 << 20]).expect("legal").len(),
            4_194_304
        );
        assert_eq!(
            Value::try_from(vec![7; (4 << 20) + 1]),
            Err(ValueTooLarge { actual: 4_194_305 })
        );
    }

    #[test]
    fn into_bytes_does_not_copy() {
        let value = Value::try_from("some bytes").expect("legal");
        let address = value.as_bytes().as_ptr();
        assert_eq!(value.into_bytes().as_ptr(), address);
    }

    #[test]
    fn debug_is_short_and_escaped() {
        let value = Value::try_from(vec![0; 100]).expect("legal");
        let shown = format!("{value:?}");
        assert!(
            shown.starts_with(r#"Value(100 bytes, b"\x00\x00"#),
            "{shown}"
        );
        assert!(shown.len() < 200, "{shown}");
    }

    #[test]
    fn debug_says_when_it_does_not_show_everything() {
        let debug = |bytes| format!("{:?}", Value::try_from(vec![b'v'; bytes]).expect("legal"));
        for whole in [0, 1, 32] {
            let shown = format!("Value({whole} bytes, b\"{}\")", "v".repeat(whole));
            assert_eq!(debug(whole), shown);
        }
        assert!(debug(33).ends_with("vvv…\")"), "{}", debug(33));
    }
}
