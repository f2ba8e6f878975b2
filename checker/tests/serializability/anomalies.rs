//! Each anomaly in the smallest history that shows it and no other, and the nearest legal one.
//!
//! A line is a transaction: process, call and return, outcome, then what it did. `a x 1` appends,
//! `w x 1` writes, `r x [1 2]` and `r x 1` read; `@3` is a version.

use trandb_checker::Verdict;
use trandb_checker::history::{Interval, OperationId, Outcome, Value};
use trandb_checker::serializability::{
    Consistency, ListOp, Options, RegisterOp, Transaction, Version, check_list_append,
    check_registers,
};

use Consistency::{Serializable, StrictSerializable, StrongSessionSerializable};

fn transactions<M>(text: &str, op: impl Fn(&[&str]) -> M) -> Vec<Transaction<M>> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines
        .enumerate()
        .map(|(id, line)| {
            let (head, ops) = line.split_once(':').expect("a colon");
            let head: Vec<&str> = head.split_whitespace().collect();
            let times = head[1].split_once('-').expect("two times");
            let number = |text: &str| text.parse().expect("a number");
            Transaction {
                id: OperationId(id),
                process: head[0].parse().expect("a number"),
                interval: Some(Interval {
                    call: number(times.0),
                    ret: number(times.1),
                }),
                outcome: match head.get(2) {
                    None => Outcome::Ok,
                    Some(&"failed") => Outcome::Failed,
                    Some(_) => Outcome::Unknown,
                },
                ops: ops
                    .split(';')
                    .map(|text| op(&text.split_whitespace().collect::<Vec<_>>()))
                    .collect(),
            }
        })
        .collect()
}

fn value(text: &str) -> Value {
    match text {
        "nil" => Value::Nil,
        _ => text
            .parse()
            .map_or_else(|_| Value::Text(text.into()), Value::Int),
    }
}

fn list_op(words: &[&str]) -> ListOp {
    let key = value(words[1]);
    if words[0] == "a" {
        let element = value(words[2]);
        return ListOp::Append { key, element };
    }
    let elements = words[2..].iter().map(|word| word.trim_matches(['[', ']']));
    let elements = elements.filter(|word| !word.is_empty());
    ListOp::Read {
        key,
        list: Some(elements.map(value).collect()),
    }
}

fn register_op(words: &[&str]) -> RegisterOp {
    let (key, what) = (value(words[1]), value(words[2]));
    let version = words.get(3).map(|word| {
        let number: i64 = word[1..].parse().expect("a number");
        Version::from(number)
    });
    match words[0] {
        "w" => RegisterOp::Write {
            key,
            value: what,
            version,
        },
        _ => RegisterOp::Read {
            key,
            value: Some(what),
            version,
        },
    }
}

fn names(verdict: Verdict) -> Vec<String> {
    match verdict {
        Verdict::Ok => Vec::new(),
        Verdict::Illegal(evidence) => evidence.into_iter().map(|one| one.anomaly).collect(),
        Verdict::Unknown(reason) => panic!("not decided: {reason}"),
    }
}

fn lists(text: &str, consistency: Consistency) -> Vec<String> {
    let history = transactions(text, list_op);
    names(check_list_append(&history, &Options::new(consistency)).expect("usable"))
}

fn registers(text: &str, consistency: Consistency) -> Vec<String> {
    let history = transactions(text, register_op);
    names(check_registers(&history, &Options::new(consistency)).expect("usable"))
}

/// The first history shows exactly one anomaly; with one line changed, none.
fn on_lists(anomaly: &str, consistency: Consistency, illegal: &str, change: (&str, &str)) {
    assert_eq!(lists(illegal, consistency), [anomaly]);
    let legal = illegal.replacen(change.0, change.1, 1);
    assert_ne!(illegal, legal);
    assert_eq!(lists(&legal, consistency), [""; 0], "{legal}");
}

fn on_registers(anomaly: &str, consistency: Consistency, illegal: &str, change: (&str, &str)) {
    assert_eq!(registers(illegal, consistency), [anomaly]);
    let legal = illegal.replacen(change.0, change.1, 1);
    assert_ne!(illegal, legal);
    assert_eq!(registers(&legal, consistency), [""; 0], "{legal}");
}

#[test]
fn write_cycle() {
    let illegal = "0 0-9: a x 1; a y 1
        1 0-9: a x 2; a y 2
        2 0-9: r x [1 2]
        3 0-9: r y [2 1]";
    on_lists("G0", Serializable, illegal, ("r y [2 1]", "r y [1 2]"));
    let illegal = "0 0-9: w x 1 @1; w y 1 @2
        1 0-9: w x 2 @2; w y 2 @1";
    on_registers("G0", Serializable, illegal, ("w y 1 @2", "w y 1 @0"));
}

#[test]
fn write_cycle_with_process() {
    let illegal = "0 0-9: a x 1
        0 0-9: a x 2
        1 0-9: r x [2 1]";
    on_lists(
        "G0-process",
        StrongSessionSerializable,
        illegal,
        ("[2 1]", "[1 2]"),
    );
    assert!(lists(illegal, Serializable).is_empty());
}

#[test]
fn write_cycle_in_real_time() {
    let illegal = "0 0-1: w x 1 @2
        1 2-3: w x 2 @1";
    on_registers("G0-realtime", StrictSerializable, illegal, ("2-3", "1-3"));
    assert!(registers(illegal, StrongSessionSerializable).is_empty());
}

#[test]
fn circular_information_flow() {
    let illegal = "0 0-9: a x 1; r y [1]
        1 0-9: a y 1; r x [1]";
    on_lists("G1c", Serializable, illegal, ("r x [1]", "r x []"));
    let illegal = "0 0-9: w x 1 @1; r y 1 @1
        1 0-9: w y 1 @1; r x 1 @1";
    on_registers("G1c", Serializable, illegal, ("r x 1 @1", "r x nil"));
}

#[test]
fn circular_information_flow_with_process() {
    let illegal = "0 0-9: r x [1]
        0 0-9: a y 1
        1 0-9: r y [1]; a x 1";
    on_lists(
        "G1c-process",
        StrongSessionSerializable,
        illegal,
        ("0 0-9: a y", "2 0-9: a y"),
    );
}

#[test]
fn read_before_it_was_written() {
    let illegal = "0 0-1: r x 1 @1
        1 2-3: w x 1 @1";
    on_registers("G1c-realtime", StrictSerializable, illegal, ("0-1", "0-2"));
}

#[test]
fn one_anti_dependency() {
    let illegal = "0 0-9: a x 1; a y 1
        1 0-9: r x [1]; r y []";
    on_lists("G-single", Serializable, illegal, ("r y []", "r y [1]"));
    let illegal = "0 0-9: w x 1 @1; w y 1 @1
        1 0-9: r x 1 @1; r y nil";
    on_registers("G-single", Serializable, illegal, ("r y nil", "r y 1 @1"));
}

#[test]
fn one_anti_dependency_with_process() {
    let illegal = "0 0-9: w x 1 @1
        0 0-9: r x nil";
    on_registers(
        "G-single-process",
        StrongSessionSerializable,
        illegal,
        ("0 0-9: r", "1 0-9: r"),
    );
}

#[test]
fn stale_read() {
    let illegal = "0 0-1: a x 1
        1 2-3: r x []";
    on_lists(
        "G-single-realtime",
        StrictSerializable,
        illegal,
        ("2-3", "1-3"),
    );
    let illegal = "0 0-1: w x 1 @1
        1 2-3: r x nil";
    on_registers(
        "G-single-realtime",
        StrictSerializable,
        illegal,
        ("0-1:", "0-1 unknown:"),
    );
}

#[test]
fn write_skew() {
    let illegal = "0 0-9: r x []; a y 1
        1 0-9: r y []; a x 1";
    on_lists("G2-item", Serializable, illegal, ("r y []", "r y [1]"));
    let illegal = "0 0-9: r x nil; w y 1 @1
        1 0-9: r y nil; w x 1 @1";
    on_registers("G2-item", Serializable, illegal, ("r y nil", "r y 1 @1"));
    // The same without versions.
    let illegal = "0 0-9: r x nil; w y 1
        1 0-9: r y nil; w x 1";
    on_registers("G2-item", Serializable, illegal, ("r y nil", "r y 1"));
}

#[test]
fn write_skew_in_real_time() {
    let illegal = "0 0-9: r x []; a y 1
        1 1-2: a x 1
        2 3-4: r y []";
    on_lists(
        "G2-item-realtime",
        StrictSerializable,
        illegal,
        ("1-2", "1-3"),
    );
    let illegal = "0 0-9: r x nil; w y 1 @1
        1 1-2: w x 1 @1
        2 3-4: r y nil";
    on_registers(
        "G2-item-realtime",
        StrictSerializable,
        illegal,
        ("1-2", "1-3"),
    );
}

#[test]
fn write_skew_with_process() {
    let illegal = "0 0-9: r x []
        0 0-9: a y 1
        1 0-9: r y []
        1 0-9: a x 1";
    // Two readers would need each other's write to come later.
    assert!(lists(illegal, StrongSessionSerializable).is_empty());
    let illegal = "0 0-9: a x 1
        0 0-9: r y []
        1 0-9: a y 1
        1 0-9: r x []";
    on_lists(
        "G2-item-process",
        StrongSessionSerializable,
        illegal,
        ("r x []", "r x [1]"),
    );
}

#[test]
fn long_fork_in_real_time() {
    let illegal = "0 0-1: w x 1 @1
        1 2-9: r y nil
        2 0-1: w y 1 @1
        3 2-9: r x nil";
    let found = registers(illegal, StrictSerializable);
    assert_eq!(found, ["G-single-realtime", "G-single-realtime"]);
    let illegal = "0 0-9: w x 1 @1
        1 0-9: w y 1 @1
        2 0-3: r x 1 @1
        3 0-3: r y 1 @1
        4 4-9: r x nil; r y 1 @1
        5 4-9: r x 1 @1; r y nil";
    assert!(!registers(illegal, StrictSerializable).is_empty());
}

#[test]
fn aborted_read() {
    let illegal = "0 0-9 failed: a x 1
        1 0-9: r x [1]";
    on_lists("G1a", Serializable, illegal, ("failed", "unknown"));
    let illegal = "0 0-9 failed: w x 1
        1 0-9: r x 1 @1";
    on_registers("G1a", Serializable, illegal, ("failed", "unknown"));
}

#[test]
fn intermediate_read() {
    let illegal = "0 0-9: a x 1; a x 2
        1 0-9: r x [1]";
    on_lists("G1b", Serializable, illegal, ("r x [1]", "r x [1 2]"));
    let illegal = "0 0-9: w x 1; w x 2 @1
        1 0-9: r x 1 @1";
    on_registers("G1b", Serializable, illegal, ("r x 1 @1", "r x 2 @1"));
}

#[test]
fn internal() {
    on_lists(
        "internal",
        Serializable,
        "0 0-9: a x 1; r x []",
        ("[]", "[1]"),
    );
    on_lists(
        "internal",
        Serializable,
        "0 0-9: r x [1]; a x 1",
        ("[1]", "[]"),
    );
    on_registers(
        "internal",
        Serializable,
        "0 0-9: w x 1 @1; r x nil",
        ("nil", "1"),
    );
    let illegal = "0 0-9: w x 1 @1
        1 0-9: r x 1 @1; r x nil";
    on_registers("internal", Serializable, illegal, ("r x nil", "r x 1"));
}

#[test]
fn lost_update() {
    let illegal = "0 0-9: r x []; a x 1
        1 0-9: r x []; a x 2";
    on_lists(
        "lost-update",
        Serializable,
        illegal,
        ("r x []; a x 2", "r x [1]; a x 2"),
    );
    let illegal = "0 0-9: r x nil; w x 1 @1
        1 0-9: r x nil; w x 2 @2";
    on_registers(
        "lost-update",
        Serializable,
        illegal,
        ("r x nil; w x 2", "r x 1; w x 2"),
    );
}

#[test]
fn garbage_read() {
    on_lists(
        "garbage-read",
        Serializable,
        "0 0-9: r x [7]",
        ("[7]", "[]"),
    );
    on_registers("garbage-read", Serializable, "0 0-9: r x 7", ("7", "nil"));
}

#[test]
fn duplicate_elements() {
    let illegal = "0 0-9: a x 1
        1 0-9: r x [1 1]";
    on_lists(
        "duplicate-elements",
        Serializable,
        illegal,
        ("[1 1]", "[1]"),
    );
}

#[test]
fn incompatible_order() {
    let illegal = "0 0-9: a x 1
        1 0-9: a x 2
        2 0-9: r x [1 2]
        3 0-9: r x [2]";
    on_lists(
        "incompatible-order",
        Serializable,
        illegal,
        ("r x [2]", "r x [1]"),
    );
    let illegal = "0 0-9: a x 1; a x 2
        1 0-9: r x [2 1]";
    on_lists(
        "incompatible-order",
        Serializable,
        illegal,
        ("[2 1]", "[1 2]"),
    );
}

#[test]
fn version_reuse() {
    let illegal = "0 0-9: w x 1 @1
        1 0-9: w x 2 @1";
    on_registers("version-reuse", Serializable, illegal, ("2 @1", "2 @2"));
    let illegal = "0 0-9: w x 1 @1
        1 0-9: w x 2 @2
        2 0-9: r x 2 @1";
    on_registers(
        "version-reuse",
        Serializable,
        illegal,
        ("r x 2 @1", "r x 2 @2"),
    );
}

#[test]
fn cyclic_versions() {
    let illegal = "0 0-9: w x 1 @5
        1 0-9: r x 1 @5; w x 2 @4";
    on_registers("cyclic-versions", Serializable, illegal, ("@4", "@6"));
    let illegal = "0 0-9: r x 2; w x 1
        1 0-9: r x 1; w x 2";
    on_registers(
        "cyclic-versions",
        Serializable,
        illegal,
        ("r x 2", "r x nil"),
    );
}

#[test]
fn what_does_not_tell_writes_apart_is_refused() {
    let history = transactions("0 0-9: a x 1\n1 0-9: a x 1", list_op);
    let refused = check_list_append(&history, &Options::default()).expect_err("refused");
    assert_eq!(refused.id, OperationId(1));
    let history = transactions("0 0-9: w x 1\n1 0-9: w x 1", register_op);
    let refused = check_registers(&history, &Options::default()).expect_err("refused");
    assert_eq!(refused.id, OperationId(1));
}

/// The order of two writes without versions closes a cycle either way.
#[test]
fn neither_order_of_writes_will_do() {
    let illegal = "0 0-9: w x 1
        1 0-9: w x 2; w y 1
        2 0-9: r x 1; r y 1
        3 0-9: r x 2; r z nil
        4 0-9: w z 1; r x 1";
    // Nobody forbids 2 before 1 yet.
    assert!(registers(illegal, Serializable).is_empty());
    let illegal = format!("{illegal}\n5 0-9: r x 2; r z 1");
    let found = registers(&illegal, Serializable);
    assert_eq!(found.len(), 1, "{found:?}");
}

/// What is said of a cycle can be followed from step to step.
#[test]
fn evidence_gives_reasons() {
    let history = transactions("0 0-1: w x 1 @1\n1 2-3: r x nil", register_op);
    let verdict = check_registers(&history, &Options::default()).expect("usable");
    let Verdict::Illegal(evidence) = verdict else {
        panic!("legal");
    };
    let text = evidence[0].to_string();
    for part in [
        "#0 returned before #1 was called",
        "#1 read x as nil (initially), before #0 wrote 1 (version 1)",
    ] {
        assert!(text.contains(part), "{text}");
    }
}
