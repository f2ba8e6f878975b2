//! Single keys and listings: get, put, delete, list.
//!
//! Each is one call of the client's (a listing one per page) and its result as text or JSON.
//!
//! Tests: `tests/it`.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read},
    path::Path,
};

use futures_util::StreamExt;
use serde::Serialize;
use trandb_client::{Entry, Key, ListedKey, Value, Version};
use trandb_common::limits::{LIST_LIMIT_MAX, VALUE_BYTES_MAX};

use crate::{
    args::{Delete, Get, List, Put},
    escape,
    failure::{Exit, Failure},
    json,
    line::Payload,
    output::Output,
    progress,
    session::Session,
};

pub(crate) async fn get(session: &Session, get: &Get) -> Result<(), Failure> {
    let Some(entry) = session.client.get(&get.key).await? else {
        return Err(Failure::key_not_found(&get.key));
    };
    let mut output = Output::open(get.output.as_deref())?;
    if session.json {
        output.write(&entry_as_json(&get.key, &entry)?)?;
    } else if output.is_terminal() && !get.raw {
        show(&mut output, &entry.value)?;
    } else {
        output.write(&entry.value)?;
    }
    output.finish()
}

fn entry_as_json(key: &Key, entry: &Entry) -> Result<Vec<u8>, Failure> {
    #[derive(Serialize)]
    struct Shown<'a> {
        key: &'a Key,
        version: Version,
        size: usize,
        #[serde(flatten)]
        payload: Payload<'a>,
    }
    let shown = Shown {
        key,
        version: entry.version,
        size: entry.value.len(),
        payload: Payload::of(&entry.value),
    };
    as_json(&shown)
}

/// Text as it is, anything else escaped. The latter is said, on standard error, since the escapes
/// of one value may be the text of another.
fn show(output: &mut Output, value: &[u8]) -> Result<(), Failure> {
    let line = match escape::plain_text(value) {
        Some(text) if text.is_empty() || text.ends_with('\n') => text,
        Some(text) => &format!("{text}\n"),
        None => {
            progress::say(
                b"not plain text, shown escaped: --raw or --output FILE gives the bytes\n",
            );
            &format!("{}\n", escape::line(value))
        }
    };
    output.write(line.as_bytes())
}

pub(crate) async fn put(session: &Session, put: Put) -> Result<(), Failure> {
    let value = value_of(put.value, put.file.as_deref())?;
    let write = session.client.put(&put.key, value);
    let version = match put.if_version {
        Some(version) => write.if_version(version).await?,
        None if put.if_absent => write.if_absent().await?,
        None => write.await?,
    };
    if put.quiet {
        return Ok(());
    }
    // Whatever becomes of the text, the write is done.
    say_version(&put.key, version, session.json)
        .map_err(|failure| failure.with_hint(format!("the value is written, as {version}")))
}

fn say_version(key: &Key, version: Version, as_json: bool) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Written<'a> {
        key: &'a Key,
        version: Version,
    }
    let mut output = Output::stdout();
    if as_json {
        output.write(&self::as_json(&Written { key, version })?)?;
    } else {
        output.write(format!("{version}\n").as_bytes())?;
    }
    output.finish()
}

fn value_of(argument: Option<OsString>, file: Option<&Path>) -> Result<Value, Failure> {
    let bytes = match (argument, file) {
        (Some(text), _) => text.into_encoded_bytes(),
        (None, Some(path)) if path != Path::new("-") => {
            let name = path.display().to_string();
            let file = File::open(path)
                .map_err(|error| Failure::local(format!("cannot read {name}"), &error))?;
            read_value(file, &name)?
        }
        (None, _) => read_value(io::stdin(), "standard input")?,
    };
    Value::try_from(bytes).map_err(|error| Failure::new(Exit::Refused, error.to_string()))
}

/// At most one byte more than a value may have.
pub(crate) fn read_value(source: impl Read, name: &str) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = source
        .take(VALUE_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::local(format!("cannot read {name}"), &error))?;
    if read > VALUE_BYTES_MAX {
        let message = format!("{name} has more than {VALUE_BYTES_MAX} bytes, the most of a value");
        return Err(Failure::new(Exit::Refused, message));
    }
    Ok(bytes)
}

pub(crate) async fn delete(session: &Session, delete: &Delete) -> Result<(), Failure> {
    let write = session.client.delete(&delete.key);
    match delete.if_version {
        Some(version) => write.if_version(version).await?,
        None => write.await?,
    }
    Ok(())
}

pub(crate) async fn list(session: &Session, list: &List) -> Result<(), Failure> {
    let limit = list.limit.and_then(|limit| usize::try_from(limit).ok());
    let limit = limit.unwrap_or(usize::MAX);
    let pages = session.client.list(list.prefix.as_str());
    let keys = pages.limit(limit.min(LIST_LIMIT_MAX)).stream();
    let mut keys = keys.take(limit);

    let mut output = Output::stdout();
    let escaped = output.is_terminal() && !list.raw;
    while let Some(listed) = keys.next().await {
        let listed = listed?;
        let row = if session.json {
            as_json(&listed)?
        } else {
            row(&listed, list.long, escaped).into_bytes()
        };
        output.write(&row)?;
    }
    output.finish()
}

fn row(listed: &ListedKey, long: bool, escaped: bool) -> String {
    let key = if escaped {
        &escape::line(listed.key.as_bytes())
    } else {
        listed.key.as_str()
    };
    if long {
        format!("{}\t{}\t{key}\n", listed.version, listed.size)
    } else {
        format!("{key}\n")
    }
}

pub(crate) fn as_json(value: &impl Serialize) -> Result<Vec<u8>, Failure> {
    json::to_line(value).map_err(|error| Failure::internal(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_no_further_than_its_limit() {
        let endless = io::repeat(0);
        let error = read_value(endless, "x").expect_err("too large");
        assert_eq!(error.exit, Exit::Refused);
        let fits = io::repeat(0).take(VALUE_BYTES_MAX as u64);
        assert_eq!(read_value(fits, "x").expect("fits").len(), VALUE_BYTES_MAX);
    }
}
