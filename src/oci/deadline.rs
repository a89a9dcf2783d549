//! The caller's deadline, as the rooms below the gRPC face see it.

use std::time::Duration;
use tokio::time::Instant;

/// Kept back for the answer's way to the caller.
const FOR_THE_ANSWER: Duration = Duration::from_millis(50);

/// An attempt that has less time than this would only be abandoned.
const FOR_AN_ATTEMPT: Duration = Duration::from_millis(250);

/// A deadline that leaves no more than this is refused, since nothing could be begun.
pub const SHORTEST: Duration = Duration::from_millis(300);

/// When the caller stops waiting. Steps of the wall clock do not move it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// A deadline `timeout` from now.
    #[must_use]
    pub fn after(timeout: Duration) -> Self {
        Self(Instant::now() + timeout)
    }

    /// When the answer must be on its way.
    #[must_use]
    pub fn answer_by(self) -> Instant {
        self.0.checked_sub(FOR_THE_ANSWER).unwrap_or(self.0)
    }

    /// The time until the last moment at which an attempt may start.
    #[must_use]
    pub fn left_for_attempts(self) -> Duration {
        self.answer_by().saturating_duration_since(Instant::now() + FOR_AN_ATTEMPT)
    }

    /// Whether what is left is enough for another attempt.
    #[must_use]
    pub fn allows_attempt(self) -> bool {
        Instant::now() + FOR_AN_ATTEMPT <= self.answer_by()
    }
}
