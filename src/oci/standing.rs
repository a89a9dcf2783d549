//! What OCI thinks of our credential, seen from its answers.

use super::error::Cause;
use http::StatusCode;
use tokio::sync::watch;

/// OCI's last word about the credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// No answer yet.
    Unknown,
    /// The last answer was to somebody whom OCI knows.
    Accepted,
    /// The last answer was 401.
    Refused,
}

/// Keeps the last word, and tells it to whoever watches.
#[derive(Debug)]
pub(super) struct Record(watch::Sender<Standing>);

impl Record {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(Standing::Unknown))
    }

    pub(super) fn watch(&self) -> watch::Receiver<Standing> {
        self.0.subscribe()
    }

    /// Another credential is in use, of which OCI has said nothing.
    pub(super) fn forget(&self) {
        let unknown =
            |standing: &mut Standing| std::mem::replace(standing, Standing::Unknown) != Standing::Unknown;
        self.0.send_if_modified(unknown);
    }

    /// Takes note of how an attempt ended. What says nothing about the credential changes nothing: whoever
    /// answers 5xx or 3xx need not have looked at the signature.
    pub(super) fn note(&self, failure: Option<&Cause>) {
        let seen = match failure {
            None => Standing::Accepted,
            Some(Cause::Service(service)) if service.status == StatusCode::UNAUTHORIZED => Standing::Refused,
            Some(Cause::Service(service)) if service.status.is_client_error() => Standing::Accepted,
            Some(
                Cause::Service(_)
                | Cause::Decode(_)
                | Cause::Transport(_)
                | Cause::Credentials(_)
                | Cause::Deadline { .. }
                | Cause::Breaker { .. }
                | Cause::Draining { .. }
                | Cause::TokenReused
                | Cause::Signature(_)
                | Cause::Internal(_),
            ) => return,
        };
        self.0.send_if_modified(|standing| std::mem::replace(standing, seen) != seen);
    }
}
