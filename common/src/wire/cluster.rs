//! The answer of `GET /cluster`: how one node sees its cluster. Another node may see it differently
//! for a moment; about votes the shards' own leaders are right.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A node's view of itself and of its cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ClusterStatus {
    /// Whether there is a cluster at all. A server that runs alone says `false`, and nothing below
    /// means anything.
    pub clustered: bool,
    /// Whether each of this node's groups has a leader, and it has been a voter in all of those that it
    /// should hold.
    pub ready: bool,
    /// The cluster's name: 32 hexadecimal digits, made when it was founded; `null` as long as this
    /// node looks for it.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub cluster: Option<String>,
    /// This node's number in the cluster: a new one each time it is started.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub node: Option<u64>,
    /// Grows with every change of the members.
    pub map_version: u64,
    /// The members, by name.
    pub members: Vec<MemberStatus>,
    /// The group that keeps the members first, then one for each shard, and what this node knows and
    /// has of it.
    pub groups: Vec<GroupStatus>,
}

/// A place in the cluster and who is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MemberStatus {
    /// The place: `--name`.
    pub name: String,
    /// The number of the process that is there.
    pub node: u64,
    /// Where clients reach it.
    pub address: String,
    /// Where other nodes reach it.
    pub peer_address: String,
    /// What it shares its fate with; empty if nobody has said.
    pub zone: String,
    /// Whether it runs, as far as this node knows.
    pub state: MemberState,
    /// How many groups it leads, as this node believes.
    pub leads: usize,
    /// In the groups of how many shards it votes, as this node believes.
    #[serde(default)]
    pub holds: usize,
}

/// Whether a member runs, as far as the node knows that is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum MemberState {
    /// It has joined.
    Up,
    /// It has joined, and has not answered the node that is asked for some seconds.
    Silent,
    /// It has ended as planned.
    Left,
}

/// A group, and a node's replica of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GroupStatus {
    /// The shard that it replicates; `null`: the group that keeps the members.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub shard: Option<u16>,
    /// Grows with every forced recovery.
    pub epoch: u64,
    /// What the replica does; `none`: the shard is for other nodes to hold.
    pub role: ReplicaRole,
    /// The latest term of a leader that it has heard of.
    pub term: u64,
    /// The node that leads, as this one believes; `null`: nobody.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub leader: Option<u64>,
    /// The nodes that vote.
    pub voters: Vec<u64>,
    /// Whether the voters are just being changed.
    pub changing: bool,
    /// How many entries of its log it has not applied.
    pub lag: u64,
    /// At the leader: how many entries each of the others lacks; `null`: all of them.
    pub lagging: BTreeMap<u64, Option<u64>>,
    /// Whether it votes if it should, a leader is there, and the voters are not being changed.
    pub ready: bool,
}

/// What a replica does in its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum ReplicaRole {
    /// There is nothing: other nodes hold the shard.
    None,
    /// Receives entries, and has no vote.
    Learner,
    /// Has a vote.
    Follower,
    /// Asks for votes.
    Candidate,
    /// Orders the commands.
    Leader,
    /// Has ended.
    Stopped,
}
