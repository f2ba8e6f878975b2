//! Ctrl-C during a long command: the first asks it to end and say how far it came, the second
//! ends it at once.
//!
//! Short commands do not use this: SIGINT ends them as it ends any process.

use std::process;

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use crate::failure::{Exit, Failure};

/// Whether the user has asked the command to end.
pub(crate) struct Interrupt(watch::Receiver<bool>);

impl Interrupt {
    /// Begins to listen. Must be called within the runtime.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let mut presses = signal(SignalKind::interrupt())
            .map_err(|error| Failure::local("cannot listen to Ctrl-C", &error))?;
        let (pressed, receiver) = watch::channel(false);
        tokio::spawn(async move {
            presses.recv().await;
            // Whoever listened may be gone: the command is over.
            let _ = pressed.send(true);
            presses.recv().await;
            Failure::new(Exit::Interrupted, "interrupted twice: ended at once").report(false);
            process::exit(Exit::Interrupted.code().into());
        });
        Ok(Self(receiver))
    }

    /// Ends when Ctrl-C has been pressed.
    pub(crate) async fn pressed(&mut self) {
        if self.0.wait_for(|pressed| *pressed).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
