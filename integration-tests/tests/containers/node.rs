//! One container of the image, and how to speak to it.

use std::collections::HashMap;
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;
use testcontainers::bollard::Docker;
use testcontainers::bollard::models::{ContainerState, HostConfig, PortBinding};
use testcontainers::core::wait::{ExitWaitStrategy, HttpWaitStrategy};
use testcontainers::core::{IntoContainerPort, WaitFor};
use testcontainers::runners::AsyncRunner;
use testcontainers::{ContainerAsync, GenericImage, ImageExt};

pub(crate) const NAME: &str = "trandb";
pub(crate) const TAG: &str = "test";
pub(crate) const PORT: u16 = 8080;

/// Far beyond what any step takes; only a hang meets it.
const PATIENCE: Duration = Duration::from_secs(30);

/// What `docker stop` waits before it kills.
pub(crate) const STOP_SECONDS: i32 = 20;

/// A running server in a container. Removed when dropped.
pub(crate) struct Node {
    container: ContainerAsync<GenericImage>,
    docker: Docker,
    http: Client,
    address: String,
}

impl Node {
    /// As `docker run trandb:test`: no flags, no variables. Ready when this returns.
    pub(crate) async fn start() -> Self {
        Self::start_with(&[], |_| {}).await
    }

    /// As `docker run trandb:test FLAGS`.
    pub(crate) async fn start_with_flags(flags: &[&str]) -> Self {
        Self::start_as(flags, &[], |_| {}).await
    }

    /// The same with variables, and with settings of the container such as its memory limit.
    pub(crate) async fn start_with(
        variables: &[(&str, &str)],
        settings: impl Fn(&mut HostConfig) + Send + Sync + 'static,
    ) -> Self {
        Self::start_as(&[], variables, settings).await
    }

    async fn start_as(
        flags: &[&str],
        variables: &[(&str, &str)],
        settings: impl Fn(&mut HostConfig) + Send + Sync + 'static,
    ) -> Self {
        let docker = docker_with_the_image().await;
        let ready = HttpWaitStrategy::new("/readyz").with_expected_status_code(200_u16);
        let mut request = GenericImage::new(NAME, TAG)
            .with_exposed_port(PORT.tcp())
            .with_wait_for(WaitFor::http(ready))
            .with_cmd(flags.iter().copied())
            .with_startup_timeout(PATIENCE)
            .with_host_config_modifier(move |config| {
                publish_on_loopback(config);
                settings(config);
            });
        for (name, value) in variables {
            request = request.with_env_var(*name, *value);
        }
        let container = request
            .start()
            .await
            .unwrap_or_else(|error| panic!("the server did not become ready: {error}"));
        let port = container
            .get_host_port_ipv4(PORT)
            .await
            .expect("a published port");
        Self {
            container,
            docker,
            http: http_client(),
            address: format!("127.0.0.1:{port}"),
        }
    }

    /// `host:port`, for tests that speak TCP themselves.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, self.url(path))
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path)
            .send()
            .await
            .expect("an answer")
    }

    pub(crate) async fn put(&self, path: &str, value: impl Into<reqwest::Body>) -> Response {
        self.request(Method::PUT, path)
            .body(value)
            .send()
            .await
            .expect("an answer")
    }

    pub(crate) async fn delete(&self, path: &str) -> Response {
        self.request(Method::DELETE, path)
            .send()
            .await
            .expect("an answer")
    }

    /// What Docker says of the container now.
    pub(crate) async fn state(&self) -> ContainerState {
        let inspected = self
            .docker
            .inspect_container(self.container.id(), None)
            .await;
        inspected.expect("docker inspect").state.expect("a state")
    }

    /// The process table of the container, as `docker top` prints it: column title to value.
    pub(crate) async fn processes(&self) -> Vec<HashMap<String, String>> {
        let top = self
            .docker
            .top_processes(self.container.id(), None)
            .await
            .expect("docker top");
        let titles = top.titles.unwrap_or_default();
        let rows = top.processes.unwrap_or_default();
        rows.into_iter()
            .map(|row| titles.iter().cloned().zip(row).collect())
            .collect()
    }

    /// `docker stop`: SIGTERM, and SIGKILL for a server that has not ended after
    /// [`STOP_SECONDS`], which shows as exit code 137. Returns the exit code.
    pub(crate) async fn stop(&self) -> i64 {
        self.container
            .stop_with_timeout(Some(STOP_SECONDS))
            .await
            .expect("docker stop");
        self.state().await.exit_code.expect("an exit code")
    }

    /// Everything that the server has logged.
    pub(crate) async fn log(&self) -> String {
        let mut bytes = self.container.stdout_to_vec().await.expect("docker logs");
        bytes.extend(self.container.stderr_to_vec().await.expect("docker logs"));
        String::from_utf8(bytes).expect("a log is UTF-8")
    }
}

/// A client with connections of its own.
pub(crate) fn http_client() -> Client {
    Client::builder()
        .timeout(PATIENCE)
        .build()
        .expect("an HTTP client")
}

/// A container that is expected to end by itself.
pub(crate) struct Exit {
    pub(crate) code: i64,
    pub(crate) output: String,
}

/// As `docker run trandb:test ARGUMENTS`, with variables.
pub(crate) async fn run_to_exit(arguments: &[&str], variables: &[(&str, &str)]) -> Exit {
    docker_with_the_image().await;
    let mut request = GenericImage::new(NAME, TAG)
        .with_wait_for(WaitFor::exit(ExitWaitStrategy::new()))
        .with_cmd(arguments.iter().copied())
        .with_startup_timeout(PATIENCE);
    for (name, value) in variables {
        request = request.with_env_var(*name, *value);
    }
    let container = request
        .start()
        .await
        .unwrap_or_else(|error| panic!("no exit: {error}"));
    let mut output = container.stdout_to_vec().await.expect("docker logs");
    output.extend(container.stderr_to_vec().await.expect("docker logs"));
    Exit {
        code: container
            .exit_code()
            .await
            .expect("docker inspect")
            .expect("an exit code"),
        output: String::from_utf8(output).expect("a message is UTF-8"),
    }
}

/// The image's own settings.
pub(crate) async fn image_config() -> testcontainers::bollard::models::ImageConfig {
    let docker = docker_with_the_image().await;
    let image = docker
        .inspect_image(&format!("{NAME}:{TAG}"))
        .await
        .expect("docker inspect");
    image.config.expect("an image has a configuration")
}

/// The body of an error, which is problem+json or the test fails.
pub(crate) async fn problem(response: Response, status: StatusCode) -> Value {
    assert_eq!(response.status(), status);
    assert_eq!(
        response.headers()["content-type"],
        "application/problem+json"
    );
    let body = response.bytes().await.expect("a body");
    let problem: Value = serde_json::from_slice(&body).expect("a problem is JSON");
    assert_eq!(problem["status"], status.as_u16());
    problem
}

/// Fails before the tests do anything: a missing image would otherwise be looked for on the
/// internet, and fail in words that help nobody.
pub(crate) async fn docker_with_the_image() -> Docker {
    let docker = Docker::connect_with_defaults().expect("a Docker address");
    if let Err(error) = docker.ping().await {
        panic!("Docker does not answer: start it, then run `just integration-test`. ({error})");
    }
    if let Err(error) = docker.inspect_image(&format!("{NAME}:{TAG}")).await {
        panic!("there is no image {NAME}:{TAG}: build it with `just image`. ({error})");
    }
    docker
}

fn publish_on_loopback(config: &mut HostConfig) {
    // Any free port of this address alone: the default would be every address of the machine.
    let binding = PortBinding {
        host_ip: Some("127.0.0.1".into()),
        host_port: None,
    };
    config.publish_all_ports = Some(false);
    config.port_bindings = Some(HashMap::from([(
        format!("{PORT}/tcp"),
        Some(vec![binding]),
    )]));
}
