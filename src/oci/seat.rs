//! The seat of a call: its place among those in flight, and what was learnt of it by the way.

use super::retry_token::RetryToken;
use std::sync::OnceLock;
use tokio::sync::OwnedSemaphorePermit;

/// Whoever works for a call holds its seat, as the work may outlive the caller.
#[derive(Debug)]
pub struct Seat {
    _permit: OwnedSemaphorePermit,
    retry_token: OnceLock<RetryToken>,
}

impl Seat {
    /// One that is given back with `permit`.
    #[must_use]
    pub fn new(permit: OwnedSemaphorePermit) -> Self {
        Self { _permit: permit, retry_token: OnceLock::new() }
    }

    /// The token that guards the call, as soon as that is known: who writes of a call that was never answered asks here.
    #[must_use]
    pub fn retry_token(&self) -> Option<&RetryToken> {
        self.retry_token.get()
    }

    /// Takes note of it.
    pub fn note(&self, retry_token: &RetryToken) {
        // The first one stays: a call has one.
        let _ = self.retry_token.set(retry_token.clone());
    }
}
