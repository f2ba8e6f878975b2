//! Flags of any text: what is taken makes a server that serves, and any other is told why not.

use std::{sync::Arc, time::Duration};

use clap::Parser as _;
use tokio::{io::AsyncReadExt as _, io::AsyncWriteExt as _, time::Instant};
use trandb_common::wire::Limits;
use trandb_server::{
    App, Config, Database, Local,
    config::{CommandLine, MemoryLimit, Sizes},
    connection::{self, serve_stream},
    http::Settings,
    memory::Memory,
    transactions::Source,
};

use super::EPOCH;

/// More shards take more time to make than is left to one input.
const SHARDS_MAX: u16 = 64;
const VALUE_BYTES_MAX: u64 = 4 << 20;

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
            let config = &line.config;
            match config.sizes() {
                Ok(sizes) => {
                    makes_sense(config, sizes);
                    if config.shards().get() <= SHARDS_MAX {
                        super::run(serves(config, sizes));
                    }
                }
                Err(error) => refused_for_a_reason(config, &error.to_string()),
            }
        }
        Err(error) => {
            let asked_for = !error.use_stderr();
            assert_eq!(error.exit_code(), if asked_for { 0 } else { 2 });
            assert!(!error.to_string().trim().is_empty(), "a refusal says why");
        }
    }
}

/// Only limits may be refused as late as this, and the refusal says what to do.
fn refused_for_a_reason(config: &Config, error: &str) {
    let small_memory = match config.memory_limit {
        MemoryLimit::Bytes(bytes) => bytes < 5 << 20,
        MemoryLimit::Percent(_) => false,
    };
    let small_in_flight = config
        .in_flight_limit
        .is_some_and(|limit| limit.0 < 7 << 20);
    assert!(small_memory || small_in_flight, "{config:?}: {error}");
    assert!(error.contains("or more"), "{error}");
}

fn makes_sense(config: &Config, sizes: Sizes) {
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
    assert!(sizes.memory_limit > VALUE_BYTES_MAX);
    assert!(sizes.in_flight_limit > VALUE_BYTES_MAX);
    assert!(config.connections_max > 0);
    for timeout in [
        config.header_timeout,
        config.body_timeout,
        config.write_timeout,
    ] {
        let shortest = Duration::from_millis(10);
        assert!(timeout >= shortest, "no time at all is no time-out");
    }
}

/// A PUT over a connection is answered, and done.
async fn serves(config: &Config, sizes: Sizes) {
    const PUT: &[u8] = b"PUT /keys/k HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\
        content-length: 5\r\n\r\n";
    let app = app(config, sizes);
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
        tokio::time::sleep(Duration::from_millis(1)).await;
        client.write_all(b"value").await.expect("the body is taken");
        let mut answer = String::new();
        client
            .read_to_string(&mut answer)
            .await
            .expect("an answer in text");
        answer
    };
    let (_, answer) = tokio::join!(serve_stream(server, app, &settings), talk);
    assert_eq!(answer.get(9..12), Some("200"), "{config:?}: {answer}");
}

fn app(config: &Config, sizes: Sizes) -> App<Local> {
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
        Database::new(
            Local::new(config.shards(), EPOCH, memory),
            Source::new(EPOCH, 0),
        ),
        settings,
    )
}
