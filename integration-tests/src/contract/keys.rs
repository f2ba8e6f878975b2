//! Keys in paths, other paths, and the endpoints of operation.

use trandb_common::limits::KEY_BYTES_MAX;

use super::Script;
use crate::wire::Request;

pub(super) fn scripts() -> Vec<Script> {
    vec![
        Script::new("illegal-keys", illegal()),
        Script::new("legal-keys", legal()),
        Script::new("routes", routes()),
        Script::new("operation", operation()),
        Script::new("request-ids", request_ids()),
    ]
}

fn illegal() -> Vec<Request> {
    let long = "a".repeat(KEY_BYTES_MAX + 1);
    let long_escaped = "%61".repeat(KEY_BYTES_MAX + 1);
    let mut requests = Vec::new();
    for (key, about) in [
        ("", "no bytes"),
        (".", "one dot"),
        ("..", "two dots"),
        ("%2e%2E", "two dots, escaped"),
        ("%", "an escape without digits"),
        ("a%2", "half an escape"),
        ("%zz", "an escape with other characters"),
        ("%FF", "not UTF-8"),
        ("a%C0%AFb", "overlong UTF-8"),
        (long.as_str(), "a byte too long"),
        (long_escaped.as_str(), "a byte too long, escaped"),
    ] {
        let target = format!("/keys/{key}");
        requests.push(Request::put(target.as_str(), "one").about(about));
        requests.push(Request::get(target.as_str()).about(about));
        requests.push(Request::delete(target).about(about));
    }
    requests.push(Request::head("/keys/..").about("a refusal without its body"));
    requests.push(Request::get("/keys").about("nothing was written"));
    requests
}

fn legal() -> Vec<Request> {
    let longest = "a".repeat(KEY_BYTES_MAX);
    let longest_escaped = "%61".repeat(KEY_BYTES_MAX);
    let mut requests = Vec::new();
    for (key, about) in [
        ("...", "three dots"),
        (".a", "a dot and more"),
        ("a%2Fb", "a slash, escaped"),
        ("a%2fb", "the same key"),
        ("a%252Fb", "another key: decoding happens once"),
        ("a+b", "a plus is a plus"),
        ("a%20b", "a space"),
        ("%00", "NUL"),
        ("a%0D%0Aetag:%20b", "control characters"),
        ("%C3%A4", "a letter beyond ASCII"),
        ("ä", "the same key, not escaped"),
        (
            "a%CC%88",
            "the same letter in two parts is another key: no normalisation",
        ),
        ("%F0%9F%A6%80", "four bytes of UTF-8"),
        ("a;b=c,d:@!$&'()*~", "what may stand unescaped in a path"),
        (longest.as_str(), "1,024 bytes"),
        (longest_escaped.as_str(), "the same key, escaped"),
    ] {
        requests.push(Request::put(format!("/keys/{key}"), key).about(about));
    }
    requests.push(Request::get("/keys").about("all of them, in byte order"));
    requests.push(Request::get("/keys/a%00%1B").about("escaped where they are shown"));
    requests
}

fn routes() -> Vec<Request> {
    let mut requests = Vec::new();
    for (target, about) in [
        ("/", "the root"),
        ("/keys/a/b", "two segments are not a key"),
        ("/keys/a/", "not even if the second is empty"),
        ("/keys/../keys/a", "nothing is normalised"),
        ("//keys/a", "nothing is normalised"),
        ("/Keys/a", "case counts"),
        ("/key/a", "something else"),
        ("/%6Beys/a", "paths of ours are not escaped"),
        ("/metrics", "not there yet"),
    ] {
        requests.push(Request::get(target).about(about));
    }
    requests.push(Request::put("/keys/a/b", "one").about("with a body"));
    requests.push(Request::delete("/").about("what a client makes of DELETE /keys/.."));
    requests.push(Request::head("/nowhere").about("a refusal without its body"));
    requests.push(Request::new("OPTIONS", "*").about("the server as a whole"));
    for method in ["PUT", "DELETE", "POST", "PATCH"] {
        let about = "there is never a write to all keys";
        requests.push(Request::new(method, "/keys").about(about));
    }
    requests
}

fn operation() -> Vec<Request> {
    let mut requests = Vec::new();
    for target in ["/livez", "/readyz", "/limits"] {
        requests.push(Request::get(target).about("asking"));
        requests.push(Request::head(target).about("asking for the headers"));
        requests.push(Request::put(target, "x").about("only GET"));
        requests.push(Request::new("OPTIONS", target).about("only GET"));
    }
    for target in ["/cluster/remove?member=n1", "/cluster/transfer?to=n1"] {
        requests.push(Request::post(target, "").about("of a server that runs alone"));
        requests.push(Request::get(target).about("only POST"));
    }
    requests.push(Request::post("/cluster/remove", "").about("whom"));
    requests.push(Request::post("/cluster/transfer?shard=-1&to=n1", "").about("of which shard"));
    requests.push(Request::get("/readyz?verbose").about("what it depends on"));
    requests.push(Request::get("/readyz?verbose=1&x=y").about("whatever stands beside it"));
    requests.push(Request::get("/readyz?x=verbose").about("a query of no meaning"));
    requests.push(Request::get("/livez/").about("another path"));
    requests.push(Request::head("/openapi.json").about("the description"));
    requests.push(Request::delete("/openapi.json").about("only GET"));
    requests
}

fn request_ids() -> Vec<Request> {
    let named = |request: Request| request.header("x-request-id", "0199c2d1-42");
    let longest = "x".repeat(128);
    let too_long = "x".repeat(129);
    let mut requests = vec![
        named(Request::put("/keys/a", "one")).about("the id comes back with a write"),
        named(Request::get("/keys/a")).about("with a value"),
        named(Request::head("/keys/a")).about("with its headers"),
        named(Request::get("/keys/b")).about("with an error"),
        named(Request::put("/keys/..", "one")).about("with a refusal"),
        named(Request::new("POST", "/keys/a")).about("of whatever kind"),
        named(Request::get("/nowhere")).about("of whatever path"),
        named(Request::get("/keys")).about("with a listing"),
        named(Request::get("/livez")).about("with health"),
        named(Request::delete("/keys/a")).about("with a delete"),
        named(named(Request::get("/livez"))).about("once"),
        Request::get("/livez").about("none is made up"),
    ];
    for (id, about) in [
        (longest.as_str(), "as long as may be"),
        (too_long.as_str(), "too long to come back"),
        ("", "no id"),
        ("a b", "nothing that would look strange in a log"),
        ("\u{e4}", "nor this"),
    ] {
        requests.push(
            Request::get("/livez")
                .header("x-request-id", id)
                .about(about),
        );
    }
    requests
}
