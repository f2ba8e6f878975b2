//! The command line: names, defaults and help.
//!
//! Tests: `tests/it/command.rs`.

use std::{path::PathBuf, time::Duration};

use bytesize::ByteSize;
use clap::{CommandFactory as _, Parser, ValueEnum, error::ErrorKind};
use trandb_checker::{
    history::{Format, Value},
    serializability::Consistency,
};

const AFTER_HELP: &str = "\
Exit codes:
    0  legal
    1  illegal
    2  unknown (a limit was reached), or no history that can be judged, or bad arguments

The formats, and what each model reads of them, are described in docs/histories.md.

Examples:
  trandb-check --model cas-register history.jsonl
  trandb-check --model list-append --consistency serializable --json history.edn
  zcat history.jsonl.gz | trandb-check --model kv";

/// Judges a recorded history: could a correct database have answered so?
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[derive(Debug, Parser)]
#[command(name = "trandb-check", version, after_help = AFTER_HELP, max_term_width = 100)]
pub(crate) struct Arguments {
    /// The history, gzipped or not; `-` or nothing for standard input
    pub(crate) file: Option<PathBuf>,
    /// What the history is about
    #[arg(long, short, value_enum)]
    pub(crate) model: Model,
    /// How it is written; without it, that is found out from how it begins
    #[arg(long, value_enum)]
    pub(crate) format: Option<FormatName>,
    /// Which order must explain the transactions (list-append, rw-register)
    /// [default: strict-serializable]
    #[arg(long, value_enum)]
    pub(crate) consistency: Option<ConsistencyName>,
    /// What registers hold at first, as EDN: `nil`, `0`, `"a"`. If it is not nil, a nil that was
    /// read is an answer that is not known [default: 0 for json and edn, nil for the others; of kv:
    /// `""` for porcupine]
    #[arg(long, value_name = "VALUE", value_parser = Value::from_edn, allow_hyphen_values = true)]
    pub(crate) initial: Option<Value>,
    /// Give up after this time
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) time_limit: Option<Duration>,
    /// Give up when the search needs more memory than this, about: 500MB, 2GiB
    #[arg(long, value_name = "BYTES")]
    pub(crate) memory_limit: Option<ByteSize>,
    /// Judge while reading, in memory that does not grow with the history; less is said about an
    /// illegal one (models that are judged by times)
    #[arg(long, conflicts_with = "memory_limit")]
    pub(crate) stream: bool,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    /// Draw an illegal history into this file [default: the history's name with .html, beside it;
    /// nothing for standard input and pipes]
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Draw nothing
    #[arg(long, conflicts_with = "html")]
    pub(crate) no_html: bool,
    /// The total of all accounts (bank) [default: that of the first read]
    #[arg(long, visible_alias = "total-amount", value_name = "AMOUNT")]
    #[arg(allow_negative_numbers = true)]
    pub(crate) total: Option<i64>,
    /// Balances may be negative (bank)
    #[arg(long)]
    pub(crate) allow_negative_balances: bool,
    /// Every read must read so many keys (long-fork) [default: any number]
    #[arg(long, value_name = "KEYS")]
    pub(crate) group_size: Option<usize>,
}

impl Arguments {
    /// The arguments, unless one has no meaning for the model: that ends the program.
    pub(crate) fn checked(self) -> Self {
        if let Some(flag) = self.useless_flag() {
            let model = self.model.name();
            let reason = format!("{flag} has no meaning for the model {model}");
            Self::command()
                .error(ErrorKind::ArgumentConflict, reason)
                .exit();
        }
        self
    }

    fn useless_flag(&self) -> Option<&'static str> {
        let model = self.model;
        let flags = [
            (
                self.consistency.is_some(),
                "--consistency",
                model.is_transactional(),
            ),
            (self.initial.is_some(), "--initial", model.has_initial()),
            (self.stream, "--stream", model.is_linearizable()),
            (self.total.is_some(), "--total", model == Model::Bank),
            (
                self.allow_negative_balances,
                "--allow-negative-balances",
                model == Model::Bank,
            ),
            (
                self.group_size.is_some(),
                "--group-size",
                model == Model::LongFork,
            ),
        ];
        let useless = flags.into_iter().find(|(given, _, fits)| *given && !fits);
        useless.map(|(_, flag, _)| flag)
    }
}

/// What a history is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Model {
    /// One register, or one for each key: read, write
    Register,
    /// The same, and compare-and-set
    CasRegister,
    /// Keys with versions and conditions: get, put, append, delete
    Kv,
    /// Transactions of reads and writes of a few registers
    MultiRegister,
    /// A set: add, remove, contains, read
    Set,
    /// A lock: acquire, release
    Mutex,
    /// Transactions of appends to lists and reads of them
    ListAppend,
    /// Transactions of reads and writes of registers, with versions or unique values
    RwRegister,
    /// Transfers between accounts: the total stays the same
    Bank,
    /// A counter: reads lie within what was added
    Counter,
    /// A set of which nothing acknowledged is lost to the end: add, read
    SetFull,
    /// Keys written once: reads agree on their order
    LongFork,
}

impl Model {
    pub(crate) fn name(self) -> String {
        let name = self
            .to_possible_value()
            .map(|value| value.get_name().to_owned());
        name.unwrap_or_default()
    }

    fn is_linearizable(self) -> bool {
        matches!(
            self,
            Self::Register
                | Self::CasRegister
                | Self::Kv
                | Self::MultiRegister
                | Self::Set
                | Self::Mutex
        )
    }

    fn is_transactional(self) -> bool {
        matches!(self, Self::ListAppend | Self::RwRegister)
    }

    fn has_initial(self) -> bool {
        matches!(
            self,
            Self::Register | Self::CasRegister | Self::Kv | Self::MultiRegister
        )
    }
}

/// How a history is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormatName {
    /// Our own: JSON objects, one a line
    Jsonl,
    /// Jepsen's maps in a JSON array
    Json,
    /// Jepsen's maps
    Edn,
    /// Lines of Jepsen's log
    Log,
    /// Porcupine's key-value text: maps with a :key
    Porcupine,
    /// Committed transactions without times
    Sessions,
}

impl From<FormatName> for Format {
    fn from(name: FormatName) -> Self {
        match name {
            FormatName::Jsonl => Self::JsonLines,
            FormatName::Json => Self::Json,
            FormatName::Edn => Self::Edn,
            FormatName::Log => Self::Log,
            FormatName::Porcupine => Self::Porcupine,
            FormatName::Sessions => Self::Sessions,
        }
    }
}

/// Which order must explain transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ConsistencyName {
    /// Any
    Serializable,
    /// One in which each process keeps its order
    StrongSessionSerializable,
    /// One that moreover agrees with real time
    StrictSerializable,
}

impl From<ConsistencyName> for Consistency {
    fn from(name: ConsistencyName) -> Self {
        match name {
            ConsistencyName::Serializable => Self::Serializable,
            ConsistencyName::StrongSessionSerializable => Self::StrongSessionSerializable,
            ConsistencyName::StrictSerializable => Self::StrictSerializable,
        }
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text
        .parse()
        .map_err(|_| "not a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}
