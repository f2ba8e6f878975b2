//! Writes histories in our own format: JSON objects, one a line (`docs/histories.md`).
//!
//! What is not here: when an event happens. Whoever records writes events in the order in which
//! they happen; index and time are their places in it, and so increase strictly.

use std::io::{self, Write};

use serde::{Serialize, Serializer, ser::SerializeMap as _};

use super::{Event, Kind, Value};

/// Writes one event after another.
pub struct Writer<W> {
    sink: W,
    written: u64,
}

impl<W: Write> Writer<W> {
    /// Begins a history. `sink` is written to in small pieces: it should have a buffer.
    pub fn new(sink: W) -> Self {
        Self { sink, written: 0 }
    }

    /// Writes an event, whose line does not matter. [`Kind::Committed`] cannot be written: it has
    /// no place in the order of events.
    pub fn event(&mut self, event: &Event) -> io::Result<()> {
        if event.kind == Kind::Committed {
            let reason = "a transaction without times has no place among events";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        }
        serde_json::to_writer(
            &mut self.sink,
            &Line {
                index: self.written,
                event,
            },
        )?;
        self.sink.write_all(b"\n")?;
        self.written += 1;
        Ok(())
    }

    /// Flushes, and gives back what was written to.
    pub fn finish(mut self) -> io::Result<W> {
        self.sink.flush()?;
        Ok(self.sink)
    }
}

struct Line<'a> {
    index: u64,
    event: &'a Event,
}

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Event {
            line: _,
            process,
            kind,
            f,
            value,
            fields,
        } = self.event;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("index", &self.index)?;
        map.serialize_entry("time", &self.index)?;
        map.serialize_entry("process", process)?;
        map.serialize_entry("type", kind.name())?;
        if !f.is_empty() {
            map.serialize_entry("f", f.as_str())?;
        }
        for (field, value) in fields {
            map.serialize_entry(field.name(), value)?;
        }
        if *value != Value::Nil {
            map.serialize_entry("value", value)?;
        }
        map.end()
    }
}
