//! Lines of Jepsen's log: `INFO  jepsen.util - 4 :invoke :cas [1 2]`, with tabs or spaces.
//!
//! Tests: at the end of `read.rs`, and the fuzz target `history_log`.

use compact_str::CompactString;

use super::{Kind, Value, edn, json::Draft};

/// What says that a line is an event, and not something else that was logged.
const LOGGER: &str = "jepsen.util";

/// The event that a line says; nothing if another part of Jepsen logged it.
pub(crate) fn draft(line: &str) -> Result<Option<Draft>, String> {
    let (head, event) = line.split_once(" - ").ok_or("not a line of Jepsen's log")?;
    if head.split_ascii_whitespace().next_back() != Some(LOGGER) {
        return Ok(None);
    }
    let (process, rest) = word(event);
    let (kind, rest) = word(rest);
    let (f, value) = word(rest);
    let process = edn::parse(process).map_err(|_| "not an event of Jepsen's log")?;
    let kind = kind
        .strip_prefix(':')
        .ok_or("not an event of Jepsen's log")?;
    let kind = Kind::parse(kind)?;
    let f = f
        .strip_prefix(':')
        .filter(|f| !f.is_empty())
        .ok_or("the function is missing")?;
    Ok(Some(Draft {
        process: Some(process),
        kind: Some(kind),
        f: Some(CompactString::from(f)),
        value: Some(first_of_two(value)?),
        ..Draft::default()
    }))
}

/// The value; an error may stand after it.
fn first_of_two(text: &str) -> Result<Value, String> {
    let mut parser = edn::Parser::new(text);
    let value = parser
        .next()
        .map_err(|fault| fault.reason)?
        .ok_or("the value is missing")?;
    let _error = parser.next().map_err(|fault| fault.reason)?;
    match parser.next().map_err(|fault| fault.reason)? {
        None => Ok(value),
        Some(_) => Err("more than a value and an error".to_owned()),
    }
}

/// The first word, and what follows it.
fn word(text: &str) -> (&str, &str) {
    let text = text.trim_ascii_start();
    let end = text
        .find(|c: char| c.is_ascii_whitespace())
        .unwrap_or(text.len());
    text.split_at(end)
}
