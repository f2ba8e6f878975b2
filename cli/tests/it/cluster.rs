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
        "state": "up", "leads": 1,
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

member  node  state  leads  zone  clients  peers
n1         1  up         1  a     n1:8080  n1:8081

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
        text.ends_with("\nn1         1  up         1  a     n1:8080  n1:8081\n"),
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
