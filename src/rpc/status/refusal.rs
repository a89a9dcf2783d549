//! What is refused before, or instead of, a call of OCI, by this room or by the server.

#![expect(clippy::disallowed_types, reason = "a part of the one table")]

use super::A_MOMENT;
use super::Row;
use super::draft::Draft;
use super::draft::Retry;
use super::guarded;
use super::reason::Reason;
use super::reason::Why;
use crate::oci::error::Outcome;
use crate::oci::request_id::RequestId;
use crate::oci::retry_token::RetryToken;
use crate::rpc::field::Violation;
use crate::rpc::field::Violations;
use crate::telemetry::Failure;
use http::HeaderMap;
use http::HeaderName;
use http::Response;
use std::error::Error;
use std::time::Duration;
use tonic::Code;
use tonic::Status;
use tonic_types::StatusExt;

/// Where gRPC has the details of a status.
const DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");

/// Why a call was not, or cannot be, answered with OCI's answer.
#[derive(Debug)]
pub enum Refusal {
    /// Fields are wrong.
    Invalid(Violations),
    /// `grpc-timeout` is malformed, or there are several.
    Timeout,
    /// The message is longer than any valid one.
    TooLarge,
    /// More than the one message that a unary RPC takes.
    SecondMessage,
    /// The message is no protobuf, or uses an encoding that is not spoken here.
    Undecodable(String),
    /// No such RPC in this version, or an encoding that is not spoken here.
    Unimplemented(String),
    /// The message did not come in time.
    NoMessage,
    /// The deadline leaves no time for an attempt.
    Deadline,
    /// The deadline passed before the handler had an answer.
    Late,
    /// As many calls are in flight as may be.
    Overloaded,
    /// The handler panicked.
    Panic,
}

impl Refusal {
    /// The RPC is none of this version's.
    #[must_use]
    pub fn no_such_rpc() -> Self {
        Self::Unimplemented("this version has no such RPC".to_owned())
    }

    /// The status of a call of `operation`, whose token is `retry_token` as far as that is known.
    #[must_use]
    pub fn status(self, operation: &str, request_id: &RequestId, retry_token: Option<&RetryToken>) -> Status {
        let (row, message, outcome) = self.row();
        let outcome = mutates(operation).then_some(outcome);
        let row = guarded(row, outcome, retry_token);
        let mut draft = Draft::new(row, message, operation, request_id.as_str());
        draft.outcome = outcome;
        draft.retry_token = retry_token.cloned();
        if let Self::Invalid(violations) = self {
            draft.retry_token.clone_from(&violations.retry_token);
            draft.violations = violations;
        }
        draft.status()
    }

    fn row(&self) -> (Row, String, Outcome) {
        let (code, reason, retry, message) = match self {
            Self::Invalid(violations) => {
                (Code::InvalidArgument, Reason::InvalidRequest, Retry::Never, summarized(violations))
            }
            Self::Timeout => {
                let message = "grpc-timeout is malformed, or given twice; the form is 1 to 8 digits and one of H, M, S, m, u, n";
                (Code::InvalidArgument, Reason::InvalidRequest, Retry::Never, message.to_owned())
            }
            Self::TooLarge => {
                let message = "the message is longer than 64 KiB, which no valid request is";
                (Code::ResourceExhausted, Reason::MessageTooLarge, Retry::Never, message.to_owned())
            }
            Self::SecondMessage => {
                // As gRPC's libraries for Go and Java answer; the document on status codes says UNIMPLEMENTED.
                let message = "a second message came, or bytes behind the first: this RPC takes exactly one";
                (Code::Internal, Reason::InvalidRequest, Retry::Never, message.to_owned())
            }
            Self::Undecodable(reason) => {
                (Code::InvalidArgument, Reason::InvalidRequest, Retry::Never, undecodable(reason))
            }
            Self::Unimplemented(reason) => {
                (Code::Unimplemented, Reason::InvalidRequest, Retry::Never, reason.clone())
            }
            Self::Deadline => {
                let message =
                    "the deadline left no time for an attempt at OCI: allow at least 300 ms".to_owned();
                (Code::DeadlineExceeded, Reason::DeadlineExceeded, Retry::Application(A_MOMENT), message)
            }
            Self::Late => {
                let message = "the deadline passed before the gateway had an answer".to_owned();
                (Code::DeadlineExceeded, Reason::DeadlineExceeded, Retry::Application(A_MOMENT), message)
            }
            Self::NoMessage => {
                let message = "the call's message did not come: all of it is due within 5 s and the deadline";
                let retry = Retry::Application(A_MOMENT);
                (Code::DeadlineExceeded, Reason::DeadlineExceeded, retry, message.to_owned())
            }
            Self::Overloaded => {
                let message =
                    "as many calls are in flight as the gateway takes; this one was not begun".to_owned();
                (Code::ResourceExhausted, Reason::Overloaded, Retry::Anyone(sooner_or_later()), message)
            }
            Self::Panic => {
                let message = "the gateway failed; its log says where".to_owned();
                (Code::Internal, Reason::Internal, Retry::Never, message)
            }
        };
        let why = match self {
            Self::Deadline | Self::NoMessage => Why::TooLittleTime,
            _ => Why::Gateway(reason),
        };
        (Row { why, ..Row::gateway(code, reason, retry) }, message, self.outcome())
    }

    fn outcome(&self) -> Outcome {
        match self {
            Self::Panic | Self::Late => Outcome::Unknown,
            Self::Invalid(_)
            | Self::Timeout
            | Self::TooLarge
            | Self::SecondMessage
            | Self::Undecodable(_)
            | Self::Unimplemented(_)
            | Self::NoMessage
            | Self::Deadline
            | Self::Overloaded => Outcome::NotStarted,
        }
    }
}

/// Of the path to a field that is nested too deep, only the end says something.
fn undecodable(reason: &str) -> String {
    const LONGEST: usize = 200;
    let reason = match reason.rsplit_once(": ") {
        Some((_path, end)) if reason.len() > LONGEST => end,
        Some(_) | None => reason,
    };
    format!("the message cannot be read: {reason}")
}

/// A moment, and for each a different one: callers who were refused together do not come back together.
fn sooner_or_later() -> Duration {
    A_MOMENT.mul_f64(rand::random_range(0.5..=1.5))
}

/// One line that names the first field and how many more are wrong.
fn summarized(violations: &Violations) -> String {
    let more = match violations.count {
        0 | 1 => String::new(),
        count => format!(" (and {} more violations)", count - 1),
    };
    match violations.kept.first() {
        None => "the request is invalid".to_owned(),
        Some(Violation { field, problem }) => format!("{field}: {problem}{more}"),
    }
}

/// Reads change nothing: google.aip.dev/131 and 132 name them so, and so does this contract.
fn mutates(operation: &str) -> bool {
    !["Get", "List", "Watch"].iter().any(|read| operation.starts_with(read))
}

/// A status that tonic made by itself, as the contract's; `None` for one that came from this table.
#[must_use]
pub fn refine(headers: &HeaderMap) -> Option<Refusal> {
    let status = Status::from_header_map(headers)?;
    if !status.details().is_empty() {
        return None;
    }
    let said = status.message().to_owned();
    match status.code() {
        // tonic's decoder: a message over the limit (gRPC's own libraries never answer OUT_OF_RANGE).
        Code::OutOfRange => Some(Refusal::TooLarge),
        Code::Internal | Code::InvalidArgument => Some(Refusal::Undecodable(said)),
        Code::Unimplemented if said.is_empty() => Some(Refusal::no_such_rpc()),
        Code::Unimplemented => Some(Refusal::Unimplemented(said)),
        Code::Cancelled | Code::DeadlineExceeded => Some(Refusal::Late),
        _ => Some(Refusal::Panic),
    }
}

/// A call that a library repeats is answered for all its tries: nobody here knows that the earlier ones made nothing.
pub fn leave_open(headers: &mut HeaderMap) {
    let Some(status) = Status::from_header_map(headers) else { return };
    let mut details = status.get_error_details();
    let Some(mut info) = details.error_info().cloned() else { return };
    let Some(outcome) = info.metadata.get_mut("outcome") else { return };
    if outcome == Outcome::NotStarted.as_str() {
        Outcome::Unknown.as_str().clone_into(outcome);
        details.set_error_info(info.reason, info.domain, info.metadata);
        let opened = Status::with_error_details(status.code(), status.message(), details);
        if let Some(details) = opened.into_http::<()>().headers_mut().remove(DETAILS) {
            headers.insert(DETAILS, details);
        }
    }
}

/// What log and metrics say about an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// `OK`, `NOT_FOUND`, …
    pub code: &'static str,
    /// The status's message; empty when the call succeeded.
    pub message: String,
    /// Why it failed.
    pub failure: Option<Failure>,
}

/// Reads an answer's status from its headers; a unary answer has one there exactly when it failed.
#[must_use]
pub fn summary<B>(response: &Response<B>) -> Summary {
    match Status::from_header_map(response.headers()) {
        None => Summary { code: name(Code::Ok), message: String::new(), failure: None },
        Some(status) => Summary {
            code: name(status.code()),
            message: status.message().to_owned(),
            failure: Some(failure(response)),
        },
    }
}

/// The end of a call that has no answer.
#[must_use]
pub fn left() -> Summary {
    Summary {
        code: name(Code::Cancelled),
        message: "the caller left, or was cut off".to_owned(),
        failure: Some(Reason::Cancelled.failure()),
    }
}

/// tonic lays the status that it wrote beside the answer, and the table has laid into it what is counted.
fn failure<B>(response: &Response<B>) -> Failure {
    let source = response.extensions().get::<Status>().and_then(Error::source);
    let failure = source.and_then(|source| source.downcast_ref::<Failure>().copied());
    failure.unwrap_or_else(|| Reason::Internal.failure())
}

/// The code's name as gRPC writes it (grpc.github.io/grpc/core/md_doc_statuscodes.html).
fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
