//! What ends a process that serves.

use super::Failure;
use tokio::signal::unix::Signal;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;

/// SIGTERM, which Kubernetes sends, SIGINT, which a terminal sends, and SIGHUP, which it sends when it is closed.
/// From its making on none of them kills.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    /// A log that has reached the limit of a file's size ends nobody: what is written then fails.
    _file_size: Signal,
}

impl Signals {
    pub(super) fn new() -> Result<Self, Failure> {
        let failed = |error| Failure::Runtime(format!("signals cannot be handled: {error}"));
        let of = |kind| signal(kind).map_err(failed);
        Ok(Self {
            terminate: of(SignalKind::terminate())?,
            interrupt: of(SignalKind::interrupt())?,
            hang_up: of(SignalKind::hangup())?,
            _file_size: of(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?,
        })
    }

    /// The next of them.
    pub(super) async fn next(&mut self) {
        let signal = tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.hang_up.recv() => "SIGHUP",
        };
        tracing::info!(signal, "asked to end");
    }
}
