//! What operators and clients see of a cluster.

use std::net::TcpListener;

use nix::sys::signal::Signal;
use serde_json::Value as Json;
use trandb_integration_tests::{
    cluster::Cluster,
    eventually,
    process::{Process, run_to_exit},
    wire::{Request, ask},
};

pub(crate) async fn cluster_of(cluster: &Cluster, number: usize) -> Json {
    let answer = ask(cluster.address(number), &Request::get("/cluster")).await;
    answer.assert_status(200);
    serde_json::from_str(&answer.text()).expect("JSON")
}

pub(crate) async fn put(cluster: &Cluster, number: usize, key: &str, value: &str) -> u16 {
    let request = Request::put(format!("/keys/{key}"), value);
    ask(cluster.address(number), &request).await.status
}

pub(crate) async fn get(cluster: &Cluster, number: usize, key: &str) -> (u16, String) {
    let request = Request::get(format!("/keys/{key}"));
    let answer = ask(cluster.address(number), &request).await;
    (answer.status, answer.text())
}

#[tokio::test(flavor = "multi_thread")]
async fn any_node_serves_any_key_and_a_node_that_dies_loses_nothing() {
    let mut cluster = Cluster::start(3).await;
    for number in 0..30 {
        let key = format!("k{number}");
        assert_eq!(put(&cluster, number % 3, &key, &key).await, 200);
    }
    let before = cluster_of(&cluster, 1).await;
    cluster.kill(0);
    for number in 0..30 {
        let key = format!("k{number}");
        eventually("the others serve every key", async || {
            get(&cluster, 1 + number % 2, &key).await == (200, key.clone())
        })
        .await;
    }
    cluster.ready().await;
    for number in 0..30 {
        let key = format!("k{number}");
        assert_eq!(get(&cluster, 0, &key).await, (200, key));
    }
    let after = cluster_of(&cluster, 0).await;
    assert_eq!(after["cluster"], before["cluster"], "the same cluster");
    assert_eq!(after["node"], 4, "as another node than before");
    let members = after["members"].as_array().expect("a list");
    let names: Vec<_> = members.iter().map(|member| &member["name"]).collect();
    assert_eq!(names, ["n1", "n2", "n3"]);
    for group in after["groups"].as_array().expect("a list") {
        assert_eq!(group["voters"], serde_json::json!([2, 3, 4]), "{group}");
    }
}

/// Neither stale reads nor lost writes: whoever is alone says so.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_majority_nothing_is_served_and_nothing_is_lost() {
    let mut cluster = Cluster::start(3).await;
    assert_eq!(put(&cluster, 0, "k", "before").await, 200);
    cluster.signal(1, Signal::SIGSTOP);
    cluster.signal(2, Signal::SIGSTOP);
    eventually("the node that is left refuses", async || {
        get(&cluster, 0, "k").await.0 == 503
    })
    .await;
    let status = put(&cluster, 0, "k", "alone").await;
    assert!(status == 503 || status == 504, "{status}");
    assert_eq!(get(&cluster, 0, "k").await.0, 503);
    eventually("it says that it is not ready", async || {
        let ready = ask(cluster.address(0), &Request::get("/readyz")).await;
        ready.status == 503
    })
    .await;
    let alive = ask(cluster.address(0), &Request::get("/livez")).await;
    assert_eq!(alive.status, 200);
    cluster.signal(1, Signal::SIGCONT);
    cluster.signal(2, Signal::SIGCONT);
    cluster.ready().await;
    let (status_after, value) = get(&cluster, 2, "k").await;
    assert_eq!(status_after, 200);
    // Refused means not written; unknown may be either.
    assert!(
        value == "before" || (status == 504 && value == "alone"),
        "{status}: {value}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_planned_stop_ends_with_success_and_is_hardly_noticed() {
    let mut cluster = Cluster::start(3).await;
    for number in 0..3 {
        let status = cluster.stop(number).await;
        assert!(status.success(), "{status}");
        let key = format!("k{number}");
        assert_eq!(put(&cluster, (number + 1) % 3, &key, "v").await, 200);
        cluster.ready().await;
    }
    for number in 0..3 {
        let (status, value) = get(&cluster, number, "k0").await;
        assert_eq!((status, value.as_str()), (200, "v"), "all three are new");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_told_another_number_of_shards_says_so_and_ends() {
    let mut cluster = Cluster::start(3).await;
    cluster.kill(2);
    let mut flags = cluster.flags(2);
    flags.extend(["--shards", "3"]);
    let exited = run_to_exit(&flags, &[]).await;
    assert_eq!(exited.code, Some(1), "{}", exited.errors);
    assert!(exited.errors.contains("--shards 4"), "{}", exited.errors);
}

fn free_addresses() -> [String; 2] {
    let ports = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    ports.map(|port| port.local_addr().expect("bound").to_string())
}

/// A process that stood still until another one was started under its name, on another host say.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_has_a_successor_ends_and_says_why() {
    let mut cluster = Cluster::start(3).await;
    cluster.signal(2, Signal::SIGSTOP);
    let flags = cluster.flags(2);
    let [clients, peers] = free_addresses();
    let elsewhere: Vec<&str> = flags
        .chunks(2)
        .flat_map(|pair| match pair[0] {
            "--listen" => ["--listen", &clients],
            "--peer-listen" => ["--peer-listen", &peers],
            other => [other, pair[1]],
        })
        .collect();
    let successor = Process::start(&elsewhere);
    eventually("it takes the place", async || {
        let ready = ask(successor.address(), &Request::get("/readyz")).await;
        ready.status == 200
    })
    .await;
    cluster.signal(2, Signal::SIGCONT);
    let (status, log) = cluster.ended(2).await;
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("has come to the place of this one"), "{log}");
    assert_eq!(put(&cluster, 0, "k", "v").await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_does_not_answer_is_silent_until_it_does() {
    let cluster = Cluster::start(3).await;
    let state = async |number: usize| {
        let seen = cluster_of(&cluster, number).await;
        let members = seen["members"].as_array().expect("a list");
        let states = members.iter().map(|member| member["state"].clone());
        states.collect::<Vec<_>>()
    };
    assert_eq!(state(0).await, ["up"; 3]);
    cluster.signal(2, Signal::SIGSTOP);
    for number in [0, 1] {
        eventually("both others say so", async || {
            state(number).await == ["up", "up", "silent"]
        })
        .await;
    }
    cluster.signal(2, Signal::SIGCONT);
    for number in 0..3 {
        eventually("it is there again", async || {
            state(number).await == ["up"; 3]
        })
        .await;
    }
}

/// Else it would take its predecessor's place, and nobody could give it its entries.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_the_others_do_not_reach_is_told_so_and_takes_no_place() {
    let mut cluster = Cluster::start(3).await;
    cluster.kill(2);
    let mut flags = cluster.flags(2);
    // Of all ports the one where nobody listens.
    flags.extend(["--peer-advertise", "127.0.0.1:1"]);
    let unreached = Process::start(&flags);
    eventually("its log says what is wrong", async || {
        unreached.log().contains("see --peer-advertise")
    })
    .await;
    let seen = cluster_of(&cluster, 0).await;
    assert_eq!(seen["members"][2]["node"], 3, "still its predecessor");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_finds_no_cluster_says_what_it_waits_for() {
    let [listen, peers] = free_addresses();
    // Nobody listens there.
    let silent = "127.0.0.1:1";
    let seeds = format!("{silent},{peers}");
    let node = Process::start(&[
        "--name",
        "n1",
        "--listen",
        &listen,
        "--peer-listen",
        &peers,
        "--peers",
        &seeds,
        "--bootstrap-expect",
        "2",
    ]);
    eventually("its log names who is silent", async || {
        let log = node.log();
        let mut lines = log.lines();
        lines.any(|line| line.contains("still looking") && line.contains(silent))
    })
    .await;
    assert!(!node.log().contains("WARN"), "{}", node.log());
}
