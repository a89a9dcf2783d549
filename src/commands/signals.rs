//! What ends a process that serves.

use super::Failure;
use std::process::ExitCode;
use tokio::signal::unix::Signal;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;

/// SIGTERM, which Kubernetes sends, and SIGINT, which a terminal sends. From its making on neither kills.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(super) fn new() -> Result<Self, Failure> {
        let failed = |error| Failure::Runtime(format!("signals cannot be handled: {error}"));
        let terminate = signal(SignalKind::terminate()).map_err(failed)?;
        Ok(Self { terminate, interrupt: signal(SignalKind::interrupt()).map_err(failed)? })
    }

    /// The next of them.
    pub(super) async fn next(&mut self) {
        let signal = tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        };
        tracing::info!(signal, "asked to end");
    }

    /// Runs `end` to its own end, unless another signal says that nobody wants to wait for it.
    pub(super) async fn unless_again(
        &mut self,
        end: impl Future<Output = Result<ExitCode, Failure>>,
    ) -> Result<ExitCode, Failure> {
        tokio::select! {
            ended = end => ended,
            () = self.next() => {
                Err(Failure::Runtime("asked to end a second time: calls in flight were cut off".to_owned()))
            }
        }
    }
}
