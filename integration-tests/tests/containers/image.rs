//! What `docker/README.md` promises of the image.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::Value;
use testcontainers::bollard::models::HealthStatusEnum;

use crate::node::{Node, image_config, run_to_exit};

/// As the Dockerfile sets it: a number, since the file system knows no names.
const USER: &str = "65532";

#[tokio::test]
#[ignore = "needs Docker and the image: just integration-test"]
async fn it_needs_no_flags_and_runs_without_root() {
    let image = image_config().await;
    assert_eq!(image.user.as_deref(), Some("65532:65532"));
    assert_eq!(image.cmd, None);
    assert_eq!(image.entrypoint, Some(vec!["/trandb-server".to_owned()]));

    let node = Node::start().await;

    assert_eq!(node.get("/livez").await.status(), StatusCode::OK);
    let processes = node.processes().await;
    assert_eq!(processes.len(), 1, "{processes:?}");
    assert_eq!(processes[0]["UID"], USER);
}

#[tokio::test]
#[ignore = "needs Docker and the image: just integration-test"]
async fn it_works_with_everything_taken_away() {
    let node = Node::start_with(&[], |config| {
        config.readonly_rootfs = Some(true);
        config.cap_drop = Some(vec!["ALL".into()]);
        config.security_opt = Some(vec!["no-new-privileges:true".into()]);
        config.pids_limit = Some(64);
    })
    .await;

    assert_eq!(node.put("/keys/k", "v").await.status(), StatusCode::OK);
    assert_eq!(
        node.get("/keys/k").await.bytes().await.expect("a body"),
        "v"
    );
    assert_eq!(
        health_after_starting(&node).await,
        HealthStatusEnum::HEALTHY
    );
    assert_eq!(node.stop().await, 0);
}

#[tokio::test]
#[ignore = "needs Docker and the image: just integration-test"]
async fn its_health_check_asks_the_server() {
    let check = image_config().await.healthcheck.expect("a health check");
    let asked = ["CMD", "/trandb-server", "healthcheck"].map(str::to_owned);
    assert_eq!(check.test, Some(asked.to_vec()));

    let node = Node::start().await;
    assert_eq!(
        health_after_starting(&node).await,
        HealthStatusEnum::HEALTHY
    );

    let nobody_there = run_to_exit(&["healthcheck"], &[]).await;
    assert_eq!(nobody_there.code, 1, "{}", nobody_there.output);
}

#[tokio::test]
#[ignore = "needs Docker and the image: just integration-test"]
async fn its_log_is_lines_of_json() {
    let node = Node::start().await;
    assert_eq!(node.stop().await, 0);

    let log = node.log().await;
    assert!(
        log.lines().count() >= 2,
        "neither the start nor the stop was logged: {log}"
    );
    for line in log.lines() {
        let event: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"));
        assert!(event["timestamp"].is_string(), "{line}");
        assert!(event["level"].is_string(), "{line}");
    }
}

#[tokio::test]
#[ignore = "needs Docker and the image: just integration-test"]
async fn a_flag_it_does_not_know_is_refused_by_name() {
    let exit = run_to_exit(&["--no-such-flag"], &[]).await;

    assert_ne!(exit.code, 0);
    assert!(exit.output.contains("--no-such-flag"), "{}", exit.output);
    assert!(exit.output.contains("--help"), "{}", exit.output);
}

#[tokio::test]
#[ignore = "needs Docker and the image: just integration-test"]
async fn a_variable_it_cannot_read_is_refused_by_name() {
    let exit = run_to_exit(&[], &[("TRANDB_LISTEN", "everywhere")]).await;

    assert_ne!(exit.code, 0);
    assert!(exit.output.contains("everywhere"), "{}", exit.output);
    assert!(exit.output.contains("--listen"), "{}", exit.output);
}

/// Docker's own verdict, once its first check is done.
async fn health_after_starting(node: &Node) -> HealthStatusEnum {
    for _ in 0..150 {
        let health = node
            .state()
            .await
            .health
            .expect("the image has a health check");
        match health.status.expect("a status") {
            HealthStatusEnum::STARTING => tokio::time::sleep(Duration::from_millis(200)).await,
            decided => return decided,
        }
    }
    panic!("Docker has not decided on the health within 30 s");
}
