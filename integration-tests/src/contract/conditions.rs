//! Preconditions: `If-Match` and `If-None-Match` on all four methods.

use super::Script;
use crate::wire::{Body, Request};

pub(super) fn scripts() -> Vec<Script> {
    vec![
        Script::new("if-match", if_match()),
        Script::new("if-match-without-a-value", if_match_without_a_value()),
        Script::new("if-none-match", if_none_match()),
        Script::new("both-conditions", both()),
        Script::new("malformed-conditions", malformed()),
    ]
}

fn put(body: &str) -> Request {
    Request::put("/keys/a", body)
}

fn get() -> Request {
    Request::get("/keys/a")
}

fn delete() -> Request {
    Request::delete("/keys/a")
}

fn if_match() -> Vec<Request> {
    let on = |request: Request, tags: &str| request.header("if-match", tags);
    vec![
        put("one").about("a value"),
        on(put("two"), "\"{v1}\"").about("its version: written"),
        on(put("three"), "\"{v1}\"").about("a version of before: refused, with the current one"),
        on(delete(), "\"{v1}\"").about("nor deleted"),
        on(get(), "\"{v1}\"").about("nor read"),
        on(Request::head("/keys/a"), "\"{v1}\"").about("nor looked at"),
        on(get(), "\"{v2}\"").about("the current version: read"),
        on(Request::head("/keys/a"), "\"{v2}\"").about("looked at"),
        on(get(), "\"{v1}\", \"{v2}\"").about("one of a list"),
        on(on(get(), "\"{v1}\""), "\"{v2}\"").about("one of two lines"),
        on(on(get(), "\"{v1}\""), "\"x\"").about("none of two lines"),
        on(put("three"), "W/\"{v2}\"").about("a weak tag never matches here"),
        on(put("three"), "W/\"{v2}\", \"{v2}\"").about("the strong one beside it does"),
        on(put("four"), "\"abc\"").about("a tag of somebody else's"),
        on(put("four"), "\"a,b\" , ,\"{v3}\"").about("a comma in a tag, an empty element"),
        on(put("five"), "*").about("any version"),
        on(get(), "*").about("any version, to GET"),
        on(put("six"), "\"{v5}").about("malformed: nothing is written"),
        on(delete(), "*").about("any version, to DELETE"),
        get().about("it is gone"),
    ]
}

fn if_match_without_a_value() -> Vec<Request> {
    let mut requests = vec![
        put("one").about("to have a version"),
        delete().about("and no value"),
    ];
    for tags in ["\"{v1}\"", "*", "\"abc\""] {
        let on = |request: Request| request.header("if-match", tags);
        requests.push(on(put("two")).about("PUT is refused: there is no version"));
        requests.push(on(delete()).about("so is DELETE"));
        requests.push(on(get()).about("to GET it is not there"));
    }
    requests.push(get().about("nothing was written"));
    requests
}

fn if_none_match() -> Vec<Request> {
    let on = |request: Request, tags: &str| request.header("if-none-match", tags);
    vec![
        on(get(), "*").about("no value: not there"),
        on(delete(), "*").about("no value: deleting nothing"),
        on(put("one"), "*").about("no value: written"),
        on(put("two"), "*").about("a value: refused, with its version"),
        on(delete(), "*").about("a value: not deleted"),
        on(get(), "*").about("a value: known already"),
        on(Request::head("/keys/a"), "*").about("the same without a body"),
        on(get(), "\"{v1}\"").about("its version: known already"),
        on(Request::head("/keys/a"), "\"{v1}\"").about("the same without a body"),
        on(get(), "W/\"{v1}\"").about("compared by its text alone"),
        on(get(), "\"abc\", \"{v1}\"").about("one of a list"),
        on(on(get(), "\"abc\""), "\"{v1}\"").about("one of two lines"),
        on(put("two"), "\"{v1}\"").about("its version: not written"),
        on(put("two"), "\"abc\"").about("another version: written"),
        on(get(), "\"{v1}\"").about("a version of before: read"),
        on(delete(), "\"{v2}\"").about("its version: not deleted"),
        on(delete(), "\"{v1}\"").about("another version: deleted"),
    ]
}

fn both() -> Vec<Request> {
    let on = |request: Request, is: &str, is_not: &str| {
        request
            .header("if-match", is)
            .header("if-none-match", is_not)
    };
    vec![
        put("one").about("a value"),
        on(put("two"), "\"{v1}\"", "\"abc\"").about("both hold"),
        on(put("three"), "\"{v2}\"", "*").about("the second does not"),
        on(get(), "\"{v2}\"", "\"{v2}\"").about("GET: If-Match holds, the value is known"),
        on(get(), "\"{v1}\"", "\"{v2}\"").about("GET: If-Match comes first"),
    ]
}

fn malformed() -> Vec<Request> {
    let mut requests = vec![put("one").about("a value")];
    for tags in [
        "",
        ",",
        "{v1}",
        "\"{v1}",
        "'{v1}'",
        "\"{v1}\" \"x\"",
        "\"{v1}\"x",
        "w/\"{v1}\"",
        "*, \"{v1}\"",
        "\"a b\"",
        "\"\u{e9}",
    ] {
        requests.push(put("two").header("if-match", tags).about("malformed"));
    }
    requests.push(
        put("two")
            .header("if-match", "*")
            .header("if-match", "\"{v1}\"")
            .about("a star beside a version, in two lines"),
    );
    for request in [get(), Request::head("/keys/a"), delete()] {
        requests.push(request.header("if-none-match", "{v1}").about("malformed"));
    }
    requests.push(
        Request::new("PUT", "/keys/a")
            .header("if-none-match", "{v1}")
            .body(Body::Chunked(vec![b"two".to_vec()]))
            .about("malformed, with a body of unknown length"),
    );
    requests.push(get().about("the value is what it was"));
    requests
}
