//! Keys in a path: percent-encoded, one segment.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::{InvalidKey, Key, limits::KEY_PATH_BYTES_MAX};

/// Where the keys are.
pub const KEYS: &str = "/keys";

/// What stands unencoded: RFC 3986's unreserved characters and nothing else, so that no proxy has
/// anything to normalise.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The path of a key: `/keys/` and the key as one percent-encoded segment.
pub fn of_key(key: &Key) -> String {
    format!("{KEYS}/{}", encode(key.as_str()))
}

/// Percent-encodes `text` for one segment of a path or one value of a query.
pub fn encode(text: &str) -> impl std::fmt::Display + '_ {
    utf8_percent_encode(text, ENCODED)
}

/// The key that a raw segment names: decoded once, a `+` is a plus.
///
/// The caller splits the *raw* path, so that `%2F` is part of the key and `/` is not.
pub fn decode_key(segment: &str) -> Result<Key, InvalidKey> {
    if segment.len() > KEY_PATH_BYTES_MAX {
        return Err(InvalidKey::TooLong {
            actual: decoded_length(segment),
        });
    }
    Key::new(&decode(segment)?)
}

/// Percent-decodes a segment or a value of a query, once.
pub fn decode(text: &str) -> Result<Cow<'_, str>, InvalidKey> {
    if !contains(text, b'%') {
        return Ok(Cow::Borrowed(text));
    }
    // The library passes malformed escapes through as they are; two spellings of one key would
    // be two ways past whatever stands in front of us.
    if text
        .split('%')
        .skip(1)
        .any(|rest| !starts_with_two_digits(rest.as_bytes()))
    {
        return Err(InvalidKey::BadEscape);
    }
    percent_decode_str(text)
        .decode_utf8()
        .map_err(|_| InvalidKey::NotUtf8)
}

/// Whether the ASCII character `wanted` is in `text`.
///
/// Most often it is not, so there is no early return: the compiler then compares many bytes at a
/// time.
pub fn contains(text: &str, wanted: u8) -> bool {
    let mut found = false;
    for byte in text.bytes() {
        found |= byte == wanted;
    }
    found
}

fn starts_with_two_digits(rest: &[u8]) -> bool {
    matches!(rest, [a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit())
}

/// How many bytes are left of a segment after decoding, for the message alone.
fn decoded_length(segment: &str) -> usize {
    percent_decode_str(segment).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        Key::new(text).expect("legal")
    }

    #[test]
    fn reserved_characters_are_encoded() {
        assert_eq!(
            of_key(&key("a/b c+d%é~._-")),
            "/keys/a%2Fb%20c%2Bd%25%C3%A9~._-"
        );
        assert_eq!(of_key(&key("\0\n?#\"")), "/keys/%00%0A%3F%23%22");
    }

    #[test]
    fn a_character_is_found_wherever_it_stands() {
        let text = "x".repeat(100);
        assert!(!contains(&text, b'%'));
        assert!(!contains("", b'%'));
        for at in 0..text.len() {
            let mut text = text.clone();
            text.replace_range(at..=at, "%");
            assert!(contains(&text, b'%'), "{at}");
        }
    }

    #[test]
    fn decoding_happens_once() {
        assert_eq!(decode_key("a%252Fb"), Ok(key("a%2Fb")));
        assert_eq!(decode_key("a%2Fb"), Ok(key("a/b")));
        assert_eq!(decode_key("a%2fb"), Ok(key("a/b")));
    }

    #[test]
    fn a_plus_is_a_plus() {
        assert_eq!(decode_key("a+b"), Ok(key("a+b")));
    }

    #[test]
    fn malformed_escapes_are_refused() {
        for segment in ["%", "a%", "%4", "%zz", "%4z", "%%41", "a%2"] {
            assert_eq!(decode_key(segment), Err(InvalidKey::BadEscape), "{segment}");
        }
    }

    #[test]
    fn invalid_utf8_is_refused() {
        // Broken, overlong, a surrogate half.
        for segment in ["%FF", "%C3", "%C0%AF", "%ED%A0%80"] {
            assert_eq!(decode_key(segment), Err(InvalidKey::NotUtf8), "{segment}");
        }
    }

    #[test]
    fn encoded_dot_segments_and_the_empty_key_are_refused() {
        for (segment, why) in [
            ("", InvalidKey::Empty),
            ("%2E", InvalidKey::DotSegment),
            ("%2e.", InvalidKey::DotSegment),
            ("..", InvalidKey::DotSegment),
        ] {
            assert_eq!(decode_key(segment), Err(why), "{segment}");
        }
    }

    #[test]
    fn length_is_that_of_the_decoded_key() {
        assert!(decode_key(&"%61".repeat(1024)).is_ok());
        for segment in ["%61".repeat(1025), "a".repeat(1025)] {
            assert_eq!(
                decode_key(&segment),
                Err(InvalidKey::TooLong { actual: 1025 })
            );
        }
    }
}
