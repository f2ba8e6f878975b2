//! Three containers that are one cluster, under the workloads of the simulation: one is killed,
//! stands still, is stopped or cut off from the others, and the history is judged like every other.
//!
//! Each container is in two networks: one that clients reach it by, and one of the nodes alone.
//! Whoever is taken out of the second is alone, and its clients still speak to it.

use std::{collections::HashMap, net::TcpListener, time::Duration};

use testcontainers::{
    ContainerAsync, GenericImage, ImageExt,
    bollard::{
        Docker,
        models::{
            EndpointSettings, HostConfig, NetworkConnectRequest, NetworkCreateRequest,
            NetworkDisconnectRequest, PortBinding,
        },
        query_parameters::KillContainerOptions,
    },
    core::IntoContainerPort,
    runners::AsyncRunner,
};
use trandb_integration_tests::{
    campaign::search_once,
    cluster::{Failure, Nodes},
    eventually,
    scenario::Scenario,
    seed::Seeds,
    world::{
        real_nodes::{Stand, adapted},
        run_on_nodes,
    },
};

use crate::node::{NAME, PORT, STOP_SECONDS, TAG, docker_with_the_image, http_client};

/// Histories where nothing else is said.
const SEEDS: u64 = 5;

/// Where nodes listen for their peers.
const PEER_PORT: u16 = 8081;

const COUNT: usize = 3;

#[test]
#[ignore = "needs Docker and the image: just integration-test"]
fn histories_of_containers_that_fail_are_legal() {
    let stand = Stand::start(Containers::start(COUNT));
    let counts = search_once(
        "containers cluster::histories_of_containers_that_fail_are_legal",
        &Seeds::from_env(SEEDS),
        |seed| adapted(Scenario::draw(seed)),
        |scenario| run_on_nodes(&stand, scenario),
    );
    let counts = counts.unwrap_or_else(|found| panic!("{found}"));
    println!("{counts}");
    assert!(counts.operations() > 0, "{counts}");
}

/// Whoever is cut off from the others says so, whatever its clients ask, and comes back by itself.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Docker and the image: just integration-test"]
async fn a_node_that_is_cut_off_serves_nothing_stale() {
    let mut nodes = Containers::start(COUNT).await;
    let http = http_client();
    let put = async |number: usize, value: &'static str| {
        let url = format!("{}/keys/k", nodes.endpoints()[number]);
        let sent = http.put(url).body(value).send().await;
        sent.expect("an answer").status().as_u16()
    };
    assert_eq!(put(0, "before").await, 200);
    nodes.disconnect(0).await;
    eventually("the others go on without it", async || {
        put(1, "after").await == 200
    })
    .await;
    let get = async |number: usize| {
        let url = format!("{}/keys/k", nodes.endpoints()[number]);
        let answer = http.get(url).send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("text"))
    };
    let (status, text) = get(0).await;
    assert_eq!(status, 503, "{text}");
    assert_eq!(get(2).await, (200, "after".to_owned()));
    nodes.connect(0).await;
    eventually("it serves again", async || {
        get(0).await == (200, "after".to_owned())
    })
    .await;
    nodes.ready().await;
}

/// Containers that are one cluster. They are removed with this value.
struct Containers {
    places: Vec<Place>,
    clients: String,
    // Last, since a network is removed only when nobody is in it.
    peers: Network,
}

struct Place {
    /// Of this host, for clients.
    port: u16,
    /// None while nobody is there.
    container: Option<ContainerAsync<GenericImage>>,
}

impl Containers {
    /// Starts so many, and waits until each is ready.
    async fn start(count: usize) -> Self {
        let docker = docker_with_the_image().await;
        let ports: Vec<TcpListener> = (0..count)
            .map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port"))
            .collect();
        let places = ports.iter().map(|port| Place {
            port: port.local_addr().expect("bound").port(),
            container: None,
        });
        let places: Vec<Place> = places.collect();
        drop(ports);
        let name = format!("trandb-test-{}-{}", std::process::id(), places[0].port);
        let mut containers = Self {
            places,
            clients: format!("{name}-clients"),
            peers: Network::create(docker, format!("{name}-peers")).await,
        };
        for number in 0..count {
            containers.start_member(number).await;
        }
        containers.ready().await;
        containers
    }

    async fn start_member(&mut self, number: usize) {
        let all: Vec<_> = (0..self.places.len()).map(peer_at).collect();
        let port = self.places[number].port;
        let container = GenericImage::new(NAME, TAG)
            .with_exposed_port(PORT.tcp())
            .with_network(&self.clients)
            .with_env_var("TRANDB_NAME", name(number))
            .with_env_var("TRANDB_PEERS", all.join(","))
            .with_env_var("TRANDB_BOOTSTRAP_EXPECT", self.places.len().to_string())
            .with_env_var("TRANDB_PEER_LISTEN", format!("0.0.0.0:{PEER_PORT}"))
            .with_env_var("TRANDB_PEER_ADVERTISE", peer_at(number))
            .with_env_var("TRANDB_ADVERTISE", format!("127.0.0.1:{port}"))
            .with_host_config_modifier(move |config| publish_at(config, port))
            .start()
            .await
            .unwrap_or_else(|error| panic!("the container does not start: {error}"));
        self.places[number].container = Some(container);
        self.connect(number).await;
    }

    fn container(&self, number: usize) -> &ContainerAsync<GenericImage> {
        let container = self.places[number].container.as_ref();
        container.expect("somebody is there")
    }

    async fn connect(&self, number: usize) {
        self.peers
            .connect(self.container(number).id(), name(number))
            .await;
    }

    async fn disconnect(&self, number: usize) {
        self.peers.disconnect(self.container(number).id()).await;
    }

    /// With SIGKILL: nothing of it is left.
    async fn kill(&mut self, number: usize) {
        let container = self.places[number].container.take();
        let container = container.expect("somebody is there");
        let docker = &self.peers.docker;
        let killed = docker.kill_container(container.id(), None::<KillContainerOptions>);
        killed.await.expect("docker kill");
        container.rm().await.expect("docker rm");
    }

    async fn stop(&mut self, number: usize) {
        let container = self.places[number].container.take();
        let container = container.expect("somebody is there");
        let stopped = container.stop_with_timeout(Some(STOP_SECONDS)).await;
        stopped.expect("docker stop");
        let code = container.exit_code().await.expect("docker inspect");
        assert_eq!(code, Some(0), "a planned stop");
        container.rm().await.expect("docker rm");
    }
}

impl Nodes for Containers {
    fn failures(&self) -> &'static [Failure] {
        const KINDS: &[Failure] = &[
            Failure::Kill,
            Failure::Kill,
            Failure::Pause,
            Failure::Stop,
            Failure::Cut,
            Failure::Cut,
        ];
        KINDS
    }

    fn len(&self) -> usize {
        self.places.len()
    }

    fn endpoints(&self) -> Vec<String> {
        let places = self.places.iter();
        places
            .map(|place| format!("http://127.0.0.1:{}", place.port))
            .collect()
    }

    async fn fail(&mut self, number: usize, failure: Failure) {
        match failure {
            Failure::Kill => self.kill(number).await,
            Failure::Stop => self.stop(number).await,
            Failure::Cut => self.disconnect(number).await,
            Failure::Remove => unreachable!("it is done to processes alone"),
            Failure::Pause => {
                let paused = self.container(number).pause().await;
                paused.expect("docker pause");
            }
        }
    }

    async fn recover(&mut self, number: usize, failure: Failure) {
        match failure {
            Failure::Kill | Failure::Stop | Failure::Remove => self.start_member(number).await,
            Failure::Cut => self.connect(number).await,
            Failure::Pause => {
                let unpaused = self.container(number).unpause().await;
                unpaused.expect("docker unpause");
            }
        }
    }

    async fn ready(&mut self) {
        let http = http_client();
        for endpoint in self.endpoints() {
            let what = format!("the node at {endpoint} is ready");
            eventually(&what, async || {
                let answer = http.get(format!("{endpoint}/readyz")).send().await;
                answer.is_ok_and(|answer| answer.status().is_success())
            })
            .await;
        }
    }
}

fn name(number: usize) -> String {
    format!("n{}", number + 1)
}

fn peer_at(number: usize) -> String {
    format!("{}:{PEER_PORT}", name(number))
}

fn publish_at(config: &mut HostConfig, port: u16) {
    let binding = PortBinding {
        host_ip: Some("127.0.0.1".into()),
        host_port: Some(port.to_string()),
    };
    let bindings = HashMap::from([(format!("{PORT}/tcp"), Some(vec![binding]))]);
    config.publish_all_ports = Some(false);
    config.port_bindings = Some(bindings);
}

/// A network of containers alone. Removed when dropped.
struct Network {
    docker: Docker,
    name: String,
}

impl Network {
    async fn create(docker: Docker, name: String) -> Self {
        let request = NetworkCreateRequest {
            name: name.clone(),
            internal: Some(true),
            ..NetworkCreateRequest::default()
        };
        let created = docker.create_network(request).await;
        created.expect("docker network create");
        Self { docker, name }
    }

    async fn connect(&self, container: &str, alias: String) {
        let request = NetworkConnectRequest {
            container: container.to_owned(),
            endpoint_config: Some(EndpointSettings {
                aliases: Some(vec![alias]),
                ..EndpointSettings::default()
            }),
        };
        let connected = self.docker.connect_network(&self.name, request).await;
        connected.expect("docker network connect");
    }

    async fn disconnect(&self, container: &str) {
        let request = NetworkDisconnectRequest {
            container: container.to_owned(),
            force: Some(true),
        };
        let disconnected = self.docker.disconnect_network(&self.name, request).await;
        disconnected.expect("docker network disconnect");
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let (docker, name) = (self.docker.clone(), self.name.clone());
        // Also from within a runtime, and after a panic. Containers that are still being removed
        // hold it for a moment.
        let removing = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(async {
                for _ in 0..50 {
                    if docker.remove_network(&name).await.is_ok() {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            });
            std::io::Result::Ok(())
        });
        drop(removing.join());
    }
}
