//! A version: the name of one value of one key, for ever.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What a write gives its key; never reused, not after a delete and not after a restart.
///
/// It is an epoch, which is new whenever memory may have been lost, and the counter of the key's
/// shard, which grows with every write. Clients treat its text as opaque: `e` and the epoch, `-`
/// and the counter, both in hexadecimal, at most [`Version::TEXT_BYTES_MAX`] bytes. In HTTP it
/// travels as a strong `ETag`: the same text in double quotes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// New whenever memory may have been lost.
    pub epoch: u64,
    /// Grows with every write of the shard.
    pub counter: u64,
}

/// The text is not a version of TranDB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a version: take the text as it came in an ETag, without the quotes")]
pub struct InvalidVersion;

impl Version {
    /// Longest text of a version, in bytes.
    pub const TEXT_BYTES_MAX: usize = "e-".len() + 2 * 16;

    /// Writes the text at the end of `room`, which has at least [`Self::TEXT_BYTES_MAX`] bytes, and
    /// returns where it begins.
    ///
    /// The same as `Display`, whose machinery would be a tenth of the work of answering a small
    /// read.
    pub fn write_text(&self, room: &mut [u8]) -> usize {
        let dash = write_hexadecimal(self.counter, room) - 1;
        room[dash] = b'-';
        let begin = write_hexadecimal(self.epoch, &mut room[..dash]) - 1;
        room[begin] = b'e';
        begin
    }

    fn with_text<T>(self, use_it: impl FnOnce(&str) -> T) -> T {
        let mut room = [0; Self::TEXT_BYTES_MAX];
        let begin = self.write_text(&mut room);
        use_it(std::str::from_utf8(&room[begin..]).expect("digits, a letter and a dash"))
    }
}

/// Writes the digits at the end of `room`, and returns where they begin.
fn write_hexadecimal(mut number: u64, room: &mut [u8]) -> usize {
    let mut begin = room.len();
    loop {
        begin -= 1;
        room[begin] = b"0123456789abcdef"[(number & 0xf) as usize];
        number >>= 4;
        if number == 0 {
            return begin;
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_text(|text| f.write_str(text))
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Only the canonical text is taken, so that equal versions have equal texts and the reverse.
impl FromStr for Version {
    type Err = InvalidVersion;

    fn from_str(text: &str) -> Result<Self, InvalidVersion> {
        let (epoch, counter) = text
            .strip_prefix('e')
            .and_then(|rest| rest.split_once('-'))
            .ok_or(InvalidVersion)?;
        Ok(Self {
            epoch: hexadecimal(epoch)?,
            counter: hexadecimal(counter)?,
        })
    }
}

fn hexadecimal(digits: &str) -> Result<u64, InvalidVersion> {
    let canonical = digits
        .bytes()
        .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        && (digits == "0" || !digits.starts_with('0'));
    if !canonical {
        return Err(InvalidVersion);
    }
    u64::from_str_radix(digits, 16).map_err(|_| InvalidVersion)
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.with_text(|text| serializer.serialize_str(text))
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_epoch_and_counter_in_hexadecimal() {
        let version = Version {
            epoch: 3,
            counter: 500,
        };
        assert_eq!(version.to_string(), "e3-1f4");
        assert_eq!(
            format!("{version:?}"),
            "e3-1f4",
            "logs name it as clients do"
        );
        assert_eq!("e3-1f4".parse(), Ok(version));
    }

    #[test]
    fn the_longest_text_has_the_length_that_is_promised() {
        let version = Version {
            epoch: u64::MAX,
            counter: u64::MAX,
        };
        assert_eq!(version.to_string().len(), Version::TEXT_BYTES_MAX);
    }

    #[test]
    fn only_the_canonical_text_is_a_version() {
        for text in [
            "",
            "e",
            "e-",
            "e3",
            "3-1",
            "e3-",
            "e-1",
            "e03-1",
            "e3-01",
            "E3-1",
            "e3-1F",
            "e3-+1",
            "e3-1-1",
            " e3-1",
            "\"e3-1\"",
            "e10000000000000000-1",
            "*",
        ] {
            assert_eq!(text.parse::<Version>(), Err(InvalidVersion), "{text:?}");
        }
    }
}
