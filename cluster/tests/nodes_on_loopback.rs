//! Nodes over TCP on the loopback interface, in one process: that it works outside of the simulator
//! too. What happens when something fails is tested there (`simulation`).

use std::{
    num::{NonZeroU8, NonZeroU16},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    net::TcpListener,
    time::{Instant, sleep},
};
use trandb_cluster::{
    founding::Charter,
    group::Settings,
    node::{Config, Failure, InvalidConfig, Listing, Node, NodeStatus, Router},
    peer::network::Tcp,
    system::Description,
};
use trandb_common::{Key, Value};
use trandb_engine::{
    AttemptId, Command, Condition, Decision, Finalize, LogTime, Read, Reply, ShardId, route,
};

static RANDOM: AtomicU64 = AtomicU64::new(1);

fn config(slot: &str, at: &str, seeds: &[String]) -> Config {
    Config {
        description: Description {
            slot: slot.to_owned(),
            at: at.to_owned(),
            client_at: String::new(),
            zone: String::new(),
        },
        seeds: seeds.to_vec(),
        bootstrap_expect: seeds.len(),
        charter: Charter {
            shards: NonZeroU16::new(3).expect("not 0"),
            replicas: NonZeroU8::new(3).expect("not 0"),
            version_epoch: 1,
            outcome_bytes: 1_000_000,
        },
        memory_limit: 100_000_000,
        settings: Settings::default(),
        // No test asks for more than that they differ.
        random: Arc::new(|| u128::from(RANDOM.fetch_add(1, Ordering::Relaxed))),
    }
}

/// A cluster of so many nodes; nothing is said about their order.
async fn cluster(nodes: usize, memory_limit: u64) -> Vec<(Node, Router)> {
    let mut listeners = Vec::new();
    for _ in 0..nodes {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        listeners.push(listener);
    }
    let at = |listener: &TcpListener| listener.local_addr().expect("an address").to_string();
    let seeds: Vec<String> = listeners.iter().map(at).collect();
    let mut started = Vec::new();
    for (index, listener) in listeners.into_iter().enumerate() {
        let config = Config {
            memory_limit,
            ..config(&format!("n{index}"), &seeds[index], &seeds)
        };
        started.push(Node::start(config, Tcp, listener).expect("a legal configuration"));
    }
    let mut all = Vec::new();
    for node in started {
        let router = node.joined().await.expect("a member");
        all.push((node, router));
    }
    all
}

/// For tests in real time: nothing waits for so long unless it hangs.
fn soon() -> Instant {
    Instant::now() + Duration::from_mins(1)
}

/// What it says when it is ready: some group may still elect its leader.
async fn ready(node: &Node) -> NodeStatus {
    let deadline = soon();
    loop {
        let status = node.status().expect("a member");
        if status.ready {
            return status;
        }
        assert!(
            Instant::now() < deadline,
            "it does not get ready: {status:?}"
        );
        sleep(Duration::from_millis(20)).await;
    }
}

fn key(text: &str) -> Key {
    Key::new(text).expect("legal")
}

fn put(key: &Key, bytes: usize) -> Command {
    Command::Put {
        key: key.clone(),
        value: Value::try_from(vec![7; bytes]).expect("legal"),
        condition: Condition::default(),
    }
}

async fn stop(all: Vec<(Node, Router)>) {
    for (node, _) in all {
        node.stop(Instant::now() + Duration::from_secs(5)).await;
    }
}

#[tokio::test]
async fn every_node_serves_every_key() {
    let all = cluster(3, u64::MAX).await;
    for (index, (_, router)) in all.iter().enumerate() {
        for n in 0..6 {
            let key = key(&format!("k{index}-{n}"));
            let shard = route(&key, router.count());
            let written = router.execute(shard, &put(&key, 9), soon()).await;
            let Ok(Reply::Written(version)) = written else {
                panic!("{written:?}");
            };
            for (_, other) in &all {
                let Ok(Read::Done(Some(found))) = other.read(shard, &key, soon()).await else {
                    panic!("{key} is not there");
                };
                assert_eq!(found.version, version);
            }
        }
    }
    let listing = Listing {
        prefix: "k1".to_owned(),
        after: None,
        before: None,
        limit: 100,
    };
    for (_, router) in &all {
        let mut rows = 0;
        for shard in (0..router.count().get()).map(ShardId) {
            rows += router
                .list(shard, &listing, soon())
                .await
                .expect("keys")
                .len();
        }
        assert_eq!(rows, 6);
    }
    for (node, _) in &all {
        let status = ready(node).await;
        assert_eq!((status.slots.len(), status.groups.len()), (3, 4));
        assert!(!status.superseded, "{status:?}");
    }
    stop(all).await;
}

#[tokio::test]
async fn whoever_waits_at_any_node_is_woken_when_an_attempt_lets_go() {
    let all = cluster(3, u64::MAX).await;
    let shard = ShardId(0);
    let waiting: Vec<_> = all
        .iter()
        .map(|(_, router)| router.released(shard))
        .collect();
    let finalize = Command::Finalize(Finalize {
        attempt: AttemptId(1),
        decision: Decision::Abort,
        expires: LogTime(9_000),
        now: LogTime(1),
    });
    let finalized = all[0].1.execute(shard, &finalize, soon()).await;
    assert_eq!(finalized, Ok(Reply::Finalized));
    for released in waiting {
        let woken = tokio::time::timeout_at(soon(), released).await;
        woken.expect("woken");
    }
    stop(all).await;
}

#[tokio::test]
async fn a_command_that_needs_more_memory_than_is_left_changes_nothing() {
    let all = cluster(1, 10_000).await;
    let router = &all[0].1;
    let key = key("k");
    let shard = route(&key, router.count());
    let full = router.execute(shard, &put(&key, 20_000), soon()).await;
    let Err(failure @ Failure::MemoryFull { limit: 10_000, .. }) = full else {
        panic!("{full:?}");
    };
    assert!(failure.changed_nothing());
    let fits = router.execute(shard, &put(&key, 2_000), soon()).await;
    assert!(matches!(fits, Ok(Reply::Written(_))), "{fits:?}");
    stop(all).await;
}

#[tokio::test]
async fn a_stopped_node_answers_nothing() {
    let mut all = cluster(1, u64::MAX).await;
    let (node, router) = all.remove(0);
    node.stop(soon()).await;
    let key = key("k");
    let shard = route(&key, router.count());
    let read = router.read(shard, &key, soon()).await;
    assert_eq!(read, Err(Failure::Unavailable));
    let written = router.execute(shard, &put(&key, 1), soon()).await;
    assert!(written.is_err(), "{written:?}");
}

#[tokio::test]
async fn a_node_without_a_name_is_not_started() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let started = Node::start(config("", "a:1", &[]), Tcp, listener);
    assert_eq!(started.err(), Some(InvalidConfig::Description));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let started = Node::start(config("a", "a:1", &[]), Tcp, listener);
    assert_eq!(started.err(), Some(InvalidConfig::Expect));
}
