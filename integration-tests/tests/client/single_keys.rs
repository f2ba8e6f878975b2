//! The same calls over both transports, with the same results.

use futures_util::TryStreamExt as _;
use trandb_client::{Client, Key, ListedKey, Outcome, RetryPolicy, TowerTransport};
use trandb_common::limits::{KEY_BYTES_MAX, LOCK_WAIT_MAX, VALUE_BYTES_MAX};
use trandb_engine::AttemptId;
use trandb_integration_tests::local::{InProcess, Served};

fn in_process(flags: &[&str]) -> (InProcess, Client) {
    let server = InProcess::new(flags);
    let transport = TowerTransport::new(server.app.clone());
    let client = Client::builder()
        .transport(transport)
        .retries(RetryPolicy::none());
    let client = client.build().expect("legal settings");
    (server, client)
}

async fn over_http(flags: &[&str]) -> (Served, Client) {
    let served = Served::start(flags).await;
    let client = Client::builder()
        .endpoint(format!("http://{}", served.address))
        .retries(RetryPolicy::none());
    let client = client.build().expect("legal settings");
    (served, client)
}

#[tokio::test]
async fn keys_and_values_come_back_as_they_were() {
    let (_server, client) = in_process(&[]);
    round_trips(&client).await;
    let (_served, client) = over_http(&[]).await;
    round_trips(&client).await;
}

async fn round_trips(client: &Client) {
    let longest = "ä".repeat(KEY_BYTES_MAX / 2);
    let keys = [
        "plain",
        "...",
        ".a",
        "a/b",
        "/",
        "//",
        "../..",
        "a b",
        "a+b",
        "%",
        "%2F",
        "%2E%2E",
        "?",
        "#",
        "a?b=c&d#e",
        "\0",
        "\r\n",
        "\u{7f}\u{1b}",
        "ä",
        "a\u{308}",
        "\u{feff}",
        "🦀",
        "\\",
        "\"",
        "~",
        longest.as_str(),
    ];
    for key in keys {
        assert_eq!(client.get(key).await.expect("an answer"), None, "{key:?}");
        let written = client
            .put(key, key.as_bytes().to_vec())
            .await
            .expect("written");
        let entry = client.get(key).await.expect("an answer").expect("a value");
        assert_eq!(
            (&entry.value[..], entry.version),
            (key.as_bytes(), written),
            "{key:?}"
        );
        let stat = client.stat(key).await.expect("an answer").expect("a value");
        assert_eq!(
            (stat.size, stat.version),
            (key.len() as u64, written),
            "{key:?}"
        );
    }
    let listed: Vec<ListedKey> = client
        .list("")
        .stream()
        .try_collect()
        .await
        .expect("a listing");
    let mut expected: Vec<&str> = keys.to_vec();
    expected.sort_unstable();
    let found: Vec<&str> = listed.iter().map(|listed| listed.key.as_str()).collect();
    assert_eq!(found, expected);
    for key in keys {
        client.delete(key).await.expect("deleted");
        assert_eq!(client.stat(key).await.expect("an answer"), None, "{key:?}");
    }
    for value in [vec![], vec![0xff; VALUE_BYTES_MAX]] {
        client.put("k", value.clone()).await.expect("written");
        let entry = client.get("k").await.expect("an answer").expect("a value");
        assert!(
            entry.value == value,
            "{} of {} bytes",
            entry.value.len(),
            value.len()
        );
    }
}

#[tokio::test]
async fn conditions_hold_or_are_conflicts() {
    let (_server, client) = in_process(&[]);
    conditions(&client).await;
    let (_served, client) = over_http(&[]).await;
    conditions(&client).await;
}

async fn conditions(client: &Client) {
    let first = client.put("k", "one").if_absent().await.expect("written");
    let conflict = client
        .put("k", "two")
        .if_absent()
        .await
        .expect_err("a value is there");
    assert!(
        conflict.is_conflict() && !conflict.is_retryable(),
        "{conflict}"
    );
    assert_eq!(conflict.current_version(), Some(first));
    assert_eq!(conflict.outcome(), Outcome::NotCommitted);

    let second = client
        .put("k", "two")
        .if_version(first)
        .await
        .expect("written");
    assert_ne!(first, second);
    let conflict = client
        .put("k", "three")
        .if_version(first)
        .await
        .expect_err("outdated");
    assert_eq!(conflict.current_version(), Some(second));
    let conflict = client
        .delete("k")
        .if_version(first)
        .await
        .expect_err("outdated");
    assert_eq!(conflict.current_version(), Some(second));
    client
        .delete("k")
        .if_version(second)
        .await
        .expect("deleted");

    let conflict = client
        .put("k", "three")
        .if_version(second)
        .await
        .expect_err("no value");
    assert!(conflict.is_conflict());
    assert_eq!(conflict.current_version(), None);
    let conflict = client
        .delete("k")
        .if_version(second)
        .await
        .expect_err("no value");
    assert!(conflict.is_conflict());
    let third = client.put("k", "three").await.expect("written");
    assert!(third != second && third != first);
}

#[tokio::test]
async fn listings_have_every_key_once_whatever_the_size_of_a_page() {
    let (_server, client) = in_process(&[]);
    listings(&client).await;
    let (_served, client) = over_http(&[]).await;
    listings(&client).await;
}

async fn listings(client: &Client) {
    let keys: Vec<String> = (0..250).map(|number| format!("p/{number:03}")).collect();
    for key in &keys {
        client.put(key, "x").await.expect("written");
    }
    client.put("o", "before").await.expect("written");
    client.put("p0", "behind").await.expect("written");
    for page in [1, 7, 125, 250, 251, 1000] {
        let stream = client.list("p/").limit(page).stream();
        let listed: Vec<String> = stream
            .map_ok(|listed| listed.key.to_string())
            .try_collect()
            .await
            .expect("pages");
        assert_eq!(listed, keys, "pages of {page}");
    }
    let page = client
        .list("p/")
        .after("p/120")
        .limit(10)
        .await
        .expect("a page");
    assert_eq!(page.keys[0].key.as_str(), "p/121");
    assert_eq!(page.next, Key::new("p/130").ok());
}

#[tokio::test]
async fn what_cannot_succeed_is_not_sent() {
    let (served, client) = over_http(&[]).await;
    for key in ["", ".", ".."] {
        let refused = client.put(key, "x").await.expect_err("illegal");
        assert_eq!(
            (refused.code(), refused.tries()),
            (Some("invalid_key"), 0),
            "{key:?}"
        );
    }
    let refused = client
        .put("k", vec![0; VALUE_BYTES_MAX + 1])
        .await
        .expect_err("too large");
    assert_eq!(
        (refused.code(), refused.tries()),
        (Some("value_too_large"), 0)
    );
    assert_eq!(served.server.memory.used(), 0);
}

#[tokio::test]
async fn limits_and_readiness_are_told() {
    for (limits, ready) in [
        {
            let (_server, client) = in_process(&["--memory-limit", "64MiB"]);
            (client.limits().await, client.is_ready().await)
        },
        {
            let (_served, client) = over_http(&["--memory-limit", "64MiB"]).await;
            (client.limits().await, client.is_ready().await)
        },
    ] {
        assert_eq!(limits.expect("limits").memory_bytes_max, 64 << 20);
        assert!(ready.expect("an answer"));
    }
}

#[tokio::test]
async fn a_full_memory_is_told_and_not_retried() {
    let (_served, client) = over_http(&["--memory-limit", "5MiB"]).await;
    let most = vec![0; 4 << 20];
    client.put("j", most.clone()).await.expect("room for one");
    let refused = client.put("k", most).await.expect_err("no room");
    assert_eq!((refused.code(), refused.tries()), (Some("memory_full"), 1));
    assert_eq!(refused.outcome(), Outcome::NotCommitted);
    assert!(!refused.is_retryable());
}

/// Time is paused: the lock is waited for one second, and the client comes back after it.
#[tokio::test(start_paused = true)]
async fn a_locked_key_is_tried_again_until_it_is_free() {
    let server = InProcess::new(&[]);
    let transport = TowerTransport::new(server.app.clone());
    let client = Client::builder()
        .transport(transport)
        .build()
        .expect("legal settings");
    let (database, key) = (server.app.database(), Key::new("k").expect("legal"));
    let (shard, shards) = (database.shard_of(&key), database.shards());
    shards
        .lock(shard, AttemptId(1), &[], &[key])
        .await
        .expect("free");
    let release = async {
        tokio::time::sleep(3 * LOCK_WAIT_MAX).await;
        shards.unlock(shard, AttemptId(1)).await;
    };
    let (written, ()) = tokio::join!(client.put("k", "v").into_future(), release);
    written.expect("written after the lock was released");
    assert!(client.get("k").await.expect("an answer").is_some());
}
