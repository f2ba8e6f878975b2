//! What is wrong with a history is said with its line, and nothing of it is judged.

use std::io::{Read, Write};

use flate2::{Compression, write::GzEncoder};
use trandb_checker::{
    decode,
    history::{BadHistory, Completed, EVENT_BYTES_MAX, Events, Format, Operations, Value},
    workload::{bank, counter, long_fork, set_full},
};

/// Reads all; the reason if it does not go.
fn refused(history: &[u8]) -> String {
    let operations = Events::new(history, None)
        .and_then(|events| Operations::new(events).collect::<Result<Vec<Completed>, _>>());
    match operations {
        Ok(operations) => panic!("{} operations of {history:?}", operations.len()),
        Err(bad) => bad.to_string(),
    }
}

#[track_caller]
fn check(cases: &[(&str, &str)]) {
    for (history, reason) in cases {
        assert_eq!(refused(history.as_bytes()), *reason, "{history}");
    }
}

#[test]
fn what_is_no_history_at_all() {
    check(&[
        ("", "the history is empty"),
        (" \n\n", "the history is empty"),
        ("so it goes", "the format cannot be told from how it begins"),
        ("12 34", "the format cannot be told from how it begins"),
        ("\u{feff}{}", "the format cannot be told from how it begins"),
    ]);
    assert_eq!(refused(b"{:type :invoke \xff}"), "line 1: not UTF-8");
    assert_eq!(
        refused(b"{\"process\":1,\"type\":\"invoke\",\"f\":\"\xff\"}\n"),
        "line 1: not UTF-8"
    );
}

#[test]
fn lines_of_our_own_format() {
    check(&[
        (
            "{\"process\":1,\"type\":\"invoke\",\"f\":\"read\"}\n{\"process\":1,\"ty",
            "line 2: it ends in the middle of this event",
        ),
        (
            "{\"process\":1,\"type\":\"invoke\",\"f\":\"read\"} 5\n",
            "line 1: trailing characters (column 42)",
        ),
        ("{\"type\":\"invoke\"}\n", "line 1: the process is missing"),
        ("{\"process\":1}\n", "line 1: the type is missing"),
        (
            "{\"process\":1,\"type\":\"call\"}\n",
            "line 1: unknown type `call`: it is invoke, ok, fail or info",
        ),
        (
            "{\"process\":\"disk\",\"type\":\"info\"}\n{\"process\":true,\"type\":\"ok\"}\n",
            "line 2: the process `true` is neither number nor name",
        ),
        (
            "{\"process\":1,\"type\":\"invoke\",\"vlaue\":1}\n",
            "line 1: unknown field `vlaue`",
        ),
        (
            "{\"process\":1,\"process\":2,\"type\":\"invoke\"}\n",
            "line 1: the field `process` is given twice",
        ),
        (
            "{\"process\":1,\"type\":\"invoke\",\"key\":1,\"key\":2}\n",
            "line 1: the field `key` is given twice",
        ),
        (
            "{\"process\":\"0\",\"type\":\"invoke\"}\n",
            "line 1: the process `0` is a name, and only numbers call and return",
        ),
        (
            "{\"process\":1,\"type\":\"invoke\",\"version\":\"x\"}\n",
            "line 1: `version` is not a version",
        ),
        (
            "{\"process\":1,\"type\":\"ok\",\"applied\":1}\n",
            "line 1: `applied` is not true or false",
        ),
        (
            "{\"index\":\"0\",\"process\":1,\"type\":\"invoke\"}\n",
            "line 1: the index `0` is not a whole number",
        ),
        (
            "{\"process\":1,\"type\":\"invoke\",\"value\":9223372036854775808}\n",
            "line 1: the number 9223372036854775808 is too large",
        ),
        (
            "{\"process\":99999999999999999999,\"type\":\"invoke\"}\n",
            "line 1: the number 1e20 is too large",
        ),
    ]);
    let deep = format!(
        "{{\"process\":1,\"type\":\"invoke\",\"value\":{}{}}}\n",
        "[".repeat(40),
        "]".repeat(40)
    );
    assert_eq!(refused(deep.as_bytes()), "line 1: nested deeper than 32");
}

#[test]
fn indices_and_times_increase() {
    let two = |a: &str, b: &str| {
        format!(
            "{{{a},\"process\":1,\"type\":\"invoke\"}}\n{{{b},\"process\":1,\"type\":\"ok\"}}\n"
        )
    };
    let cases = [
        (
            "\"index\":4",
            "\"index\":4",
            "line 2: the index 4 is given twice",
        ),
        (
            "\"index\":4",
            "\"index\":3",
            "line 2: the index 3 comes after 4",
        ),
        (
            "\"time\":4",
            "\"time\":4",
            "line 2: the time 4 is given twice",
        ),
        (
            "\"time\":4",
            "\"time\":3",
            "line 2: the time 3 comes after 4",
        ),
    ];
    for (a, b, reason) in cases {
        assert_eq!(refused(two(a, b).as_bytes()), reason);
    }
    // The recorded times of others run as they like: only the order of their lines counts.
    let jepsen = "{:process 1 :type :invoke :f :read :time 5}\n\
                  {:process 1 :type :ok :f :read :time 4}";
    assert_eq!(super::events(jepsen).map(|events| events.len()), Ok(2));
    check(&[(
        "{:index 1 :process 1 :type :invoke}\n{:index 1 :process 1 :type :ok}",
        "line 2: the index 1 is given twice",
    )]);
}

#[test]
fn calls_and_returns_fit() {
    check(&[
        (
            "{:process 3 :type :ok :f :write :value 1}",
            "line 1: process 3 returns from `write` without a call",
        ),
        (
            "{:process 3 :type :ok :value []}",
            "line 1: process 3 returns from a transaction without a call",
        ),
        (
            "{:process 3 :type :invoke :f :read}\n{:process 3 :type :ok :f :write}",
            "line 2: process 3 returns from `write`, but it called `read` in line 1",
        ),
        (
            "{:process 3 :type :invoke :f :write}\n{:process 3 :type :invoke :f :read}",
            "line 2: process 3 calls `read` while its `write` of line 1 is in flight",
        ),
        (
            "{:process 3 :type :invoke :f :write}\n{:process 3 :type :info :f :write}\n\
             {:process 3 :type :invoke :f :write}",
            "line 3: process 3 goes on although line 2 left its operation open (a process needs \
             a new number then)",
        ),
        (
            "{:process 3 :type :invoke :f :write}\n{:process 3 :type :info :f :write}\n\
             {:process 3 :type :ok :f :write}",
            "line 3: process 3 returns although line 2 left its operation open",
        ),
        (
            "{:process 3 :type :invoke :f :read}\n{:type :ok :f :read}",
            "line 2: the process is missing",
        ),
        (
            "{:type :invoke :f :read}\n{:process 3 :type :ok :f :read}",
            "line 2: a process is named, and none before it",
        ),
    ]);
}

#[test]
fn maps_in_sequences() {
    check(&[
        (
            "[{:process 1 :type :invoke}",
            "line 1: the history ends before its `]`",
        ),
        (
            "({:process 1 :type :invoke}\n",
            "line 2: the history ends before its `)`",
        ),
        (
            "[{:process 1 :type :invoke}\n {:process 1",
            "line 2: the history ends in the middle of this event",
        ),
        (
            "[{:process 1 :type :invoke}] 7",
            "line 1: something follows after the last event",
        ),
        (
            "[{:process 1 :type :invoke} 7]",
            "line 1: an event is a map, and this is none",
        ),
        ("[[1]]", "line 1: an event is a map, and this is none"),
        (
            "[{:process 1 :type :invoke} #_]",
            "line 1: the history ends before its `]`",
        ),
        (
            "{:process 1,\n :type}",
            "line 2: a key of a map has no value",
        ),
        ("{:process 1 :f 7}", "line 1: the function `7` is no name"),
        (
            "[{\"process\":1,\"type\":\"invoke\"},\n{\"process\":1,\n\"type\":5}]",
            "line 3: invalid type: integer `5`, expected a string",
        ),
        (
            "[{\"process\":1,\"type\":\"invoke\"}",
            "line 1: the history ends before its `]`",
        ),
        ("[{\"process\" 1}]", "line 1: expected `:` (column 12)"),
    ]);
}

#[test]
fn lines_of_a_log() {
    check(&[
        (
            "INFO  jepsen.util - 4 :invoke :read nil\nhello\n",
            "line 2: not a line of Jepsen's log",
        ),
        (
            "INFO  jepsen.util - 4 :invoke :write 12\nINFO  jepsen.util - 4 :ok :write 1",
            "line 2: the history ends in the middle of this line",
        ),
        (
            "INFO  jepsen.util - x :oops :read nil\n",
            "line 1: unknown type `oops`: it is invoke, ok, fail or info",
        ),
        (
            "INFO  jepsen.util - 4 invoke :read nil\n",
            "line 1: not an event of Jepsen's log",
        ),
        (
            "INFO  jepsen.util - 4 :invoke read nil\n",
            "line 1: the function is missing",
        ),
        (
            "INFO  jepsen.util - 4 :invoke :read\n",
            "line 1: the value is missing",
        ),
        (
            "INFO  jepsen.util - 4 :invoke :cas [1\n",
            "line 1: `]` is missing",
        ),
        (
            "INFO  jepsen.util - 4 :info :cas 1 :x 2\n",
            "line 1: more than a value and an error",
        ),
    ]);
}

#[test]
fn sessions() {
    let first = "{\"session\":0,\"txn\":0,\"ops\":[[\"w\",0,1]]}\n";
    let cases = [
        (
            "{\"session\":0,\"txn\":0,\"ops\":[]}",
            "line 2: the index 0 is given twice",
        ),
        ("{\"session\":0,\"txn\":1}", "line 2: missing field `ops`"),
        (
            "{\"session\":0,\"txn\":1,\"ops\":[[\"x\",0,1]]}",
            "line 2: unknown variant `x`, expected `r` or `w`",
        ),
        (
            "{\"session\":0,\"txn\":1,\"op",
            "line 2: it ends in the middle of this event",
        ),
    ];
    for (line, reason) in cases {
        assert_eq!(refused(format!("{first}{line}").as_bytes()), reason);
    }
}

#[test]
fn compressed_data_that_ends_too_early() {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    for index in 0..5000 {
        let line = format!("{{\"process\":{index},\"type\":\"invoke\",\"f\":\"read\"}}\n");
        encoder.write_all(line.as_bytes()).expect("memory");
    }
    let compressed = encoder.finish().expect("memory");
    let whole = Events::new(&compressed[..], None)
        .expect("a format")
        .count();
    assert_eq!(whole, 5000);
    let error = refused(&compressed[..compressed.len() / 2]);
    assert!(
        error.ends_with(": the compressed data ends too early"),
        "{error}"
    );
}

#[test]
fn an_event_that_is_too_long_is_refused() {
    let start = &b"{\"process\":1,\"type\":\"invoke\",\"value\":"[..];
    let map = &b"{:process 1 :type :invoke :value "[..];
    for start in [start, map] {
        let blanks = std::io::repeat(b' ').take(EVENT_BYTES_MAX as u64);
        let source = start.chain(blanks).chain(&b"1}\n"[..]);
        let mut events = Events::new(source, None).expect("a format");
        let error = events.next().expect("an event").expect_err("endless");
        let reason = "line 1: an event is longer than 67108864 bytes";
        assert_eq!(error.to_string(), reason);
        assert_eq!(events.next(), None, "after an error nothing comes");
    }
}

#[track_caller]
fn refuses(decoder: &impl decode::Decode, history: &str, reason: &str) {
    let operations = decode::operations(decoder, super::completed(history));
    let error = operations
        .map(|operations| operations.len())
        .expect_err(history);
    assert_eq!(error.to_string(), reason, "{history}");
}

fn call(f: &str, rest: &str) -> String {
    format!("{{:process 1 :type :invoke :f :{f} {rest}}}")
}

fn call_and_return(f: &str, asked: &str, answered: &str) -> String {
    let call = call(f, asked);
    format!("{call}\n{{:process 1 :type :ok :f :{f} {answered}}}")
}

fn unknown(f: &str, known: &str) -> String {
    format!("line 1: unknown function `{f}`: this model knows {known}")
}

#[test]
fn functions_that_a_model_does_not_know() {
    let initial = Value::Int(0);
    let format = Format::Edn;
    let register = decode::Register {
        initial: initial.clone(),
        cas: false,
        format,
    };
    let cas_register = decode::Register {
        initial: initial.clone(),
        cas: true,
        format,
    };
    let registers = decode::MultiRegister { initial };
    refuses(
        &register,
        &call("cas", ""),
        &unknown("cas", "read and write"),
    );
    refuses(
        &cas_register,
        &call("inc", ""),
        &unknown("inc", "read, write and cas"),
    );
    refuses(
        &decode::Mutex,
        &call("lock", ""),
        &unknown("lock", "acquire and release"),
    );
    refuses(
        &decode::Set,
        &call("pop", ""),
        &unknown("pop", "add, remove, contains and read"),
    );
    refuses(
        &decode::Kv,
        &call("scan", ":key 1"),
        &unknown("scan", "get, put, append and delete"),
    );
    refuses(
        &registers,
        &call("enqueue", ":value [[:w 1 1]]"),
        &unknown("enqueue", "txn"),
    );
    refuses(
        &decode::Mutex,
        "{:process 1 :type :invoke}",
        "line 1: the function is missing: this model knows acquire and release",
    );
}

#[test]
fn values_that_a_model_does_not_know() {
    let cas = decode::Register {
        initial: Value::Nil,
        cas: true,
        format: Format::Edn,
    };
    let cases = [
        (
            call("cas", ":value 1"),
            "line 1: `cas` wants the expected and the new value",
        ),
        (
            call_and_return("write", ":value 1", ":value 2"),
            "line 2: `write` returns with 2, but line 1 called it with 1",
        ),
        (
            "{\"session\":0,\"txn\":0,\"ops\":[]}\n".to_owned(),
            "line 1: this model is judged by times, and the format has none",
        ),
    ];
    for (history, reason) in cases {
        refuses(&cas, &history, reason);
    }
    let read = call_and_return("read", "", ":value 5");
    refuses(
        &decode::Set,
        &read,
        "line 2: `read` returns a list of elements",
    );
    let contains = call_and_return("contains", ":value 1", ":value 5");
    refuses(
        &decode::Set,
        &contains,
        "line 2: `contains` returns true or false",
    );
}

#[test]
fn operations_on_keys_that_make_no_sense() {
    let cases = [
        (call("get", ""), "line 1: the key is missing"),
        (call("put", ":key 1"), "line 1: `put` wants a value"),
        (
            call("put", ":key 1 :value 1 :if_version 1 :if_absent true"),
            "line 1: more than one condition",
        ),
        (
            call("append", ":key 1 :value 1 :if_absent true"),
            "line 1: `append` takes no condition",
        ),
        (
            call_and_return("put", ":key 1 :value 1", ":key 1 :applied false"),
            "line 1: it was not applied, but had no condition",
        ),
        (
            call_and_return("put", ":key 1 :value 1", ":key 2"),
            "line 2: it returns for key 2, but line 1 called for 1",
        ),
    ];
    for (history, reason) in cases {
        refuses(&decode::Kv, &history, reason);
    }
}

#[test]
fn micro_operations_that_make_no_sense() {
    let registers = decode::MultiRegister {
        initial: Value::Nil,
    };
    let cases = [
        (
            call("txn", ":value 5"),
            "line 1: a transaction is a list of micro-operations",
        ),
        (
            call("txn", ":value [[:inc 1 2]]"),
            "line 1: unknown micro-operation `inc`",
        ),
        (
            call("txn", ":value [[:w 1]]"),
            "line 1: `[w 1]` writes nothing",
        ),
        (
            call("txn", ":value [[:w]]"),
            "line 1: `[w]` is no micro-operation [function key value]",
        ),
        (
            call("txn", ":value [[:append 1 1]]"),
            "line 1: this model knows read and write, not append",
        ),
        (
            call_and_return("txn", ":value [[:w 1 1]]", ":value [[:w 1 2]]"),
            "line 2: it answers another transaction than line 1 asks",
        ),
        (
            call_and_return("txn", ":value [[:r 1]]", ":value [[:r 1 2] [:r 2 3]]"),
            "line 2: it answers another transaction than line 1 asks",
        ),
    ];
    for (history, reason) in cases {
        refuses(&registers, &history, reason);
    }
}

type Decoder<'a> = &'a dyn Fn(&str) -> Result<usize, BadHistory>;

#[test]
fn what_transactional_models_and_workloads_do_not_know() {
    let lists = |history: &str| {
        decode::transactions(&decode::ListAppend, super::completed(history)).map(|t| t.len())
    };
    let registers = |history: &str| {
        decode::transactions(&decode::RwRegister, super::completed(history)).map(|t| t.len())
    };
    let bank = |history: &str| bank::decode(super::completed(history)).map(|r| r.len());
    let counter = |history: &str| counter::decode(super::completed(history)).map(|r| r.len());
    let sets = |history: &str| set_full::decode(super::completed(history)).map(|s| s.reads.len());
    let forks =
        |history: &str| long_fork::decode(super::completed(history), Some(2)).map(|r| r.len());
    let cases: [(Decoder<'_>, &str, &str); 12] = [
        (
            &lists,
            "{:type :invoke :value [[:w 1 1]]}",
            "line 1: this model knows append and r, not w",
        ),
        (
            &lists,
            "{:type :invoke :value [[:r 1 nil]]}\n{:type :ok :value [[:r 1 5]]}",
            "line 2: `5` was read of a list, and is none",
        ),
        (
            &registers,
            "{:type :invoke :value [[:append 1 1]]}",
            "line 1: this model knows r and w, not append",
        ),
        (
            &registers,
            "{:type :invoke :value [[:r 1]]}\n{:type :ok :value [[:r 1 2 :v]]}",
            "line 2: `v` is no version",
        ),
        (
            &bank,
            "{:type :invoke :f :pay}",
            "line 1: unknown function `pay`: this model knows read and transfer",
        ),
        (
            &bank,
            "{:type :invoke :f :read}\n{:type :ok :f :read :value 5}",
            "line 2: a bank's read returns a map of accounts and balances",
        ),
        (
            &bank,
            "{:type :invoke :f :read}\n{:type :ok :f :read :value {0 :x}}",
            "line 2: the balance `x` of 0 is not a whole number",
        ),
        (
            &counter,
            "{:type :invoke :f :add :value :x}",
            "line 1: `x` is not a whole number",
        ),
        (
            &sets,
            "{:type :invoke :f :pop}",
            "line 1: unknown function `pop`: this model knows add and read",
        ),
        (
            &forks,
            "{:type :invoke :f :read :value [[:r 1 nil]]}",
            "line 1: it reads 1 keys",
        ),
        (
            &forks,
            "{:type :invoke :value [[:w 1 1]]}\n{:type :ok :value [[:w 1 1]]}\n\
             {:type :invoke :value [[:w 1 1]]}",
            "line 3: key 1 is written once, and line 1 wrote it",
        ),
        (
            &forks,
            "{:type :invoke :value [[:r 1] [:w 1 1]]}",
            "line 1: a transaction reads or writes, not both",
        ),
    ];
    for (decoder, history, reason) in cases {
        assert_eq!(decoder(history).expect_err(history).to_string(), reason);
    }
}
