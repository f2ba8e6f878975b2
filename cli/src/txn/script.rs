//! Transactions as text: one operation a line.
//!
//! ```text
//! # move a coin
//! check acct/a e3-1f4
//! check acct/b absent
//! get   acct/c
//! put   acct/a "4 coins"        # text with spaces
//! put   photo/1 @photo.jpg      # the bytes of a file
//! delete acct/d
//! ```
//!
//! A word ends at a space or a tab. In double quotes it is a JSON string, so that any text can be
//! written. `#` begins a comment where a word could begin. An operation that is not understood is
//! named by its line, together with what can be written instead.
//!
//! Tests: at the end of this file.

use std::{fs::File, path::Path};

use trandb_client::{Check, InvalidTransaction, Key, Operations, TransactionBody, Value, Write};
use trandb_common::{
    limits::{TRANSACTION_BYTES_MAX, TRANSACTION_OPERATIONS_MAX},
    transaction::{List, Place},
};

use crate::{
    failure::{Exit, Failure},
    keys::read_value,
};

const OPERATIONS: &str = "check KEY VERSION, check KEY absent, get KEY, put KEY VALUE, \
                          put KEY @FILE, delete KEY";

/// A word of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Word {
    /// As it stands there.
    Bare(String),
    /// What was in quotes.
    Quoted(String),
    /// The name behind an `@`.
    File(String),
}

impl Word {
    /// What it says, for a key or a version.
    fn text(&self) -> &str {
        match self {
            Self::Bare(text) | Self::Quoted(text) | Self::File(text) => text,
        }
    }
}

/// Where each operation stands.
#[derive(Debug, Default)]
struct Lines {
    checks: Vec<u64>,
    reads: Vec<u64>,
    writes: Vec<u64>,
}

impl Lines {
    fn of(&self, place: Place) -> Option<u64> {
        let lines = match place.list {
            List::Checks => &self.checks,
            List::Reads => &self.reads,
            List::Writes => &self.writes,
            List::Acknowledged => return None,
        };
        lines.get(place.index).copied()
    }
}

/// The transaction that `text` says.
///
/// Bounded: the files that it names are read only as far as a transaction may be large.
pub(crate) fn parse(text: &str) -> Result<TransactionBody, Failure> {
    let mut operations = Operations::default();
    let mut lines = Lines::default();
    let mut bytes = 0;
    for (number, line) in (1..).zip(text.lines()) {
        bytes += add(line, number, &mut operations, &mut lines)
            .map_err(|failure| failure.at_line(number))?;
        if operations.len() > TRANSACTION_OPERATIONS_MAX || bytes > TRANSACTION_BYTES_MAX {
            break;
        }
    }
    TransactionBody::new(operations).map_err(|error| illegal(&error, &lines))
}

fn illegal(error: &InvalidTransaction, lines: &Lines) -> Failure {
    let line = error.place().and_then(|place| lines.of(place));
    match (error, line) {
        (InvalidTransaction::Empty, _) => {
            refused("there is no operation").with_hint(format!("write one a line: {OPERATIONS}"))
        }
        (InvalidTransaction::DuplicateKey { key, .. }, Some(line)) => {
            let message = format!(
                "{key:?} is checked, read or written twice: a key stands once among the checks, \
                 once among the gets and once among the puts and deletes"
            );
            refused(message).at_line(line)
        }
        (error, Some(line)) => refused(error.to_string()).at_line(line),
        (error, None) => refused(error.to_string()),
    }
}

fn refused(message: impl Into<String>) -> Failure {
    Failure::new(Exit::Refused, message)
}

/// Adds what the line says, if anything. How many bytes of values it took.
fn add(
    line: &str,
    number: u64,
    operations: &mut Operations,
    lines: &mut Lines,
) -> Result<usize, Failure> {
    let words = words(line)?;
    let Some((operation, arguments)) = words.split_first() else {
        return Ok(0);
    };
    let Word::Bare(name) = operation else {
        return Err(no_operation(operation.text()));
    };
    let mut bytes = 0;
    match (name.as_str(), arguments) {
        ("check", [key, version]) => {
            let version = match version {
                Word::Bare(absent) if absent == "absent" => None,
                version => Some(version.text().parse().map_err(|_| {
                    refused(format!("{:?} is no version", version.text())).with_hint(
                        "a version is text as put and get --json print it, such as e1-2f; absent \
                         says that the key has no value",
                    )
                })?),
            };
            let key = self::key(key)?;
            operations.checks.push(Check { key, version });
            lines.checks.push(number);
        }
        ("get", [key]) => {
            operations.reads.push(self::key(key)?);
            lines.reads.push(number);
        }
        ("put", [key, value]) => {
            let (key, value) = (self::key(key)?, self::value(value)?);
            bytes = value.len();
            operations.writes.push(Write::Put { key, value });
            lines.writes.push(number);
        }
        ("delete", [key]) => {
            let key = self::key(key)?;
            operations.writes.push(Write::Delete { key });
            lines.writes.push(number);
        }
        (name @ ("check" | "get" | "put" | "delete"), arguments) => {
            return Err(miscounted(name, arguments.len()));
        }
        (name, _) => return Err(no_operation(name)),
    }
    Ok(bytes)
}

fn no_operation(name: &str) -> Failure {
    refused(format!("{name:?} is no operation")).with_hint(format!("write one of: {OPERATIONS}"))
}

fn miscounted(name: &str, count: usize) -> Failure {
    let form = match name {
        "check" => "check KEY VERSION, or check KEY absent",
        "put" => "put KEY VALUE, or put KEY @FILE",
        "get" => "get KEY",
        _ => "delete KEY",
    };
    let words = if count == 1 { "word" } else { "words" };
    refused(format!("{count} {words} behind {name:?}")).with_hint(format!(
        "write {form}; a word with spaces stands in double quotes: \"two words\""
    ))
}

fn key(word: &Word) -> Result<Key, Failure> {
    if let Word::File(_) = word {
        let failure = refused("a key is not read from a file");
        return Err(failure.with_hint("a key that begins with @ stands in quotes: \"@name\""));
    }
    Key::new(word.text()).map_err(|error| refused(error.to_string()))
}

fn value(word: &Word) -> Result<Value, Failure> {
    let bytes = match word {
        Word::Bare(text) | Word::Quoted(text) => text.clone().into_bytes(),
        Word::File(name) => {
            let file = File::open(Path::new(name)).map_err(|error| {
                Failure::local(format!("cannot read {name}"), &error)
                    .with_hint("a value that begins with @ stands in quotes: \"@name\"")
            })?;
            read_value(file, name)?
        }
    };
    Value::try_from(bytes).map_err(|error| refused(error.to_string()))
}

/// The words of a line, without its comment.
fn words(line: &str) -> Result<Vec<Word>, Failure> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !(rest.is_empty() || rest.starts_with('#')) {
        let (is_file, word) = match rest.strip_prefix('@') {
            Some(name) => (true, name),
            None => (false, rest),
        };
        let is_quoted = word.starts_with('"');
        let (text, behind) =
            if is_quoted {
                string(word)?
            } else {
                let end = word.find(char::is_whitespace).unwrap_or(word.len());
                let (word, behind) = word.split_at(end);
                if word.contains('"') {
                    return Err(refused(format!("a quote in the middle of {word:?}")).with_hint(
                    "quote the whole word, with \\\" for each quote in it: \"say \\\"hi\\\"\"",
                ));
                }
                (word.to_owned(), behind)
            };
        words.push(match (is_file, is_quoted) {
            (true, _) => Word::File(text),
            (false, true) => Word::Quoted(text),
            (false, false) => Word::Bare(text),
        });
        if !(behind.is_empty() || behind.starts_with(char::is_whitespace)) {
            return Err(refused("a word goes on behind its closing quote")
                .with_hint("put a space between two words, and \\\" for a quote within one"));
        }
        rest = behind.trim_start();
    }
    Ok(words)
}

/// The JSON string that `text` begins with, and what is behind it.
fn string(text: &str) -> Result<(String, &str), Failure> {
    let mut strings = serde_json::Deserializer::from_str(text).into_iter::<String>();
    match strings.next() {
        Some(Ok(string)) => Ok((string, &text[strings.byte_offset()..])),
        Some(Err(error)) if !error.is_eof() => Err(refused(format!(
            "the text in quotes is no JSON string: {error}"
        ))
        .with_hint("in quotes \\ begins an escape: \\\\ \\\" \\n \\t \\u00e9")),
        _ => Err(refused("the quotes are not closed")
            .with_hint("a text in quotes ends in its line; a newline in it is written \\n")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn operations(text: &str) -> Operations {
        parse(text).expect("legal").operations().as_ref().clone()
    }

    fn failure(text: &str) -> String {
        format!("{:?}", parse(text).expect_err("not legal"))
    }

    #[test]
    fn every_operation_is_understood() {
        let version = "e3-1f4".parse().expect("a version");
        let text = "# nothing\n\n check a e3-1f4\ncheck b absent # not there\nget c\n\
                    put\td  4\nput e \"two words # \\u00e9\"\r\nput f \"\"\nput g @\ndelete h";
        let directory = tempfile::tempdir().expect("a folder");
        let file = directory.path().join("a file");
        std::fs::write(&file, [0xff, 0]).expect("written");
        let name = serde_json::to_string(file.to_str().expect("UTF-8")).expect("JSON");
        let text = text.replace("put g @", &format!("put g @{name}"));
        let operations = operations(&text);
        let key = |text| Key::new(text).expect("legal");
        let check = |name, version| Check {
            key: key(name),
            version,
        };
        assert_eq!(
            operations.checks,
            [check("a", Some(version)), check("b", None)]
        );
        assert_eq!(operations.reads, [key("c")]);
        let put = |name, value: &[u8]| Write::Put {
            key: key(name),
            value: Value::copy_from(value).expect("legal"),
        };
        assert_eq!(
            operations.writes,
            [
                put("d", b"4"),
                put("e", "two words # é".as_bytes()),
                put("f", b""),
                put("g", &[0xff, 0]),
                Write::Delete { key: key("h") }
            ]
        );
    }

    #[test]
    fn a_quoted_word_is_never_a_keyword_nor_a_file() {
        let text = "check \"absent\" absent\nput \"#\" \"@file\"\nput check get";
        let operations = operations(text);
        assert_eq!(operations.checks[0].key.as_str(), "absent");
        assert_eq!(operations.writes[0].key().as_str(), "#");
        let value = operations.writes[0].value().expect("a put");
        assert_eq!(value.as_bytes(), b"@file");
        assert!(failure("check a \"absent\"").contains("is no version"));
    }

    #[test]
    fn what_is_not_understood_is_named_with_its_line_and_what_to_write_instead() {
        for (text, line, parts) in [
            (
                "chek a absent",
                1,
                &["\\\"chek\\\" is no operation", "check KEY absent"][..],
            ),
            (
                "get a\n\nput a",
                3,
                &["1 word behind \\\"put\\\"", "put KEY VALUE"],
            ),
            (
                "put a two words",
                1,
                &["3 words behind", "in double quotes"],
            ),
            ("get", 1, &["0 words behind", "get KEY"]),
            ("delete a b", 1, &["2 words behind", "delete KEY"]),
            ("check a 7", 1, &["\\\"7\\\" is no version", "absent"]),
            ("get ..", 1, &["are not keys"]),
            ("put a \"b", 1, &["not closed", "\\\\n"]),
            ("put a \"b\\x\"", 1, &["no JSON string", "escape"]),
            ("put a \"b\"c", 1, &["closing quote", "space"]),
            ("put a b\"c\"", 1, &["a quote in the middle", "whole word"]),
            (
                "put a @no/such/file",
                1,
                &["cannot read no/such/file", "in quotes"],
            ),
            ("put @\"a\" b", 1, &["a key is not read from a file"]),
            ("# one\nput a 1\ndelete a", 3, &["twice"]),
        ] {
            let failure = parse(text).expect_err(text);
            assert_eq!(failure.line(), Some(line), "{text}");
            let shown = format!("{failure:?}");
            for part in parts {
                assert!(shown.contains(part), "{text}: {part} in {shown}");
            }
        }
        assert!(failure("# nothing").contains("there is no operation"));
        let many: Vec<String> = (0..2000).map(|n| format!("get k{n}")).collect();
        let many = many.join("\n");
        assert!(failure(&many).contains("at most 1024"));
    }

    proptest! {
        #[test]
        fn any_text_can_be_written_in_quotes(key in "[^.].{0,50}", value: String) {
            let quoted = |text: &str| serde_json::to_string(text).expect("JSON");
            let text = format!("put {} {} # comment", quoted(&key), quoted(&value));
            let operations = operations(&text);
            prop_assert_eq!(operations.writes[0].key().as_str(), key);
            let written = operations.writes[0].value().expect("a put");
            prop_assert_eq!(written.as_bytes(), value.as_bytes());
        }

        #[test]
        fn nothing_makes_it_panic(text: String) {
            let _ = parse(&text);
        }
    }
}
