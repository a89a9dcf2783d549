//! THE table: what went wrong → what the caller is told. The only place that makes a `tonic::Status`.
//!
//! It never decides what happens next; it says truly what has happened and whose move it is.

#![expect(clippy::disallowed_types, reason = "this is the one table from errors to statuses")]

mod draft;
mod reason;
mod refusal;

pub use reason::failures;
pub use refusal::Refusal;
pub use refusal::Summary;
pub use refusal::left;
pub use refusal::refine;
pub use refusal::summary;

use crate::oci;
use crate::oci::error::Cause;
use crate::oci::error::Outcome;
use crate::oci::error::Service;
use crate::oci::error::TransportKind;
use crate::oci::operation::Unusable;
use crate::oci::retry_token::Origin;
use crate::oci::retry_token::RetryToken;
use draft::Detail;
use draft::Draft;
use draft::Retry;
use reason::Reason;
use reason::Why;
use std::ops::RangeInclusive;
use std::time::Duration;
use tonic::Code;
use tonic::Status;

/// A status, for who passes one on but makes none.
pub(super) type Refused = Status;

/// When it is worth trying again, where nobody said.
const A_MOMENT: Duration = Duration::from_secs(1);

/// A row of the table: what the caller is told, and what it may do.
struct Row {
    code: Code,
    why: Why,
    retry: Retry,
    detail: Detail,
}

impl Row {
    fn gateway(code: Code, reason: Reason, retry: Retry) -> Self {
        Self { code, why: Why::Gateway(reason), retry, detail: Detail::None }
    }
}

/// The status of a failed call.
#[must_use]
pub fn of(error: &oci::Error) -> Status {
    let row = row(&error.cause, error.outcome);
    let row = guarded(row, error.outcome, error.retry_token.as_ref());
    let mut draft = Draft::new(row, message(error), error.operation, &error.opc_request_id);
    draft.attempts = error.attempts;
    draft.region = error.region.to_string();
    draft.outcome = error.outcome;
    draft.retry_token.clone_from(&error.retry_token);
    draft.subject = Some(error.subject.clone());
    if let Cause::Deadline { last: Some(last) } | Cause::Draining { last: Some(last) } = &*error.cause {
        draft.last_error = Some(last.describe());
    }
    if let Some(service) = answered(&error.cause) {
        draft.http_status = Some(service.status.as_u16());
        draft.oci_code.clone_from(&service.code);
    }
    draft.status()
}

/// A token that the gateway made is the caller's only guard, and only once it is told back. UNAVAILABLE
/// would invite the caller's library to repeat the call under a new one.
fn guarded(row: Row, outcome: Option<Outcome>, retry_token: Option<&RetryToken>) -> Row {
    let may_exist = matches!(outcome, Some(Outcome::Unknown | Outcome::Started));
    let unguarded = retry_token.is_some_and(|token| token.origin() == Origin::Gateway);
    if !(may_exist && unguarded) {
        return row;
    }
    let code = match row.code {
        Code::DeadlineExceeded => Code::DeadlineExceeded,
        _ => Code::Unknown,
    };
    Row { code, retry: row.retry.for_the_application(), ..row }
}

fn row(cause: &Cause, outcome: Option<Outcome>) -> Row {
    let unusable = if outcome.is_some() { Code::Unknown } else { Code::Internal };
    match cause {
        Cause::Service(service) => of_service(service),
        Cause::Transport(error) => of_transport(error.kind),
        Cause::Decode(Unusable::Unreadable { .. } | Unusable::Broken { .. } | Unusable::Malformed { .. }) => {
            Row::gateway(unusable, Reason::UpstreamResponseUnreadable, Retry::Application(A_MOMENT))
        }
        Cause::Decode(Unusable::Empty { .. } | Unusable::OtherSource { .. }) => {
            Row::gateway(unusable, Reason::ResponseMismatch, Retry::Never)
        }
        Cause::Credentials(_) => {
            Row::gateway(Code::Unavailable, Reason::CredentialUnavailable, Retry::Application(A_MOMENT))
        }
        Cause::Deadline { .. } => {
            Row::gateway(Code::DeadlineExceeded, Reason::DeadlineExceeded, Retry::Application(A_MOMENT))
        }
        Cause::Breaker { left } => Row::gateway(Code::Unavailable, Reason::BreakerOpen, Retry::Anyone(*left)),
        Cause::Draining { .. } => Row::gateway(Code::Unavailable, Reason::Draining, Retry::Anyone(A_MOMENT)),
        Cause::TokenReused => Row::gateway(Code::InvalidArgument, Reason::RetryTokenReused, Retry::Never),
        Cause::Signature(_) | Cause::Internal(_) => {
            Row::gateway(Code::Internal, Reason::Internal, Retry::Never)
        }
    }
}

fn of_transport(kind: TransportKind) -> Row {
    let (reason, retry) = match kind {
        TransportKind::Dns => (Reason::UpstreamDns, Retry::Anyone(A_MOMENT)),
        TransportKind::Connect => (Reason::UpstreamConnect, Retry::Anyone(A_MOMENT)),
        TransportKind::Tls => (Reason::UpstreamTls, Retry::Never),
        TransportKind::Reset => (Reason::UpstreamReset, Retry::Application(A_MOMENT)),
        TransportKind::Timeout => (Reason::UpstreamTimeout, Retry::Application(A_MOMENT)),
        TransportKind::TooLarge => (Reason::UpstreamResponseUnreadable, Retry::Application(A_MOMENT)),
        TransportKind::Request => return Row::gateway(Code::Internal, Reason::Internal, Retry::Never),
    };
    Row::gateway(Code::Unavailable, reason, retry)
}

/// docs.oracle.com/iaas/Content/API/References/apierrors.htm, and what OCI's own SDKs know beyond it.
fn of_service(service: &Service) -> Row {
    let status = service.status.as_u16();
    let later = Retry::Application(service.retry_after.unwrap_or(A_MOMENT));
    let (code, retry, detail) = match (status, service.code.as_deref().unwrap_or_default()) {
        (300..=399, _) => return Row::gateway(Code::Internal, Reason::UpstreamRedirect, Retry::Never),
        (400, "LimitExceeded" | "QuotaExceeded") => (Code::ResourceExhausted, Retry::Never, Detail::Quota),
        (400, "RelatedResourceNotAuthorizedOrNotFound") | (404, "NotAuthorizedOrNotFound") => {
            (Code::NotFound, Retry::Never, Detail::Resource)
        }
        (400 | 413 | 422 | 431, _) | (404, "InvalidParameter") => {
            (Code::InvalidArgument, Retry::Never, Detail::None)
        }
        (401, _) => (Code::Unauthenticated, Retry::Never, Detail::None),
        (402 | 403, _) => (Code::PermissionDenied, Retry::Never, Detail::None),
        (404, "NotFound") | (405 | 501, _) => (Code::Unimplemented, Retry::Never, Detail::None),
        (404, _) => (Code::NotFound, Retry::Never, Detail::None),
        (409, "IncorrectState" | "LockConflict" | "Conflict" | "ExternalServerIncorrectState") => {
            (Code::Aborted, later, Detail::None)
        }
        (409, "InvalidatedRetryToken" | "ResourceLocked") => {
            (Code::FailedPrecondition, Retry::Never, Detail::None)
        }
        (409, "NotAuthorizedOrResourceAlreadyExists" | "ResourceAlreadyExists") => {
            (Code::AlreadyExists, Retry::Never, Detail::None)
        }
        (409 | 412, _) => (Code::Aborted, Retry::Never, Detail::None),
        (429, _) => (Code::ResourceExhausted, later, Detail::None),
        (500..=599, _) => (Code::Unavailable, later, Detail::None),
        _ => (Code::Unknown, Retry::Never, Detail::None),
    };
    Row { code, why: Why::of_oci(service, told_reason(service)), retry, detail }
}

/// OCI's code in the form of reasons (AIP-193), or `HTTP_<status>`.
fn told_reason(service: &Service) -> String {
    service
        .code
        .as_deref()
        .and_then(upper_snake)
        .unwrap_or_else(|| format!("HTTP_{}", service.status.as_u16()))
}

/// `NotAuthorizedOrNotFound` → `NOT_AUTHORIZED_OR_NOT_FOUND`; `None` for what is no code of OCI's.
fn upper_snake(code: &str) -> Option<String> {
    /// AIP-193: `[A-Z][A-Z0-9_]+[A-Z0-9]`, at most 63 characters.
    const LENGTHS: RangeInclusive<usize> = 3..=63;
    let mut reason = String::with_capacity(code.len() + 8);
    let mut word_goes_on = false;
    for letter in code.chars() {
        if letter.is_ascii_uppercase() && word_goes_on {
            reason.push('_');
        }
        word_goes_on = letter.is_ascii_lowercase() || letter.is_ascii_digit();
        reason.push(letter.to_ascii_uppercase());
    }
    let fits = code.starts_with(|first: char| first.is_ascii_uppercase())
        && code.chars().all(|letter| letter.is_ascii_alphanumeric())
        && LENGTHS.contains(&reason.len());
    fits.then_some(reason)
}

/// OCI's own answer behind a failure, also behind a deadline.
fn answered(cause: &Cause) -> Option<&Service> {
    match cause {
        Cause::Service(service) => Some(service),
        Cause::Deadline { last } | Cause::Draining { last } => last.as_deref().and_then(answered),
        Cause::Decode(_)
        | Cause::Transport(_)
        | Cause::Breaker { .. }
        | Cause::TokenReused
        | Cause::Credentials(_)
        | Cause::Signature(_)
        | Cause::Internal(_) => None,
    }
}

/// What has happened and whose move it is.
fn message(error: &oci::Error) -> String {
    let told = match &*error.cause {
        Cause::Service(service) => of_oci(service, error),
        Cause::Deadline { .. } if error.attempts == 0 => {
            "the deadline leaves no time for an attempt at OCI; allow at least 300 ms".to_owned()
        }
        cause @ (Cause::Deadline { .. }
        | Cause::Draining { .. }
        | Cause::Decode(_)
        | Cause::Transport(_)
        | Cause::Breaker { .. }
        | Cause::TokenReused
        | Cause::Credentials(_)
        | Cause::Signature(_)
        | Cause::Internal(_)) => cause.describe(),
    };
    let guard = match error.retry_token.as_ref().map(RetryToken::origin) {
        Some(Origin::Gateway) => "the retry token told back in `opc-retry-token`",
        Some(Origin::Caller) | None => "the same retry token",
    };
    match error.outcome {
        Some(Outcome::Unknown) => {
            format!("{told}; the backup may have been made: the same call with {guard} settles it")
        }
        Some(Outcome::Started) => {
            format!("{told}; the backup was made: the same call with {guard} returns it")
        }
        Some(Outcome::NotStarted) | None => told,
    }
}

fn of_oci(service: &Service, error: &oci::Error) -> String {
    let said = said(service);
    match of_service(service) {
        Row { code: Code::Unauthenticated, .. } => format!(
            "OCI refused the gateway's own credential, which its operator has to mend, not the caller; {said}"
        ),
        Row { detail: Detail::Resource, .. } => {
            let elsewhere = error.elsewhere.as_ref().map_or_else(String::new, |region| {
                format!("; its region is {region}, and this gateway calls {}", error.region)
            });
            format!(
                "not found, or the gateway's principal is not allowed to use it: OCI does not tell which\
                 {elsewhere}; {said}"
            )
        }
        Row { why: Why::Gateway(Reason::UpstreamRedirect), .. } => {
            format!(
                "the endpoint answered with a redirect (HTTP {}), which is never followed",
                service.status.as_u16()
            )
        }
        _ => said,
    }
}

/// OCI's own words; a body that is not OCI's is not repeated.
fn said(service: &Service) -> String {
    /// The contract's limit, in bytes.
    const LONGEST: usize = 512;
    let status = service.status.as_u16();
    match &service.code {
        None => format!("OCI answered HTTP {status} without an error of its own"),
        Some(code) => {
            let message = draft::cut(&service.message, LONGEST);
            format!("OCI answered {status} {}: {message}", draft::cut(code, 64))
        }
    }
}
