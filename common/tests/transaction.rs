//! The body of a transaction in both of its formats: what goes in comes out, and whatever is wrong
//! is said by its place.

use proptest::prelude::*;
use trandb_common::{
    ErrorCode, InvalidTransaction, Key, TransactionBody, TransactionId, Value, Version,
    limits::{
        LOCK_WAIT_MAX, TRANSACTION_BYTES_MAX, TRANSACTION_OPERATIONS_MAX, TRANSACTION_TIMEOUT_MAX,
        VALUE_BYTES_MAX,
    },
    transaction::{Check, Operations, Write},
    wire::transaction::{Acknowledged, Committed, Decision, Found, Octets, Request},
};

fn from_json(text: &str) -> Result<Request, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

fn refused(text: &str) -> InvalidTransaction {
    let request = from_json(text).expect("well-formed");
    request.check().expect_err("not a transaction")
}

#[test]
fn the_example_of_the_contract_is_understood() {
    let request = from_json(
        r#"{ "id": "0199c2f4-5d1e-7c3a-9a41-2f60c1f0a7d2",
            "checks": [ {"key":"acct/a","version":"e3-1f4"}, {"key":"acct/b","version":null} ],
            "reads":  [ {"key":"acct/c"} ],
            "writes": [ {"op":"put","key":"acct/a","value":"AAH/"},
                        {"op":"put","key":"n","text":"plain UTF-8"},
                        {"op":"delete","key":"acct/c"} ],
            "timeout_ms": 5000,
            "acknowledged": [{"id":"0199c2f4-5d1e-7c3a-9a41-2f60c1f0a7d3","key":"k"}] }"#,
    )
    .expect("well-formed");
    let transaction = request.check().expect("legal");
    assert_eq!(transaction.operations().checks[1].version, None);
    let writes = transaction.operations().writes.iter();
    let values: Vec<_> = writes
        .map(|write| write.value().map(Value::as_bytes))
        .collect();
    assert_eq!(
        values,
        [Some(&b"\x00\x01\xff"[..]), Some(b"plain UTF-8"), None]
    );
    assert_eq!(request.check_acknowledged().expect("legal").len(), 1);
}

#[test]
fn what_is_not_the_schema_is_refused() {
    for (body, expected) in [
        (r#"{"writs":[]}"#, "unknown field `writs`"),
        (r#"{"reads":[{"key":"a","x":1}]}"#, "unknown field `x`"),
        (r#"{"reads":[{"key":1}]}"#, "invalid type: integer `1`"),
        (r#"{"reads":{"key":"a"}}"#, "a list"),
        (r#"{"reads":[{}]}"#, "missing field `key`"),
        (r#"{"reads":[],"reads":[]}"#, "duplicate field `reads`"),
        (r#"{"checks":[{"key":"a"}]}"#, "missing field `version`"),
        (
            r#"{"writes":[{"op":"swap","key":"a"}]}"#,
            "unknown variant `swap`",
        ),
        (
            r#"{"writes":[{"op":"put","key":"a","value":"%"}]}"#,
            "is not base64",
        ),
        (r#"{"id":"17"}"#, "an id is a UUID"),
        (r#"{"timeout_ms":-1}"#, "invalid value: integer `-1`"),
        ("[]", "invalid type: sequence, expected an object"),
        ("[null,[]]", "invalid type: sequence, expected an object"),
        (r#"{"reads":[["a"]]}"#, "invalid type: sequence"),
        (r#"{"checks":[["a",null]]}"#, "invalid type: sequence"),
        (r#"{"writes":[["delete","a"]]}"#, "invalid type: sequence"),
        (
            r#"{"acknowledged":[["0199c2f4-5d1e-7c3a-9a41-2f60c1f0a7d2","a"]]}"#,
            "invalid type: sequence",
        ),
        ("7", "invalid type: integer `7`, expected an object"),
        ("null", "invalid type: null, expected an object"),
        ("{", "EOF"),
        (r#"{"reads":[]} {}"#, "trailing characters"),
    ] {
        match from_json(body) {
            Ok(request) => panic!("{body} was taken: {request:?}"),
            Err(error) => assert!(error.contains(expected), "{body}: {error}"),
        }
    }
}

#[test]
fn what_is_wrong_is_said_by_its_place() {
    for (body, code, begins) in [
        ("{}", ErrorCode::EmptyTransaction, "there is nothing"),
        (
            r#"{"reads":[{"key":"a"},{"key":""}]}"#,
            ErrorCode::InvalidKey,
            "reads[1]: a key has",
        ),
        (
            r#"{"checks":[{"key":"..","version":null}]}"#,
            ErrorCode::InvalidKey,
            "checks[0]: `.`",
        ),
        (
            r#"{"checks":[{"key":"a","version":"7"}]}"#,
            ErrorCode::MalformedBody,
            "checks[0]: `version`",
        ),
        (
            r#"{"writes":[{"op":"delete","key":"a"},{"op":"put","key":"a","text":""}]}"#,
            ErrorCode::DuplicateKey,
            "writes[1]: \"a\"",
        ),
        (
            r#"{"writes":[{"op":"put","key":"a"}]}"#,
            ErrorCode::MalformedBody,
            "writes[0]: a put has a `value`",
        ),
        (
            r#"{"writes":[{"op":"put","key":"a","text":"","value":""}]}"#,
            ErrorCode::MalformedBody,
            "writes[0]: a put has either",
        ),
        (
            r#"{"writes":[{"op":"delete","key":"a","text":""}]}"#,
            ErrorCode::MalformedBody,
            "writes[0]: a delete",
        ),
    ] {
        let error = refused(body);
        assert_eq!(error.code(), code, "{body}");
        assert!(error.to_string().starts_with(begins), "{body}: {error}");
    }
    let long = refused(&format!(
        r#"{{"reads":[{{"key":"{}"}}]}}"#,
        "a".repeat(1025)
    ));
    assert_eq!(long.code(), ErrorCode::KeyTooLongInBody);
    assert_eq!(long.limit(), Some((1024, 1025)));
    let large = refused(&format!(
        r#"{{"writes":[{{"op":"put","key":"a","text":"{}"}}]}}"#,
        "a".repeat((4 << 20) + 1)
    ));
    assert_eq!(large.code(), ErrorCode::ValueTooLarge);
    assert_eq!(large.limit(), Some((4 << 20, (4 << 20) + 1)));
}

#[test]
fn a_list_that_is_too_long_is_counted_and_not_kept() {
    let row = r#"{"key":"a"}"#;
    let body = format!(r#"{{"reads":[{}]}}"#, vec![row; 100_000].join(","));
    let request = from_json(&body).expect("well-formed");
    assert_eq!(request.reads.len(), 100_000);
    assert!(serde_json::to_string(&request).expect("JSON").len() < 1100 * (row.len() + 1));
    assert_eq!(
        request.check(),
        Err(InvalidTransaction::TooManyOperations { actual: 100_000 })
    );
}

#[test]
fn cbor_has_byte_strings_where_json_has_base64() {
    let transaction = TransactionBody::new(Operations {
        writes: vec![Write::Put {
            key: Key::new("k").expect("legal"),
            value: Value::try_from(&b"\xff\x00"[..]).expect("legal"),
        }],
        ..Operations::default()
    })
    .expect("legal");
    let request = Request::new(TransactionId(7), &transaction);
    let cbor = minicbor_serde::to_vec(&request).expect("CBOR");
    assert!(
        cbor.windows(3).any(|bytes| bytes == b"\x42\xff\x00"),
        "{cbor:x?}"
    );
    let json = serde_json::to_string(&request).expect("JSON");
    assert!(json.contains(r#""value":"/wA=""#), "{json}");
    // Cut anywhere it is an error, never a panic and never another transaction.
    for end in 0..cbor.len() {
        assert!(minicbor_serde::from_slice::<Request>(&cbor[..end]).is_err());
    }
}

/// An array where a map belongs: of the whole, and of one read.
#[test]
fn cbor_has_maps_where_json_has_objects() {
    assert!(minicbor_serde::from_slice::<Request>(b"\x80").is_err());
    assert!(minicbor_serde::from_slice::<Request>(b"\xa1\x65reads\x81\x81\x61a").is_err());
    assert!(minicbor_serde::from_slice::<Request>(b"\xa1\x65reads\x81\xa1\x63key\x61a").is_ok());
}

#[test]
fn deep_nesting_is_refused_and_costs_no_stack() {
    let json = "[".repeat(1 << 20);
    assert!(serde_json::from_str::<Request>(&json).is_err());
    let cbor = vec![0x81; 1 << 20];
    assert!(minicbor_serde::from_slice::<Request>(&cbor).is_err());
}

fn any_key() -> impl Strategy<Value = Key> {
    "[^.]{1,8}".prop_map(|text| Key::new(&text).expect("legal"))
}

fn any_version() -> impl Strategy<Value = Version> {
    (any::<u64>(), any::<u64>()).prop_map(|(epoch, counter)| Version { epoch, counter })
}

fn any_value() -> impl Strategy<Value = Value> {
    prop::collection::vec(any::<u8>(), 0..40).prop_map(|v| Value::try_from(v).expect("legal"))
}

fn any_transaction() -> impl Strategy<Value = TransactionBody> {
    let keys = || prop::collection::btree_set(any_key(), 0..4);
    (
        keys().prop_flat_map(|keys| {
            let keys: Vec<_> = keys.into_iter().collect();
            let versions = prop::collection::vec(prop::option::of(any_version()), keys.len());
            (Just(keys), versions)
        }),
        keys(),
        keys().prop_flat_map(|keys| {
            let keys: Vec<_> = keys.into_iter().collect();
            let values = prop::collection::vec(prop::option::of(any_value()), keys.len());
            (Just(keys), values)
        }),
    )
        .prop_filter_map("an empty one", |((ck, cv), reads, (wk, wv))| {
            let checks = ck.into_iter().zip(cv);
            let writes = wk.into_iter().zip(wv);
            TransactionBody::new(Operations {
                checks: checks
                    .map(|(key, version)| Check { key, version })
                    .collect(),
                reads: reads.into_iter().collect(),
                writes: writes
                    .map(|(key, value)| match value {
                        Some(value) => Write::Put { key, value },
                        None => Write::Delete { key },
                    })
                    .collect(),
            })
            .ok()
        })
}

proptest! {
    #[test]
    fn a_transaction_travels_unchanged_in_both_formats(
        transaction in any_transaction(),
        id in prop::option::of(any::<u128>()),
        timeout_ms in prop::option::of(any::<u64>()),
        acknowledged in prop::collection::vec(any::<u128>(), 0..3),
    ) {
        let acknowledged = acknowledged.into_iter().map(|id| Acknowledged {
            id: TransactionId(id),
            key: "k".into(),
        });
        let request = Request {
            id: id.map(TransactionId),
            timeout_ms,
            acknowledged: acknowledged.collect(),
            ..Request::new(TransactionId(0), &transaction)
        };
        let json = serde_json::to_vec(&request).expect("JSON");
        let cbor = minicbor_serde::to_vec(&request).expect("CBOR");
        for back in [
            serde_json::from_slice::<Request>(&json).expect("JSON"),
            minicbor_serde::from_slice(&cbor).expect("CBOR"),
        ] {
            prop_assert_eq!(&back, &request);
            prop_assert_eq!(back.check(), Ok(transaction.clone()));
        }
    }

    #[test]
    fn an_answer_travels_unchanged_in_both_formats(
        id: u128,
        versions in prop::collection::btree_map(any_key(), any_version(), 0..4),
        reads in prop::option::of(prop::collection::vec(
            (any_key(), prop::option::of((any_version(), any_value()))), 0..4)),
    ) {
        let row = |(key, found): (Key, Option<(Version, Value)>)| Found {
            key,
            version: found.as_ref().map(|(version, _)| *version),
            value: found.map(|(_, value)| Octets::from(value)),
        };
        let answer = Committed {
            id: TransactionId(id),
            outcome: Decision::Committed,
            versions,
            reads: reads.map(|rows| rows.into_iter().map(row).collect()),
        };
        let json = serde_json::to_vec(&answer).expect("JSON");
        let cbor = minicbor_serde::to_vec(&answer).expect("CBOR");
        prop_assert_eq!(&serde_json::from_slice::<Committed>(&json).expect("JSON"), &answer);
        prop_assert_eq!(&minicbor_serde::from_slice::<Committed>(&cbor).expect("CBOR"), &answer);
    }

    #[test]
    fn any_bytes_are_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(request) = minicbor_serde::from_slice::<Request>(&bytes) {
            let _ = request.check();
        }
        if let Ok(request) = serde_json::from_slice::<Request>(&bytes) {
            let _ = request.check();
        }
    }
}

#[test]
fn as_many_operations_as_are_allowed_are_allowed() {
    let most = TRANSACTION_OPERATIONS_MAX;
    let rows = |count: usize, row: &dyn Fn(usize) -> String| {
        let rows: Vec<_> = (0..count).map(row).collect();
        rows.join(",")
    };
    let reads = |count| rows(count, &|n| format!(r#"{{"key":"k{n}"}}"#));
    let request = from_json(&format!(r#"{{"reads":[{}]}}"#, reads(most))).expect("well-formed");
    assert_eq!(request.check().expect("legal").operations().len(), most);
    let one_more = refused(&format!(r#"{{"reads":[{}]}}"#, reads(most + 1)));
    assert_eq!(one_more.limit(), Some((most, most + 1)));
    let told = |count| {
        let row = |n| format!(r#"{{"id":"{}","key":"k"}}"#, TransactionId(n as u128));
        let body = format!(r#"{{"acknowledged":[{}]}}"#, rows(count, &row));
        from_json(&body).expect("well-formed").check_acknowledged()
    };
    assert_eq!(told(most).expect("legal").len(), most);
    let one_more = told(most + 1).expect_err("too many");
    assert_eq!(one_more.limit(), Some((most, most + 1)));
}

#[test]
fn too_many_bytes_are_told_beside_their_limit() {
    let value = Value::try_from(vec![0; VALUE_BYTES_MAX]).expect("legal");
    let put = |n| Write::Put {
        key: Key::new(&format!("k{n}")).expect("legal"),
        value: value.clone(),
    };
    let writes: Vec<_> = (0..5).map(put).collect();
    let operations = Operations {
        writes,
        ..Operations::default()
    };
    let actual = operations.bytes();
    let error = TransactionBody::new(operations).expect_err("too large");
    assert_eq!(error.limit(), Some((TRANSACTION_BYTES_MAX, actual)));
}

#[test]
fn what_is_looked_at_is_checked_before_it_is_read() {
    let key = |text: &str| Key::new(text).expect("legal");
    let none = Operations::default();
    assert!(none.is_empty());
    let some = Operations {
        checks: vec![Check {
            key: key("c"),
            version: None,
        }],
        reads: vec![key("a")],
        writes: Vec::new(),
    };
    assert!(!some.is_empty());
    assert!(some.looked_at().eq([&key("c"), &key("a")]));
    let acknowledged = |body| from_json(body).expect("well-formed").acknowledged;
    assert!(acknowledged("{}").is_empty());
    let one = r#"{"acknowledged":[{"id":"0199c2f4-5d1e-7c3a-9a41-2f60c1f0a7d3","key":"k"}]}"#;
    assert!(!acknowledged(one).is_empty());
}

#[test]
fn what_was_expected_instead_is_said() {
    for (body, expected) in [
        (
            r#"{"writes":[{"op":1,"key":"a"}]}"#,
            "expected `put` or `delete`",
        ),
        (
            r#"{"writes":[{"op":"put","key":"a","value":1}]}"#,
            "expected a base64 text",
        ),
    ] {
        let error = from_json(body).expect_err("not the schema");
        assert!(error.contains(expected), "{body}: {error}");
    }
    let cbor = minicbor_serde::to_vec(1).expect("a number");
    let error = minicbor_serde::from_slice::<Octets>(&cbor).expect_err("no bytes");
    assert!(error.to_string().contains("expected"), "{error}");
}

#[test]
fn logs_show_ids_as_they_are_and_of_values_only_how_long_they_are() {
    let id: TransactionId = "0199c2f4-5d1e-7c3a-9a41-2f60c1f0a7d2"
        .parse()
        .expect("legal");
    assert_eq!(format!("{id:?}"), "0199c2f4-5d1e-7c3a-9a41-2f60c1f0a7d2");
    let octets = Octets::from(Value::copy_from(b"secret").expect("legal"));
    assert_eq!(format!("{octets:?}"), "Octets(6 bytes)");
    assert_eq!(octets.into_bytes(), &b"secret"[..]);
}

#[test]
fn limits_are_told_in_milliseconds() {
    let limits = trandb_common::wire::Limits::new(1, 2, 3);
    let told = |milliseconds| std::time::Duration::from_millis(milliseconds);
    assert_eq!(told(limits.lock_wait_ms_max), LOCK_WAIT_MAX);
    assert_eq!(
        told(limits.transaction_timeout_ms_max),
        TRANSACTION_TIMEOUT_MAX
    );
}
