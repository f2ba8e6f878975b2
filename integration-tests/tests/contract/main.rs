//! The contract of every answer: status, headers and body, as recorded in `recorded/`.
//!
//! The same scripts are played to the service without a socket, to the same behind one, and to
//! the real binary; to the release binary and to the image by `tests/containers`. To change an answer on purpose: run with `INSTA_UPDATE=always` and review the
//! difference of the records.

mod codes;
mod described;
mod inside;
mod schemathesis;
mod versions;

use trandb_integration_tests::{
    contract::{self, Target, assert_recorded},
    local::InProcess,
    process::Process,
};

#[tokio::test]
async fn the_service_answers_as_recorded() {
    for script in contract::scripts() {
        if script.sockets_only {
            continue;
        }
        let server = InProcess::new(script.flags);
        let played = contract::play(&script, &Target::InProcess(&server)).await;
        assert_recorded(script.name, &played.transcript);
        assert_eq!(
            server.app.in_flight().bytes(),
            0,
            "{} leaves nothing",
            script.name
        );
    }
}

#[tokio::test]
async fn the_binary_answers_as_recorded() {
    for script in contract::scripts() {
        let process = Process::start(script.flags);
        let played = contract::play(&script, &Target::Socket(process.address())).await;
        assert_recorded(script.name, &played.transcript);
    }
}
