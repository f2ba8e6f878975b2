//! What is told of a cluster.

use serde_json::{Value, json};
use trandb_common::wire::cluster::ClusterStatus;

use crate::{
    fake::Fake,
    run::{json_of, trandb_at},
};

fn cluster(ready: bool) -> ClusterStatus {
    let group = json!({
        "shard": 0, "epoch": 1, "role": "leader", "term": 2, "leader": 1, "voters": [1],
        "changing": false, "lag": 0, "lagging": {}, "ready": ready,
    });
    let member = json!({
        "name": "n1", "node": 1, "address": "n1:8080", "peer_address": "n1:8081", "zone": "a",
        "state": "up", "leads": 1, "holds": 1,
    });
    let status = json!({
        "clustered": true, "ready": ready, "cluster": "c0ffee", "node": 1, "map_version": 1,
        "members": [member], "groups": [group],
    });
    serde_json::from_value(status).expect("of the wire")
}

#[test]
fn status_shows_all_and_says_by_its_exit_code_whether_it_is_well() {
    let fake = Fake::start();
    fake.set_cluster(cluster(true));
    let text = trandb_at(&fake.url(), &["cluster", "status"]).ok();
    assert_eq!(
        text,
        "\
cluster c0ffee: 1 members, 1 groups, all of them well
as n1 sees it, which is ready

member  node  state  leads  holds  zone  clients  peers
n1         1  up         1      1  a     n1:8080  n1:8081

group    leader  term  voters  behind  health
shard 0  n1         2  n1      -       well
"
    );
    fake.set_cluster(cluster(false));
    let ran = trandb_at(&fake.url(), &["cluster", "status", "--json"]);
    let told: ClusterStatus = serde_json::from_slice(&ran.stdout).expect("JSON");
    assert_eq!(told, cluster(false));
    let stderr = ran.fails_with(5);
    assert!(stderr.contains("retry"), "{stderr}");
}

#[test]
fn members_are_a_line_each() {
    let fake = Fake::start();
    fake.set_cluster(cluster(true));
    let text = trandb_at(&fake.url(), &["cluster", "members"]).ok();
    assert!(
        text.ends_with("\nn1         1  up         1      1  a     n1:8080  n1:8081\n"),
        "{text}"
    );
    let rows = trandb_at(&fake.url(), &["cluster", "members", "--json"]).ok();
    let rows: Vec<Value> = rows.lines().map(json_of).collect();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["peer_address"], "n1:8081");
}

#[test]
fn a_server_alone_is_no_cluster() {
    let fake = Fake::start();
    fake.set_cluster(ClusterStatus {
        ready: true,
        ..ClusterStatus::default()
    });
    let text = trandb_at(&fake.url(), &["cluster", "status"]).ok();
    assert_eq!(text, "The server runs alone: it belongs to no cluster.\n");
}

#[test]
fn a_member_is_removed_and_not_lightly_if_copies_get_fewer() {
    let fake = Fake::start();
    fake.set_cluster(cluster(true));
    let refused = trandb_at(&fake.url(), &["cluster", "remove", "n1"]).fails_with(4);
    assert!(refused.contains("0 instead of 1 copies"), "{refused}");
    assert!(refused.contains("--yes"), "{refused}");
    let asked = |fake: &Fake| fake.requests().last().cloned();
    assert_eq!(asked(&fake).as_deref(), Some("GET /cluster "));
    let text = trandb_at(&fake.url(), &["cluster", "remove", "n1", "--yes"]).ok();
    assert!(text.starts_with("n1 is removed"), "{text}");
    assert_eq!(
        asked(&fake).as_deref(),
        Some("POST /cluster/remove member=n1")
    );
    let unknown = trandb_at(&fake.url(), &["cluster", "remove", "n 9"]).fails_with(4);
    assert!(unknown.contains("member"), "{unknown}");
    assert_eq!(
        asked(&fake).as_deref(),
        Some("POST /cluster/remove member=n%209")
    );
}

#[test]
fn a_member_is_let_lead() {
    let fake = Fake::start();
    let text = trandb_at(&fake.url(), &["cluster", "transfer", "n1", "--shard", "3"]).ok();
    assert_eq!(text, "n1 leads shard 3\n");
    let text = trandb_at(&fake.url(), &["cluster", "transfer", "n1", "--json"]).ok();
    assert_eq!(json_of(&text), json!({ "done": true }));
    let asked = fake.requests();
    let asked: Vec<&str> = asked.iter().map(String::as_str).collect();
    assert_eq!(
        asked,
        [
            "POST /cluster/transfer to=n1&shard=3",
            "POST /cluster/transfer to=n1"
        ]
    );
}
