//! Servers to compare with that need nothing installed: built with the same compiler, profile and
//! libraries as `TranDB`, run as processes of their own (`trandb-bench baseline`).
//!
//! Not here: anything tuned. These are what a few lines give, and what `TranDB`'s cost is a ratio
//! to. Tests: at the end of this file.

use std::{collections::HashMap, convert::Infallible, sync::Arc};

use anyhow::Context;
use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    routing::get,
};
use bytes::Bytes;
use clap::ValueEnum;
use http_body_util::Full;
use hyper::{Response, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, sync::RwLock};

use crate::protocol::CONSTANT_BODY;

/// The kinds of baseline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Baseline {
    /// `axum::serve` answering GET / with 128 constant bytes
    Axum,
    /// hyper without axum, answering everything with 128 constant bytes
    Hyper,
    /// `axum::serve` over one `tokio::sync::RwLock<HashMap>`: GET and PUT of /keys/{key}
    Plain,
}

impl Baseline {
    /// Serves connections of `listener` until the process ends.
    pub async fn serve(self, listener: TcpListener) -> anyhow::Result<()> {
        match self {
            Self::Axum => axum::serve(listener, constant()).await.context("axum"),
            Self::Hyper => hyper_constant(listener).await,
            Self::Plain => axum::serve(listener, plain()).await.context("axum"),
        }
    }
}

fn constant() -> Router {
    Router::new().route("/", get(async || CONSTANT_BODY))
}

async fn hyper_constant(listener: TcpListener) -> anyhow::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            let service = service_fn(async |_request| {
                let body = Full::new(Bytes::from_static(CONSTANT_BODY.as_bytes()));
                Ok::<_, Infallible>(Response::new(body))
            });
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.await {
                eprintln!("hyper: {error}");
            }
        });
    }
}

type Map = Arc<RwLock<HashMap<String, Bytes>>>;

fn plain() -> Router {
    Router::new()
        .route("/keys/{key}", get(plain_get).put(plain_put))
        .with_state(Map::default())
}

async fn plain_get(State(map): State<Map>, Path(key): Path<String>) -> Result<Bytes, StatusCode> {
    map.read()
        .await
        .get(&key)
        .cloned()
        .ok_or(StatusCode::NOT_FOUND)
}

async fn plain_put(State(map): State<Map>, Path(key): Path<String>, value: Bytes) {
    map.write().await.insert(key, value);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        load::{self, Load, Outcome, Pace},
        protocol::Dialect,
        workload::Mix,
    };

    /// Runs `mix` against a baseline on a thread of its own.
    fn outcome(baseline: Baseline, dialect: Dialect, mixes: &[Mix]) -> Vec<Outcome> {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(baseline.serve(listener));
        let duration = Duration::from_mins(1);
        mixes
            .iter()
            .map(|&mix| {
                let load = Load {
                    connections: 2,
                    depth: 1,
                    pace: Pace::Closed,
                    duration,
                    mix,
                    seed: 1,
                };
                load::run(address, &*dialect.protocol(128), &load).unwrap()
            })
            .collect()
    }

    #[test]
    fn constant_servers_answer_the_constant() {
        for baseline in [Baseline::Axum, Baseline::Hyper] {
            let outcomes = outcome(baseline, Dialect::Constant, &[Mix::gets(1).only(20)]);
            assert_eq!(
                (outcomes[0].answers, outcomes[0].wrong),
                (20, 0),
                "{baseline:?}"
            );
        }
    }

    #[test]
    fn the_plain_map_gives_back_what_was_put() {
        let mixes = [Mix::gets(5).only(3), Mix::load(5), Mix::gets(5).only(20)];
        let outcomes = outcome(Baseline::Plain, Dialect::Trandb, &mixes);
        let counts: Vec<_> = outcomes.iter().map(|o| (o.answers, o.wrong)).collect();
        assert_eq!(counts, [(0, 3), (5, 0), (20, 0)]);
    }
}
