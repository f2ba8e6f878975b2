//! A key: 1 to 1,024 bytes of UTF-8, compared byte by byte.

use std::{fmt, num::NonZeroU16};

use compact_str::CompactString;
use serde::{Deserialize, Deserializer, Serialize};
use twox_hash::XxHash3_64;

use crate::limits::KEY_BYTES_MAX;

/// A legal key.
///
/// Any UTF-8 text of 1 to [`KEY_BYTES_MAX`] bytes but `.` and `..`, which most HTTP clients
/// normalise away even when they are percent-encoded. Order and equality are those of the bytes:
/// there is no Unicode normalisation. Keys of up to 24 bytes need no allocation.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Key(CompactString);

/// Why some text is not a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// No bytes at all.
    #[error("a key has at least 1 byte")]
    Empty,
    /// `.` or `..`.
    #[error("`.` and `..` are not keys: HTTP clients remove such path segments")]
    DotSegment,
    /// More than [`KEY_BYTES_MAX`] bytes.
    #[error("a key has at most {KEY_BYTES_MAX} bytes, this one has {actual}")]
    TooLong {
        /// Its length in bytes.
        actual: usize,
    },
    /// The bytes (after percent-decoding) are not UTF-8.
    #[error("a key is UTF-8 text, these bytes are not")]
    NotUtf8,
    /// A `%` in a path that is not followed by two hexadecimal digits.
    #[error("a `%` in a path is followed by two hexadecimal digits; a literal one is `%25`")]
    BadEscape,
}

impl Key {
    /// Checks `text` and takes it as a key.
    pub fn new(text: &str) -> Result<Self, InvalidKey> {
        match text {
            "" => Err(InvalidKey::Empty),
            "." | ".." => Err(InvalidKey::DotSegment),
            _ if text.len() > KEY_BYTES_MAX => Err(InvalidKey::TooLong { actual: text.len() }),
            _ => Ok(Self(CompactString::new(text))),
        }
    }

    /// The key's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key's bytes, which are what keys are ordered by.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The number of its shard when there are `shards` of them: XXH3 (64 bits, seed 0) of the
    /// key's bytes, modulo their number.
    ///
    /// Stable across versions, machines and languages: a client may compute it, too, to ask the
    /// node that leads the shard.
    pub fn shard(&self, shards: NonZeroU16) -> u16 {
        let shard = XxHash3_64::oneshot(self.as_bytes()) % u64::from(shards.get());
        u16::try_from(shard).unwrap_or_else(|_| unreachable!("less than a u16"))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Control characters are escaped, so that a key is safe in a log.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl std::str::FromStr for Key {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        Self::new(text)
    }
}

impl TryFrom<&str> for Key {
    type Error = InvalidKey;

    fn try_from(text: &str) -> Result<Self, InvalidKey> {
        Self::new(text)
    }
}

impl TryFrom<String> for Key {
    type Error = InvalidKey;

    fn try_from(text: String) -> Result<Self, InvalidKey> {
        Self::new(&text)
    }
}

impl TryFrom<&String> for Key {
    type Error = InvalidKey;

    fn try_from(text: &String) -> Result<Self, InvalidKey> {
        Self::new(text)
    }
}

impl TryFrom<&[u8]> for Key {
    type Error = InvalidKey;

    fn try_from(bytes: &[u8]) -> Result<Self, InvalidKey> {
        Self::new(std::str::from_utf8(bytes).map_err(|_| InvalidKey::NotUtf8)?)
    }
}

/// So that a `&Key` goes wherever something that may be a key is asked for.
impl From<&Key> for Key {
    fn from(key: &Key) -> Self {
        key.clone()
    }
}

/// For [`From<&Key>`] and a `Key` itself, whose conversion cannot fail.
impl From<std::convert::Infallible> for InvalidKey {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = CompactString::deserialize(deserializer)?;
        Self::new(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_is_1_to_1024_bytes() {
        assert_eq!(Key::new(""), Err(InvalidKey::Empty));
        assert!(Key::new("a").is_ok());
        assert!(Key::new(&"a".repeat(1024)).is_ok());
        assert_eq!(
            Key::new(&"a".repeat(1025)),
            Err(InvalidKey::TooLong { actual: 1025 })
        );
    }

    #[test]
    fn every_way_to_make_a_key_is_the_same_way() {
        let long = "a".repeat(1025);
        for text in ["a", "é/..", "", ".", "..", &long] {
            let expected = Key::new(text);
            assert_eq!(text.parse(), expected);
            assert_eq!(Key::try_from(text), expected);
            assert_eq!(Key::try_from(text.as_bytes()), expected);
            assert_eq!(Key::try_from(&text.to_owned()), expected);
            assert_eq!(Key::try_from(text.to_owned()), expected);
            if let Ok(key) = expected {
                assert_eq!(key.to_string(), text);
                assert_eq!(Key::from(&key), key);
            }
        }
    }

    #[test]
    fn length_counts_bytes_not_characters() {
        assert!(Key::new(&"é".repeat(512)).is_ok());
        assert_eq!(
            Key::new(&"é".repeat(513)),
            Err(InvalidKey::TooLong { actual: 1026 })
        );
    }

    #[test]
    fn dot_segments_are_refused_and_their_neighbours_are_not() {
        assert_eq!(Key::new("."), Err(InvalidKey::DotSegment));
        assert_eq!(Key::new(".."), Err(InvalidKey::DotSegment));
        for legal in ["...", ".a", "a.", "../x", " ", "/"] {
            assert!(Key::new(legal).is_ok(), "{legal:?}");
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_are_refused() {
        assert_eq!(Key::try_from(&b"\xff\xfe"[..]), Err(InvalidKey::NotUtf8));
    }

    #[test]
    fn composed_and_decomposed_text_are_two_keys() {
        assert_ne!(Key::new("\u{e9}"), Key::new("e\u{301}"));
    }

    #[test]
    fn debug_escapes_control_characters() {
        let key = Key::new("a\n\u{1b}[2J\0").expect("legal");
        assert_eq!(format!("{key:?}"), r#""a\n\u{1b}[2J\0""#);
    }

    #[test]
    fn json_is_checked_like_everything_else() {
        assert!(serde_json::from_str::<Key>(r#""a/b""#).is_ok());
        for illegal in [r#""""#, r#"".""#, r#""..""#] {
            assert!(serde_json::from_str::<Key>(illegal).is_err(), "{illegal}");
        }
    }
}
