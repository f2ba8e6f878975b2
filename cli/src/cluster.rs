//! The cluster, as one of its nodes sees it.
//!
//! Tests: at the end of this file and in `tests/it/cluster.rs`.

use std::collections::BTreeMap;

use comfy_table::{CellAlignment, Table, presets};
use trandb_client::cluster::{ClusterStatus, GroupStatus, MemberState, MemberStatus, ReplicaRole};

use crate::{
    args::{Remove, Transfer},
    escape,
    failure::{Exit, Failure},
    keys::as_json,
    output::Output,
    session::Session,
};

/// Members and groups; exit code 5 unless the node that answers is ready and all members are there.
pub(crate) async fn status(session: &Session) -> Result<(), Failure> {
    let status = session.client.cluster().await?;
    show(session, &status, |status| {
        format!(
            "{}\n\n{}\n{}",
            summary(status),
            members_table(status),
            groups_table(status)
        )
    })?;
    if !status.ready {
        let what = "the node that answers is no voter in some group, or a group has no leader";
        Err(Failure::new(Exit::RetryLater, what))
    } else if !status.members.iter().all(is_up) {
        let what = "not all members are there";
        Err(Failure::new(Exit::RetryLater, what))
    } else {
        Ok(())
    }
}

fn is_up(member: &MemberStatus) -> bool {
    member.state == MemberState::Up
}

/// Members alone.
pub(crate) async fn members(session: &Session) -> Result<(), Failure> {
    let status = session.client.cluster().await?;
    if session.json {
        let mut output = Output::stdout();
        for member in &status.members {
            output.write(&as_json(member)?)?;
        }
        return output.finish();
    }
    show(session, &status, members_table)
}

/// Takes a member out. Not without being told twice if fewer nodes hold the data afterwards.
pub(crate) async fn remove(session: &Session, remove: &Remove) -> Result<(), Failure> {
    let Remove { name, yes } = remove;
    let status = session.client.cluster().await?;
    let shards = status.groups.iter().filter(|group| group.shard.is_some());
    let copies = shards
        .filter(|group| !group.changing)
        .map(|group| group.voters.len());
    let copies = copies.max().unwrap_or(0);
    let others = status.members.iter().filter(|member| member.name != *name);
    let left = others.filter(|member| is_up(member)).count();
    let is_member = status.members.iter().any(|member| member.name == *name);
    if is_member && left < copies && !yes {
        let what = format!(
            "without {} there are {left} nodes that are up, and so {left} instead of {copies} copies \
             of the data: say --yes if that is what you want",
            escape::message(name)
        );
        return Err(Failure::new(Exit::Refused, what));
    }
    session.client.remove_member(name).await?;
    let name = escape::message(name);
    done(
        session,
        &format!("{name} is removed: `trandb cluster status` shows how its shards move"),
    )
}

/// Lets a member lead.
pub(crate) async fn transfer(session: &Session, transfer: &Transfer) -> Result<(), Failure> {
    let Transfer { to, shard } = transfer;
    session.client.transfer(*shard, to).await?;
    let group = shard.map_or_else(
        || "the members".to_owned(),
        |shard| format!("shard {shard}"),
    );
    done(session, &format!("{} leads {group}", escape::message(to)))
}

fn done(session: &Session, text: &str) -> Result<(), Failure> {
    let mut output = Output::stdout();
    if session.json {
        output.write(&as_json(&serde_json::json!({ "done": true }))?)?;
    } else {
        output.write(format!("{text}\n").as_bytes())?;
    }
    output.finish()
}

fn show(
    session: &Session,
    status: &ClusterStatus,
    text: impl Fn(&ClusterStatus) -> String,
) -> Result<(), Failure> {
    let mut output = Output::stdout();
    if session.json {
        output.write(&as_json(status)?)?;
    } else if status.clustered {
        output.write(text(status).as_bytes())?;
    } else {
        output.write(b"The server runs alone: it belongs to no cluster.\n")?;
    }
    output.finish()
}

/// What is to be seen first.
fn summary(status: &ClusterStatus) -> String {
    let names = Names::new(status);
    let (Some(cluster), Some(node)) = (&status.cluster, status.node) else {
        return "The node that answers has not found its cluster yet.".to_owned();
    };
    let me = names.of(node);
    let trouble = status.groups.iter().filter(|group| !group.ready).count();
    let health = match trouble {
        0 => "all of them well".to_owned(),
        _ => format!("{trouble} of them NOT WELL"),
    };
    let away = status
        .members
        .iter()
        .filter(|member| !is_up(member))
        .count();
    let away = match away {
        0 => String::new(),
        _ => format!(" ({away} NOT UP)"),
    };
    format!(
        "cluster {}: {} members{away}, {} groups, {health}\nas {me} sees it, which is {}",
        escape::message(cluster),
        status.members.len(),
        status.groups.len(),
        if status.ready { "ready" } else { "NOT READY" },
    )
}

fn members_table(status: &ClusterStatus) -> String {
    let mut members: Vec<&MemberStatus> = status.members.iter().collect();
    members.sort_by(|a, b| a.name.cmp(&b.name));
    let rows = members.into_iter().map(|member| {
        let state = match member.state {
            MemberState::Up => "up",
            MemberState::Silent => "SILENT",
            MemberState::Left => "LEFT",
        };
        let text = |text: &str| match text {
            "" => "-".to_owned(),
            text => escape::message(text),
        };
        [
            text(&member.name),
            member.node.to_string(),
            state.to_owned(),
            member.leads.to_string(),
            member.holds.to_string(),
            text(&member.zone),
            text(&member.address),
            text(&member.peer_address),
        ]
    });
    let head = [
        "member", "node", "state", "leads", "holds", "zone", "clients", "peers",
    ];
    table(head, &[1, 3, 4], rows)
}

fn groups_table(status: &ClusterStatus) -> String {
    let names = Names::new(status);
    let rows = status.groups.iter().map(|group| {
        [
            match group.shard {
                Some(shard) => format!("shard {shard}"),
                None => "members".to_owned(),
            },
            group
                .leader
                .map_or("NOBODY".to_owned(), |node| names.of(node)),
            group.term.to_string(),
            names.all(&group.voters),
            behind(group, &names),
            health(group).to_owned(),
        ]
    });
    let head = ["group", "leader", "term", "voters", "behind", "health"];
    table(head, &[2], rows)
}

/// Who lacks how many entries: a leader knows of all, others of themselves.
fn behind(group: &GroupStatus, names: &Names<'_>) -> String {
    let others = group.lagging.iter().filter(|(_, lag)| **lag != Some(0));
    let mut behind: Vec<_> = others
        .map(|(node, lag)| match lag {
            Some(lag) => format!("{} {lag}", names.of(*node)),
            None => format!("{} all", names.of(*node)),
        })
        .collect();
    if group.lag > 0 {
        behind.insert(0, format!("itself {}", group.lag));
    }
    if behind.is_empty() {
        behind.push("-".to_owned());
    }
    behind.join(", ")
}

fn health(group: &GroupStatus) -> &'static str {
    match group {
        GroupStatus {
            role: ReplicaRole::None,
            ..
        } => "elsewhere",
        GroupStatus { ready: true, .. } => "well",
        GroupStatus { leader: None, .. } => "NO LEADER",
        GroupStatus { changing: true, .. } => "VOTERS CHANGE",
        _ => "NOT A VOTER YET, OR NOT FOLLOWED",
    }
}

/// What people call the nodes.
struct Names<'a>(BTreeMap<u64, &'a str>);

impl<'a> Names<'a> {
    fn new(status: &'a ClusterStatus) -> Self {
        let members = status.members.iter();
        Self(
            members
                .map(|member| (member.node, member.name.as_str()))
                .collect(),
        )
    }

    /// A node that is in nobody's place any more has its number alone.
    fn of(&self, node: u64) -> String {
        match self.0.get(&node) {
            Some(name) => escape::message(name),
            None => format!("(node {node})"),
        }
    }

    fn all(&self, nodes: &[u64]) -> String {
        let mut names: Vec<_> = nodes.iter().map(|node| self.of(*node)).collect();
        names.sort_unstable();
        names.join(" ")
    }
}

/// Columns under a head; those of `numbers` end at the right.
fn table<const N: usize>(
    head: [&str; N],
    numbers: &[usize],
    rows: impl Iterator<Item = [String; N]>,
) -> String {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_header(head)
        .add_rows(rows);
    for (at, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if numbers.contains(&at) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut text = String::new();
    for line in table.lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{ClusterStatus, groups_table, members_table, summary};

    fn status(json: serde_json::Value) -> ClusterStatus {
        serde_json::from_value(json).expect("as the server tells it")
    }

    fn member(name: &str, node: u64, state: &str) -> serde_json::Value {
        serde_json::json!({
            "name": name, "node": node, "address": format!("{name}:8080"),
            "peer_address": format!("{name}:8081"), "zone": "", "state": state, "leads": node, "holds": 1,
        })
    }

    fn in_trouble() -> ClusterStatus {
        status(serde_json::json!({
            "clustered": true, "ready": false, "cluster": "c0ffee", "node": 1, "map_version": 3,
            "members": [member("n2", 2, "left"), member("n1", 1, "up"), member("n\u{1b}[2J", 13, "silent")],
            "groups": [
                {"shard": null, "epoch": 1, "role": "leader", "term": 3, "leader": 1,
                 "voters": [1, 2, 13], "changing": false, "lag": 0,
                 "lagging": {"1": 0, "2": 7, "13": null}, "ready": true},
                {"shard": 0, "epoch": 1, "role": "follower", "term": 12, "leader": null,
                 "voters": [1, 9], "changing": true, "lag": 4, "lagging": {}, "ready": false},
            ],
        }))
    }

    #[test]
    fn trouble_catches_the_eye() {
        let status = in_trouble();
        assert_eq!(
            summary(&status),
            "cluster c0ffee: 3 members (2 NOT UP), 2 groups, 1 of them NOT WELL\nas n1 sees it, which is NOT READY"
        );
        assert_eq!(
            members_table(&status),
            "\
member      node  state   leads  holds  zone  clients          peers
n\\u{1b}[2J    13  SILENT     13      1  -     n\\u{1b}[2J:8080  n\\u{1b}[2J:8081
n1             1  up          1      1  -     n1:8080          n1:8081
n2             2  LEFT        2      1  -     n2:8080          n2:8081
"
        );
        assert_eq!(
            groups_table(&status),
            "\
group    leader  term  voters            behind                health
members  n1         3  n1 n2 n\\u{1b}[2J  n2 7, n\\u{1b}[2J all  well
shard 0  NOBODY    12  (node 9) n1       itself 4              NO LEADER
"
        );
    }

    #[test]
    fn who_looks_for_its_cluster_says_so() {
        let status = status(serde_json::json!({
            "clustered": true, "ready": false, "cluster": null, "node": null, "map_version": 0,
            "members": [], "groups": [],
        }));
        assert_eq!(
            summary(&status),
            "The node that answers has not found its cluster yet."
        );
    }
}
