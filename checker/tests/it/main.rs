//! Histories from bytes to verdicts: the readers, the decoders, the workloads' judges, the picture
//! and the command, all from outside.

mod bad_input;
mod command;
mod decode;
mod picture;
mod recorded;
mod round_trip;
mod workload;

use trandb_checker::history::{BadHistory, Completed, Event, Events, Operations};

/// The events of a history in memory.
fn events(history: &str) -> Result<Vec<Event>, BadHistory> {
    Events::new(history.as_bytes(), None)?.collect()
}

/// The operations of a history in memory.
fn completed(history: &str) -> impl Iterator<Item = Result<Completed, BadHistory>> {
    let history = history.to_owned().into_bytes();
    Operations::new(Events::new(std::io::Cursor::new(history), None).expect("a format"))
}
