//! How far a long command has come: a bar on standard error when that is a terminal, and one
//! line at the end in any case.
//!
//! Tests: `tests/it/terminal.rs`.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use indicatif::{
    HumanBytes, HumanCount, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle,
};

const KNOWN_LENGTH: &str = "{wide_bar} {percent:>3}% {keys}, {rate} keys/s, {bytes} of \
                            {total_bytes}, {eta} left";
const UNKNOWN_LENGTH: &str = "{spinner} {keys}, {rate} keys/s, {bytes}, {elapsed}";

/// Counts, and draws them.
pub(crate) struct Progress {
    bar: ProgressBar,
    keys: Arc<AtomicU64>,
    bytes: u64,
    began: Instant,
}

impl Progress {
    /// `bytes_total` is the size of the whole work, if it is known. A `hidden` bar is never drawn;
    /// one that is not draws itself only on a terminal.
    pub(crate) fn new(bytes_total: Option<u64>, hidden: bool) -> Self {
        let keys = Arc::new(AtomicU64::new(0));
        let target = if hidden {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr()
        };
        let bar = ProgressBar::with_draw_target(bytes_total, target);
        let template = match bytes_total {
            Some(_) => KNOWN_LENGTH,
            None => UNKNOWN_LENGTH,
        };
        bar.set_style(style(template, &keys));
        Self {
            bar,
            keys,
            bytes: 0,
            began: Instant::now(),
        }
    }

    /// One more key is done, and with it so many bytes of the work.
    pub(crate) fn key_done(&mut self, bytes: u64) {
        self.keys.fetch_add(1, Ordering::Relaxed);
        self.advance(bytes);
    }

    /// So many bytes of the work are done that were no key.
    pub(crate) fn advance(&mut self, bytes: u64) {
        self.bytes += bytes;
        self.bar.inc(bytes);
    }

    pub(crate) fn keys(&self) -> u64 {
        self.keys.load(Ordering::Relaxed)
    }

    /// Takes the bar away.
    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }

    /// Bytes and time so far, for the end of a summary.
    pub(crate) fn totals(&self) -> Totals {
        Totals {
            bytes: self.bytes,
            seconds: self.began.elapsed().as_secs_f64(),
            keys_per_second: per_second(self.keys(), self.began.elapsed().as_secs_f64()),
        }
    }
}

/// A bar of a known length, with a text behind it.
pub(crate) struct Bar(ProgressBar);

impl Bar {
    /// Draws itself only on a terminal.
    pub(crate) fn new(length: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{wide_bar} {percent:>3}% {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self(bar)
    }

    pub(crate) fn show(&self, position: u64, text: String) {
        self.0.set_message(text);
        self.0.set_position(position);
    }

    /// Takes the bar away.
    pub(crate) fn clear(&self) {
        self.0.finish_and_clear();
    }
}

/// The end of a summary.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Totals {
    bytes: u64,
    seconds: f64,
    keys_per_second: u64,
}

impl std::fmt::Display for Totals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} in {:.1} s, {} keys/s",
            HumanBytes(self.bytes),
            self.seconds,
            HumanCount(self.keys_per_second)
        )
    }
}

/// "1 key", "2,000 keys".
pub(crate) fn counted(count: u64) -> String {
    let noun = if count == 1 { "key" } else { "keys" };
    format!("{} {noun}", HumanCount(count))
}

/// Says a line on standard error. There is nobody to tell that this failed.
pub(crate) fn say(line: &[u8]) {
    let _ = io::stderr().write_all(line);
}

fn style(template: &str, keys: &Arc<AtomicU64>) -> ProgressStyle {
    let (count, rate) = (Arc::clone(keys), Arc::clone(keys));
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .with_key(
            "keys",
            move |_: &ProgressState, w: &mut dyn std::fmt::Write| {
                let _ = w.write_str(&counted(count.load(Ordering::Relaxed)));
            },
        )
        .with_key(
            "rate",
            move |state: &ProgressState, w: &mut dyn std::fmt::Write| {
                let keys = rate.load(Ordering::Relaxed);
                let rate = per_second(keys, state.elapsed().as_secs_f64());
                let _ = write!(w, "{}", HumanCount(rate));
            },
        )
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate to be read by people; the cast saturates"
)]
pub(crate) fn per_second(count: u64, seconds: f64) -> u64 {
    (count as f64 / seconds.max(0.001)) as u64
}
