//! A container with little memory: the server turns writes away before the kernel ends it, and
//! everything else goes on.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use reqwest::StatusCode;

use crate::node::{Node, problem};

const MEMORY_LIMIT: usize = 128 << 20;
const WRITERS: usize = 8;

#[tokio::test]
#[ignore = "needs Docker and the image: just integration-test"]
async fn large_values_fill_it_and_it_lives_on() {
    fill_free_and_fill_again(1 << 20).await;
}

#[tokio::test]
#[ignore = "needs Docker and the image: just integration-test"]
async fn small_values_fill_it_and_it_lives_on() {
    fill_free_and_fill_again(1 << 10).await;
}

async fn fill_free_and_fill_again(value_size: usize) {
    let node = small_node().await;

    let stored = fill(&node, "first", value_size).await;
    assert!(
        stored.len() * value_size > MEMORY_LIMIT / 4,
        "full after {} values",
        stored.len()
    );
    assert_alive(&node).await;
    let sampled = stored.len().div_ceil(100);
    for (key, value) in stored.iter().step_by(sampled) {
        let read = node.get(&format!("/keys/{key}")).await;
        assert_eq!(read.status(), StatusCode::OK, "{key}");
        assert!(
            read.bytes().await.expect("a body") == *value,
            "{key} has another value"
        );
    }

    let freed = stored.len() / 2;
    for key in stored.keys().take(freed) {
        let deleted = node.delete(&format!("/keys/{key}")).await;
        assert_eq!(deleted.status(), StatusCode::NO_CONTENT, "{key}");
    }
    let refilled = fill(&node, "second", value_size).await;
    assert!(
        refilled.len() * 2 > freed,
        "{freed} values were deleted, and only {} found room",
        refilled.len()
    );

    assert_alive(&node).await;
    assert_eq!(node.stop().await, 0);
}

async fn small_node() -> Node {
    let limit = i64::try_from(MEMORY_LIMIT).expect("a small number");
    Node::start_with(&[], move |config| {
        config.memory = Some(limit);
        // No swap on top.
        config.memory_swap = Some(limit);
    })
    .await
}

/// Several writers put values under fresh keys until each of them is refused. Returns what was
/// acknowledged.
async fn fill(node: &Node, name: &str, value_size: usize) -> BTreeMap<String, Vec<u8>> {
    let writers =
        (0..WRITERS).map(|writer| write_until_full(node, format!("{name}-{writer}"), value_size));
    join_all(writers).await.into_iter().flatten().collect()
}

async fn write_until_full(
    node: &Node,
    prefix: String,
    value_size: usize,
) -> BTreeMap<String, Vec<u8>> {
    let mut stored = BTreeMap::new();
    // Never more in all than twice what the container may use.
    for number in 0..=2 * MEMORY_LIMIT / value_size / WRITERS {
        let key = format!("{prefix}-{number}");
        let mut value = key.clone().into_bytes();
        value.resize(value_size, b'.');
        let answer = node.put(&format!("/keys/{key}"), value.clone()).await;
        if answer.status() == StatusCode::OK {
            stored.insert(key, value);
            continue;
        }
        let refused = problem(answer, StatusCode::INSUFFICIENT_STORAGE).await;
        assert_eq!(refused["code"], "memory_full");
        assert_eq!(refused["outcome"], "not_committed");
        let absent = node.get(&format!("/keys/{key}")).await;
        assert_eq!(
            absent.status(),
            StatusCode::NOT_FOUND,
            "{key} was refused, and is there"
        );
        return stored;
    }
    panic!("{prefix}: more was stored than the container has memory");
}

async fn assert_alive(node: &Node) {
    let state = node.state().await;
    assert_eq!(state.oom_killed, Some(false), "{state:?}");
    assert_eq!(state.running, Some(true), "{state:?}");
    assert_eq!(node.get("/readyz").await.status(), StatusCode::OK);
}
