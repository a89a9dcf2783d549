//! What callers saw and what OCI did, as plain data: all that the checker knows.

use std::time::Duration;
use tonic::Code;

/// Everything that a run has left behind.
pub(crate) struct History {
    /// The tokens under which one backup each was wanted.
    pub(crate) wanted: Vec<String>,
    /// Every call of every caller.
    pub(crate) calls: Vec<Call>,
    /// The sandbox's ledger.
    pub(crate) commits: Vec<Commit>,
    /// Whether a call may end without the gateway's word.
    pub(crate) gateways: Gateways,
}

/// What was done to the gateways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gateways {
    /// Nothing.
    LeftAlone,
    /// They were killed now and then.
    Killed,
}

/// One call. Its request id is its own, so that the ledger can tell which call a commit belongs to.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) token: String,
    pub(crate) request_id: String,
    /// Since the run began.
    pub(crate) start: Duration,
    /// The same.
    pub(crate) end: Duration,
    /// How long it was allowed to take.
    pub(crate) deadline: Duration,
    pub(crate) machine: Share,
    pub(crate) answer: Answer,
}

/// Whether the gateway had the processors while it was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Share {
    Ours,
    /// Others took so much of the machine that nobody can say whose fault it is when an answer is late.
    Others,
}

/// What the caller was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// OK, with this backup.
    Made(String),
    /// An error of the gateway's.
    Failed(Failure),
    /// The connection broke: the gateway said nothing.
    Lost(String),
    /// The gateway was late, and tonic's own server, which counts too, ended the call without a word.
    CutOff,
}

/// An error, as its details tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) code: Code,
    pub(crate) reason: String,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) attempts: u32,
    /// `RetryInfo`, if there is one.
    pub(crate) retry_after: Option<Duration>,
}

/// `outcome` of a create that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    NotStarted,
    Started,
    Unknown,
}

/// A backup that OCI made.
#[derive(Debug, Clone)]
pub(crate) struct Commit {
    pub(crate) token: Option<String>,
    /// Of the request that made it.
    pub(crate) request_id: Option<String>,
    pub(crate) id: String,
    /// When it was made, since the run began.
    pub(crate) at: Duration,
}

impl Call {
    pub(crate) fn took(&self) -> Duration {
        self.end.saturating_sub(self.start)
    }

    /// How far its end was beyond its deadline.
    pub(crate) fn late_by(&self) -> Duration {
        self.took().saturating_sub(self.deadline)
    }
}
