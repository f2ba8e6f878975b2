//! The body of a transaction: whatever is taken says the same in both formats.

use trandb_common::{
    Key, TransactionBody, Value,
    limits::{TRANSACTION_BYTES_MAX, TRANSACTION_OPERATIONS_MAX},
    wire::transaction::Request,
};

/// The first byte chooses the format, the others are the body.
pub fn transaction_body(data: &[u8]) {
    let Some((format, body)) = data.split_first() else {
        return;
    };
    let request = if format.is_multiple_of(2) {
        serde_json::from_slice::<Request>(body).ok()
    } else {
        minicbor_serde::from_slice::<Request>(body).ok()
    };
    let Some(request) = request else { return };
    let checked = request.check();
    let acknowledged = request.check_acknowledged();
    if let Ok(acknowledged) = &acknowledged {
        assert!(acknowledged.len() <= TRANSACTION_OPERATIONS_MAX);
        assert_eq!(acknowledged.len(), request.acknowledged.len());
    }
    if let Err(error) = &checked {
        // A limit that was exceeded is said with how much, and what is wrong by its place.
        if let Some((limit, actual)) = error.limit() {
            assert!(actual > limit, "{error}");
        }
        let place = error.place().map(|place| place.to_string());
        assert!(place.is_none_or(|place| error.to_string().starts_with(&place)));
    }
    if let Ok(body) = &checked {
        assert_is_legal(body);
    }
    // More elements than a transaction may have are counted and not kept.
    let lists = [
        request.checks.len(),
        request.reads.len(),
        request.writes.len(),
        request.acknowledged.len(),
    ];
    if lists
        .iter()
        .any(|length| *length > TRANSACTION_OPERATIONS_MAX)
    {
        assert!(checked.is_err() || acknowledged.is_err());
        return;
    }
    let json = serde_json::to_vec(&request).expect("JSON");
    let cbor = minicbor_serde::to_vec(&request).expect("CBOR");
    for again in [
        serde_json::from_slice::<Request>(&json).expect("its own JSON"),
        minicbor_serde::from_slice(&cbor).expect("its own CBOR"),
    ] {
        assert_eq!(again, request);
        assert_eq!(again.check(), checked);
    }
}

fn assert_is_legal(body: &TransactionBody) {
    let operations = body.operations();
    let keys = |keys: Vec<&str>| -> usize {
        let mut sorted = keys.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), keys.len(), "a key twice in one list");
        for key in &keys {
            assert!((1..=1024).contains(&key.len()) && !matches!(*key, "." | ".."));
        }
        keys.iter().map(|key| key.len()).sum()
    };
    let count = operations.checks.len() + operations.reads.len() + operations.writes.len();
    assert!((1..=TRANSACTION_OPERATIONS_MAX).contains(&count));
    let values = operations.writes.iter().filter_map(|write| write.value());
    let bytes = keys(operations.checks.iter().map(|c| c.key.as_str()).collect())
        + keys(operations.reads.iter().map(Key::as_str).collect())
        + keys(operations.writes.iter().map(|w| w.key().as_str()).collect())
        + values.map(Value::len).sum::<usize>();
    assert!(bytes <= TRANSACTION_BYTES_MAX);
}
