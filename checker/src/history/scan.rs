//! Cuts a stream of bytes into lines or into the maps of a sequence, one at a time.
//!
//! What is not here: what a line or a map means. Brackets are counted, strings and comments are
//! stepped over, and the parser of the notation judges the rest.

use std::io::{BufRead, Read};

use super::BadHistory;

/// The longest event, in bytes. A set of some million elements that is read as a whole fits in.
pub const EVENT_BYTES_MAX: usize = 64 << 20;

/// What the maps of a sequence are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notation {
    Edn,
    Json,
}

/// A piece of the source, and where it begins.
pub(crate) struct Piece<'a> {
    pub(crate) line: u64,
    pub(crate) text: &'a str,
    /// Whether it ends with a line's end, as a whole line does.
    pub(crate) whole: bool,
}

pub(crate) struct Scanner<R> {
    source: R,
    buffer: Vec<u8>,
    /// Of the next byte, from 1.
    line: u64,
    sequence: Sequence,
}

/// Where in a sequence of maps the next byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sequence {
    /// Before all maps; a bracket may still open.
    Start,
    /// Among maps that no bracket holds.
    Bare,
    /// Within a bracket, until this one closes it.
    Within(u8),
    /// After the bracket.
    Closed,
}

impl<R: BufRead> Scanner<R> {
    pub(crate) fn new(source: R) -> Self {
        Self {
            source,
            buffer: Vec::new(),
            line: 1,
            sequence: Sequence::Start,
        }
    }

    pub(crate) fn line(&self) -> u64 {
        self.line
    }

    /// Whether a bracket held the sequence, so that its end is known to be its end.
    pub(crate) fn was_closed(&self) -> bool {
        self.sequence == Sequence::Closed
    }

    /// The next line that is not blank.
    pub(crate) fn next_line(&mut self) -> Result<Option<Piece<'_>>, BadHistory> {
        loop {
            self.buffer.clear();
            let begin = self.line;
            let mut bounded = self.source.by_ref().take(EVENT_BYTES_MAX as u64 + 1);
            let read = bounded.read_until(b'\n', &mut self.buffer);
            if read.map_err(|e| BadHistory::reading(begin, &e))? == 0 {
                return Ok(None);
            }
            let whole = self.buffer.last() == Some(&b'\n');
            if self.buffer.len() > EVENT_BYTES_MAX {
                return Err(too_long(begin));
            }
            self.line += u64::from(whole);
            if !self.buffer.trim_ascii().is_empty() {
                let text = utf8(&self.buffer, begin)?;
                return Ok(Some(Piece {
                    line: begin,
                    text: text.trim_ascii(),
                    whole,
                }));
            }
        }
    }

    /// The next map of a sequence, without what EDN may put before it: tags and metadata.
    pub(crate) fn next_map(&mut self, notation: Notation) -> Result<Option<Piece<'_>>, BadHistory> {
        // Of forms that `#_` or `^` lets the reader step over.
        let mut discards = 0_usize;
        loop {
            let Some(byte) = self.peek()? else {
                return self.end(discards);
            };
            let edn = notation == Notation::Edn;
            match byte {
                b',' => self.consume(1),
                _ if byte.is_ascii_whitespace() => self.consume(1),
                _ if self.sequence == Sequence::Closed => {
                    return Err(BadHistory::at(
                        self.line,
                        "something follows after the last event",
                    ));
                }
                b';' if edn => self.skip_while(|byte| byte != b'\n')?,
                b'^' if edn => {
                    self.consume(1);
                    discards += 1;
                }
                b'#' if edn => match self.dispatch()? {
                    Dispatch::Discard => discards += 1,
                    Dispatch::Tag => {}
                    Dispatch::Form => self.one_event(&mut discards)?,
                },
                b'[' | b'(' if self.sequence == Sequence::Start && discards == 0 => {
                    self.consume(1);
                    self.sequence = Sequence::Within(if byte == b'[' { b']' } else { b')' });
                }
                b']' | b')' if self.sequence == Sequence::Within(byte) && discards == 0 => {
                    self.consume(1);
                    self.sequence = Sequence::Closed;
                }
                b'{' | b'[' | b'(' | b'"' => {
                    if self.sequence == Sequence::Start {
                        self.sequence = Sequence::Bare;
                    }
                    let line = self.line;
                    self.form(notation)?;
                    if discards == 0 {
                        if byte != b'{' {
                            return Err(BadHistory::at(
                                line,
                                "an event is a map, and this is none",
                            ));
                        }
                        let text = utf8(&self.buffer, line)?;
                        return Ok(Some(Piece {
                            line,
                            text,
                            whole: true,
                        }));
                    }
                    discards -= 1;
                }
                _ => {
                    self.one_event(&mut discards)?;
                    self.consume(1);
                    self.skip_while(|byte| !is_delimiter(byte))?;
                }
            }
        }
    }

    /// Takes a form that is no map: as one to be stepped over, or not at all.
    fn one_event(&mut self, discards: &mut usize) -> Result<(), BadHistory> {
        match discards.checked_sub(1) {
            Some(left) => {
                *discards = left;
                Ok(())
            }
            None => Err(BadHistory::at(
                self.line,
                "an event is a map, and this is none",
            )),
        }
    }

    fn end(&self, discards: usize) -> Result<Option<Piece<'_>>, BadHistory> {
        match self.sequence {
            Sequence::Within(closing) => Err(BadHistory::at(
                self.line,
                format!("the history ends before its `{}`", char::from(closing)),
            )),
            _ if discards > 0 => Err(in_the_middle(self.line)),
            _ => Ok(None),
        }
    }

    /// Takes a `#` and what it makes of the form after it.
    fn dispatch(&mut self) -> Result<Dispatch, BadHistory> {
        self.consume(1);
        match self.peek()? {
            None => Err(in_the_middle(self.line)),
            Some(b'_') => {
                self.consume(1);
                Ok(Dispatch::Discard)
            }
            // A set or a regular expression: the form itself comes next.
            Some(b'{' | b'"') => {
                self.form(Notation::Edn)?;
                Ok(Dispatch::Form)
            }
            Some(_) => {
                self.skip_while(|byte| !is_delimiter(byte))?;
                Ok(Dispatch::Tag)
            }
        }
    }

    /// Takes one bracketed form or string into the buffer.
    fn form(&mut self, notation: Notation) -> Result<(), BadHistory> {
        self.buffer.clear();
        let begin = self.line;
        let mut balance = Balance::new(notation);
        loop {
            let line = self.line;
            let chunk = self
                .source
                .fill_buf()
                .map_err(|e| BadHistory::reading(line, &e))?;
            if chunk.is_empty() {
                return Err(in_the_middle(begin));
            }
            let (used, done) = balance.advance(chunk);
            if self.buffer.len() + used > EVENT_BYTES_MAX {
                return Err(too_long(begin));
            }
            self.buffer.extend_from_slice(&chunk[..used]);
            self.consume(used);
            if done {
                return Ok(());
            }
        }
    }

    fn skip_while(&mut self, skipped: impl Fn(u8) -> bool) -> Result<(), BadHistory> {
        loop {
            let line = self.line;
            let chunk = self
                .source
                .fill_buf()
                .map_err(|e| BadHistory::reading(line, &e))?;
            let used = chunk.iter().position(|&byte| !skipped(byte));
            let (used, done) = (
                used.unwrap_or(chunk.len()),
                used.is_some() || chunk.is_empty(),
            );
            self.consume(used);
            if done {
                return Ok(());
            }
        }
    }

    fn peek(&mut self) -> Result<Option<u8>, BadHistory> {
        let line = self.line;
        let chunk = self
            .source
            .fill_buf()
            .map_err(|e| BadHistory::reading(line, &e))?;
        Ok(chunk.first().copied())
    }

    /// Takes as many bytes of what `fill_buf` has just given.
    fn consume(&mut self, count: usize) {
        let Ok(chunk) = self.source.fill_buf() else {
            return;
        };
        let lines = chunk
            .iter()
            .take(count)
            .filter(|&&byte| byte == b'\n')
            .count();
        self.line += lines as u64;
        self.source.consume(count);
    }
}

enum Dispatch {
    /// The next form is stepped over.
    Discard,
    /// The next form has a name before it.
    Tag,
    /// A form of its own, taken as a whole.
    Form,
}

/// How deep in brackets, and whether in something where brackets do not count.
struct Balance {
    notation: Notation,
    depth: usize,
    within: Within,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    Code,
    String,
    Escape,
    Comment,
    Character,
}

impl Balance {
    fn new(notation: Notation) -> Self {
        Self {
            notation,
            depth: 0,
            within: Within::Code,
        }
    }

    /// How many bytes of `chunk` belong to the form, and whether they complete it.
    fn advance(&mut self, chunk: &[u8]) -> (usize, bool) {
        let edn = self.notation == Notation::Edn;
        for (index, &byte) in chunk.iter().enumerate() {
            self.within = match (self.within, byte) {
                (Within::Code, b'"') | (Within::Escape, _) => Within::String,
                (Within::Code, b';') if edn => Within::Comment,
                (Within::Code, b'\\') if edn => Within::Character,
                (Within::Code, b'{' | b'[' | b'(') => {
                    self.depth += 1;
                    Within::Code
                }
                (Within::Code, b'}' | b']' | b')') => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        return (index + 1, true);
                    }
                    Within::Code
                }
                (Within::String, b'"') => {
                    if self.depth == 0 {
                        return (index + 1, true);
                    }
                    Within::Code
                }
                (Within::String, b'\\') => Within::Escape,
                (Within::Comment, b'\n') | (Within::Character, _) => Within::Code,
                (within, _) => within,
            };
        }
        (chunk.len(), false)
    }
}

/// Whether it ends a word of EDN.
pub(crate) fn is_delimiter(byte: u8) -> bool {
    byte.is_ascii_whitespace() || b",;\"()[]{}".contains(&byte)
}

fn utf8(bytes: &[u8], line: u64) -> Result<&str, BadHistory> {
    std::str::from_utf8(bytes).map_err(|_| BadHistory::at(line, "not UTF-8"))
}

fn in_the_middle(line: u64) -> BadHistory {
    BadHistory::at(line, "the history ends in the middle of this event")
}

fn too_long(line: u64) -> BadHistory {
    BadHistory::at(
        line,
        format!("an event is longer than {EVENT_BYTES_MAX} bytes"),
    )
}
