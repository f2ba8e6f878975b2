//! Text that is safe on a terminal.
//!
//! Keys, values and the server's messages are other people's bytes: on a terminal, a control
//! sequence among them could move the cursor, change the title or hide what follows. Whatever is
//! [not visible](is_visible) is shown as an escape of Rust's string literals instead.
//!
//! What is not here: escapes in JSON, which are JSON's own (`json.rs`).
//!
//! Tests: at the end of this file.

use std::fmt::Write as _;

/// Whether a terminal shows `c` as a character and does nothing else.
///
/// Not so: control characters (C0, DEL and C1, which some terminals obey even in UTF-8), and
/// what breaks a line or turns its direction, which can make one text look like another.
pub(crate) fn is_visible(c: char) -> bool {
    let breaks_a_line = matches!(c, '\u{2028}' | '\u{2029}');
    let turns_direction = matches!(
        c,
        '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    !c.is_control() && !breaks_a_line && !turns_direction
}

/// `bytes` in one line: what is not visible UTF-8 is escaped, and so is the backslash, so that
/// different bytes never look alike.
pub(crate) fn line(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c == '\\' {
                shown.push('\\');
            }
            push_visible(&mut shown, c);
        }
        for byte in chunk.invalid() {
            // Writing to a String cannot fail.
            let _ = write!(shown, "\\x{byte:02x}");
        }
    }
    shown
}

/// `text` in one line: what is not visible is escaped, and nothing else, so that what is quoted in
/// it already is not quoted twice.
pub(crate) fn message(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        push_visible(&mut shown, c);
    }
    shown
}

fn push_visible(shown: &mut String, c: char) {
    if is_visible(c) {
        shown.push(c);
    } else {
        shown.extend(c.escape_default());
    }
}

/// `bytes` as they are, if they are UTF-8 text of visible characters, tabs and newlines.
pub(crate) fn plain_text(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    let plain = text
        .chars()
        .all(|c| is_visible(c) || matches!(c, '\n' | '\t'));
    plain.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    #[test]
    fn visible_text_stays_as_it_is() {
        for text in ["", "user/1", "Łódź 日本 e\u{301} 🦀", "\"quoted\" 'too'"] {
            assert_eq!(line(text.as_bytes()), text);
        }
    }

    #[test]
    fn control_sequences_become_letters() {
        assert_eq!(line(b"a\x1b[2J\x07\n\t\r"), r"a\u{1b}[2J\u{7}\n\t\r");
        // DEL, and CSI as one character.
        assert_eq!(line("\u{7f}\u{9b}31m".as_bytes()), r"\u{7f}\u{9b}31m");
        assert_eq!(line("a\u{202e}b\u{2028}".as_bytes()), r"a\u{202e}b\u{2028}");
    }

    #[test]
    fn bytes_that_are_not_utf8_are_shown_one_by_one() {
        assert_eq!(line(b"\xff\xc3(\xe2\x82"), r"\xff\xc3(\xe2\x82");
    }

    #[test]
    fn an_escape_and_its_spelling_look_different() {
        assert_eq!(line(br"\n"), r"\\n");
        assert_eq!(line(b"\n"), r"\n");
    }

    #[test]
    fn a_message_is_not_quoted_twice() {
        assert_eq!(
            message("the key \"a\\n\"\n\u{1b}"),
            r#"the key "a\n"\n\u{1b}"#
        );
    }

    #[test]
    fn plain_text_may_have_lines() {
        assert_eq!(plain_text(b"a\\\n\tb\n"), Some("a\\\n\tb\n"));
        for other in [&b"a\x1b[m"[..], b"\xff", b"a\rb", "\u{9b}".as_bytes()] {
            assert_eq!(plain_text(other), None, "{other:?}");
        }
    }

    proptest! {
        #[test]
        fn a_line_is_visible_whatever_the_bytes(bytes: Vec<u8>) {
            prop_assert!(line(&bytes).chars().all(is_visible));
        }

        #[test]
        fn different_bytes_never_look_alike(a: Vec<u8>, b: Vec<u8>) {
            prop_assert_eq!(line(&a) == line(&b), a == b);
        }
    }
}
