//! `GET /keys`: order, prefix, pages, parameters.

use super::Script;
use crate::wire::Request;

pub(super) fn scripts() -> Vec<Script> {
    vec![
        Script::new("listing", listing()),
        Script::new("listing-parameters", parameters()),
    ]
}

fn listing() -> Vec<Request> {
    let mut requests = vec![Request::get("/keys").about("no keys")];
    // Byte order is neither that of letters nor that of characters in UTF-16: the last two.
    for key in [
        "b",
        "a",
        "B",
        "a%2F1",
        "a%2F2",
        "a%00",
        "ab",
        "%EF%BF%BD",
        "%F0%9F%A6%80",
    ] {
        requests.push(Request::put(format!("/keys/{key}"), key).about("a key"));
    }
    for (query, about) in [
        ("", "all, in byte order"),
        ("?", "an empty query"),
        ("?prefix=a", "those that start with it, itself included"),
        ("?prefix=a%2F", "a slash"),
        ("?prefix=a/", "a slash, not escaped"),
        ("?prefix=", "every key starts with nothing"),
        ("?prefix=.", "a prefix need not be a key"),
        ("?prefix=zzz", "none"),
        ("?limit=2", "a page"),
        ("?limit=2&after=a", "the next page; `after` is not on it"),
        ("?limit=9", "as many as there are: there may be more"),
        ("?limit=9&after=%F0%9F%A6%80", "there were not"),
        ("?limit=10", "fewer than asked for: there are no more"),
        ("?after=aa", "after a key without a value"),
        ("?prefix=a&after=b", "after all keys of the prefix"),
        ("?prefix=b&after=a", "before all keys of the prefix"),
        ("?&after=b&&limit=1&", "empty parameters"),
    ] {
        requests.push(Request::get(format!("/keys{query}")).about(about));
    }
    requests.push(Request::head("/keys?limit=1").about("the headers alone"));
    requests
}

fn parameters() -> Vec<Request> {
    let long = format!("prefix={}", "a".repeat(1025));
    let longest = format!("prefix={}", "a".repeat(1024));
    [
        ("limit=0", "too few"),
        ("limit=1001", "too many"),
        ("limit=1000", "as many as may be"),
        ("limit=", "no number"),
        ("limit", "no number"),
        ("limit=-1", "no number"),
        ("limit=1.5", "no number"),
        ("limit=99999999999999999999", "no number that fits"),
        ("perfix=a", "a parameter that there is not"),
        ("Prefix=a", "case counts"),
        ("prefix=a&prefix=b", "twice"),
        ("after=a&after=a", "twice"),
        ("limit=1&limit=1", "twice"),
        ("after=", "not a key"),
        ("after=..", "not a key"),
        ("after=%FF", "not UTF-8"),
        ("prefix=%FF", "not UTF-8"),
        ("prefix=%C3", "half a character"),
        ("prefix=%2", "half an escape"),
        (&long, "longer than any key"),
        (&longest, "as long as a key"),
        ("prefix=a+b%2Bc", "a plus is a plus"),
    ]
    .into_iter()
    .map(|(query, about)| Request::get(format!("/keys?{query}")).about(about))
    .collect()
}
