//! What operations mean to each model, in each format that says it differently.

use trandb_checker::{
    decode::{self, Decode},
    history::{Format, Interval, OperationId, Value},
    linearizability::{
        Operation,
        models::{Condition, KvAction, MultiRegisterAccess, MutexOp, RegisterAction, SetOp},
    },
    serializability::{ListOp, RegisterOp, Version},
};

fn operations<D: Decode>(decoder: &D, history: &str) -> Vec<Operation<D::Op>> {
    decode::operations(decoder, super::completed(history)).expect(history)
}

fn registers(history: &str, initial: Value, format: Format) -> Vec<(usize, RegisterAction)> {
    let decoder = decode::Register {
        initial,
        cas: true,
        format,
    };
    let operations = operations(&decoder, history);
    operations
        .into_iter()
        .map(|operation| (operation.id.0, operation.op.action))
        .collect()
}

#[test]
fn a_log_asserts_what_a_failed_cas_found_and_that_nil_is_absent() {
    let log = "\
INFO  jepsen.util - 0\t:invoke\t:read\tnil
INFO  jepsen.util - 1 :invoke :cas [1 2]
INFO  jepsen.core - Everyone's waiting
INFO  jepsen.util - :nemesis :info :start nil
INFO  jepsen.util - 0 :ok :read nil
INFO  jepsen.util - 1 :fail :cas [1 2]
INFO  jepsen.util - 0 :invoke :read nil
INFO  jepsen.util - 0 :fail :read :timed-out
INFO  jepsen.util - 0 :invoke :write 3
INFO  jepsen.util - 0 :info :write :timed-out
INFO  jepsen.util - 1 :invoke :cas [3 4]
";
    let expected = vec![
        (0, RegisterAction::Read(Some(Value::Nil))),
        (
            1,
            RegisterAction::FailedCas {
                expected: Value::Int(1),
            },
        ),
        (3, RegisterAction::Write(Value::Int(3))),
        (
            4,
            RegisterAction::Cas {
                expected: Value::Int(3),
                new: Value::Int(4),
            },
        ),
    ];
    assert_eq!(registers(log, Value::Nil, Format::Log), expected);
}

#[test]
fn of_maps_a_failure_did_not_happen_and_nil_is_not_known() {
    let edn = "[{:process 0 :type :invoke :f :read :value nil}
        {:process 0 :type :ok :f :read :value nil}
        {:process 1 :type :invoke :f :cas :value [1 2]}
        {:process :nemesis :type :info :f :start}
        {:process 1 :type :fail :f :cas :value [1 2]}
        {:process 1 :type :invoke :f :write :value 3}
        {:process 0 :type :invoke :f :read}
        {:process 0 :type :ok :f :read :value 3}]";
    let expected = vec![
        (2, RegisterAction::Write(Value::Int(3))),
        (3, RegisterAction::Read(Some(Value::Int(3)))),
    ];
    assert_eq!(registers(edn, Value::Int(0), Format::Edn), expected);
    let absent = (0, RegisterAction::Read(Some(Value::Nil)));
    let with_nil = registers(edn, Value::Nil, Format::Edn);
    assert_eq!(
        with_nil.first(),
        Some(&absent),
        "a nil initial value makes nil an answer"
    );
    let json = "[{\"process\":0,\"type\":\"invoke\",\"f\":\"write\",\"value\":[1,\"a\"]},
                 {\"process\":0,\"type\":\"ok\",\"f\":\"write\",\"error\":{\"any\":[null]}}]";
    let written = Value::List(vec![Value::Int(1), "a".into()]);
    assert_eq!(
        registers(json, Value::Int(0), Format::Json),
        vec![(0, RegisterAction::Write(written))]
    );
}

#[test]
fn ticks_are_places_among_events_and_what_never_returned_is_open() {
    let edn = "{:process 0 :type :invoke :f :acquire} {:process 1 :type :invoke :f :release}
               {:process 1 :type :ok :f :release} {:process 2 :type :invoke :f :acquire}
               {:process 2 :type :info :f :acquire} {:process 3 :type :invoke :f :acquire}
               {:process 3 :type :fail :f :acquire}";
    let never = Interval::NEVER;
    let expected = [
        (
            0,
            0,
            Interval {
                call: 0,
                ret: never,
            },
            true,
            MutexOp::Acquire,
        ),
        (1, 1, Interval { call: 1, ret: 2 }, false, MutexOp::Release),
        (
            2,
            2,
            Interval {
                call: 3,
                ret: never,
            },
            true,
            MutexOp::Acquire,
        ),
    ];
    let expected = expected.map(|(id, process, interval, unknown, op)| Operation {
        id: OperationId(id),
        process,
        interval,
        unknown,
        op,
    });
    assert_eq!(operations(&decode::Mutex, edn), expected);
}

#[test]
fn keys_with_versions_and_conditions() {
    let lines = r#"
{"process":0,"type":"invoke","f":"put","key":"a","value":1,"if_absent":true}
{"process":0,"type":"ok","f":"put","key":"a","version":[1,5]}
{"process":0,"type":"invoke","f":"get","key":"a"}
{"process":0,"type":"ok","f":"get","key":"a","value":1,"version":[1,5]}
{"process":0,"type":"invoke","f":"get","key":"b"}
{"process":0,"type":"ok","f":"get","key":"b","value":null}
{"process":0,"type":"invoke","f":"get","key":"a"}
{"process":0,"type":"ok","f":"get","key":"a","version":[1,5]}
{"process":0,"type":"invoke","f":"delete","key":"a","if_version":[1,4]}
{"process":0,"type":"ok","f":"delete","key":"a","applied":false,"current":[1,5]}
{"process":0,"type":"invoke","f":"put","key":"b","value":2,"if_present":true}
{"process":0,"type":"ok","f":"put","key":"b","applied":false,"current":null}
{"process":0,"type":"invoke","f":"append","key":"a","value":"x"}
{"process":0,"type":"info","f":"append","key":"a"}
{"process":1,"type":"invoke","f":"put","key":"a","value":9}
{"process":1,"type":"fail","f":"put","key":"a"}
"#;
    let version = |counter| Value::List(vec![Value::Int(1), Value::Int(counter)]);
    let actions: Vec<KvAction> = operations(&decode::Kv, lines)
        .into_iter()
        .map(|operation| operation.op.action)
        .collect();
    let expected = vec![
        KvAction::Put {
            value: Value::Int(1),
            condition: Some(Condition::Absent),
            version: Some(version(5)),
        },
        KvAction::Get {
            value: Some(Value::Int(1)),
            version: Some(version(5)),
        },
        KvAction::GetAbsent,
        KvAction::Get {
            value: None,
            version: Some(version(5)),
        },
        KvAction::ConditionFailed {
            condition: Condition::Version(version(4)),
            current: Some(version(5)),
        },
        KvAction::ConditionFailed {
            condition: Condition::Present,
            current: Some(Value::Nil),
        },
        KvAction::Append("x".into()),
    ];
    assert_eq!(actions, expected);
}

#[test]
fn a_refused_cas_of_our_own_format_asserts_what_it_did_not_find() {
    let lines = r#"
{"process":0,"type":"invoke","f":"cas","key":"k","value":[1,2]}
{"process":0,"type":"ok","f":"cas","key":"k","applied":false}
"#;
    let decoder = decode::Register {
        initial: Value::Nil,
        cas: true,
        format: Format::JsonLines,
    };
    let operation = operations(&decoder, lines).remove(0);
    assert_eq!(operation.op.key, "k".into());
    assert_eq!(
        operation.op.action,
        RegisterAction::FailedCas {
            expected: Value::Int(1)
        }
    );
}

#[test]
fn sets() {
    let edn = "{:type :invoke :f :add :value 1} {:type :ok :f :add :value 1}
               {:type :invoke :f :remove :value 2} {:type :ok :f :remove}
               {:type :invoke :f :contains :value 1} {:type :ok :f :contains :value false}
               {:type :invoke :f :read :value nil} {:type :ok :f :read :value #{3 1}}
               {:type :invoke :f :read :value nil} {:type :ok :f :read :value nil}";
    let ops: Vec<SetOp> = operations(&decode::Set, edn)
        .into_iter()
        .map(|operation| operation.op)
        .collect();
    let expected = vec![
        SetOp::Add(Value::Int(1)),
        SetOp::Remove(Value::Int(2)),
        SetOp::Contains(Value::Int(1), false),
        SetOp::Read(Some(vec![Value::Int(1), Value::Int(3)])),
    ];
    assert_eq!(ops, expected);
}

#[test]
fn transactions_judged_by_times() {
    let edn = "{:process 0 :type :invoke :f :txn :value [[:read :x nil] [:write :y 2]]}
               {:process 1 :type :invoke :f :txn :value [[:read :x nil]]}
               {:process 0 :type :ok :f :txn :value [[:read :x 1] [:write :y 2]]}
               {:process 1 :type :ok :f :txn :value [[:read :x nil]]}
               {:process 2 :type :invoke :f :txn :value [[:r :x 7] [:w :y 3]]}";
    let decoder = decode::MultiRegister {
        initial: Value::Int(0),
    };
    let ops: Vec<_> = operations(&decoder, edn)
        .into_iter()
        .map(|o| (o.id.0, o.unknown, o.op))
        .collect();
    let read = |value| MultiRegisterAccess::Read("x".into(), value);
    let write = |value| MultiRegisterAccess::Write("y".into(), Value::Int(value));
    let expected = vec![
        (0, false, vec![read(Some(Value::Int(1))), write(2)]),
        (2, true, vec![read(None), write(3)]),
    ];
    assert_eq!(ops, expected);
}

#[test]
fn transactions_judged_by_dependencies() {
    let edn = "{:type :invoke :value [[:append 1 2] [:r 1]]}
               {:type :ok :value [[:append 1 2] [:r 1 [2]]]}
               {:type :invoke :value [[:r 3 nil]]} {:type :ok :value [[:r 3 nil]]}
               {:type :invoke :value [[:r 3 [9]] [:append 3 1]]} {:type :fail :value :oops}";
    let completed = super::completed(edn);
    let transactions = decode::transactions(&decode::ListAppend, completed).expect(edn);
    let ops: Vec<_> = transactions
        .into_iter()
        .map(|transaction| transaction.ops)
        .collect();
    let append = |key, element| ListOp::Append {
        key: Value::Int(key),
        element: Value::Int(element),
    };
    let read = |key, list| ListOp::Read {
        key: Value::Int(key),
        list,
    };
    let expected = vec![
        vec![append(1, 2), read(1, Some(vec![Value::Int(2)]))],
        vec![read(3, Some(vec![]))],
        vec![read(3, None), append(3, 1)],
    ];
    assert_eq!(ops, expected);

    let lines = r#"
{"process":0,"type":"invoke","f":"txn","value":[["w","x",1],["r","y",null]]}
{"process":0,"type":"ok","f":"txn","value":[["w","x",1,[1,7]],["r","y",null]]}
{"process":0,"type":"invoke","f":"txn","value":[["w","x",2,8],["r","y",5]]}
"#;
    let completed = super::completed(lines);
    let transactions = decode::transactions(&decode::RwRegister, completed).expect(lines);
    let write = |value, version| RegisterOp::Write {
        key: "x".into(),
        value: Value::Int(value),
        version,
    };
    let read = |value| RegisterOp::Read {
        key: "y".into(),
        value,
        version: None,
    };
    assert_eq!(
        transactions[0].ops,
        [write(1, Some(Version([1, 7]))), read(Some(Value::Nil))]
    );
    assert_eq!(transactions[1].ops, [write(2, None), read(None)]);
}

#[test]
fn sessions_are_transactions_that_happened_without_times() {
    let lines = "{\"session\":4,\"txn\":0,\"ops\":[[\"w\",0,1],[\"r\",1,null]]}\n";
    let completed = super::completed(lines);
    let transactions = decode::transactions(&decode::RwRegister, completed).expect(lines);
    assert_eq!(transactions[0].process, 4);
    assert_eq!(transactions[0].interval, None);
    let read = RegisterOp::Read {
        key: Value::Int(1),
        value: Some(Value::Nil),
        version: None,
    };
    assert_eq!(transactions[0].ops[1], read);
}

#[test]
fn registers_begin_as_their_format_has_it() {
    let initial = Format::ALL.map(decode::initial_of_registers);
    let expected = [
        Value::Nil,
        Value::Int(0),
        Value::Int(0),
        Value::Nil,
        Value::Nil,
        Value::Nil,
    ];
    assert_eq!(initial, expected);
    let keys = Format::ALL.map(decode::initial_of_keys);
    assert_eq!(keys, [None, None, None, None, Some("".into()), None]);
}
