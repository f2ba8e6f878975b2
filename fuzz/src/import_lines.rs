//! The input of an import: lines of JSON, against a reader that knows nothing of ours.

use std::fmt;

use serde_json::Value as Json;
use trandb_cli::{
    input::Lines,
    line::{self, LINE_BYTES_MAX, Line},
};
use trandb_common::Value;

use super::key::expected_of_bytes;

/// The first byte says with which of the first four lines to begin, the rest is the input.
pub fn import_lines(data: &[u8]) {
    let Some((first, text)) = data.split_first() else {
        return;
    };
    let from = 1 + u64::from(first % 4);
    let mut lines = Lines::new(text, "input".to_owned(), from);
    let read = std::iter::from_fn(|| lines.next_batch()).flatten();
    let mut read = read.collect::<Vec<_>>().into_iter();
    let mut bytes = 0;
    for (number, text) in (1..).zip(text.split_inclusive(|byte| *byte == b'\n')) {
        bytes += text.len() as u64;
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        let blank = text.iter().all(|byte| b" \t\r\x0c".contains(byte));
        if number < from || blank {
            continue;
        }
        let read_line = read.next().expect("a line for every line");
        let Some(expected) = expected_of_line(text) else {
            let refused = read_line.expect_err("refused");
            assert_eq!(refused.line(), Some(number));
            break;
        };
        let read_line = read_line.expect("taken");
        let place = (number, std::mem::take(&mut bytes));
        assert_eq!((read_line.number, read_line.bytes), place);
        assert_eq!(read_line.line, expected);
        comes_back(&expected);
    }
    assert!(read.next().is_none(), "nothing is read behind an error");
}

/// Whatever was read can be exported, and is read again from there.
fn comes_back(line: &Line) {
    let mut written = Vec::new();
    line::append(&mut written, &line.key, line.value.as_bytes()).expect("it is JSON");
    assert_eq!(written.pop(), Some(b'\n'));
    assert!(written.len() <= LINE_BYTES_MAX);
    let text = std::str::from_utf8(&written).expect("it is text");
    assert!(!text.contains(char::is_control), "{text:?}");
    assert_eq!(line::parse(&written).as_ref().ok(), Some(line));
    assert_eq!(expected_of_line(&written).as_ref(), Some(line));
}

/// An object of two fields, each a text: `key`, and either `text` or `value`.
fn expected_of_line(text: &[u8]) -> Option<Line> {
    let Fields(mut fields) = serde_json::from_slice(text).ok()?;
    fields.sort_by(|(a, _), (b, _)| a.cmp(b));
    let [(key_name, Json::String(key)), (name, Json::String(value))] = fields.as_slice() else {
        return None;
    };
    let value = match (key_name.as_str(), name.as_str()) {
        ("key", "text") => value.clone().into_bytes(),
        ("key", "value") => of_base64(value)?,
        _ => return None,
    };
    Some(Line {
        key: expected_of_bytes(key.as_bytes()).ok()?,
        value: Value::try_from(value).ok()?,
    })
}

/// The fields of an object in their order, repeated ones as often as they stand there.
struct Fields(Vec<(String, Json)>);

impl<'de> serde::Deserialize<'de> for Fields {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

/// Decodes the standard alphabet, padded, with nothing behind the last byte.
fn of_base64(text: &str) -> Option<Vec<u8>> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = text.trim_end_matches('=');
    let (mut bytes, mut bits, mut bit_count) = (Vec::new(), 0, 0);
    for digit in digits.bytes() {
        bits = bits << 6 | DIGITS.iter().position(|known| *known == digit)?;
        bit_count += 6;
        if bit_count >= 8 {
            bit_count -= 8;
            bytes.push(u8::try_from(bits >> bit_count).ok()?);
            bits &= (1 << bit_count) - 1;
        }
    }
    let padding = [0, 2, 1][bytes.len() % 3];
    let in_form = text.len().is_multiple_of(4) && text.len() - digits.len() == padding && bits == 0;
    in_form.then_some(bytes)
}
