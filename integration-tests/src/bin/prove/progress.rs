//! How far it has come: a bar on a terminal, now and then a line elsewhere.

use std::{
    io::{IsTerminal as _, stderr},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

/// Between two lines.
const PAUSE: Duration = Duration::from_secs(30);

/// Tells how far it has come.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    began: Instant,
    told: Mutex<Instant>,
}

impl Progress {
    /// For about so many seconds.
    pub(crate) fn new(seconds: u64) -> Self {
        let style = "{elapsed_precise} [{bar:30}] {msg}";
        let bar = stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template(style);
            let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(seconds).with_style(style)
        });
        let now = Instant::now();
        Self {
            bar,
            began: now,
            told: Mutex::new(now),
        }
    }

    /// Something has begun or ended.
    pub(crate) fn event(&self, message: &str) {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{message}")),
            None => eprintln!("{:>6} s  {message}", self.began.elapsed().as_secs()),
        }
    }

    /// It goes on. May be told as often as one likes.
    pub(crate) fn tick(&self, message: impl FnOnce() -> String) {
        if let Some(bar) = &self.bar {
            bar.set_position(self.began.elapsed().as_secs());
            bar.set_message(message());
            return;
        }
        let told = *self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.elapsed() >= PAUSE {
            self.event(&message());
        }
    }

    /// It is over.
    pub(crate) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
