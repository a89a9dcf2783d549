//! How a call failed: all that `rpc/status.rs` reads.

use super::operation::Unusable;
use super::retry_token::RetryToken;
use crate::credentials;
use crate::ocid::Ocid;
use crate::signature;
use crate::transport;
use http::StatusCode;
use std::sync::Arc;
use std::time::Duration;

pub use crate::transport::Kind as TransportKind;

/// A failed call.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{operation} failed")]
pub struct Error {
    /// What went wrong last.
    #[source]
    pub cause: Arc<Cause>,
    /// The operation's name.
    pub operation: &'static str,
    /// The resource that the call was about.
    pub subject: Ocid,
    /// The gateway's region.
    pub region: Arc<str>,
    /// The subject's region, if that is another.
    pub elsewhere: Option<Box<str>>,
    /// Attempts made, those in flight included.
    pub attempts: u32,
    /// Whether the mutation happened; `None` for reads.
    pub outcome: Option<Outcome>,
    /// What OCI answered, else what was sent.
    pub opc_request_id: Box<str>,
    /// The token that guards the call, if it has one.
    pub retry_token: Option<RetryToken>,
}

/// Why an attempt, and so the call, failed.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// OCI answered with an error status.
    #[error("OCI answered with HTTP {}", .0.status.as_u16())]
    Service(Service),
    /// A success status without a usable resource.
    #[error("OCI's answer cannot be used")]
    Decode(#[source] Unusable),
    /// No answer.
    #[error("OCI did not answer")]
    Transport(#[source] transport::Error),
    /// Nothing to sign with.
    #[error("the gateway has no credential to sign with")]
    Credentials(#[source] credentials::Error),
    /// The caller's deadline passed, or left too little for an attempt.
    #[error("the caller's deadline passed")]
    Deadline {
        /// What the last attempt that ended said.
        #[source]
        last: Option<Arc<Cause>>,
    },
    /// The request could not be signed: the clock or the key is broken.
    #[error("the request could not be signed")]
    Signature(#[source] signature::Error),
    /// A fault of this program.
    #[error("internal error: {0}")]
    Internal(&'static str),
}

/// An error status of OCI's, or of something that stands in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// The HTTP status.
    pub status: StatusCode,
    /// OCI's code; `None` when the body is not OCI's JSON.
    pub code: Option<String>,
    /// OCI's message; empty when the body is not OCI's JSON, which is never passed on.
    pub message: String,
    /// What `Retry-After` asked for.
    pub retry_after: Option<Duration>,
}

/// Whether a mutation that failed has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Nothing was made.
    NotStarted,
    /// It may have been made: the same call with the same token settles it.
    Unknown,
    /// OCI made it, but its answer cannot be used.
    Started,
}

impl Outcome {
    /// Its name in `ErrorInfo.metadata`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotStarted => "NOT_STARTED",
            Self::Unknown => "UNKNOWN",
            Self::Started => "STARTED",
        }
    }
}

impl Cause {
    /// What one attempt that ended like this has done. Never more certain than what was seen: any 5xx may
    /// come from something between us and a server that has already acted; only 501 says that nothing did.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Service(service) => match service.status {
                StatusCode::NOT_IMPLEMENTED => Outcome::NotStarted,
                status if status.is_server_error() || status.is_informational() => Outcome::Unknown,
                _ => Outcome::NotStarted,
            },
            Self::Decode(Unusable::Malformed { .. }) => Outcome::Started,
            Self::Decode(
                Unusable::Unreadable { .. } | Unusable::Empty { .. } | Unusable::OtherSource { .. },
            ) => Outcome::Unknown,
            Self::Transport(error) if error.kind.never_sent() => Outcome::NotStarted,
            Self::Transport(_) | Self::Internal(_) => Outcome::Unknown,
            Self::Credentials(_) | Self::Signature(_) => Outcome::NotStarted,
            Self::Deadline { last } => last.as_ref().map_or(Outcome::NotStarted, |last| last.outcome()),
        }
    }

    /// What the error says, with the reasons below it, in one line.
    #[must_use]
    pub fn describe(&self) -> String {
        let mut text = self.to_string();
        let mut below = std::error::Error::source(self);
        while let Some(error) = below {
            let reason = error.to_string();
            if !text.ends_with(&reason) {
                text.push_str(": ");
                text.push_str(&reason);
            }
            below = error.source();
        }
        text
    }
}

/// OCI's error body (docs.oracle.com/iaas/Content/API/References/apierrors.htm).
#[derive(serde::Deserialize)]
struct Body {
    code: String,
    #[serde(default)]
    message: Option<String>,
}

impl Service {
    /// Reads an error answer. A body that is not OCI's JSON says nothing and is dropped.
    pub(super) fn read(status: StatusCode, headers: &http::HeaderMap, body: &[u8]) -> Self {
        let body = serde_json::from_slice::<Body>(body).ok();
        let (code, message) = match body {
            Some(body) => (Some(body.code), body.message.unwrap_or_default()),
            None => (None, String::new()),
        };
        Self { status, code, message, retry_after: transport::backoff::retry_after(headers) }
    }
}
