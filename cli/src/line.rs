//! The format of export and import: a key and its value in one line of JSON.
//!
//! ```text
//! {"key":"user/1","text":"Ada"}
//! {"key":"photo/1","value":"/9j/4AAQSkZJRg=="}
//! ```
//!
//! `text` holds a value that is UTF-8, `value` any value in base64 (standard alphabet, padded).
//! A line has exactly one of them and nothing else. Written is whichever of the two is shorter,
//! `text` when they are equal: so no written line is longer than [`LINE_BYTES_MAX`], and a longer
//! one need not be read.
//!
//! Versions are not part of it: the store that imports a value gives it a version of its own.
//!
//! Tests: at the end of this file; whole exports in `tests/it`; the fuzz target `import_lines`.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer, Serialize};
use trandb_common::{
    Key, Value, ValueTooLarge,
    limits::{KEY_BYTES_MAX, VALUE_BYTES_MAX},
};

use crate::json;

/// Longest line that is written or read, in bytes without its newline: the largest value in
/// base64, the longest key with every byte escaped (`\u00XX`), and the names around them.
pub const LINE_BYTES_MAX: usize = 4 * VALUE_BYTES_MAX.div_ceil(3)
    + 6 * KEY_BYTES_MAX
    + "{\"key\":\"\",\"value\":\"\"}".len()
    + 64;

/// A key and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What stands under `key`.
    pub key: Key,
    /// What stands under `text`, or under `value` in base64.
    pub value: Value,
}

/// Why a line is not a key and its value.
#[derive(Debug, thiserror::Error)]
pub enum InvalidLine {
    /// JSON that is cut off.
    #[error("the line ends in the middle: is the input complete?")]
    Truncated,
    /// Not JSON, no object, or not the fields that a line has.
    #[error("column {column}: {reason}")]
    NotALine {
        /// Where, in bytes; the first is 1.
        column: usize,
        /// What is wrong there.
        reason: String,
    },
    /// A key alone.
    #[error("neither `text` nor `value` is there")]
    NoValue,
    /// A key with `text` and `value`.
    #[error("`text` and `value` are both there: only one of them can be the key's value")]
    TwoValues,
    /// Base64 in another spelling than the one that is written.
    #[error("`value` is not base64 (standard alphabet, padded): {0}")]
    NotBase64(#[from] base64::DecodeError),
    /// More bytes than a value may have.
    #[error(transparent)]
    TooLarge(#[from] ValueTooLarge),
}

/// A value in JSON, the shorter way: its place in an object is taken by `#[serde(flatten)]`.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Payload<'a> {
    /// It is UTF-8, and as JSON not longer than its base64.
    Text(&'a str),
    /// Its base64.
    Value(String),
}

impl<'a> Payload<'a> {
    pub(crate) fn of(value: &'a [u8]) -> Self {
        let base64_length = 4 * value.len().div_ceil(3);
        match std::str::from_utf8(value) {
            Ok(text) if json_length(text) <= base64_length => Self::Text(text),
            _ => Self::Value(STANDARD.encode(value)),
        }
    }
}

/// Length of `text` inside its quotes when it is written as JSON, in bytes.
fn json_length(text: &str) -> usize {
    text.chars().map(json_length_of).sum()
}

fn json_length_of(c: char) -> usize {
    match c {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        ' '..='~' => 1,
        _ if crate::escape::is_visible(c) => c.len_utf8(),
        _ => 6 * c.len_utf16(),
    }
}

/// Appends the line of `key` and `value`, newline included.
pub fn append(out: &mut Vec<u8>, key: &Key, value: &[u8]) -> serde_json::Result<()> {
    #[derive(Serialize)]
    struct Written<'a> {
        key: &'a Key,
        #[serde(skip_serializing_if = "Option::is_none")]
        text: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        value: Option<String>,
    }
    let (text, value) = match Payload::of(value) {
        Payload::Text(text) => (Some(text), None),
        Payload::Value(base64) => (None, Some(base64)),
    };
    json::append(out, &Written { key, text, value })?;
    out.push(b'\n');
    Ok(())
}

/// Reads a line, without its newline.
pub fn parse(line: &[u8]) -> Result<Line, InvalidLine> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Read {
        key: Key,
        #[serde(default, deserialize_with = "present")]
        text: Option<String>,
        #[serde(default, deserialize_with = "present")]
        value: Option<String>,
    }
    // The library takes an array of the fields' values for an object, too.
    if line.trim_ascii_start().starts_with(b"[") {
        return Err(InvalidLine::NotALine {
            column: 1 + line.len() - line.trim_ascii_start().len(),
            reason: "an array in the place of an object".to_owned(),
        });
    }
    let read: Read = serde_json::from_slice(line)?;
    let value = match (read.text, read.value) {
        (Some(text), None) => Value::try_from(text)?,
        (None, Some(base64)) => Value::try_from(STANDARD.decode(base64)?)?,
        (None, None) => return Err(InvalidLine::NoValue),
        (Some(_), Some(_)) => return Err(InvalidLine::TwoValues),
    };
    Ok(Line {
        key: read.key,
        value,
    })
}

/// A field that is there is a text, and never `null`.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    String::deserialize(deserializer).map(Some)
}

impl From<serde_json::Error> for InvalidLine {
    fn from(error: serde_json::Error) -> Self {
        if error.is_eof() {
            return Self::Truncated;
        }
        // The library counts lines too, and to it every line is the first.
        let place = format!(" at line {} column {}", error.line(), error.column());
        let reason = error.to_string();
        Self::NotALine {
            column: error.column(),
            reason: reason.strip_suffix(&place).unwrap_or(&reason).to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    fn written(key: &str, value: &[u8]) -> String {
        let mut out = Vec::new();
        append(&mut out, &Key::new(key).expect("legal"), value).expect("JSON");
        String::from_utf8(out).expect("UTF-8")
    }

    fn error(line: &str) -> String {
        parse(line.as_bytes()).expect_err(line).to_string()
    }

    #[test]
    fn text_is_text_and_bytes_are_base64() {
        assert_eq!(written("a", b"Ada"), "{\"key\":\"a\",\"text\":\"Ada\"}\n");
        assert_eq!(written("a", b""), "{\"key\":\"a\",\"text\":\"\"}\n");
        assert_eq!(
            written("a\n", b"\xff\0"),
            "{\"key\":\"a\\n\",\"value\":\"/wA=\"}\n"
        );
        // Six times as long as JSON text.
        assert_eq!(
            written("a", &[1; 3]),
            "{\"key\":\"a\",\"value\":\"AQEB\"}\n"
        );
    }

    #[test]
    fn a_line_has_a_key_one_value_and_nothing_else() {
        assert_eq!(error(r#"{"text":"a"}"#), "column 12: missing field `key`");
        assert_eq!(
            error(r#"{"key":"a"}"#),
            "neither `text` nor `value` is there"
        );
        assert!(error(r#"{"key":"a","text":"","value":""}"#).contains("both there"));
        assert!(error(r#"{"key":"a","vlaue":""}"#).contains("unknown field `vlaue`"));
        assert!(error(r#"{"key":"a","key":"b","text":""}"#).contains("duplicate field `key`"));
        assert!(error(r#"{"key":"a","text":""} {}"#).contains("trailing characters"));
        assert!(error(r#"{"key":"a","text":1}"#).contains("invalid type"));
        for other in ["null", "[]", "1", "x"] {
            assert!(error(other).starts_with("column"), "{other}");
        }
        assert_eq!(
            error(r#" ["a","text"]"#),
            "column 2: an array in the place of an object"
        );
        assert!(error(r#"{"key":"a","text":"","value":null}"#).contains("invalid type: null"));
    }

    #[test]
    fn illegal_keys_are_refused_by_name() {
        for (key, why) in [
            ("", "at least 1 byte"),
            ("..", "not keys"),
            (&"k".repeat(1025), "at most 1024 bytes"),
        ] {
            let error = error(&format!(r#"{{"key":"{key}","text":""}}"#));
            assert!(error.contains(why), "{error}");
        }
        assert!(error(r#"{"key":"\ud800","text":""}"#).contains("hex escape"));
        let bytes = parse(b"{\"key\":\"\xff\",\"text\":\"\"}").expect_err("not UTF-8");
        assert!(bytes.to_string().contains("unicode"), "{bytes}");
    }

    #[test]
    fn base64_has_one_spelling() {
        for (base64, value) in [("", &b""[..]), ("YQ==", b"a"), ("/+8=", b"\xff\xef")] {
            let line = format!(r#"{{"key":"a","value":"{base64}"}}"#);
            assert_eq!(
                parse(line.as_bytes()).expect("a line").value.as_bytes(),
                value
            );
        }
        // No padding, too much, bits after the end, the alphabet of URLs, white space.
        for base64 in ["YQ", "YQ=", "YQ===", "YR==", "_-8=", "Y Q=", "YQ==YQ=="] {
            let error = error(&format!(r#"{{"key":"a","value":"{base64}"}}"#));
            assert!(error.contains("not base64"), "{base64}: {error}");
        }
    }

    #[test]
    fn a_line_that_was_cut_says_so_wherever_it_was_cut() {
        let whole = r#"{"key":"a","text":"Ada"}"#;
        for length in 0..whole.len() {
            assert!(
                error(&whole[..length]).contains("ends in the middle"),
                "{length}"
            );
        }
    }

    #[test]
    fn values_are_4_mib_at_most() {
        let fits = format!(r#"{{"key":"a","text":"{}"}}"#, "x".repeat(VALUE_BYTES_MAX));
        assert!(parse(fits.as_bytes()).is_ok());
        let bytes = STANDARD.encode(vec![0; VALUE_BYTES_MAX + 1]);
        assert!(error(&format!(r#"{{"key":"a","value":"{bytes}"}}"#)).contains("at most 4194304"));
    }

    #[test]
    fn the_longest_lines_fit() {
        let key = "\u{1}".repeat(KEY_BYTES_MAX);
        for byte in [0xff, 1, b'"', b'x'] {
            let line = written(&key, &vec![byte; VALUE_BYTES_MAX]);
            assert!(line.len() <= LINE_BYTES_MAX, "{byte}: {}", line.len());
            assert_eq!(
                parse(line.as_bytes()).expect("a line").value.len(),
                VALUE_BYTES_MAX
            );
        }
    }

    proptest! {
        #[test]
        fn any_key_and_value_come_back(key in "\\PC{1,20}|[\0-\u{ff}]{1,20}", value: Vec<u8>) {
            let Ok(key) = Key::new(&key) else { return Ok(()) };
            let mut line = Vec::new();
            append(&mut line, &key, &value).expect("JSON");
            let value = Value::try_from(value).expect("small");
            prop_assert_eq!(parse(&line).expect("a line"), Line { key, value });
        }

        #[test]
        fn any_text_comes_back(text in ".*") {
            let line = written("k", text.as_bytes());
            prop_assert_eq!(line.matches('\n').count(), 1);
            let back = parse(line.as_bytes()).expect("a line");
            prop_assert_eq!(back.value.as_bytes(), text.as_bytes());
        }

        #[test]
        fn the_length_is_foretold(text: String) {
            let quotes = 2;
            let mut json = Vec::new();
            json::append(&mut json, &text).expect("JSON");
            prop_assert_eq!(json_length(&text) + quotes, json.len());
        }

        #[test]
        fn no_bytes_make_the_reader_panic(line: Vec<u8>) {
            let _ = parse(&line);
        }
    }
}
