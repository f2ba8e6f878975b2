//! What is written: values that name their write, of any size, and that show when they come back
//! damaged.

use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_64;

use super::Turn;

/// A value to be written.
///
/// Its name (`2.7`: the third client's eighth step) is unique in a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// `name:bytes|`, and as many bytes in all, which follow from the name.
    Named {
        /// Unique.
        name: String,
        /// In all; as many as the name takes, at least.
        bytes: usize,
    },
    /// `number@name`: one more than the number that this client saw last.
    Next {
        /// Unique.
        name: String,
    },
    /// `number@name`: what this client saw last, changed by `amount`; at first it is
    /// [`BALANCE_AT_FIRST`].
    Plus {
        /// Unique.
        name: String,
        /// How much more.
        amount: i64,
    },
    /// `name,name,…`: the list that this client saw last, with one more at its end.
    Appended {
        /// Unique.
        name: String,
    },
    /// No bytes at all: the only value that is not unique.
    Empty,
}

/// What an account without a value holds.
pub const BALANCE_AT_FIRST: i64 = 100;

impl Content {
    /// A value of about `bytes` bytes.
    pub fn new(turn: Turn, bytes: usize) -> Self {
        Self::Named {
            name: name(turn),
            bytes,
        }
    }

    /// The next number.
    pub fn next(turn: Turn) -> Self {
        Self::Next { name: name(turn) }
    }

    /// A balance that is so much larger.
    pub fn plus(turn: Turn, amount: i64) -> Self {
        let name = name(turn);
        Self::Plus { name, amount }
    }

    /// A list with one more element.
    pub fn appended(turn: Turn) -> Self {
        Self::Appended { name: name(turn) }
    }

    /// The same in the `again`th try after the first: still unique.
    #[must_use]
    pub fn in_try(mut self, again: usize) -> Self {
        match &mut self {
            Self::Named { name, .. }
            | Self::Next { name }
            | Self::Plus { name, .. }
            | Self::Appended { name } => {
                if again > 0 {
                    *name = format!("{name}.{again}");
                }
            }
            Self::Empty => {}
        }
        self
    }

    /// How many bytes it has, about.
    pub fn size(&self) -> u64 {
        match self {
            Self::Named { bytes, name } => bytes.max(&name.len()).to_owned() as u64,
            Self::Next { name } | Self::Plus { name, .. } => name.len() as u64 + 3,
            // What comes before it is not known here.
            Self::Appended { name } => 8 * name.len() as u64,
            Self::Empty => 0,
        }
    }

    /// Makes it as small as its kind can be.
    pub fn shrink(&mut self) {
        if let Self::Named { bytes, .. } = self {
            *bytes = 0;
        }
    }

    /// How histories show it; `seen` is what the client saw last under the key.
    pub fn text(&self, seen: Option<&str>) -> String {
        match self {
            Self::Named { name, bytes } => format!("{name}:{bytes}"),
            Self::Next { name } => format!("{}@{name}", seen.and_then(number).unwrap_or(0) + 1),
            Self::Plus { name, amount } => format!("{}@{name}", balance(seen) + amount),
            Self::Appended { name } => match seen {
                Some(list) => format!("{list},{name}"),
                None => name.clone(),
            },
            Self::Empty => String::new(),
        }
    }
}

/// How bytes are shown that no step can have written.
const DAMAGED: &str = "damaged";

fn name(Turn { client, step }: Turn) -> String {
    format!("{client}.{step}")
}

/// The number of a counter's value.
pub fn number(text: &str) -> Option<i64> {
    text.split_once('@')?.0.parse().ok()
}

/// What an account holds.
pub fn balance(text: Option<&str>) -> i64 {
    text.and_then(number).unwrap_or(BALANCE_AT_FIRST)
}

/// How many bytes a value shown as `text` has; none of a damaged one.
pub fn size_of(text: &str) -> Option<u64> {
    if text.starts_with(DAMAGED) {
        return None;
    }
    let Some((_, size)) = text.split_once(':') else {
        return Some(text.len() as u64);
    };
    let size: u64 = size.parse().ok()?;
    Some(size.max(text.len() as u64 + 1))
}

/// The bytes that a value shown as `text` has.
pub fn to_bytes(text: &str) -> Vec<u8> {
    let Some((_, size)) = text.split_once(':') else {
        return text.as_bytes().to_vec();
    };
    let size = size.parse().unwrap_or_default();
    let mut bytes = Vec::with_capacity(size);
    bytes.extend_from_slice(text.as_bytes());
    bytes.push(b'|');
    let mut block = XxHash3_64::oneshot(text.as_bytes());
    while bytes.len() < size {
        block = block
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        bytes.extend_from_slice(&block.to_le_bytes());
    }
    bytes.truncate(size.max(text.len() + 1));
    bytes
}

/// How histories show these bytes. Bytes that no step can have written are shown as such.
pub fn to_text(bytes: &[u8]) -> String {
    let head = &bytes[..bytes.len().min(64)];
    let end = head.iter().position(|byte| *byte == b'|');
    // A list has no end but that of the value.
    let text = std::str::from_utf8(end.map_or(bytes, |end| &head[..end]));
    match text {
        Ok(text) if to_bytes(text) == bytes => text.to_owned(),
        _ => format!(
            "{DAMAGED} ({} bytes, hash {:x}: {})",
            bytes.len(),
            XxHash3_64::oneshot(bytes),
            head.escape_ascii()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TURN: Turn = Turn { client: 2, step: 7 };

    #[test]
    fn a_value_is_known_again_whatever_its_size() {
        for size in [0, 5, 6, 100, 4096, 4 << 20] {
            let text = Content::new(TURN, size).text(None);
            let bytes = to_bytes(&text);
            assert_eq!(bytes.len(), size.max(text.len() + 1));
            assert_eq!(to_text(&bytes), text);
        }
        assert_eq!(to_text(b""), Content::Empty.text(None));
    }

    #[test]
    fn a_value_that_lost_gained_or_changed_a_byte_is_damaged() {
        let bytes = to_bytes(&Content::new(TURN, 100).text(None));
        let changed = |at: usize| {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1;
            bytes
        };
        let longer = [bytes.as_slice(), b"x"].concat();
        for damaged in [
            changed(0),
            changed(50),
            changed(99),
            bytes[..99].to_vec(),
            longer,
        ] {
            assert!(to_text(&damaged).starts_with("damaged"), "{damaged:?}");
        }
    }

    #[test]
    fn a_counter_goes_on_from_what_was_seen() {
        let next = Content::next(TURN);
        assert_eq!(next.text(None), "1@2.7");
        assert_eq!(next.text(Some("41@0.3")), "42@2.7");
        assert_eq!(to_text(&to_bytes("42@2.7")), "42@2.7");
        let more = Content::plus(TURN, -5).in_try(1);
        assert_eq!(more.text(None), "95@2.7.1");
        assert_eq!(more.text(Some("41@0.3")), "36@2.7.1");
    }

    #[test]
    fn a_list_is_known_again_however_long_it_is() {
        let list = (0..100).fold(None, |list: Option<String>, step| {
            let turn = Turn { client: 1, step };
            Some(Content::appended(turn).text(list.as_deref()))
        });
        let list = list.expect("a list");
        assert!(list.starts_with("1.0,1.1,1.2") && list.len() > 64);
        assert_eq!(to_text(&to_bytes(&list)), list);
    }
}
