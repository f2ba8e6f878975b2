//! Questions to the server about itself: limits and status.
//!
//! Tests: `tests/it`.

use serde_json::json;

use crate::{
    failure::{Exit, Failure},
    keys::as_json,
    output::Output,
    session::Session,
};

pub(crate) async fn limits(session: &Session) -> Result<(), Failure> {
    let limits = session.client.limits().await?;
    let mut output = Output::stdout();
    if session.json {
        output.write(&as_json(&limits)?)?;
    } else {
        let rows = [
            ("longest key", limits.key_bytes_max as u64, "bytes"),
            ("largest value", limits.value_bytes_max as u64, "bytes"),
            ("longest wait for a lock", limits.lock_wait_ms_max, "ms"),
            (
                "keys in a page, default",
                limits.list_limit_default as u64,
                "keys",
            ),
            (
                "keys in a page, at most",
                limits.list_limit_max as u64,
                "keys",
            ),
            (
                "operations together",
                limits.transaction_operations_max as u64,
                "in a transaction",
            ),
            (
                "keys and values together",
                limits.transaction_bytes_max as u64,
                "bytes in a transaction",
            ),
            (
                "longest transaction",
                limits.transaction_timeout_ms_max,
                "ms",
            ),
            ("memory", limits.memory_bytes_max, "bytes"),
            ("bodies on their way", limits.in_flight_bytes_max, "bytes"),
            ("connections", limits.connections_max as u64, ""),
        ];
        for (what, most, unit) in rows {
            let row = format!("{what:<24} {most:>14} {unit}");
            output.write(format!("{}\n", row.trim_end()).as_bytes())?;
        }
    }
    output.finish()
}

pub(crate) async fn status(session: &Session) -> Result<(), Failure> {
    let ready = session.client.is_ready().await?;
    let mut output = Output::stdout();
    if session.json {
        output.write(&as_json(&json!({ "ready": ready }))?)?;
    } else if ready {
        output.write(b"ready\n")?;
    }
    output.finish()?;
    if ready {
        Ok(())
    } else {
        Err(Failure::new(Exit::RetryLater, "the server is not ready"))
    }
}
