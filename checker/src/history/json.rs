//! Events and sessions as JSON objects.
//!
//! Tests: at the end of `read.rs`, and the fuzz target `history_json`.

use std::{borrow::Cow, fmt};

use compact_str::CompactString;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, Visitor},
};

use super::{Field, Kind, Value};

/// What an event's map says, before it is known whether it makes sense.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    pub(crate) index: Option<Value>,
    pub(crate) time: Option<Value>,
    pub(crate) process: Option<Value>,
    pub(crate) kind: Option<Kind>,
    pub(crate) f: Option<CompactString>,
    pub(crate) value: Option<Value>,
    pub(crate) fields: Vec<(Field, Value)>,
}

/// What our own format allows beside what it knows: notes for people.
const NOTES: [&str; 3] = ["error", "node", "note"];

/// Reads an event's object; `ours` refuses what our own format does not know.
pub(crate) struct DraftSeed {
    pub(crate) ours: bool,
}

impl<'de> DeserializeSeed<'de> for DraftSeed {
    type Value = Draft;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Draft, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for DraftSeed {
    type Value = Draft;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event's object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Draft, A::Error> {
        let mut draft = Draft::default();
        while let Some(key) = access.next_key::<Name<'de>>()? {
            let key = &*key.0;
            let twice = match key {
                "index" => draft.index.replace(access.next_value()?).is_some(),
                "time" => draft.time.replace(access.next_value()?).is_some(),
                "process" => draft.process.replace(access.next_value()?).is_some(),
                "type" => {
                    let name: Name<'de> = access.next_value()?;
                    let kind = Kind::parse(&name.0).map_err(A::Error::custom)?;
                    draft.kind.replace(kind).is_some()
                }
                "f" => {
                    let name: Option<Name<'de>> = access.next_value()?;
                    let f = CompactString::from(name.map_or(Cow::Borrowed(""), |name| name.0));
                    draft.f.replace(f).is_some()
                }
                "value" => draft.value.replace(access.next_value()?).is_some(),
                _ => match Field::parse(key) {
                    Some(field) => {
                        let twice = draft.fields.iter().any(|(name, _)| *name == field);
                        draft.fields.push((field, access.next_value()?));
                        twice
                    }
                    None if self.ours && !NOTES.contains(&key) => {
                        return Err(A::Error::custom(format!("unknown field `{key}`")));
                    }
                    None => {
                        access.next_value::<IgnoredAny>()?;
                        false
                    }
                },
            };
            if twice {
                return Err(A::Error::custom(format!(
                    "the field `{key}` is given twice"
                )));
            }
        }
        Ok(draft)
    }
}

/// A text, without a copy where it has no escapes.
#[derive(Deserialize)]
#[serde(transparent)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// A committed transaction of a session.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Session {
    #[serde(rename = "session")]
    pub(crate) number: i64,
    /// A number that is given to no other.
    pub(crate) txn: u64,
    pub(crate) ops: Vec<(Access, Value, Value)>,
}

/// What an operation of a session does.
#[derive(Clone, Copy, Deserialize)]
pub(crate) enum Access {
    /// Finds a version; null if there is none.
    #[serde(rename = "r")]
    Read,
    /// Writes a version.
    #[serde(rename = "w")]
    Write,
}

/// What is wrong, without serde's own count of lines, and in which line of the text.
pub(crate) fn reason(error: &serde_json::Error) -> (u64, String) {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let text = text.strip_suffix(&place).unwrap_or(&text);
    let reason = if error.is_eof() {
        "it ends in the middle of this event".to_owned()
    } else if error.is_data() {
        text.to_owned()
    } else {
        format!("{text} (column {})", error.column())
    };
    (error.line().saturating_sub(1) as u64, reason)
}
