//! Events from bytes, one at a time, in whichever format they are.
//!
//! Invariants:
//!
//! - Not more than one event is held, and that is bounded by [`EVENT_BYTES_MAX`], also when the
//!   bytes are compressed.
//! - After an error nothing comes.
//!
//! What is not here: what calls and returns have to do with each other (`pair.rs`).

use std::io::{BufRead, BufReader, Cursor, Read};

use compact_str::CompactString;
use flate2::bufread::MultiGzDecoder;

use super::{
    BadHistory, EVENT_BYTES_MAX, Event, Field, Format, Kind, Value, edn,
    json::{self, Access, Draft, DraftSeed, Session},
    log,
    scan::{Notation, Scanner},
};

/// As much is looked at, at most, to find out the format.
const START_BYTES_MAX: u64 = 64 << 10;
const GZIP: [u8; 2] = [0x1f, 0x8b];
const BUFFER_BYTES: usize = 64 << 10;

/// The events of a history, without those of a nemesis.
pub struct Events<'a> {
    scanner: Scanner<Box<dyn BufRead + 'a>>,
    format: Format,
    /// The index and the time of the last event that had one.
    index: Option<i64>,
    time: Option<i64>,
    /// Whether the first event names its process; all others must do the same.
    has_process: Option<bool>,
    any: bool,
    done: bool,
}

impl<'a> Events<'a> {
    /// The history in `source`, compressed with gzip or not. Without a `format` it is told from
    /// the beginning.
    pub fn new(source: impl Read + 'a, format: Option<Format>) -> Result<Self, BadHistory> {
        let (start, source) = start(source, GZIP.len() as u64)?;
        if start != GZIP {
            return Self::uncompressed(source, format);
        }
        let source = BufReader::with_capacity(BUFFER_BYTES, source);
        Self::uncompressed(MultiGzDecoder::new(source), format)
    }

    fn uncompressed(source: impl Read + 'a, format: Option<Format>) -> Result<Self, BadHistory> {
        if let Some(format) = format {
            return Ok(Self::in_format(source, format));
        }
        let (start, source) = start(source, START_BYTES_MAX)?;
        let format = Format::detect(&start).ok_or_else(|| {
            BadHistory::whole(if start.trim_ascii().is_empty() {
                "the history is empty"
            } else {
                "the format cannot be told from how it begins"
            })
        })?;
        Ok(Self::in_format(source, format))
    }

    fn in_format(source: impl Read + 'a, format: Format) -> Self {
        let source: Box<dyn BufRead + 'a> =
            Box::new(BufReader::with_capacity(BUFFER_BYTES, source));
        Self {
            scanner: Scanner::new(source),
            format,
            index: None,
            time: None,
            has_process: None,
            any: false,
            done: false,
        }
    }

    /// What it is written in.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The line that is read next, from 1.
    pub fn line(&self) -> u64 {
        self.scanner.line()
    }

    fn next_event(&mut self) -> Result<Option<Event>, BadHistory> {
        loop {
            let Some((line, draft)) = self.next_draft()? else {
                if self.any || self.scanner.was_closed() {
                    return Ok(None);
                }
                return Err(BadHistory::whole("the history is empty"));
            };
            self.any = true;
            let event = self.complete(line, draft);
            if let Some(event) = event.map_err(|reason| BadHistory::at(line, reason))? {
                return Ok(Some(event));
            }
        }
    }

    fn next_draft(&mut self) -> Result<Option<(u64, Draft)>, BadHistory> {
        match self.format {
            Format::JsonLines | Format::Sessions => self.line_of_json(),
            Format::Json => {
                let Some(piece) = self.scanner.next_map(Notation::Json)? else {
                    return Ok(None);
                };
                from_json(piece.line, piece.text, DraftSeed { ours: false }).map(Some)
            }
            Format::Edn | Format::Porcupine => {
                let Some(piece) = self.scanner.next_map(Notation::Edn)? else {
                    return Ok(None);
                };
                from_edn(piece.line, piece.text).map(Some)
            }
            Format::Log => self.line_of_log(),
        }
    }

    fn line_of_json(&mut self) -> Result<Option<(u64, Draft)>, BadHistory> {
        let is_sessions = self.format == Format::Sessions;
        let Some(piece) = self.scanner.next_line()? else {
            return Ok(None);
        };
        if !is_sessions {
            return from_json(piece.line, piece.text, DraftSeed { ours: true }).map(Some);
        }
        let session = serde_json::from_str::<Session>(piece.text);
        let session = session.map_err(|e| BadHistory::at(piece.line, json::reason(&e).1))?;
        Ok(Some((piece.line, from_session(session))))
    }

    fn line_of_log(&mut self) -> Result<Option<(u64, Draft)>, BadHistory> {
        loop {
            let Some(piece) = self.scanner.next_line()? else {
                return Ok(None);
            };
            let line = piece.line;
            if !piece.whole {
                // A number could go on.
                return Err(BadHistory::at(
                    line,
                    "the history ends in the middle of this line",
                ));
            }
            match log::draft(piece.text).map_err(|reason| BadHistory::at(line, reason))? {
                Some(draft) => return Ok(Some((line, draft))),
                None => self.any = true,
            }
        }
    }

    /// The event that a draft means; nothing if it is a nemesis's.
    fn complete(&mut self, line: u64, draft: Draft) -> Result<Option<Event>, String> {
        let index = number("index", draft.index.as_ref())?;
        increases("index", self.index, index)?;
        self.index = index.or(self.index);
        if self.format == Format::JsonLines {
            let time = number("time", draft.time.as_ref())?;
            increases("time", self.time, time)?;
            self.time = time.or(self.time);
        }
        let Some(process) = self.process(draft.process, draft.kind)? else {
            return Ok(None);
        };
        let kind = draft.kind.ok_or("the type is missing")?;
        for (field, value) in &draft.fields {
            check_field(*field, value)?;
        }
        Ok(Some(Event {
            line,
            process,
            kind,
            f: draft.f.unwrap_or_default(),
            value: draft.value.unwrap_or_default(),
            fields: draft.fields,
        }))
    }

    /// The process's number; nothing for a nemesis. A history that names none has only one.
    fn process(
        &mut self,
        process: Option<Value>,
        kind: Option<Kind>,
    ) -> Result<Option<i64>, String> {
        let number = match process {
            Some(Value::Int(number)) => Some(number),
            None if self.format != Format::JsonLines => None,
            None => return Err("the process is missing".to_owned()),
            // To skip the operations of clients that have names would make any history legal.
            Some(Value::Text(name)) => match kind {
                Some(Kind::Invoke | Kind::Ok | Kind::Fail) if *name != *"nemesis" => {
                    let what = "is a name, and only numbers call and return";
                    return Err(format!("the process `{name}` {what}"));
                }
                _ => return Ok(None),
            },
            Some(other) => return Err(format!("the process `{other}` is neither number nor name")),
        };
        let expected = *self.has_process.get_or_insert(number.is_some());
        match number {
            None if expected => Err("the process is missing".to_owned()),
            Some(_) if !expected => Err("a process is named, and none before it".to_owned()),
            _ => Ok(Some(number.unwrap_or(0))),
        }
    }
}

impl Iterator for Events<'_> {
    type Item = Result<Event, BadHistory>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let event = self.next_event();
        self.done = !matches!(event, Ok(Some(_)));
        event.transpose()
    }
}

/// The first bytes, and all of them again.
fn start<'a>(
    mut source: impl Read + 'a,
    bytes_max: u64,
) -> Result<(Vec<u8>, impl Read + 'a), BadHistory> {
    let mut start = Vec::new();
    let read = source.by_ref().take(bytes_max).read_to_end(&mut start);
    read.map_err(|e| BadHistory::reading(1, &e))?;
    Ok((start.clone(), Cursor::new(start).chain(source)))
}

fn from_json(line: u64, text: &str, seed: DraftSeed) -> Result<(u64, Draft), BadHistory> {
    use serde::de::DeserializeSeed as _;

    let mut deserializer = serde_json::Deserializer::from_str(text);
    let draft = seed.deserialize(&mut deserializer);
    let draft = draft.and_then(|draft| deserializer.end().map(|()| draft));
    match draft {
        Ok(draft) => Ok((line, draft)),
        Err(error) => {
            let (below, reason) = json::reason(&error);
            Err(BadHistory::at(line + below, reason))
        }
    }
}

fn from_edn(line: u64, text: &str) -> Result<(u64, Draft), BadHistory> {
    let value = edn::parse(text).map_err(|fault| {
        let below = text.as_bytes()[..fault.at]
            .split(|&byte| byte == b'\n')
            .count()
            - 1;
        BadHistory::at(line + below as u64, fault.reason)
    })?;
    let Value::Map(pairs) = value else {
        return Err(BadHistory::at(line, "an event is a map, and this is none"));
    };
    let mut draft = Draft::default();
    for (key, value) in pairs {
        match key.as_text() {
            Some("index") => draft.index = Some(value),
            Some("time") => draft.time = Some(value),
            Some("process") => draft.process = Some(value),
            Some("type") => {
                let kind = Kind::parse(value.as_text().unwrap_or_default());
                draft.kind = Some(kind.map_err(|reason| BadHistory::at(line, reason))?);
            }
            Some("f") => match value {
                Value::Nil => {}
                Value::Text(f) => draft.f = Some(CompactString::from(&*f)),
                _ => {
                    return Err(BadHistory::at(
                        line,
                        format!("the function `{value}` is no name"),
                    ));
                }
            },
            Some("value") => draft.value = Some(value),
            Some(name) => draft
                .fields
                .extend(Field::parse(name).map(|field| (field, value))),
            None => {}
        }
    }
    Ok((line, draft))
}

fn from_session(session: Session) -> Draft {
    let operations = session.ops.into_iter().map(|(access, key, version)| {
        let f = match access {
            Access::Read => "r",
            Access::Write => "w",
        };
        Value::List(vec![f.into(), key, version])
    });
    Draft {
        index: i64::try_from(session.txn).ok().map(Value::Int),
        process: Some(Value::Int(session.number)),
        kind: Some(Kind::Committed),
        f: Some(CompactString::const_new("txn")),
        value: Some(Value::List(operations.collect())),
        ..Draft::default()
    }
}

fn number(name: &str, value: Option<&Value>) -> Result<Option<i64>, String> {
    match value {
        None => Ok(None),
        Some(Value::Int(number)) => Ok(Some(*number)),
        Some(other) => Err(format!("the {name} `{other}` is not a whole number")),
    }
}

fn increases(name: &str, before: Option<i64>, now: Option<i64>) -> Result<(), String> {
    match (before, now) {
        (Some(before), Some(now)) if now == before => {
            Err(format!("the {name} {now} is given twice"))
        }
        (Some(before), Some(now)) if now < before => {
            Err(format!("the {name} {now} comes after {before}"))
        }
        _ => Ok(()),
    }
}

fn check_field(field: Field, value: &Value) -> Result<(), String> {
    let (fits, expected) = match field {
        Field::Key => return Ok(()),
        Field::Version | Field::IfVersion => (version_like(value), "a version"),
        Field::IfAbsent | Field::IfPresent | Field::Applied => {
            (matches!(value, Value::Bool(_)), "true or false")
        }
        Field::Current => (value.is_nil() || version_like(value), "a version or nil"),
    };
    if fits {
        Ok(())
    } else {
        Err(format!("`{}` is not {expected}", field.name()))
    }
}

/// A number, or two of which the first is the more significant.
fn version_like(value: &Value) -> bool {
    match value {
        Value::Int(_) => true,
        Value::List(parts) => parts.len() == 2 && parts.iter().all(|p| p.as_int().is_some()),
        _ => false,
    }
}

const _: () = assert!(START_BYTES_MAX < EVENT_BYTES_MAX as u64);
