//! Versions: each is new.

use std::collections::BTreeSet;

use trandb_integration_tests::{
    local::InProcess,
    process::Process,
    wire::{self, Request},
};

#[tokio::test]
async fn no_version_of_a_key_comes_twice() {
    const ROUNDS: usize = 200;
    let server = InProcess::new(&[]);
    let mut seen = BTreeSet::new();
    for round in 0..ROUNDS {
        // The same value each time: a version names a write, not its bytes.
        let version = server.ask(&Request::put("/keys/a", "same")).await.version();
        assert!(seen.insert(version.clone()), "{version} in round {round}");
        server
            .ask(&Request::put(format!("/keys/other-{round}"), "x"))
            .await
            .assert_status(200);
        if round % 3 == 0 {
            server
                .ask(&Request::delete("/keys/a"))
                .await
                .assert_status(204);
        }
    }
    assert_eq!(seen.len(), ROUNDS);
}

#[tokio::test]
async fn a_version_does_not_come_back_with_the_process() {
    let mut seen = BTreeSet::new();
    for _ in 0..3 {
        let process = Process::start(&[]);
        let ask = async |request: Request| wire::ask(process.address(), &request).await;
        for value in ["one", "two", "three"] {
            let version = ask(Request::put("/keys/a", value)).await.version();
            assert!(seen.insert(version.clone()), "{version}");
        }
        // What an earlier process gave is a legal tag that matches nothing.
        for version in &seen {
            let request = Request::put("/keys/b", "x").header("if-match", format!("\"{version}\""));
            ask(request)
                .await
                .assert_problem(412, "precondition_failed");
        }
    }
}
