//! Text of histories that is safe to show: on a terminal, in HTML, in JSON.
//!
//! Values are other people's: a control sequence among them could move a terminal's cursor or hide
//! what follows, markup could run in a browser. Whatever is not [visible](is_visible) is shown as
//! an escape of Rust's string literals instead, and what is longer than a person reads is cut.

use std::fmt::{self, Write as _};

/// Characters of one text that are shown.
pub const CHARACTERS_MAX: usize = 1000;

/// Whether `c` is shown as a character and does nothing else.
///
/// Not so: control characters (C0, DEL and C1), and what breaks a line or turns its direction.
pub fn is_visible(c: char) -> bool {
    let turns = matches!(
        c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}') && !turns
}

/// One line of a text, on a terminal.
pub struct Line<'a>(pub &'a str);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        shown(self.0, CHARACTERS_MAX, f, |c, f| write!(f, "{c}"))
    }
}

/// A text of at most so many characters, in HTML: within an element or a quoted attribute.
pub struct Html<'a>(pub &'a str, pub usize);

impl fmt::Display for Html<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        shown(self.0, self.1, f, |c, f| match c {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            _ => write!(f, "{c}"),
        })
    }
}

fn shown(
    text: &str,
    characters_max: usize,
    f: &mut fmt::Formatter<'_>,
    write: impl Fn(char, &mut fmt::Formatter<'_>) -> fmt::Result,
) -> fmt::Result {
    let mut characters = text.chars();
    for c in characters.by_ref().take(characters_max) {
        if is_visible(c) {
            write(c, f)?;
        } else {
            write!(f, "{}", c.escape_default())?;
        }
    }
    if characters.next().is_some() {
        f.write_str("…")
    } else {
        Ok(())
    }
}

/// JSON in which every text is safe to show; it means the same.
pub fn json(json: &str) -> String {
    let mut safe = String::with_capacity(json.len());
    for c in json.chars() {
        if is_visible(c) {
            safe.push(c);
        } else {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                // Writing to a String cannot fail.
                let _ = write!(safe, "\\u{unit:04x}");
            }
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_text_acts_on_a_terminal_or_a_page() {
        let hostile = "\u{1b}[2J<b a=\"'&\u{9b}\u{202e}\n";
        assert_eq!(
            Line(hostile).to_string(),
            r#"\u{1b}[2J<b a="'&\u{9b}\u{202e}\n"#
        );
        assert_eq!(
            Html(hostile, 100).to_string(),
            r"\u{1b}[2J&lt;b a=&quot;&#39;&amp;\u{9b}\u{202e}\n"
        );
        assert_eq!(json("\"\u{9b}\u{202e}é\""), "\"\\u009b\\u202eé\"");
    }

    #[test]
    fn a_long_text_is_cut() {
        assert_eq!(Html("abcd", 3).to_string(), "abc…");
        assert_eq!(Html("abc", 3).to_string(), "abc");
    }
}
