//! Pages and streams of keys, over a scripted transport.

use futures_util::{StreamExt, TryStreamExt};
use trandb_client::{Client, ListedKey};
use trandb_common::ErrorCode;

use crate::scripted::{Script, Step, answer, foreign, problem, version};

/// A page with these keys.
fn page(keys: &[&str], next: Option<&str>) -> Step {
    let rows: Vec<_> = keys
        .iter()
        .map(|key| serde_json::json!({"key": key, "version": "e1-1", "size": 3}))
        .collect();
    let body = serde_json::json!({"keys": rows, "next": next});
    answer(200, &["content-type: application/json"], body.to_string())
}

fn targets(script: &Script) -> Vec<String> {
    let sent = script.sent();
    sent.iter()
        .map(|sent| sent.request.uri().to_string())
        .collect()
}

async fn names(client: &Client) -> Result<Vec<String>, trandb_client::Error> {
    let keys: Vec<ListedKey> = client.list("").stream().try_collect().await?;
    Ok(keys.iter().map(|row| row.key.to_string()).collect())
}

#[tokio::test]
async fn a_page_has_keys_versions_and_sizes() {
    let script = Script::new([page(&["a/1", "a/2"], Some("a/2"))]);
    let page = script.client().list("a/").await.expect("page");
    let rows: Vec<_> = page
        .keys
        .iter()
        .map(|row| (row.key.as_str(), row.version, row.size))
        .collect();
    assert_eq!(
        rows,
        [("a/1", version("e1-1"), 3), ("a/2", version("e1-1"), 3)]
    );
    assert_eq!(page.next.expect("more").as_str(), "a/2");
}

#[tokio::test]
async fn what_is_asked_for_is_percent_encoded() {
    let script = Script::new(std::iter::repeat_with(|| page(&[], None)).take(4));
    let client = script.client();
    client.list("").await.expect("page");
    client.list("a+b&limit=1/é%").await.expect("page");
    client.list(".").after("x y").await.expect("page");
    client.list("p").after("p1").limit(7).await.expect("page");
    assert_eq!(
        targets(&script),
        [
            "/keys",
            "/keys?prefix=a%2Bb%26limit%3D1%2F%C3%A9%25",
            "/keys?prefix=.&after=x%20y",
            "/keys?prefix=p&after=p1&limit=7",
        ]
    );
}

#[tokio::test]
async fn a_page_size_out_of_range_and_an_endless_prefix_are_refused() {
    let script = Script::new([]);
    let client = script.client();
    for keys in [0, 1001] {
        let error = client.list("").limit(keys).await.expect_err("out of range");
        assert_eq!(error.code(), Some("invalid_query"), "{error}");
    }
    let error = client.list("x".repeat(1025)).await.expect_err("too long");
    assert_eq!(error.code(), Some("key_too_long"));
    let mut stream = client.list("").limit(0).stream();
    assert!(stream.next().await.expect("an item").is_err());
    assert!(stream.next().await.is_none());
    assert!(script.sent().is_empty());
}

#[tokio::test]
async fn a_stream_follows_the_pages_to_the_end() {
    let script = Script::new([
        page(&["a", "b"], Some("b")),
        // A page may be empty although there is more: its keys were deleted meanwhile.
        page(&[], Some("c")),
        page(&["d"], None),
    ]);
    assert_eq!(
        names(&script.client()).await.expect("keys"),
        ["a", "b", "d"]
    );
    assert_eq!(
        targets(&script),
        [
            "/keys?limit=1000",
            "/keys?after=b&limit=1000",
            "/keys?after=c&limit=1000"
        ]
    );
}

#[tokio::test]
async fn a_stream_begins_where_it_is_told_and_fetches_pages_of_the_size_it_is_told() {
    let script = Script::new([page(&["pb"], Some("pb")), page(&[], None)]);
    let listing = script.client().list("p").after("pa").limit(1);
    assert_eq!(listing.stream().count().await, 1);
    assert_eq!(
        targets(&script),
        [
            "/keys?prefix=p&after=pa&limit=1",
            "/keys?prefix=p&after=pb&limit=1"
        ]
    );
}

#[tokio::test]
async fn a_stream_fetches_a_page_only_when_its_turn_comes() {
    let script = Script::new([page(&["a", "b"], Some("b")), page(&["c"], None)]);
    let mut stream = script.client().list("").stream();
    assert!(script.sent().is_empty());
    for _ in 0..2 {
        stream.next().await.expect("an item").expect("a key");
        assert_eq!(script.sent().len(), 1);
    }
    stream.next().await.expect("an item").expect("a key");
    assert_eq!(script.sent().len(), 2);
}

#[tokio::test]
async fn a_stream_ends_after_its_first_error() {
    let script = Script::new([page(&["a"], Some("a")), problem(ErrorCode::InvalidQuery)]);
    let mut stream = script.client().list("").stream();
    assert!(stream.next().await.expect("an item").is_ok());
    let error = stream.next().await.expect("an item").expect_err("an error");
    assert_eq!(error.code(), Some("invalid_query"));
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn a_page_that_leads_back_does_not_make_a_circle() {
    let script = Script::new([page(&["b"], Some("b")), page(&["b"], Some("b"))]);
    let error = names(&script.client()).await.expect_err("a circle");
    assert!(error.to_string().contains("leads back"), "{error}");
}

#[tokio::test]
async fn a_page_that_is_not_one_is_an_error() {
    let illegal_key = r#"{"keys":[{"key":"..","version":"e1-1","size":3}],"next":null}"#;
    for body in ["", "[]", "{}", r#"{"keys":[]}x"#, illegal_key, "<html>"] {
        let script = Script::new([answer(200, &[], body)]);
        let error = script.client().list("").await.expect_err(body);
        assert!(!error.is_retryable(), "{body}");
        assert!(error.to_string().contains("not the JSON"), "{error}");
    }
    let script = Script::new([foreign(404)]);
    assert!(script.client().list("").await.is_err());
}
