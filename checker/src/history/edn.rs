//! EDN (<https://github.com/edn-format/edn>), as far as histories are written in it.
//!
//! Why not a crate: the one that is maintained (clojure-reader) reads whole files, sorts maps and
//! has a tree of values of its own, which would be walked once more to become ours.
//!
//! What is not kept: tags and metadata, and what tells a keyword or a character from a string, a
//! set from a list. Numbers that are not whole become text.
//!
//! Invariants: nesting is bounded by [`DEPTH_MAX`]; every error names its place.
//!
//! Tests: at the end of this file, and the fuzz target `history_edn`.

use std::borrow::Cow;

use super::{
    scan::is_delimiter,
    value::{self, DEPTH_MAX, Value},
};

/// What is wrong, and where.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The byte of the text at which it was noticed.
    pub(crate) at: usize,
    pub(crate) reason: String,
}

/// The one form that `text` is.
pub(crate) fn parse(text: &str) -> Result<Value, Fault> {
    let mut parser = Parser::new(text);
    let value = parser
        .next()?
        .ok_or_else(|| parser.fault("a value is missing"))?;
    match parser.next()? {
        None => Ok(value),
        Some(_) => Err(parser.fault("one value is expected, and more follows")),
    }
}

/// Reads one form after another.
pub(crate) struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            depth: 0,
        }
    }

    /// The next form; nothing at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Value>, Fault> {
        self.skip_blank()?;
        let Some(byte) = self.peek() else {
            return Ok(None);
        };
        match byte {
            b')' | b']' | b'}' => Err(self.fault(format!("`{}` closes nothing", char::from(byte)))),
            _ => self.form().map(Some),
        }
    }

    /// The form that begins here, where no blank does.
    fn form(&mut self) -> Result<Value, Fault> {
        match self.peek() {
            None => Err(self.fault("a value is missing")),
            Some(b'{') => {
                let values = self.nested(b'}')?;
                self.map(values)
            }
            Some(b'[') => self.nested(b']').map(Value::List),
            Some(b'(') => self.nested(b')').map(Value::List),
            Some(b'"') => self.string().map(|text| Value::Text(text.into())),
            Some(b'\\') => self.character(),
            Some(b'#') => self.dispatch(),
            Some(b'^') => {
                self.at += 1;
                self.deeper(|parser| parser.required().map(drop))?;
                self.deeper(Self::required)
            }
            Some(_) => self.atom(),
        }
    }

    /// The form after blanks, which must be there.
    fn required(&mut self) -> Result<Value, Fault> {
        self.skip_blank()?;
        match self.peek() {
            Some(b')' | b']' | b'}') => Err(self.fault("a value is missing")),
            _ => self.form(),
        }
    }

    /// The forms up to the bracket that closes this one.
    fn nested(&mut self, closing: u8) -> Result<Vec<Value>, Fault> {
        self.deeper(|parser| {
            parser.at += 1;
            let mut values = Vec::new();
            loop {
                parser.skip_blank()?;
                match parser.peek() {
                    Some(byte) if byte == closing => {
                        parser.at += 1;
                        return Ok(values);
                    }
                    None | Some(b')' | b']' | b'}') => {
                        let closing = char::from(closing);
                        return Err(parser.fault(format!("`{closing}` is missing")));
                    }
                    Some(_) => values.push(parser.form()?),
                }
            }
        })
    }

    fn map(&self, values: Vec<Value>) -> Result<Value, Fault> {
        if !values.len().is_multiple_of(2) {
            return Err(self.fault("a key of a map has no value"));
        }
        let mut pairs = Vec::with_capacity(values.len() / 2);
        let mut values = values.into_iter();
        while let (Some(key), Some(value)) = (values.next(), values.next()) {
            pairs.push((key, value));
        }
        match value::key_given_twice(&pairs) {
            Some(key) => Err(self.fault(format!("the key `{key}` is given twice"))),
            None => Ok(Value::Map(pairs)),
        }
    }

    /// After `#`: a set, a form to be stepped over, a number that is none, or a tag.
    fn dispatch(&mut self) -> Result<Value, Fault> {
        self.at += 1;
        match self.peek() {
            Some(b'{') => self.nested(b'}').map(Value::List),
            Some(b'"') => self.string().map(|text| Value::Text(text.into())),
            Some(b'#') => {
                self.at += 1;
                Ok(Value::Text(format!("##{}", self.word()).into()))
            }
            _ if self.word().is_empty() => Err(self.fault("a tag is missing after `#`")),
            _ => self.deeper(Self::required),
        }
    }

    /// Blanks, comments and what `#_` hides.
    fn skip_blank(&mut self) -> Result<(), Fault> {
        loop {
            let rest = &self.text.as_bytes()[self.at..];
            match rest {
                [b';', ..] => {
                    self.at += rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len());
                }
                [b'#', b'_', ..] => {
                    self.at += 2;
                    self.deeper(|parser| parser.required().map(drop))?;
                }
                [byte, ..] if *byte == b',' || byte.is_ascii_whitespace() => self.at += 1,
                _ => return Ok(()),
            }
        }
    }

    fn atom(&mut self) -> Result<Value, Fault> {
        let begin = self.at;
        let word = self.word();
        if word.is_empty() {
            return Err(self.fault("a value is missing"));
        }
        match word {
            "nil" => return Ok(Value::Nil),
            "true" => return Ok(Value::Bool(true)),
            "false" => return Ok(Value::Bool(false)),
            _ => {}
        }
        if let Some(keyword) = word.strip_prefix(':') {
            return match keyword {
                "" => Err(Fault {
                    at: begin,
                    reason: "a keyword has no name".to_owned(),
                }),
                _ => Ok(Value::Text(keyword.into())),
            };
        }
        let digits = word.trim_start_matches(['+', '-']);
        if digits.len() + 1 >= word.len() && digits.starts_with(|c: char| c.is_ascii_digit()) {
            return number(word).map_err(|reason| Fault { at: begin, reason });
        }
        Ok(Value::Text(word.into()))
    }

    /// The text up to the next delimiter.
    fn word(&mut self) -> &'a str {
        let rest = &self.text[self.at..];
        let end = rest.bytes().position(is_delimiter).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    /// A string in quotes, which begins here.
    fn string(&mut self) -> Result<Cow<'a, str>, Fault> {
        self.at += 1;
        let mut unescaped: Option<String> = None;
        loop {
            let rest = &self.text[self.at..];
            let Some(end) = rest.bytes().position(|byte| byte == b'"' || byte == b'\\') else {
                return Err(self.fault("a string is not closed"));
            };
            let plain = &rest[..end];
            self.at += end + 1;
            if rest.as_bytes()[end] == b'"' {
                return Ok(match unescaped {
                    None => Cow::Borrowed(plain),
                    Some(text) => Cow::Owned(text + plain),
                });
            }
            let text = unescaped.get_or_insert_default();
            text.push_str(plain);
            text.push(self.escape()?);
        }
    }

    /// The character that is meant by what follows a backslash in a string.
    fn escape(&mut self) -> Result<char, Fault> {
        let rest = &self.text[self.at..];
        let Some(c) = rest.chars().next() else {
            return Err(self.fault("a string is not closed"));
        };
        self.at += c.len_utf8();
        match c {
            'n' => Ok('\n'),
            't' => Ok('\t'),
            'r' => Ok('\r'),
            'b' => Ok('\u{8}'),
            'f' => Ok('\u{c}'),
            '"' | '\\' | '\'' | '/' => Ok(c),
            'u' => self.utf16(),
            _ => Err(self.fault(format!("unknown escape `\\{c}`"))),
        }
    }

    /// Four hexadecimal digits; of a pair of surrogates, the second with its escape too.
    fn utf16(&mut self) -> Result<char, Fault> {
        let first = self.hexadecimal()?;
        let mut units = vec![first];
        if (0xd800..0xdc00).contains(&first) && self.text[self.at..].starts_with("\\u") {
            self.at += 2;
            units.push(self.hexadecimal()?);
        }
        match char::decode_utf16(units.iter().copied()).next() {
            Some(Ok(c)) => Ok(c),
            _ => Err(self.fault("half of a surrogate pair")),
        }
    }

    fn hexadecimal(&mut self) -> Result<u16, Fault> {
        let digits = self.text.get(self.at..self.at + 4);
        let digits = digits.filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match digits.map(|text| u16::from_str_radix(text, 16)) {
            Some(Ok(unit)) => {
                self.at += 4;
                Ok(unit)
            }
            _ => Err(self.fault("`\\u` wants four hexadecimal digits")),
        }
    }

    /// A character literal: `\a`, `\newline`, `\u0041`.
    fn character(&mut self) -> Result<Value, Fault> {
        self.at += 1;
        let Some(first) = self.text[self.at..].chars().next() else {
            return Err(self.fault("a character is missing after `\\`"));
        };
        let begin = self.at;
        self.at += first.len_utf8();
        self.word();
        let name = &self.text[begin..self.at];
        let text = match name {
            "newline" => "\n",
            "return" => "\r",
            "space" => " ",
            "tab" => "\t",
            "backspace" => "\u{8}",
            "formfeed" => "\u{c}",
            _ if name.len() == first.len_utf8() => name,
            _ if first == 'u' => {
                self.at = begin + 1;
                return self.utf16().map(|c| Value::Text(c.to_string().into()));
            }
            _ => return Err(self.fault(format!("unknown character `\\{name}`"))),
        };
        Ok(Value::Text(text.into()))
    }

    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        if self.depth == DEPTH_MAX {
            return Err(self.fault(value::TOO_DEEP));
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn fault(&self, reason: impl Into<String>) -> Fault {
        Fault {
            at: self.at,
            reason: reason.into(),
        }
    }
}

/// A word that begins like a number.
fn number(word: &str) -> Result<Value, String> {
    let whole = word.strip_suffix('N').unwrap_or(word);
    let digits = whole.trim_start_matches(['+', '-']);
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return match whole.parse() {
            Ok(number) => Ok(Value::Int(number)),
            Err(_) => Err(format!("the number {word} is too large")),
        };
    }
    let decimal = word.strip_suffix('M').unwrap_or(word);
    if let Ok(number) = decimal.parse::<f64>() {
        return value::decimal(number).map_err(|()| format!("the number {word} is too large"));
    }
    let is_ratio = word
        .split_once('/')
        .is_some_and(|(above, below)| above.parse::<i64>().is_ok() && below.parse::<u64>().is_ok());
    if is_ratio {
        Ok(Value::Text(word.into()))
    } else {
        Err(format!("`{word}` is no number"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::Text(text.into())
    }

    fn ints<const N: usize>(numbers: [i64; N]) -> Value {
        Value::List(numbers.map(Value::Int).to_vec())
    }

    #[test]
    fn every_kind_of_value_is_read() {
        let cases = [
            ("nil", Value::Nil),
            ("true", Value::Bool(true)),
            ("false", Value::Bool(false)),
            ("-12", Value::Int(-12)),
            ("+12", Value::Int(12)),
            ("12N", Value::Int(12)),
            ("9223372036854775807", Value::Int(i64::MAX)),
            ("-9223372036854775808N", Value::Int(i64::MIN)),
            ("1.50", text("1.5")),
            ("1.5M", text("1.5")),
            ("-1e3", text("-1000.0")),
            ("1/2", text("1/2")),
            ("##Inf", text("##Inf")),
            (":timed-out", text("timed-out")),
            (":jepsen.txn/read", text("jepsen.txn/read")),
            ("x-y", text("x-y")),
            ("-", text("-")),
            ("-x", text("-x")),
            (
                r#""a\n\"\\ \u0041\ud83d\ude00""#,
                text("a\n\"\\ A\u{1f600}"),
            ),
            ("\"\"", text("")),
            (r"\a", text("a")),
            (r"\newline", text("\n")),
            (r"\u0041", text("A")),
            (
                r"[\( \{ \;]",
                Value::List(vec![text("("), text("{"), text(";")]),
            ),
            ("[1, 2 3]", ints([1, 2, 3])),
            ("(1 2)", ints([1, 2])),
            ("#{2 1}", ints([2, 1])),
            ("[]", ints([])),
            ("[1 #_2 #_ #_ 3 4 5] ; five", ints([1, 5])),
            ("#inst \"2020\"", text("2020")),
            (
                "#jepsen.history.Op{:a 1}",
                Value::Map(vec![(text("a"), Value::Int(1))]),
            ),
            ("^{:doc 1} [2]", ints([2])),
            (
                "{:a 1, \"b\" [2]}",
                Value::Map(vec![(text("a"), Value::Int(1)), (text("b"), ints([2]))]),
            ),
            ("{}", Value::Map(vec![])),
        ];
        for (edn, value) in cases {
            assert_eq!(parse(edn), Ok(value), "{edn}");
        }
    }

    #[test]
    fn what_is_wrong_is_refused_with_its_place() {
        let deep = "[".repeat(DEPTH_MAX + 1);
        let discards = "#_".repeat(DEPTH_MAX + 1);
        let cases = [
            ("", 0, "a value is missing"),
            ("1 2", 3, "one value is expected, and more follows"),
            ("]", 0, "`]` closes nothing"),
            ("[1 2", 4, "`]` is missing"),
            ("[1 2)", 4, "`]` is missing"),
            ("{:a}", 4, "a key of a map has no value"),
            ("{:a 1 :a 2}", 11, "the key `a` is given twice"),
            ("\"a", 1, "a string is not closed"),
            ("\"a\\", 3, "a string is not closed"),
            (r#""\q""#, 3, "unknown escape `\\q`"),
            (r#""\u12""#, 3, "`\\u` wants four hexadecimal digits"),
            (r#""\ud83d""#, 7, "half of a surrogate pair"),
            (r"\foo", 4, "unknown character `\\foo`"),
            ("\\", 1, "a character is missing after `\\`"),
            (":", 0, "a keyword has no name"),
            (
                "[9223372036854775808]",
                1,
                "the number 9223372036854775808 is too large",
            ),
            ("1e999", 0, "the number 1e999 is too large"),
            ("1x", 0, "`1x` is no number"),
            ("1/x", 0, "`1/x` is no number"),
            ("# 1", 1, "a tag is missing after `#`"),
            ("[#_]", 3, "a value is missing"),
            (&deep, DEPTH_MAX, "nested deeper than 32"),
            (&discards, DEPTH_MAX * 2 + 2, "nested deeper than 32"),
        ];
        for (edn, at, reason) in cases {
            assert_eq!(
                parse(edn),
                Err(Fault {
                    at,
                    reason: reason.to_owned()
                }),
                "{edn}"
            );
        }
    }
}
