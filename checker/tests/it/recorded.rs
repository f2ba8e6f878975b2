//! Every recorded history with a known verdict is judged so by the command.
//!
//! They lie outside the repository: beside it, or where `TRANDB_HISTORIES` points. Where there are
//! none, the test says so and judges nothing.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use trandb_checker::{
    decode,
    history::{Events, Format, Operations},
    linearizability::{Options, check_counted, models::Registers},
    serializability,
};

/// Where they are; nothing, said aloud, if they are nowhere.
fn folder() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/histories");
    let folder = std::env::var_os("TRANDB_HISTORIES").map_or_else(beside, PathBuf::from);
    if folder.join("verdicts.tsv").is_file() {
        return Some(folder);
    }
    eprintln!(
        "ABSENT, nothing judged: no recorded histories in {} (TRANDB_HISTORIES points elsewhere)",
        folder.display()
    );
    None
}

/// The command's arguments for a model as the table describes it.
fn arguments(model: &str, expected: &str) -> Vec<&'static str> {
    let first = model.split([' ', ';', ',', '(']).next().unwrap_or_default();
    let mut arguments = match first {
        "cas-register" => vec!["--model", "cas-register"],
        "kv-get-put-append" => vec!["--model", "kv"],
        "list-append" => vec!["--model", "list-append"],
        "rw-register" => vec!["--model", "rw-register"],
        "multi-register" => vec!["--model", "multi-register"],
        "mutex" => vec!["--model", "mutex"],
        "set" => vec!["--model", "set"],
        "set-full" => vec!["--model", "set-full"],
        "bank" => vec!["--model", "bank"],
        "counter" => vec!["--model", "counter"],
        "long-fork" => vec!["--model", "long-fork", "--group-size", "3"],
        _ => panic!("unknown model {model}"),
    };
    let is_serializable =
        model.contains("(serializable)") || matches!(expected, "serializable" | "not serializable");
    if is_serializable {
        arguments.extend(["--consistency", "serializable"]);
    }
    arguments
}

#[test]
fn every_recorded_verdict_agrees() {
    let Some(folder) = folder() else {
        return;
    };
    let table = fs::read_to_string(folder.join("verdicts.tsv")).expect("the table");
    let mut disagreements = Vec::new();
    let mut judged = 0;
    for line in table.lines().skip(1) {
        let [file, model, expected] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("not three columns: {line}");
        };
        let legal = matches!(expected, "linearizable" | "serializable" | "valid");
        let output = Command::new(env!("CARGO_BIN_EXE_trandb-check"))
            .args(arguments(model, expected))
            .arg("--no-html")
            .arg(folder.join(file))
            .output()
            .expect("the command");
        if output.status.code() != Some(i32::from(!legal)) {
            disagreements.push(format!("{line}: {output:?}"));
        }
        judged += 1;
    }
    assert!(judged > 100, "{judged} histories");
    assert!(disagreements.is_empty(), "{}", disagreements.join("\n"));
    eprintln!("{judged} recorded histories judged");
}

/// Steps do not depend on the machine: more of them mean that the search has become worse. Without
/// any one of its rules it needs at least 1.8 times as many.
#[test]
fn the_search_needs_no_more_steps_than_it_did() {
    const STEPS_MAX: u64 = 10_000;
    let Some(folder) = folder() else {
        return;
    };
    let mut steps = 0;
    for number in 0..60 {
        let log = folder.join(format!("porcupine/jepsen/etcd_{number:03}.log"));
        let file = fs::File::open(&log).unwrap_or_else(|e| panic!("{}: {e}", log.display()));
        let events = Events::new(file, Some(Format::Log)).expect("a log");
        let initial = decode::initial_of_registers(Format::Log);
        let decoder = decode::Register {
            initial: initial.clone(),
            cas: true,
            format: Format::Log,
        };
        let operations = decode::operations(&decoder, Operations::new(events)).expect("a history");
        let options = Options {
            explain: false,
            ..Options::default()
        };
        let (_, counts) = check_counted(&Registers { initial }, &operations, &options);
        steps += counts.steps;
    }
    eprintln!("{steps} steps");
    assert!(steps <= STEPS_MAX, "{steps} steps");
}

/// One key, puts, deletes without a version, 191 operations of three containers: an order of the
/// deletes that no read can agree with must be noticed when it is chosen, not in the end. The limit is
/// a thousand times of what it takes.
#[test]
fn deletes_of_a_hot_key_are_put_in_order_in_time() {
    let judge = |history: &str| {
        let completed = super::completed(history);
        let transactions = decode::transactions(&decode::RwRegister, completed).expect("usable");
        let options = serializability::Options {
            time_limit: Some(std::time::Duration::from_secs(20)),
            ..serializability::Options::default()
        };
        serializability::check_registers(&transactions, &options).expect("usable")
    };
    let history = include_str!("hot_key.jsonl");
    let verdict = judge(history);
    assert!(verdict.is_ok(), "{verdict:?}");
    let stale = [
        r#"{"index":382,"time":382,"process":9,"type":"invoke","f":"txn","value":[["r","hot"]]}"#,
        r#"{"index":383,"time":383,"process":9,"type":"ok","f":"txn","value":[["r","hot","3.0:11",[1,918]]]}"#,
    ];
    let verdict = judge(&format!(
        "{history}{}
",
        stale.join(
            "
"
        )
    ));
    assert!(verdict.is_illegal(), "{verdict:?}");
}
