//! What a failed call means: in words for people, and as a decision for the program.

use std::collections::HashMap;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// What to do after a failed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The same call with the same retry token, after `after`.
    Repeat { after: Duration },
    /// Nothing was made, and the same call would fail again.
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
    let details = status.get_error_details();
    let answered_token = metadata(status, "opc-retry-token");
    let mut failure = Failure {
        code: name_of(status.code()),
        decision: decide(status, &details),
        words: String::new(),
        retry_token: answered_token.unwrap_or(retry_token).to_owned(),
        details,
    };
    failure.words = words(status, &failure);
    failure
}

fn decide(status: &Status, details: &ErrorDetails) -> Decision {
    let asked_to = details.retry_info().and_then(|info| info.retry_delay);
    let open = match details.error_info() {
        Some(info) => matches!(outcome(&info.metadata), "UNKNOWN" | "STARTED"),
        // Without the gateway's word, these may have come after the call had reached it.
        None => matches!(
            status.code(),
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown | Code::Internal
        ),
    };
    match asked_to {
        Some(after) => Decision::Repeat { after },
        None if open => Decision::Repeat { after: Duration::from_secs(1) },
        None => Decision::Stop,
    }
}

fn words(status: &Status, failure: &Failure) -> String {
    let info = failure.details.error_info();
    let violations = failure.details.bad_request().map_or(&[][..], |wrong| &wrong.field_violations);
    let oci_code = info.and_then(|info| info.metadata.get("oci_code"));

    let mut words = format!("{}: {}", failure.code, status.message());
    if let Some(code) = oci_code {
        words += &format!(" [{code}]");
    }

    words += match (info.map(|info| outcome(&info.metadata)), failure.decision) {
        (None, Decision::Repeat { .. }) => "; no gateway answered, so the backup may have been made",
        (Some("STARTED"), _) => "; the backup was made, but its answer cannot be used",
        (Some("UNKNOWN"), _) => "; the backup may have been made",
        _ => "; this call made nothing",
    };

    words += &match failure.decision {
        Decision::Repeat { after } => {
            format!("; repeat with the retry token {} in {:.1} s", failure.retry_token, after.as_secs_f64())
        }
        Decision::Stop if !violations.is_empty() => {
            let wrong: Vec<_> =
                violations.iter().map(|one| format!("{}: {}", one.field, one.description)).collect();
            format!("; mend {}", wrong.join(", "))
        }
        Decision::Stop if for_the_gateways_people(status.code(), info.map_or("", |info| &info.reason)) => {
            "; this is for those who run the gateway".to_owned()
        }
        Decision::Stop if status.code() == Code::FailedPrecondition => {
            "; find out whether the backup exists before using a new token".to_owned()
        }
        Decision::Stop => "; mend the cause before repeating".to_owned(),
    };

    let request_id = failure.details.request_info().map(|info| info.request_id.as_str());
    if let Some(id) = request_id.or_else(|| metadata(status, "opc-request-id")) {
        words += &format!("; opc-request-id {id}");
    }
    words.replace("\r\n", " ").replace(['\r', '\n'], " ")
}

fn for_the_gateways_people(code: Code, reason: &str) -> bool {
    matches!(code, Code::Unauthenticated | Code::PermissionDenied | Code::Unimplemented | Code::Internal)
        || matches!(reason, "CREDENTIAL_UNAVAILABLE" | "UPSTREAM_TLS" | "UPSTREAM_REDIRECT")
}

fn outcome(metadata: &HashMap<String, String>) -> &str {
    metadata.get("outcome").map_or("", String::as_str)
}

fn metadata<'a>(status: &'a Status, key: &str) -> Option<&'a str> {
    status.metadata().get(key)?.to_str().ok()
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
