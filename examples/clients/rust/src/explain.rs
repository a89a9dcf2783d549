//! What a failed call means: in words for people, and as a decision for the program.

use std::time::Duration;

use prost::Message;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, RpcStatusExt, pb};

/// What to do after a failed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The same call with the same retry token, after `after`.
    Repeat { after: Duration },
    /// The same call would fail again; or nobody knows a retry token to repeat it with.
    Stop,
}

/// All that is known of a call that failed. `words` and `decision` are what to act upon.
#[derive(Clone, Debug)]
pub struct Failure {
    pub code: &'static str,
    pub decision: Decision,
    pub words: String,
    /// To repeat with.
    pub retry_token: String,
    /// What else the gateway told.
    pub details: ErrorDetails,
}

/// Tells whether to repeat the call that was made with `retry_token`, when, and what to do else.
pub fn explain(status: &Status, retry_token: &str) -> Failure {
    let details = read_details(status);
    let answered_token = metadata(status, "opc-retry-token");
    let mut failure = Failure {
        code: name_of(status.code()),
        decision: Decision::Stop,
        words: String::new(),
        retry_token: answered_token.unwrap_or(retry_token).to_owned(),
        details,
    };
    let may_be_made = may_be_made(status.code(), &failure.details);
    let asked_to = failure.details.retry_info().map(|info| info.retry_delay.unwrap_or_default());
    // Without a token to repeat it with, the same call would be another backup.
    if !failure.retry_token.is_empty() && (may_be_made.is_some() || asked_to.is_some()) {
        failure.decision = Decision::Repeat { after: asked_to.unwrap_or(Duration::from_secs(1)) };
    }
    failure.words = words(status, &failure, may_be_made);
    failure
}

/// The gateway's details. One that cannot be read is none, and so are those of another code than the call's.
fn read_details(status: &Status) -> ErrorDetails {
    let mut details = ErrorDetails::new();
    let Ok(told) = pb::Status::decode(status.details()) else { return details };
    if told.code != i32::from(status.code()) {
        return details;
    }
    if let Some(info) = told.get_details_error_info() {
        details.set_error_info(info.reason, info.domain, info.metadata);
    }
    if let Some(info) = told.get_details_request_info() {
        details.set_request_info(info.request_id, info.serving_data);
    }
    if let Some(info) = told.get_details_retry_info() {
        details.set_retry_info(info.retry_delay);
    }
    if let Some(wrong) = told.get_details_bad_request() {
        details.set_bad_request(wrong.field_violations);
    }
    if let Some(quota) = told.get_details_quota_failure() {
        details.set_quota_failure(quota.violations);
    }
    if let Some(info) = told.get_details_resource_info() {
        details.set_resource_info(info.resource_type, info.resource_name, info.owner, info.description);
    }
    details
}

/// How a backup may be there although the call failed.
fn may_be_made(code: Code, details: &ErrorDetails) -> Option<&'static str> {
    match details.error_info() {
        Some(info) => match info.metadata.get("outcome").map(String::as_str) {
            Some("UNKNOWN") => Some("the backup may have been made"),
            Some("STARTED") => Some("the backup was made, but its answer cannot be used"),
            _ => None,
        },
        // Without a gateway's word, these may have come after the call had reached one.
        None => matches!(
            code,
            Code::Unavailable
                | Code::DeadlineExceeded
                | Code::Cancelled
                | Code::Unknown
                | Code::Internal
                | Code::ResourceExhausted
                | Code::DataLoss
                // What a proxy said in HTTP.
                | Code::Unauthenticated
                | Code::PermissionDenied
                | Code::Unimplemented
        )
        .then_some("no answer of a gateway came, so the backup may have been made"),
    }
}

fn words(status: &Status, failure: &Failure, may_be_made: Option<&str>) -> String {
    let info = failure.details.error_info();
    let violations = failure.details.bad_request().map_or(&[][..], |wrong| &wrong.field_violations);
    let oci_code = info.and_then(|info| info.metadata.get("oci_code"));

    let mut words = format!("{}: {}", failure.code, status.message());
    if let Some(code) = oci_code {
        words += &format!(" [{code}]");
    }
    words += &format!("; {}; ", may_be_made.unwrap_or("this call made nothing"));

    let nobody_knows = may_be_made.is_some() && failure.retry_token.is_empty();
    words += &match failure.decision {
        Decision::Repeat { after } => {
            format!("repeat with the retry token {} in {} ms", failure.retry_token, after.as_millis())
        }
        Decision::Stop if nobody_knows || status.code() == Code::FailedPrecondition => {
            "find out whether the backup exists before trying again".to_owned()
        }
        Decision::Stop if !violations.is_empty() => {
            let wrong: Vec<_> =
                violations.iter().map(|one| format!("{}: {}", one.field, one.description)).collect();
            format!("mend {}", wrong.join(", "))
        }
        Decision::Stop if for_the_gateways_people(status.code(), info.map_or("", |info| &info.reason)) => {
            "this is for those who run the gateway".to_owned()
        }
        Decision::Stop => "mend the cause before repeating".to_owned(),
    };

    let request_id = failure.details.request_info().map(|info| info.request_id.as_str());
    if let Some(id) = request_id.filter(|id| !id.is_empty()).or_else(|| metadata(status, "opc-request-id")) {
        words += &format!("; opc-request-id {id}");
    }
    words.replace("\r\n", " ").replace(['\r', '\n'], " ")
}

fn for_the_gateways_people(code: Code, reason: &str) -> bool {
    matches!(code, Code::Unauthenticated | Code::PermissionDenied | Code::Unimplemented | Code::Internal)
        || matches!(reason, "UPSTREAM_TLS" | "UPSTREAM_REDIRECT")
}

fn metadata<'a>(status: &'a Status, key: &str) -> Option<&'a str> {
    status.metadata().get(key)?.to_str().ok().filter(|value| !value.is_empty())
}

/// A code as gRPC writes it: tonic has only its own names.
pub fn name_of(code: Code) -> &'static str {
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
