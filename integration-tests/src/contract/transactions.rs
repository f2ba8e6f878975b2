//! `/transactions`, and writes that carry an id.

use super::Script;
use crate::wire::Request;

pub(super) fn scripts() -> Vec<Script> {
    vec![
        Script::new("transactions", commit()),
        Script::new("transactions-sent-again", sent_again()),
        Script::new("transactions-refused", refused()),
        Script::new("transactions-cbor", cbor()),
        Script {
            flags: &["--shards", "4", "--memory-limit", "1GiB"],
            ..Script::new("transactions-large", large())
        },
        Script::new("transactions-routes", routes()),
        Script::new("idempotency-key", idempotency_key()),
    ]
}

const ONE: &str = "00000000-0000-4000-8000-000000000001";
const TWO: &str = "00000000-0000-4000-8000-000000000002";

fn post(body: &str) -> Request {
    Request::post("/transactions", body).header("content-type", "application/json")
}

fn post_cbor(body: &[u8]) -> Request {
    Request::post("/transactions", body).header("content-type", "application/cbor")
}

fn with_id(id: &str, rest: &str) -> Request {
    post(&format!(r#"{{"id":"{id}",{rest}}}"#))
}

fn status(id: &str) -> Request {
    Request::get(format!("/transactions/{id}"))
}

fn abort(id: &str) -> Request {
    Request::new("POST", format!("/transactions/{id}/abort"))
}

fn commit() -> Vec<Request> {
    vec![
        with_id(
            ONE,
            r#""writes":[{"op":"put","key":"a","text":"one"},{"op":"put","key":"b","value":"AAH/"}]"#,
        )
        .about("two keys"),
        Request::get("/keys/a").about("the first"),
        Request::get("/keys/b").about("the second"),
        with_id(
            TWO,
            r#""checks":[{"key":"a","version":"{v1}"},{"key":"c","version":null}],
               "reads":[{"key":"b"},{"key":"c"},{"key":"a"}],
               "writes":[{"op":"put","key":"a","text":"two"},{"op":"delete","key":"b"}]"#,
        )
        .about("checks that hold; reads are of before the writes"),
        Request::get("/keys/b").about("it is gone"),
        with_id(
            "00000000-0000-4000-8000-000000000003",
            r#""checks":[{"key":"a","version":"{v1}"},{"key":"b","version":"{v2}"}],
               "writes":[{"op":"put","key":"a","text":"three"}]"#,
        )
        .about("both checks fail: both are named, nothing is written"),
        Request::get("/keys/a").about("the second value"),
        with_id(
            "00000000-0000-4000-8000-000000000004",
            r#""checks":[{"key":"a","version":"e1-1"}]"#,
        )
        .about("a version of another epoch"),
        with_id(
            "00000000-0000-4000-8000-000000000005",
            r#""reads":[{"key":"a"}],"timeout_ms":100"#,
        )
        .about("reads only"),
    ]
}

fn sent_again() -> Vec<Request> {
    let write = r#""writes":[{"op":"put","key":"a","text":"one"}],"reads":[{"key":"a"}]"#;
    vec![
        with_id(ONE, write).about("a transaction"),
        with_id(ONE, write).about("sent again: the same version, without what was read"),
        status(ONE).about("what became of it"),
        with_id(ONE, r#""writes":[{"op":"put","key":"a","text":"two"}]"#)
            .about("another body under its id"),
        abort(ONE).about("too late to abort"),
        abort(TWO).about("abort what has not come"),
        with_id(TWO, write).about("it comes, and is not run"),
        status(TWO).about("nor will it be"),
        status("00000000-0000-4000-8000-000000000009").about("nobody knows of this one"),
    ]
}

fn refused() -> Vec<Request> {
    let keys = |n: usize| {
        let rows: Vec<_> = (0..n).map(|i| format!(r#"{{"key":"{i}"}}"#)).collect();
        rows.join(",")
    };
    vec![
        post("{}").about("nothing to do"),
        post("").about("no body"),
        post("{").about("no JSON"),
        post("[]").about("a list"),
        post("null").about("nothing at all"),
        post(r#"{"reads":[["a"]]}"#).about("a list for a read"),
        post(&"[".repeat(1 << 20)).about("deep nesting"),
        post(&format!(r#"{{"reads":[{{"key":{}"#, "[".repeat(1 << 20)))
            .about("deep nesting at the place of a key"),
        post(r#"{"reads":[],"reads":[]}"#).about("a field twice"),
        post(r#"{"reads":[{"key":"a"}]} {}"#).about("bytes behind it"),
        post(r#"{"writs":[]}"#).about("an unknown field"),
        post(r#"{"reads":[{"key":"a","x":1}]}"#).about("an unknown field of a read"),
        post(r#"{"reads":[{"key":7}]}"#).about("a number for a key"),
        post(r#"{"reads":{"key":"a"}}"#).about("no list"),
        post(r#"{"reads":[{"key":"a"}],"timeout_ms":-1}"#).about("a negative time"),
        post(r#"{"reads":[{"key":"a"},{"key":"a"}]}"#).about("a key twice"),
        post(r#"{"reads":[{"key":"a"},{"key":".."}]}"#).about("an illegal key"),
        post(&format!(
            r#"{{"reads":[{{"key":"{}"}}]}}"#,
            "k".repeat(1025)
        ))
        .about("a long key"),
        post(r#"{"writes":[{"op":"put","key":"a","text":"x","value":"eA=="}]}"#)
            .about("both forms of a value"),
        post(r#"{"writes":[{"op":"put","key":"a"}]}"#).about("no value"),
        post(r#"{"writes":[{"op":"delete","key":"a","text":"x"}]}"#).about("a delete with a value"),
        post(r#"{"writes":[{"op":"swap","key":"a"}]}"#).about("no such operation"),
        post(r#"{"writes":[{"op":{"delete":null},"key":"a"}]}"#)
            .about("an operation that is no text"),
        post(r#"{"writes":[{"op":"put","key":"a","value":"%"}]}"#).about("no base64"),
        post(r#"{"checks":[{"key":"a"}]}"#).about("a check without a version"),
        post(r#"{"checks":[{"key":"a","version":"7"}]}"#).about("no version"),
        post(r#"{"id":"7","reads":[{"key":"a"}]}"#).about("no UUID"),
        post(&format!(r#"{{"reads":[{}]}}"#, keys(1025))).about("1,025 operations"),
        post(&format!(
            r#"{{"writes":[{{"op":"put","key":"a","text":"{}"}}]}}"#,
            "v".repeat((4 << 20) + 1)
        ))
        .about("a value that no PUT takes"),
        Request::post("/transactions", r#"{"reads":[{"key":"a"}]}"#).about("no Content-Type"),
        Request::post("/transactions", r#"{"reads":[{"key":"a"}]}"#)
            .header("content-type", "text/plain")
            .about("another Content-Type"),
        with_id(ONE, r#""reads":[{"key":"a"}]"#).about("after all that nothing is there"),
    ]
}

/// `{"writes":[{"op":"delete","key":"a"}],"reads":[{"key":"a"}]}`
const CBOR: &[u8] =
    b"\xa2\x66writes\x81\xa2\x62op\x66delete\x63key\x61a\x65reads\x81\xa1\x63key\x61a";

/// Nothing that gives a version, whose text only answers in JSON have replaced.
fn cbor() -> Vec<Request> {
    let mut with_id = b"\xa3\x62id\x78\x24".to_vec();
    with_id.extend(ONE.bytes());
    with_id.extend(&CBOR[1..]);
    let mut longer = CBOR.to_vec();
    longer.push(0);
    vec![
        post_cbor(&with_id).about("a transaction"),
        post_cbor(&with_id).about("sent again"),
        post_cbor(&CBOR[..CBOR.len() - 1]).about("cut"),
        post_cbor(&longer).about("bytes behind it"),
        post_cbor(b"").about("nothing"),
        post_cbor(b"\x80").about("an array"),
        post_cbor(b"\xa1\x65reads\x9b\xff\xff\xff\xff\xff\xff\xff\xff")
            .about("a list that says it is endless"),
        Request::post("/transactions", CBOR)
            .header("content-type", "application/json")
            .about("CBOR that says it is JSON"),
    ]
}

/// One byte beyond what a transaction may write and read, over four shards.
fn large() -> Vec<Request> {
    const LARGEST: usize = 4 << 20;
    let put = |key: &str, bytes: usize| Request::put(format!("/keys/{key}"), "v".repeat(bytes));
    let write = |key: &str, bytes: usize| {
        let text = "v".repeat(bytes);
        format!(r#"{{"op":"put","key":"{key}","text":"{text}"}}"#)
    };
    let writes = [
        write("a", LARGEST),
        write("b", LARGEST),
        write("c", LARGEST),
        write("d", LARGEST - 3),
    ];
    vec![
        with_id(TWO, &format!(r#""writes":[{}]"#, writes.join(",")))
            .about("16 MiB and a byte of keys and values"),
        put("a", LARGEST).about("a quarter of what a transaction may read"),
        put("b", LARGEST).about("the second"),
        put("c", LARGEST).about("the third"),
        put("d", LARGEST).about("the fourth"),
        put("e", 1).about("one byte more"),
        with_id(
            ONE,
            r#""reads":[{"key":"a"},{"key":"b"},{"key":"c"},{"key":"d"},{"key":"e"}],
               "writes":[{"op":"put","key":"f","text":"x"}]"#,
        )
        .about("reads all that: it does not happen"),
        Request::get("/keys/f").about("it did not happen"),
        status(ONE).about("nor will it"),
        Request::delete("/keys/a").about("nothing is locked"),
    ]
}

fn routes() -> Vec<Request> {
    vec![
        Request::get("/transactions").about("only POST"),
        Request::new("DELETE", format!("/transactions/{ONE}")).about("only GET"),
        Request::get(format!("/transactions/{ONE}/abort")).about("only POST"),
        Request::get("/transactions/7").about("no id"),
        Request::get(format!("/transactions/{ONE}/x")).about("no such path"),
        Request::head(format!("/transactions/{ONE}")).about("unknown, to HEAD"),
    ]
}

fn idempotency_key() -> Vec<Request> {
    let put = |body: &str| Request::put("/keys/a", body);
    let once = |request: Request, id: &str| request.header("idempotency-key", id);
    vec![
        once(put("one"), ONE).about("a PUT with an id"),
        once(put("one"), ONE).about("sent again: the same version"),
        Request::get(format!("/transactions/{ONE}")).about("it is a transaction"),
        once(put("two"), ONE).about("another value under its id"),
        once(put("two"), TWO)
            .header("if-match", "\"{v1}\"")
            .about("with a condition"),
        once(put("three"), "00000000-0000-4000-8000-000000000003")
            .header("if-match", "\"{v1}\"")
            .about("one that does not hold"),
        once(put("three"), "00000000-0000-4000-8000-000000000003")
            .header("if-match", "\"{v1}\"")
            .about("sent again: it does not happen either"),
        once(put("three"), "00000000-0000-4000-8000-000000000004")
            .header("if-match", "*")
            .about("a condition that cannot be kept"),
        once(put("three"), "7").about("no UUID"),
        once(
            Request::delete("/keys/a"),
            "\"00000000-0000-4000-8000-000000000005\"",
        )
        .about("a DELETE, the id in quotes"),
        once(
            Request::delete("/keys/a"),
            "00000000-0000-4000-8000-000000000005",
        )
        .about("sent again"),
        Request::get("/keys/a").about("it is gone"),
    ]
}
