//! Small sets of transactions that meet, for `crash` and `model`.

use std::num::NonZeroU16;

use trandb_common::Version;
use trandb_engine::{Body, Check, Operations, Transaction, Write};

use super::{
    names::{key, value},
    system::{Config, EPOCH, transaction},
};

/// A body from words: `x@0?1` checks for version 1, `x@0?` for absence, `x@0` reads, `x@0=v`
/// puts, `x@0!` deletes.
pub(crate) fn body(text: &str, shards: NonZeroU16) -> Body {
    let mut operations = Operations::default();
    for word in text.split_whitespace() {
        if let Some((name, text)) = word.split_once('=') {
            operations.writes.push(Write::Put {
                key: key(name, shards),
                value: value(text),
            });
        } else if let Some((name, counter)) = word.split_once('?') {
            let version = (!counter.is_empty()).then(|| Version {
                epoch: EPOCH,
                counter: counter.parse().expect("a number"),
            });
            operations.checks.push(Check {
                key: key(name, shards),
                version,
            });
        } else if let Some(name) = word.strip_suffix('!') {
            operations.writes.push(Write::Delete {
                key: key(name, shards),
            });
        } else {
            operations.reads.push(key(word, shards));
        }
    }
    Body::new(operations).expect("legal")
}

/// Clients with these bodies. `initial` and `puts` are words like `x@0=v`. A body that begins with
/// `#n` has that id, so that two clients may have the same one.
pub(crate) fn config(shards: u16, initial: &str, bodies: &[&str], puts: &str) -> Config {
    let shards = NonZeroU16::new(shards).expect("not 0");
    let pairs = |text: &str| {
        let words = text.split_whitespace();
        words
            .map(|word| {
                let (name, text) = word.split_once('=').expect("key=value");
                (key(name, shards), value(text))
            })
            .collect()
    };
    let client = |(index, text): (usize, &&str)| -> Transaction {
        match text.strip_prefix('#').and_then(|text| text.split_once(' ')) {
            Some((id, text)) => transaction(id.parse().expect("a number"), body(text, shards)),
            None => transaction(index as u128 + 100, body(text, shards)),
        }
    };
    let clients = bodies.iter().enumerate().map(client).collect();
    Config::new(shards, pairs(initial), clients, pairs(puts))
}

/// Sets that meet in every way that the protocol knows of.
pub(crate) fn all() -> Vec<(&'static str, Config)> {
    let mut all = vec![
        (
            "one shard",
            config(2, "x@0=0", &["x@0?1 x@0 x@0=a", "x@0 x@0=b"], ""),
        ),
        (
            "two writers of two shards",
            config(
                2,
                "x@0=0 y@1=0",
                &["x@0 y@1 x@0=a y@1=a", "x@0 y@1 y@1=b x@0=b"],
                "",
            ),
        ),
        (
            "two transfers that check",
            config(
                2,
                "x@0=0 y@1=0",
                &["x@0?1 y@1?1 x@0=a y@1=a", "y@1?1 x@0?1 y@1=b x@0=b"],
                "",
            ),
        ),
        (
            "write skew",
            config(2, "x@0=0 y@1=0", &["y@1?1 x@0=a", "x@0?1 y@1=b"], ""),
        ),
        (
            "a reader beside a writer and a plain write",
            config(2, "x@0=0 y@1=0", &["x@0=a y@1=a", "x@0 y@1"], "y@1=p"),
        ),
        (
            "a check beside a plain write",
            config(2, "x@0=0 y@1=0", &["x@0=a y@1?1"], "y@1=p"),
        ),
        (
            "sent twice under one id",
            config(2, "", &["#7 x@0=a y@1=a", "#7 x@0=a y@1=a"], ""),
        ),
        (
            "one id, two bodies",
            config(2, "", &["#7 x@0=a y@1=a", "#7 x@0=b y@1=b"], ""),
        ),
        (
            "sent twice, and its check fails until somebody writes",
            config(2, "y@1=0", &["#7 x@0=a y@1?2", "#7 x@0=a y@1?2"], "y@1=p"),
        ),
        (
            "one id, two bodies, one shard",
            config(2, "", &["#7 x@0=a", "#7 x@0=b"], ""),
        ),
        (
            "one shard behind two",
            config(2, "", &["x@0=a y@1=a", "y@1=b"], ""),
        ),
        (
            "deletes and creates",
            config(
                2,
                "x@0=0 y@1=0",
                &["x@0! y@1!", "x@0? y@1? x@0=b y@1=b"],
                "",
            ),
        ),
        (
            "three shards, a ring",
            config(
                3,
                "x@0=0 y@1=0 z@2=0",
                &["x@0=a y@1=a z@2", "y@1=b z@2=b x@0", "z@2=c x@0=c y@1"],
                "",
            ),
        ),
    ];
    let mut nobody_asks = config(2, "x@0=0", &["x@0 x@0=a y@1=a", "x@0 x@0=b"], "");
    for client in &mut nobody_asks.clients {
        client.promised = false;
    }
    all.push(("ids that nobody knows", nobody_asks));
    for (_, config) in &mut all {
        config.limits.retries = 4;
    }
    all
}
