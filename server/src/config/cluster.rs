//! How a server is one of several.

use std::{net::SocketAddr, num::NonZeroU8};

use clap::Args;

/// Flags of a cluster. None of them: the server runs alone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Cluster")]
pub struct ClusterFlags {
    /// Be one of a cluster: where other nodes listen for their peers, with commas between; its own
    /// address may be among them
    #[arg(
        long,
        visible_alias = "join",
        env = "TRANDB_PEERS",
        value_name = "HOST:PORT,…",
        value_delimiter = ','
    )]
    pub peers: Vec<String>,

    /// How many nodes found a new cluster together, this one included; without it the node joins
    /// one that is there
    #[arg(long, env = "TRANDB_BOOTSTRAP_EXPECT", value_name = "NUMBER",
        value_parser = clap::value_parser!(u8).range(1..=15))]
    pub bootstrap_expect: Option<u8>,

    /// How many nodes hold each shard, where there are as many; fixed when the cluster is founded
    /// [default: as many as found it, at least 3, at most 5]
    #[arg(long, env = "TRANDB_REPLICAS", value_name = "NUMBER",
        value_parser = clap::value_parser!(u8).range(1..=9))]
    pub replicas: Option<u8>,

    /// The node's place in the cluster, to which it comes back when it is started again
    #[arg(long, env = "TRANDB_NAME", value_name = "NAME")]
    pub name: Option<String>,

    /// Address and port for the other nodes [default: 127.0.0.1:8081]
    #[arg(long, env = "TRANDB_PEER_LISTEN", value_name = "ADDRESS:PORT",
        value_parser = super::socket_address)]
    pub peer_listen: Option<SocketAddr>,

    /// Where the other nodes reach this one [default: the address of --peer-listen]
    #[arg(long, env = "TRANDB_PEER_ADVERTISE", value_name = "HOST:PORT")]
    pub peer_advertise: Option<String>,

    /// Where clients reach this node, as the others tell them [default: the address of --listen]
    #[arg(long, env = "TRANDB_ADVERTISE", value_name = "HOST:PORT")]
    pub advertise: Option<String>,

    /// What the node shares its fate with, such as a building
    #[arg(long, env = "TRANDB_ZONE", value_name = "NAME")]
    pub zone: Option<String>,
}

impl ClusterFlags {
    /// Whether there are none: the server runs alone.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A node of a cluster, as it was told to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// Its place.
    pub name: String,
    /// Where the others may be.
    pub peers: Vec<String>,
    /// How many found a cluster; none: it founds none.
    pub bootstrap_expect: Option<u8>,
    /// How many hold each shard of a cluster that it founds.
    pub replicas: NonZeroU8,
    /// Where it listens for them.
    pub peer_listen: SocketAddr,
    /// Where they reach it.
    pub peer_address: String,
    /// Where clients reach it.
    pub address: String,
    /// What it shares its fate with; empty if nobody says.
    pub zone: String,
}

/// Where peers are listened for if nothing else is said.
const PEER_LISTEN: ([u8; 4], u16) = ([127, 0, 0, 1], 8081);

impl ClusterFlags {
    /// What they come to for a server that listens at `listen`; none: it runs alone.
    ///
    /// # Errors
    ///
    /// They do not go together. The message says what to do.
    pub fn membership(&self, listen: SocketAddr) -> anyhow::Result<Option<Membership>> {
        let (expect, peers) = (self.bootstrap_expect, &self.peers);
        if peers.is_empty() && expect.is_none() {
            anyhow::ensure!(
                *self == Self::default(),
                "--name, --zone, --replicas, --advertise, --peer-listen and --peer-advertise are for \
                 a node of a cluster: say with --peers where the others are, or leave them out"
            );
            return Ok(None);
        }
        let Some(name) = self.name.clone().filter(|name| !name.is_empty()) else {
            anyhow::bail!(
                "give the node a name with --name, such as n1: it is its place in the cluster, and \
                 no two nodes have the same"
            );
        };
        for peer in peers {
            let port = peer.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
            anyhow::ensure!(
                matches!(port, Some(Ok(1..))),
                "--peers {peer:?} is no address: each is a host and a port, such as n2:8081"
            );
        }
        if let Some(expect) = expect {
            anyhow::ensure!(
                peers.len() + 1 >= usize::from(expect),
                "--bootstrap-expect {expect} needs the addresses of all founders in --peers, and \
                 there are {}",
                peers.len()
            );
        }
        let peer_listen = self.peer_listen.unwrap_or(PEER_LISTEN.into());
        let founders = expect.unwrap_or_default();
        let replicas = self.replicas.unwrap_or(founders.clamp(3, 5));
        Ok(Some(Membership {
            name,
            peers: peers.clone(),
            bootstrap_expect: expect,
            replicas: NonZeroU8::new(replicas).unwrap_or(NonZeroU8::MIN),
            peer_listen,
            peer_address: reachable(
                self.peer_advertise.as_ref(),
                ("--peer-advertise", "--peer-listen"),
                peer_listen,
            )?,
            address: reachable(self.advertise.as_ref(), ("--advertise", "--listen"), listen)?,
            zone: self.zone.clone().unwrap_or_default(),
        }))
    }
}

/// The address that is told to others.
fn reachable(
    advertised: Option<&String>,
    (flag, listen_flag): (&str, &str),
    listen: SocketAddr,
) -> anyhow::Result<String> {
    if let Some(address) = advertised {
        return Ok(address.clone());
    }
    anyhow::ensure!(
        !listen.ip().is_unspecified() && listen.port() != 0,
        "{listen_flag} {listen} is nothing that others could reach: say with {flag} where they do"
    );
    Ok(listen.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listen() -> SocketAddr {
        ([127, 0, 0, 1], 8080).into()
    }

    fn flags(peers: &[&str]) -> ClusterFlags {
        ClusterFlags {
            name: Some("n1".to_owned()),
            peers: peers.iter().map(|&peer| peer.to_owned()).collect(),
            ..ClusterFlags::default()
        }
    }

    #[test]
    fn without_flags_a_server_runs_alone() {
        let membership = ClusterFlags::default().membership(listen());
        assert_eq!(membership.expect("legal"), None);
    }

    #[test]
    fn what_others_are_told_is_where_it_listens_unless_said_otherwise() {
        let mut flags = flags(&["n2:8081"]);
        let membership = flags.membership(listen()).expect("legal").expect("one");
        assert_eq!(membership.peer_address, "127.0.0.1:8081");
        assert_eq!(membership.address, "127.0.0.1:8080");
        flags.peer_listen = Some(([0, 0, 0, 0], 7000).into());
        flags.peer_advertise = Some("n1:7000".to_owned());
        flags.advertise = Some("n1:80".to_owned());
        let membership = flags.membership(listen()).expect("legal").expect("one");
        assert_eq!(membership.peer_address, "n1:7000");
        assert_eq!(membership.address, "n1:80");
    }

    #[test]
    fn as_many_hold_a_shard_as_found_the_cluster_within_reason() {
        let all: Vec<String> = (2..9).map(|n| format!("n{n}:8081")).collect();
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let replicas = |expect, said| {
            let flags = ClusterFlags {
                bootstrap_expect: expect,
                replicas: said,
                ..flags(&all)
            };
            let membership = flags.membership(listen()).expect("legal").expect("one");
            membership.replicas.get()
        };
        let defaults = [None, Some(1), Some(3), Some(4), Some(5), Some(7)];
        let defaults = defaults.map(|expect| replicas(expect, None));
        assert_eq!(defaults, [3, 3, 3, 4, 5, 5]);
        assert_eq!(replicas(Some(3), Some(1)), 1);
    }

    #[test]
    fn what_does_not_go_together_is_refused_with_a_remedy() {
        let nameless = ClusterFlags {
            name: None,
            ..flags(&["n2:8081"])
        };
        let alone = ClusterFlags {
            zone: Some("here".to_owned()),
            ..ClusterFlags::default()
        };
        let unreachable = ClusterFlags {
            peer_listen: Some(([0, 0, 0, 0], 8081).into()),
            ..flags(&["n2:8081"])
        };
        let few = ClusterFlags {
            bootstrap_expect: Some(3),
            ..flags(&["n2:8081"])
        };
        for (flags, remedy) in [
            (nameless, "--name"),
            (alone, "--peers"),
            (unreachable, "--peer-advertise"),
            (few, "all founders"),
            (flags(&["n2"]), "a port"),
            (flags(&["n2:0"]), "a port"),
        ] {
            let error = flags.membership(listen()).expect_err(remedy).to_string();
            assert!(error.contains(remedy), "{error}");
        }
        let everywhere = ([0, 0, 0, 0], 8080).into();
        let error = flags(&["n2:8081"]).membership(everywhere);
        assert!(
            error
                .expect_err("0.0.0.0")
                .to_string()
                .contains("--advertise")
        );
    }
}
