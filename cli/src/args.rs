//! The command line: names, defaults and help.
//!
//! What is wrong with a single argument (an illegal key, a version that is none, an endpoint that
//! is not one) is refused here, before anything is sent, with clap's exit code 2.
//!
//! Tests: at the end of this file and in `tests/it/usage.rs`.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{ArgGroup, Args, Parser, Subcommand};
use trandb_client::{Endpoint, Key, TransactionId, Version};

const AFTER_HELP: &str = "\
Exit codes:
    0  done
    1  the key has no value
    2  the command line is not understood
    3  a condition does not hold (--if-version, --if-absent, check): nothing is written
    4  refused as illegal, by the server or before sending: nothing is written
    5  no server, or it asks to come back later: nothing is written
    6  whether the write happened is not known: read the key before writing it again
    7  a local file, standard input or output cannot be read or written
    8  bank: the total has changed
  130  interrupted
  141  whoever read the output went away

Examples:
  trandb put user/1 Ada                      prints the new version
  trandb get user/1
  trandb txn <<< 'check user/1 absent
  put user/1 Ada'                            all of it or nothing
  trandb put --if-version e1-2f user/1 Grace
  trandb export user/ --output users.jsonl
  trandb --endpoint http://10.0.0.2:8080 import --input users.jsonl";

const IMPORT_HELP: &str = "\
Each line is one key: {\"key\":\"...\",\"text\":\"...\"} with a value that is UTF-8 text, or
{\"key\":\"...\",\"value\":\"...\"} with any value in base64. Blank lines are skipped.

Lines of the same key are written in their order. Import ends with the first line that is not
understood or cannot be written; it then waits for what is on its way, and says with which line
to go on.";

const TXN_HELP: &str = "\
A script has one operation a line:
    check KEY VERSION    nothing happens unless the key has this version
    check KEY absent     nothing happens unless the key has no value
    get KEY              print the value that the key has just before the writes
    put KEY VALUE        write a value
    put KEY @FILE        write the bytes of a file
    delete KEY           delete a key; it need not have a value
    # ...                a comment

A word with spaces, quotes or a leading # or @ stands in double quotes, as a JSON string:
    put greeting \"two words, a \\\"quote\\\" and a newline\\n\"

Text that begins with { is JSON instead, the body of POST /transactions:
    {\"checks\":[{\"key\":\"a\",\"version\":null}],\"writes\":[{\"op\":\"put\",\"key\":\"a\",\"text\":\"1\"}]}

A key stands once among the checks, once among the gets, and once among the puts and deletes. Exit
code 3 says that a check failed, 6 that the outcome is not known; then the same transaction can be
sent again under the id that is printed. Ctrl-C aborts it, unless it is committed already.";

const BANK_HELP: &str = "\
Exit code 8 says that money was lost or made; 0 that the total was the same in every audit and at
the end. Ctrl-C ends it early, with the same proof. The accounts are deleted at the end; --keep, and
a server that cannot be reached any more, leave them there.";

/// As many as the client keeps connections: beyond it every other request would make its own.
const CONCURRENCY_MAX: i64 = 64;

/// Keys and values of a TranDB, from a shell
#[derive(Debug, Parser)]
#[command(name = "trandb", version, after_help = AFTER_HELP, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Where the server is; with several, separated by commas, the next is asked when one fails
    #[arg(
        long,
        global = true,
        env = "TRANDB_ENDPOINT",
        value_name = "URL",
        value_delimiter = ',',
        default_value = "http://127.0.0.1:8080"
    )]
    pub(crate) endpoint: Vec<Endpoint>,

    /// Longest time of each request, repetitions included
    #[arg(
        long,
        global = true,
        value_name = "TIME",
        value_parser = time_limit,
        default_value = "10s"
    )]
    pub(crate) timeout: Duration,

    /// How often a request is sent again, after waits that grow, when it certainly did not happen
    #[arg(long, global = true, value_name = "COUNT", default_value = "5")]
    pub(crate) retries: u32,

    /// Print results, and errors on standard error, as JSON: one object a line
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print the value of a key
    Get(Get),
    /// Write a value, replacing the one that is there
    Put(Put),
    /// Delete a key; one without a value is no error
    Delete(Delete),
    /// List keys in byte order
    List(List),
    /// Write keys and values as lines of JSON, in byte order
    ///
    /// The export is not a snapshot: of what is written meanwhile it may hold the old or the new.
    /// A key that is deleted meanwhile is left out and counted.
    Export(Export),
    /// Read lines of JSON, as export writes them, and put them
    #[command(after_help = IMPORT_HELP)]
    Import(Import),
    /// Check, read and write many keys at one moment, all or nothing
    ///
    /// Prints the new versions, and what was read.
    #[command(after_help = TXN_HELP)]
    Txn(Txn),
    /// Show that transactions are atomic: move money between accounts, many clients at a time
    ///
    /// Meanwhile an auditor reads all accounts at one moment, again and again: their total must
    /// never change.
    #[command(after_help = BANK_HELP)]
    Bank(Bank),
    /// Look at the cluster that the server belongs to
    #[command(subcommand)]
    Cluster(Cluster),
    /// Print the limits that the server works under
    Limits,
    /// Say whether the server is ready: exit code 0 or 5
    Status,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Cluster {
    /// Print its members and groups, and what is wrong with them: exit code 0 or 5
    ///
    /// It is the view of the node that answers; a group's leader alone knows how far others are
    /// behind.
    Status,
    /// Print its members
    Members,
    /// Take a member out: others hold what it holds, then its process ends
    Remove(Remove),
    /// Let a member lead a group
    ///
    /// Some seconds later the cluster spreads its leaders evenly again.
    Transfer(Transfer),
}

#[derive(Debug, Args)]
pub(crate) struct Remove {
    /// The member's name
    pub(crate) name: String,

    /// Also if there are fewer copies of the data afterwards
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Transfer {
    /// The name of the member that is to lead
    pub(crate) to: String,

    /// Which shard's group; without it the group that keeps the members
    #[arg(long, value_name = "NUMBER")]
    pub(crate) shard: Option<u16>,
}

#[derive(Debug, Args)]
pub(crate) struct Get {
    pub(crate) key: Key,

    /// Print the bytes as they are, even on a terminal
    #[arg(long, conflicts_with_all = ["json", "output"])]
    pub(crate) raw: bool,

    /// Write the bytes to a file, which is replaced only when all of them are there
    #[arg(long, short, value_name = "FILE", conflicts_with = "json")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("source").required(true),
    override_usage = "trandb put [OPTIONS] <KEY> <VALUE | --file <FILE>>"
)]
pub(crate) struct Put {
    pub(crate) key: Key,

    /// The value, as it is (`@FILE` names no file: see --file); one that begins with a dash comes
    /// after `--`
    #[arg(group = "source", allow_negative_numbers = true)]
    pub(crate) value: Option<OsString>,

    /// Read the value from a file, or from standard input if it is `-`
    #[arg(long, short, value_name = "FILE", group = "source")]
    pub(crate) file: Option<PathBuf>,

    /// Write only if the key has this version
    #[arg(long, value_name = "VERSION", conflicts_with = "if_absent")]
    pub(crate) if_version: Option<Version>,

    /// Write only if the key has no value
    #[arg(long)]
    pub(crate) if_absent: bool,

    /// Do not print the new version
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Delete {
    pub(crate) key: Key,

    /// Delete only if the key has this version
    #[arg(long, value_name = "VERSION")]
    pub(crate) if_version: Option<Version>,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only keys that begin with this
    #[arg(default_value = "", hide_default_value = true)]
    pub(crate) prefix: String,

    /// At most this many keys
    #[arg(long, short = 'n', value_name = "COUNT",
          value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: Option<u64>,

    /// Print version, size in bytes and key, separated by tabs
    #[arg(long, short)]
    pub(crate) long: bool,

    /// Print keys as they are, even on a terminal; of keys that may hold newlines, only --json
    /// tells one from the next
    #[arg(long, conflicts_with = "json")]
    pub(crate) raw: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Export {
    /// Only keys that begin with this
    #[arg(default_value = "", hide_default_value = true)]
    pub(crate) prefix: String,

    /// Write to a file, which is replaced only when the export is complete
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) concurrency: Concurrency,
}

#[derive(Debug, Args)]
pub(crate) struct Import {
    /// Read from a file instead of standard input
    #[arg(long, short, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,

    /// Leave keys that have a value as they are, and count them
    #[arg(long)]
    pub(crate) if_absent: bool,

    /// Begin with this line; the first is 1
    #[arg(long, value_name = "LINE", default_value = "1", hide_default_value = true,
          value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) from_line: u64,

    #[command(flatten)]
    pub(crate) concurrency: Concurrency,
}

#[derive(Debug, Args)]
pub(crate) struct Txn {
    /// Read from a file instead of standard input
    #[arg(long, short, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,

    /// The transaction's name, a UUID: sent again under the same one it is run once
    #[arg(long, value_name = "ID")]
    pub(crate) id: Option<TransactionId>,
}

#[derive(Debug, Args)]
pub(crate) struct Bank {
    /// What the keys of the accounts begin with
    #[arg(long, default_value = "bank/")]
    pub(crate) prefix: String,

    /// How many accounts, 2 to 500
    #[arg(long, value_name = "COUNT", default_value = "100",
          value_parser = clap::value_parser!(u16).range(2..=500))]
    pub(crate) accounts: u16,

    /// How much is in each at the beginning
    #[arg(long, value_name = "AMOUNT", default_value = "1000",
          value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub(crate) balance: u64,

    /// Clients that move money at a time, 1 to 60
    #[arg(long, short = 'c', value_name = "COUNT", default_value = "8",
          value_parser = clap::value_parser!(u16).range(1..=60))]
    pub(crate) clients: u16,

    /// How long
    #[arg(long, short, value_name = "TIME", value_parser = time_limit, default_value = "10s")]
    pub(crate) duration: Duration,

    /// How many transfers, instead of how long
    #[arg(long, short = 'n', value_name = "COUNT", conflicts_with = "duration",
          value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) transfers: Option<u64>,

    /// Delete keys that have the prefix, instead of refusing to begin
    #[arg(long)]
    pub(crate) replace: bool,

    /// Leave the accounts there at the end
    #[arg(long)]
    pub(crate) keep: bool,
}

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Concurrency {
    /// Requests on their way at a time, 1 to 64
    #[arg(long = "concurrency", short = 'c', value_name = "COUNT", default_value = "32",
          value_parser = clap::value_parser!(u16).range(1..=CONCURRENCY_MAX))]
    pub(crate) requests: u16,
}

fn time_limit(text: &str) -> Result<Duration, String> {
    let limit = humantime::parse_duration(text)
        .map_err(|error| format!("{error}; a time looks like 500ms, 10s or 1m"))?;
    if limit.is_zero() {
        return Err("it must be longer than nothing".to_owned());
    }
    Ok(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    use clap::CommandFactory;

    #[test]
    fn the_definition_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn time_limits_have_a_unit_and_a_length() {
        assert_eq!(time_limit("1500ms"), Ok(Duration::from_millis(1500)));
        for text in ["", "10", "0s", "-1s", "soon"] {
            assert!(time_limit(text).is_err(), "{text}");
        }
    }
}
