//! One transaction: everything that a script or a JSON body says happens at one moment, or nothing.
//!
//! A text that begins with `{` is the body of `POST /transactions`, any other a [`script`].
//!
//! Ctrl-C asks the server to abort the transaction, and says what became of it.
//!
//! Tests: `tests/it/txn.rs`.

mod script;

use std::{
    fmt::Write as _,
    fs::File,
    io::{self, Read},
    path::Path,
};

use serde::Serialize;
use trandb_client::{
    Committed, Entry, Key, Operations, TransactionBody, TransactionId, TransactionStatus, Version,
    Write,
};
use trandb_common::{limits::TRANSACTION_BODY_BYTES_MAX, wire::transaction::Request};

use crate::{
    args::Txn,
    escape,
    failure::{Exit, Failure},
    interrupt::Interrupt,
    keys::as_json,
    line::Payload,
    output::Output,
    session::Session,
};

/// Of a value as much is shown in the table.
const SHOWN_BYTES: usize = 60;

pub(crate) async fn txn(session: &Session, options: &Txn) -> Result<(), Failure> {
    let text = read(options.input.as_deref())?;
    let (id, body) = understand(&text)?;
    let id = match (options.id, id) {
        (Some(_), Some(_)) => {
            let message = "the transaction has an id of its own already: leave --id out";
            return Err(Failure::new(Exit::Refused, message));
        }
        (id, other) => id.or(other).unwrap_or_else(|| session.client.new_id()),
    };
    let mut interrupt = Interrupt::listen()?;
    let committed = tokio::select! {
        biased;
        () = interrupt.pressed() => return Err(abort(session, id).await),
        committed = session.client.commit_as(id, body.clone()) => committed,
    };
    let committed = committed.map_err(|error| {
        let failure = Failure::from(error);
        match failure.exit {
            Exit::OutcomeUnknown => failure.with_hint(again(id)),
            _ => failure,
        }
    })?;
    // Whatever becomes of the text, the transaction is done.
    show(session, id, body.operations(), &committed)
        .map_err(|failure| failure.with_hint(format!("the transaction {id} is committed")))
}

fn again(id: TransactionId) -> String {
    format!("with --id {id} the same transaction can be sent again, and is run once")
}

/// After Ctrl-C: sees to it that the transaction is decided.
async fn abort(session: &Session, id: TransactionId) -> Failure {
    match session.client.abort_transaction(id).await {
        Ok(TransactionStatus::NotCommitted) => {
            Failure::new(Exit::Interrupted, "interrupted: nothing was written")
        }
        Ok(TransactionStatus::Committed) => Failure::new(
            Exit::Interrupted,
            "interrupted too late: the transaction is committed",
        ),
        Ok(TransactionStatus::InProgress) | Err(_) => Failure::new(
            Exit::Interrupted,
            "interrupted: whether the transaction happened is not known",
        )
        .with_hint(again(id)),
    }
}

/// The whole text, from a file or standard input.
fn read(path: Option<&Path>) -> Result<String, Failure> {
    let (source, name): (Box<dyn Read>, _) = match path {
        Some(path) if path != Path::new("-") => {
            let name = path.display().to_string();
            let file = File::open(path)
                .map_err(|error| Failure::local(format!("cannot read {name}"), &error))?;
            (Box::new(file), name)
        }
        _ => (Box::new(io::stdin()), "standard input".to_owned()),
    };
    let mut bytes = Vec::new();
    source
        .take(TRANSACTION_BODY_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::local(format!("cannot read {name}"), &error))?;
    if bytes.len() > TRANSACTION_BODY_BYTES_MAX {
        let message = format!("{name} has more than {TRANSACTION_BODY_BYTES_MAX} bytes");
        return Err(Failure::new(Exit::Refused, message));
    }
    String::from_utf8(bytes).map_err(|error| {
        let message = format!("{name} is not UTF-8: {}", error.utf8_error());
        Failure::new(Exit::Refused, message)
            .with_hint("a value of other bytes is put from a file: put KEY @FILE")
    })
}

fn understand(text: &str) -> Result<(Option<TransactionId>, TransactionBody), Failure> {
    if !text.trim_start().starts_with('{') {
        return script::parse(text).map(|body| (None, body));
    }
    let refused = |message: String| Failure::new(Exit::Refused, message);
    let request: Request = serde_json::from_str(text)
        .map_err(|error| refused(format!("the JSON is not a transaction: {error}")))?;
    if request.timeout_ms.is_some() {
        return Err(refused(
            "`timeout_ms` is not taken from the JSON: --timeout says how long".to_owned(),
        ));
    }
    if !request.acknowledged.is_empty() {
        return Err(refused(
            "`acknowledged` is not for a single transaction: leave it out".to_owned(),
        ));
    }
    let body = request.check();
    let body = body.map_err(|error| refused(error.to_string()))?;
    Ok((request.id, body))
}

fn show(
    session: &Session,
    id: TransactionId,
    operations: &Operations,
    committed: &Committed,
) -> Result<(), Failure> {
    let mut output = Output::stdout();
    if session.json {
        output.write(&as_json(&Shown::of(id, committed))?)?;
    } else {
        output.write(table(id, operations, committed).as_bytes())?;
    }
    output.finish()
}

/// The JSON form.
#[derive(Serialize)]
struct Shown<'a> {
    id: TransactionId,
    outcome: &'static str,
    versions: &'a std::collections::BTreeMap<Key, Version>,
    reads: Vec<ShownRead<'a>>,
}

#[derive(Serialize)]
struct ShownRead<'a> {
    key: &'a Key,
    /// `null`: the key has no value.
    version: Option<Version>,
    #[serde(flatten)]
    payload: Option<Payload<'a>>,
}

impl<'a> Shown<'a> {
    fn of(id: TransactionId, committed: &'a Committed) -> Self {
        let read = |(key, entry): &'a (Key, Option<Entry>)| ShownRead {
            key,
            version: entry.as_ref().map(|entry| entry.version),
            payload: entry.as_ref().map(|entry| Payload::of(&entry.value)),
        };
        Self {
            id,
            outcome: "committed",
            versions: committed.versions(),
            reads: committed.reads().iter().map(read).collect(),
        }
    }
}

/// A line for each read and write: what, version, key, value.
fn table(id: TransactionId, operations: &Operations, committed: &Committed) -> String {
    let mut rows = Vec::new();
    for (key, entry) in committed.reads() {
        let version = entry.as_ref().map(|entry| entry.version);
        let value = entry.as_ref().map(|entry| beginning(&entry.value));
        rows.push(("get", key, version, value));
    }
    for write in &operations.writes {
        let what = match write {
            Write::Put { .. } => "put",
            Write::Delete { .. } => "delete",
        };
        rows.push((what, write.key(), committed.version(write.key()), None));
    }
    let version = |version: Option<Version>| version.map_or("-".to_owned(), |v| v.to_string());
    let widest = rows.iter().map(|row| version(row.2).len()).max();
    let width = widest.unwrap_or_default();
    let mut table = format!("committed {id}\n");
    for (what, key, of_key, value) in rows {
        let (of_key, key) = (version(of_key), escape::line(key.as_bytes()));
        let value = value.map_or_else(String::new, |value| format!("  {value}"));
        // Writing to a String cannot fail.
        let _ = writeln!(table, "{what:<6}  {of_key:<width$}  {key}{value}");
    }
    table
}

/// The value in one line, or what fits of it.
fn beginning(value: &[u8]) -> String {
    let shown = escape::line(&value[..value.len().min(SHOWN_BYTES)]);
    if value.len() > SHOWN_BYTES {
        format!("{shown}… ({} bytes)", value.len())
    } else {
        shown
    }
}
