//! The binary's command line: what it says about itself, and its health check.
//!
//! What it serves is tested in the integration tests. They start the binary, which `cargo test`
//! builds because this crate has a test of its own.

use std::{
    net::TcpListener,
    process::{Command, Output},
};

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_trandb-server"))
        .args(arguments)
        .output()
        .expect("the binary runs")
}

#[test]
fn help_names_every_flag_and_its_variable() {
    let output = run(&["--help"]);
    assert!(output.status.success());
    let help = String::from_utf8(output.stdout).expect("text");
    for name in [
        "listen",
        "shards",
        "memory-limit",
        "in-flight-limit",
        "connections-max",
        "header-timeout",
        "body-timeout",
        "write-timeout",
        "drain-delay",
        "drain-timeout",
        "log",
        "log-format",
    ] {
        assert!(help.contains(&format!("--{name} ")), "--{name}: {help}");
        let variable = format!("TRANDB_{}", name.to_uppercase().replace('-', "_"));
        assert!(help.contains(&variable), "{variable}: {help}");
    }
    assert!(help.contains("curl"), "an example to try: {help}");
}

#[test]
fn the_version_is_the_crates() {
    let output = run(&["--version"]);
    let expected = format!("trandb-server {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
}

#[test]
fn the_health_check_fails_where_nobody_listens() {
    // Bound and closed again: nobody listens there now.
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let address = free.expect("a free port").to_string();
    let output = run(&["healthcheck", "--listen", &address]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(&address), "{said}");
}
