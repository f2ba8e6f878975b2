//! Flags of any text: what is taken makes a server that serves.

use std::{sync::Arc, time::Duration};

use clap::Parser as _;
use tokio::{io::AsyncReadExt as _, io::AsyncWriteExt as _, time::Instant};
use trandb_common::wire::Limits;
use trandb_server::{
    App, Config, Database, Local,
    config::{CommandLine, MemoryLimit},
    connection::{self, serve_stream},
    http::Settings,
    memory::Memory,
};

use super::EPOCH;

/// More shards take more time to make than is left to one input.
const SHARDS_MAX: u16 = 64;

/// One argument in each line.
pub fn configuration(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let arguments = || std::iter::once("trandb-server").chain(text.lines());
    match CommandLine::try_parse_from(arguments()) {
        Ok(line) => {
            let again = CommandLine::try_parse_from(arguments()).expect("it was taken before");
            assert_eq!(format!("{line:?}"), format!("{again:?}"));
            makes_sense(&line.config);
            if line.config.shards.get() <= SHARDS_MAX {
                super::run(serves(&line.config));
            }
        }
        Err(error) => {
            let asked_for = !error.use_stderr();
            assert_eq!(error.exit_code(), if asked_for { 0 } else { 2 });
            assert!(!error.to_string().trim().is_empty(), "a refusal says why");
        }
    }
}

fn makes_sense(config: &Config) {
    let sizes = config.sizes().expect("the machine's memory is known");
    match config.memory_limit {
        MemoryLimit::Bytes(bytes) => assert_eq!(sizes.memory_limit, bytes),
        MemoryLimit::Percent(percent) => {
            assert!((1..=100).contains(&percent));
            assert!(sizes.memory_limit > 0);
        }
    }
    match config.in_flight_limit {
        Some(limit) => assert_eq!(sizes.in_flight_limit, limit.0),
        None => assert!((16 << 20..=1 << 30).contains(&sizes.in_flight_limit)),
    }
    assert!(config.connections_max > 0);
    for timeout in [
        config.header_timeout,
        config.body_timeout,
        config.write_timeout,
    ] {
        assert!(!timeout.is_zero(), "no time at all is no time-out");
    }
}

/// A PUT over a connection is answered, with a refusal if there is no room.
async fn serves(config: &Config) {
    const PUT: &[u8] = b"PUT /keys/k HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\
        content-length: 5\r\n\r\n";
    let app = app(config);
    let settings = connection::Settings::from(config);
    let deadlines = [settings.drain_delay, settings.drain_timeout];
    for time in deadlines {
        assert!(
            Instant::now().checked_add(time).is_some(),
            "a moment that never comes"
        );
    }
    let (mut client, server) = tokio::io::duplex(64 * 1024);
    let talk = async {
        client.write_all(PUT).await.expect("the head is taken");
        // The body comes a little later, so that its time-out is set.
        tokio::time::sleep(Duration::ZERO).await;
        client.write_all(b"value").await.expect("the body is taken");
        let mut answer = String::new();
        client
            .read_to_string(&mut answer)
            .await
            .expect("an answer in text");
        answer
    };
    let (_, answer) = tokio::join!(serve_stream(server, app, &settings), talk);
    let status = answer.get(9..12);
    assert!(
        matches!(status, Some("200" | "503" | "507"))
            // A time-out of almost nothing may be over at once.
            || (status == Some("408") && config.body_timeout < Duration::from_secs(1))
            || (answer.is_empty() && config.header_timeout < Duration::from_secs(1)),
        "{config:?}: {answer}"
    );
}

fn app(config: &Config) -> App<Local> {
    let sizes = config.sizes().expect("the machine's memory is known");
    let memory = Arc::new(Memory::new(sizes.memory_limit));
    let settings = Settings {
        limits: Limits::new(
            sizes.memory_limit,
            sizes.in_flight_limit,
            config.connections_max as usize,
        ),
        body_timeout: config.body_timeout,
    };
    App::new(
        Database::new(Local::new(config.shards, EPOCH, memory)),
        settings,
    )
}
