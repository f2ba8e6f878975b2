//! Clusters that get more nodes or fewer, and who leads in them.

use serde_json::Value as Json;
use trandb_integration_tests::{
    cluster::Cluster,
    eventually,
    wire::{Answer, Request, ask},
};

use crate::operation::{cluster_of, get, put};

const KEYS: usize = 40;

async fn fill(cluster: &Cluster) {
    for number in 0..KEYS {
        let key = format!("k{number}");
        assert_eq!(put(cluster, number % 3, &key, &key).await, 200);
    }
}

async fn assert_full(cluster: &Cluster, number: usize) {
    for n in 0..KEYS {
        let key = format!("k{n}");
        assert_eq!(get(cluster, number, &key).await, (200, key));
    }
}

async fn post(cluster: &Cluster, number: usize, path: &str) -> Answer {
    ask(cluster.address(number), &Request::post(path, "")).await
}

/// Of each member: how many it leads and holds.
fn shares(status: &Json, what: &str) -> Vec<u64> {
    let members = status["members"].as_array().expect("a list");
    let share = |member: &Json| member[what].as_u64().expect("a number");
    members.iter().map(share).collect()
}

fn names(status: &Json) -> Vec<&str> {
    let members = status["members"].as_array().expect("a list");
    let name = |member: &'_ Json| member["name"].as_str().map(str::len);
    assert!(members.iter().all(|member| name(member).is_some()));
    members
        .iter()
        .filter_map(|member| member["name"].as_str())
        .collect()
}

fn is_even(shares: &[u64]) -> bool {
    let (least, most) = (shares.iter().min(), shares.iter().max());
    least
        .zip(most)
        .is_some_and(|(least, most)| most - least <= 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_added_gets_its_share_and_one_that_is_removed_gives_it_up() {
    let mut cluster = Cluster::start(3).await;
    fill(&cluster).await;
    let added = cluster.add().await;
    assert_full(&cluster, added).await;
    eventually(
        "each holds three of the four shards, and leads about one",
        async || {
            let status = cluster_of(&cluster, added).await;
            let (holds, leads) = (shares(&status, "holds"), shares(&status, "leads"));
            holds == [3, 3, 3, 3] && is_even(&leads)
        },
    )
    .await;
    cluster.remove(0).await;
    eventually("the others hold all that it held", async || {
        let status = cluster_of(&cluster, added).await;
        let (holds, leads) = (shares(&status, "holds"), shares(&status, "leads"));
        names(&status) == ["n2", "n3", "n4"] && holds == [4, 4, 4] && is_even(&leads)
    })
    .await;
    for number in 1..=added {
        assert_full(&cluster, number).await;
        eventually("who is left is ready", async || {
            let ready = ask(cluster.address(number), &Request::get("/readyz")).await;
            ready.status == 200
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn leaders_are_spread_again_after_a_node_has_died() {
    let mut cluster = Cluster::start(3).await;
    for number in 0..3 {
        cluster.kill(number);
        cluster.ready().await;
    }
    eventually("no node leads all", async || {
        let leads = shares(&cluster_of(&cluster, 0).await, "leads");
        leads.iter().sum::<u64>() == 5 && is_even(&leads)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_is_let_lead_and_what_cannot_be_is_refused() {
    let cluster = Cluster::start(3).await;
    eventually("leaders are spread", async || {
        is_even(&shares(&cluster_of(&cluster, 0).await, "leads"))
    })
    .await;
    let leader = |status: &Json, group: usize| status["groups"][group]["leader"].clone();
    let before = cluster_of(&cluster, 0).await;
    let to = if leader(&before, 1) == 1 { 2 } else { 1 };
    for (number, query) in [(0, format!("to=n{to}&shard=0")), (2, format!("to=n{to}"))] {
        let answer = post(&cluster, number, &format!("/cluster/transfer?{query}")).await;
        answer.assert_status(200);
    }
    // Before they are spread again, some seconds later.
    eventually("it leads", async || {
        let status = cluster_of(&cluster, 1).await;
        leader(&status, 1) == to || leader(&status, 0) == to
    })
    .await;
    for (path, status, code) in [
        ("/cluster/transfer?to=n9", 404, "member_not_found"),
        ("/cluster/transfer?to=n1&shard=99", 400, "invalid_query"),
        ("/cluster/transfer?shard=0", 400, "invalid_query"),
        ("/cluster/remove?member=n9", 404, "member_not_found"),
        ("/cluster/remove?name=n1", 400, "invalid_query"),
    ] {
        let answer = post(&cluster, 1, path).await;
        assert_eq!(answer.status, status, "{path}");
        let problem: Json = serde_json::from_str(&answer.text()).expect("JSON");
        assert_eq!(problem["code"], code, "{path}");
    }
}

/// One after another, so that the last one that is left has everything, and cannot be removed.
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_shrinks_to_one_node() {
    let mut cluster = Cluster::start(3).await;
    fill(&cluster).await;
    for number in 0..2 {
        cluster.remove(number).await;
        eventually("those that are left are ready", async || {
            let ready = ask(cluster.address(2), &Request::get("/readyz")).await;
            let status = cluster_of(&cluster, 2).await;
            let voters = |group: &Json| group["voters"].as_array().map(Vec::len);
            let mut groups = status["groups"].as_array().expect("a list").iter();
            ready.status == 200 && groups.all(|group| voters(group) == Some(2 - number))
        })
        .await;
    }
    assert_full(&cluster, 2).await;
    let answer = post(&cluster, 2, "/cluster/remove?member=n3").await;
    assert_eq!(answer.status, 409, "{}", answer.text());
    assert_eq!(put(&cluster, 2, "k0", "alone").await, 200);
}
