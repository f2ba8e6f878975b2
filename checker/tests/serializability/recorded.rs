//! Histories that others recorded, with the verdicts that others gave.

use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use serde_json::Value as Json;
use trandb_checker::Verdict;
use trandb_checker::history::{OperationId, Outcome, Value};
use trandb_checker::serializability::{
    Consistency, Options, RegisterOp, Transaction, check_registers,
};

/// Where the recorded histories lie: beside the repository.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/histories")
}

/// A history of committed transactions by sessions, without times; `None` if it is not there.
fn sessions(file: &str) -> Option<Vec<Transaction<RegisterOp>>> {
    let path = folder().join(file);
    let Ok(compressed) = std::fs::File::open(&path) else {
        eprintln!("ABSENT, not judged: {}", path.display());
        return None;
    };
    let mut text = String::new();
    GzDecoder::new(compressed)
        .read_to_string(&mut text)
        .expect("gzipped text");
    Some(text.lines().enumerate().map(transaction).collect())
}

fn transaction((place, line): (usize, &str)) -> Transaction<RegisterOp> {
    let line: Json = serde_json::from_str(line).expect("a JSON object a line");
    let number = |json: &Json| json.as_i64().expect("a number");
    let ops = line["ops"].as_array().expect("operations").iter();
    let ops = ops.map(|op| {
        let key = Value::Int(number(&op[1]));
        let value = op[2].as_i64().map_or(Value::Nil, Value::Int);
        match op[0].as_str() {
            Some("w") => RegisterOp::Write {
                key,
                value,
                version: None,
            },
            _ => RegisterOp::Read {
                key,
                value: Some(value),
                version: None,
            },
        }
    });
    Transaction {
        id: OperationId(place),
        process: number(&line["session"]),
        interval: None,
        outcome: Outcome::Ok,
        ops: ops.collect(),
    }
}

/// The anomalies found under a consistency; none if it is legal.
fn anomalies(history: &[Transaction<RegisterOp>], consistency: Consistency) -> Vec<String> {
    let verdict = check_registers(history, &Options::new(consistency)).expect("usable");
    match verdict {
        Verdict::Ok => Vec::new(),
        Verdict::Illegal(evidence) => {
            for one in &evidence {
                println!("{one}");
            }
            evidence.into_iter().map(|one| one.anomaly).collect()
        }
        Verdict::Unknown(reason) => panic!("not decided: {reason}"),
    }
}

fn judge(file: &str) -> Option<[Vec<String>; 2]> {
    let history = sessions(file)?;
    Some(
        [
            Consistency::Serializable,
            Consistency::StrongSessionSerializable,
        ]
        .map(|consistency| {
            let found = anomalies(&history, consistency);
            println!("{file} {consistency:?}: {found:?}");
            found
        }),
    )
}

#[test]
fn yugabyte_g2_is_not_serializable() {
    if let Some([serializable, session]) = judge("cobra/yuga-G2-a.jsonl.gz") {
        assert!(!serializable.is_empty() && !session.is_empty());
    }
}

#[test]
fn cockroach_read_what_nobody_wrote() {
    if let Some([serializable, session]) = judge("cobra/cock-blog.jsonl.gz") {
        assert_eq!(serializable[0], "garbage-read");
        assert_eq!(session[0], "garbage-read");
    }
}

#[test]
fn reads_and_modifications_are_serializable() {
    if let Some([serializable, _]) = judge("cobra/chengRM-10000.jsonl.gz") {
        assert!(serializable.is_empty());
    }
}

#[test]
fn twitter_is_serializable() {
    if let Some([serializable, _]) = judge("cobra/twitter-10000.jsonl.gz") {
        assert!(serializable.is_empty());
    }
}

#[test]
fn galera_lost_an_update() {
    if let Some([serializable, session]) = judge("polysi/galera.jsonl.gz") {
        assert_eq!(serializable, ["lost-update"]);
        assert_eq!(session, ["lost-update"]);
    }
}

#[test]
fn what_is_snapshot_isolated_need_not_be_serializable() {
    let file = "polysi/20_100_15_1000_0.5_uniform.jsonl.gz";
    if let Some([serializable, session]) = judge(file) {
        assert!(!serializable.is_empty() && !session.is_empty());
    }
}
