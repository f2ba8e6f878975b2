//! JSON as the command prints it: one value a line, and safe on a terminal.
//!
//! JSON itself escapes control characters below U+0020 only. Here everything that is
//! [not visible](crate::escape::is_visible) is escaped as well: the text is the same for every
//! reader of JSON, and no value can speak to a terminal.
//!
//! Tests: at the end of this file.

use std::io;

use serde::Serialize;
use serde_json::ser::Formatter;

use crate::escape::is_visible;

/// Appends `value` as JSON, without a newline.
pub(crate) fn append(out: &mut Vec<u8>, value: &impl Serialize) -> serde_json::Result<()> {
    value.serialize(&mut serde_json::Serializer::with_formatter(out, Visible))
}

/// `value` as one line of JSON, newline included.
pub(crate) fn to_line(value: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut out = Vec::new();
    append(&mut out, value)?;
    out.push(b'\n');
    Ok(out)
}

struct Visible;

impl Formatter for Visible {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        // Nearly every fragment, and every base64, which may be megabytes.
        if fragment.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return writer.write_all(fragment.as_bytes());
        }
        let mut written = 0;
        for (at, c) in fragment.char_indices().filter(|(_, c)| !is_visible(*c)) {
            writer.write_all(&fragment.as_bytes()[written..at])?;
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            written = at + c.len_utf8();
        }
        writer.write_all(&fragment.as_bytes()[written..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    fn json(text: &str) -> String {
        let mut out = Vec::new();
        append(&mut out, &text).expect("a string is JSON");
        String::from_utf8(out).expect("JSON is UTF-8")
    }

    #[test]
    fn what_is_not_visible_is_escaped() {
        assert_eq!(
            json("é\u{7f}a\u{9b}\u{202e}z"),
            r#""é\u007fa\u009b\u202ez""#
        );
        assert_eq!(json("a\"\\\n\u{1b}"), r#""a\"\\\n\u001b""#);
    }

    proptest! {
        #[test]
        fn any_text_comes_back_and_is_visible_on_its_way(text: String) {
            let json = json(&text);
            prop_assert!(json.chars().all(is_visible));
            prop_assert_eq!(serde_json::from_str::<String>(&json).expect("JSON"), text);
        }
    }
}
