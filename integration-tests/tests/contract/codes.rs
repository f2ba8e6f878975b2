//! Every error code is provoked by the scripts, or there is a reason why none can be.

use std::collections::{BTreeMap, BTreeSet};

use tokio::sync::OnceCell;
use trandb_common::{ErrorCode, Outcome, Problem};
use trandb_integration_tests::{
    contract::{self, Exchange, Target},
    local::Served,
};
use trandb_server::http::Phase;

use crate::inside;

/// Why no request can provoke the code today; none if the scripts do.
fn reason_for_absence(code: ErrorCode) -> Option<&'static str> {
    match code {
        ErrorCode::InvalidKey
        | ErrorCode::InvalidUtf8
        | ErrorCode::InvalidHeader
        | ErrorCode::InvalidQuery
        | ErrorCode::MalformedBody
        | ErrorCode::KeyNotFound
        | ErrorCode::RouteNotFound
        | ErrorCode::MethodNotAllowed
        | ErrorCode::RequestTimeout
        | ErrorCode::PreconditionFailed
        | ErrorCode::ValueTooLarge
        | ErrorCode::KeyTooLongInPath
        | ErrorCode::UnsupportedMediaType
        | ErrorCode::LockTimeout
        | ErrorCode::Overloaded
        | ErrorCode::NotReady
        | ErrorCode::MemoryFull
        | ErrorCode::DuplicateKey
        | ErrorCode::EmptyTransaction
        | ErrorCode::KeyTooLongInBody
        | ErrorCode::TransactionNotFound
        | ErrorCode::Conflict
        | ErrorCode::ClusterConflict
        | ErrorCode::TransactionTooLarge
        | ErrorCode::IdReused => None,
        ErrorCode::ShardUnavailable | ErrorCode::OutcomeUnknown => {
            Some("all shards are in the process that answers")
        }
        ErrorCode::MemberNotFound => Some("the server runs alone"),
    }
}

#[tokio::test]
async fn every_code_is_provoked_or_has_a_reason_not_to_be() {
    let provoked: BTreeSet<_> = all_problems()
        .await
        .iter()
        .map(|(_, problem)| (problem.code.to_string(), problem.status))
        .collect();
    for code in ErrorCode::ALL {
        let seen = provoked.contains(&(code.as_str().to_owned(), code.status()));
        match reason_for_absence(code) {
            None => assert!(seen, "no script provokes {code:?}"),
            Some(reason) => assert!(!seen, "{code:?} came, although {reason}"),
        }
    }
}

#[tokio::test]
async fn every_problem_says_what_its_code_says() {
    let by_name: BTreeMap<_, _> = ErrorCode::ALL
        .iter()
        .map(|code| ((code.as_str(), code.status()), code))
        .collect();
    for (exchange, problem) in all_problems().await {
        let about = exchange.request.about;
        let code = by_name[&(problem.code.as_ref(), problem.status)];
        assert_eq!(problem.outcome, code.outcome(), "{about}");
        assert_eq!(problem.outcome, Outcome::NotCommitted, "{about}");
        assert_eq!(problem.retryable, code.retryable(), "{about}");
        assert_eq!(problem.retry_after_ms, code.retry_after_ms(), "{about}");
        assert_eq!(problem.title, code.title(), "{about}");
        let header = exchange.answer.header("retry-after");
        let seconds = problem
            .retry_after_ms
            .map(|ms| ms.div_ceil(1000).to_string());
        assert_eq!(header, seconds.as_deref(), "{about}");
        assert_eq!(
            exchange.answer.header("cache-control"),
            Some("no-store"),
            "{about}"
        );
    }
}

#[tokio::test]
async fn whatever_is_no_success_is_a_problem() {
    let mut refused = 0;
    for exchange in all_exchanges().await {
        let Exchange { request, answer } = exchange;
        match answer.status {
            200 | 204 | 304 => continue,
            _ if request.method == "HEAD" => {
                let content_type = answer.header("content-type");
                assert_eq!(
                    content_type,
                    Some("application/problem+json"),
                    "{}",
                    request.about
                );
            }
            _ => drop(answer.problem()),
        }
        refused += 1;
    }
    assert!(
        refused > 100,
        "only {refused} refusals: the scripts have not been played"
    );
}

/// All problems of all scripts, with the exchange that each came in.
async fn all_problems() -> Vec<(&'static Exchange, Problem)> {
    let with_problem = |exchange: &&Exchange| {
        let content_type = exchange.answer.header("content-type");
        content_type == Some("application/problem+json") && !exchange.answer.body.is_empty()
    };
    let exchanges = all_exchanges().await.iter().filter(with_problem);
    exchanges
        .map(|exchange| (exchange, exchange.answer.problem()))
        .collect()
}

/// All scripts, over a socket, and what is done with a hand inside. Played once for all tests.
pub(crate) async fn all_exchanges() -> &'static [Exchange] {
    static EXCHANGES: OnceCell<Vec<Exchange>> = OnceCell::const_new();
    EXCHANGES.get_or_init(play_all).await
}

async fn play_all() -> Vec<Exchange> {
    let mut exchanges = Vec::new();
    for script in contract::scripts() {
        let served = Served::start(script.flags).await;
        let played = contract::play(&script, &Target::Socket(served.address)).await;
        exchanges.extend(played.exchanges);
    }
    exchanges.extend(inside::at_phase("leaving", Phase::Leaving).await.exchanges);
    exchanges.extend(
        inside::at_phase("draining", Phase::Draining)
            .await
            .exchanges,
    );
    exchanges.extend(inside::in_flight().await.exchanges);
    // Only now: no socket may be waited for while time is paused.
    tokio::time::pause();
    exchanges.extend(inside::locked().await.exchanges);
    exchanges.extend(inside::occupied().await.exchanges);
    exchanges
}
