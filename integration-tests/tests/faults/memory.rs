//! The memory limit: writes are turned away, everything else goes on.

use trandb_integration_tests::{local::InProcess, wire::Request};

const LIMIT: u64 = 6_000_000;
const VALUE: usize = 150_000;

fn put(number: usize, bytes: usize) -> Request {
    Request::put(format!("/keys/{number}"), vec![b'x'; bytes])
}

/// Writes until a write is refused; says how many were not.
async fn fill(server: &InProcess) -> usize {
    for number in 0..1000 {
        let answer = server.ask(&put(number, VALUE)).await;
        if answer.status != 200 {
            answer.assert_problem(507, "memory_full");
            let problem = answer.problem();
            assert_eq!((problem.limit, problem.retryable), (Some(LIMIT), false));
            assert_eq!(problem.actual, Some(server.memory.used()));
            return number;
        }
    }
    panic!(
        "{} bytes are used, and no write is refused",
        server.memory.used()
    );
}

#[tokio::test]
async fn at_the_limit_reads_and_deletes_go_on_and_writes_resume_after_deletes() {
    let server = InProcess::new(&["--memory-limit", "6000000B"]);
    let stored = fill(&server).await;
    assert!(
        stored >= 38,
        "only {stored} values of {VALUE} bytes fit into {LIMIT}"
    );
    assert!(server.memory.used() <= LIMIT);

    let first = server.ask(&Request::get("/keys/0")).await;
    assert_eq!((first.status, first.body.len()), (200, VALUE));
    server
        .ask(&Request::head("/keys/1"))
        .await
        .assert_status(200);
    server
        .ask(&Request::get("/keys?limit=5"))
        .await
        .assert_status(200);
    server
        .ask(&Request::get("/readyz"))
        .await
        .assert_status(200);
    server
        .ask(&put(stored, VALUE))
        .await
        .assert_problem(507, "memory_full");

    for number in 0..2 {
        server
            .ask(&Request::delete(format!("/keys/{number}")))
            .await
            .assert_status(204);
    }
    server.ask(&put(stored, VALUE)).await.assert_status(200);
    server.ask(&put(stored + 1, VALUE)).await.assert_status(200);
    server
        .ask(&put(stored + 2, VALUE))
        .await
        .assert_problem(507, "memory_full");
}

#[tokio::test]
async fn at_the_limit_a_value_may_shrink_and_not_grow() {
    let server = InProcess::new(&["--memory-limit", "6000000B"]);
    let stored = fill(&server).await;
    server.ask(&put(0, VALUE)).await.assert_status(200);
    server
        .ask(&put(0, 2 * VALUE))
        .await
        .assert_problem(507, "memory_full");
    assert_eq!(server.ask(&Request::get("/keys/0")).await.body.len(), VALUE);
    server.ask(&put(0, 10)).await.assert_status(200);
    server.ask(&put(1, 10)).await.assert_status(200);
    server.ask(&put(stored, VALUE)).await.assert_status(200);
}

#[tokio::test]
async fn a_write_that_a_condition_forbids_needs_no_memory() {
    let server = InProcess::new(&["--memory-limit", "6000000B"]);
    let stored = fill(&server).await;
    let forbidden = put(0, 2 * VALUE).header("if-none-match", "*");
    let status = server.ask(&forbidden).await.status;
    assert!(matches!(status, 412 | 507), "{status}");
    server.ask(&put(stored, 10)).await.assert_status(200);
}

#[tokio::test]
async fn what_is_deleted_is_given_back_to_the_last_byte() {
    let server = InProcess::new(&["--memory-limit", "6000000B"]);
    for _ in 0..3 {
        let stored = fill(&server).await;
        for number in 0..stored {
            server
                .ask(&Request::delete(format!("/keys/{number}")))
                .await
                .assert_status(204);
        }
        assert_eq!(server.memory.used(), 0);
    }
}
