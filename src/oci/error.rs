//! How a call failed: all that `rpc/status/` reads.

use super::operation::Unusable;
use super::retry_token::RetryToken;
use crate::credentials;
use crate::ocid::Ocid;
use crate::signature;
use crate::transport;
use crate::transport::breaker::Health;
use crate::transport::retry::Class;
use crate::transport::retry::Failed;
use http::StatusCode;
use serde_json::Map;
use serde_json::Value;
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
    /// Nearly every attempt fails, and none is made for a while.
    #[error("OCI has failed nearly every request of the last seconds; none is sent for a while")]
    Breaker {
        /// How long that lasts.
        left: Duration,
    },
    /// The process is about to end, and another attempt would have had to wait.
    #[error("this gateway is shutting down")]
    Draining {
        /// What the last attempt said.
        #[source]
        last: Option<Arc<Cause>>,
    },
    /// Another request has gone out under the same retry token.
    #[error("the retry token is in use by a request with other content")]
    TokenReused,
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
    /// Its body broke off, with whatever code it had.
    pub is_broken: bool,
    /// What `Retry-After` asked for.
    pub retry_after: Option<Duration>,
}

/// Whether a mutation that failed has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// This call made nothing, and will not. What an earlier one with the same token left is as open as before.
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
    /// Whether this was not OCI: its name does not resolve, or whatever answers there has other words. A silent one may be OCI, and
    /// so may one whose errors come from something before it.
    #[must_use]
    pub fn is_elsewhere(&self) -> bool {
        match self {
            Self::Transport(error) => matches!(error.kind, TransportKind::Dns | TransportKind::Tls),
            Self::Service(Service { status, code: None, .. }) => {
                status.is_redirection()
                    || status.is_client_error() && *status != StatusCode::TOO_MANY_REQUESTS
            }
            Self::Decode(unusable) => !matches!(unusable, Unusable::Broken { .. }),
            _ => false,
        }
    }

    /// What one attempt that ended like this has done. Never more certain than what was seen: any 5xx may
    /// come from something between us and a server that has already acted; only 501 says that nothing did.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Service(service) => match service.status {
                StatusCode::NOT_IMPLEMENTED => Outcome::NotStarted,
                status if status.is_client_error() || status.is_redirection() => Outcome::NotStarted,
                // Also what is no status at all: RFC 9110, 15, takes it for a 5xx.
                _ => Outcome::Unknown,
            },
            Self::Decode(Unusable::Malformed { .. }) => Outcome::Started,
            Self::Decode(
                Unusable::Unreadable { .. }
                | Unusable::Broken { .. }
                | Unusable::Empty { .. }
                | Unusable::OtherSource { .. },
            ) => Outcome::Unknown,
            Self::Transport(error) if error.kind.never_sent() => Outcome::NotStarted,
            Self::Transport(_) | Self::Internal(_) => Outcome::Unknown,
            Self::Credentials(_) | Self::Signature(_) | Self::Breaker { .. } | Self::TokenReused => {
                Outcome::NotStarted
            }
            Self::Draining { last } => last.as_ref().map_or(Outcome::NotStarted, |last| last.outcome()),
            Self::Deadline { last } => last.as_ref().map_or(Outcome::NotStarted, |last| last.outcome()),
        }
    }

    /// What it means for the next attempt, as far as it tells by itself.
    #[must_use]
    pub fn failed(&self) -> Failed {
        let (class, health) = match self {
            Self::Service(service) => return service.failed(),
            Self::Decode(Unusable::Unreadable { .. } | Unusable::Malformed { .. }) => {
                (Class::Ambiguous, Health::Well)
            }
            Self::Decode(Unusable::Empty { .. } | Unusable::OtherSource { .. }) => {
                (Class::Permanent, Health::Well)
            }
            Self::Decode(Unusable::Broken { kind }) => of_transport(*kind),
            Self::Transport(error) => of_transport(error.kind),
            Self::Credentials(_)
            | Self::Deadline { .. }
            | Self::Breaker { .. }
            | Self::Draining { .. }
            | Self::TokenReused
            | Self::Signature(_)
            | Self::Internal(_) => (Class::Permanent, Health::Unknown),
        };
        Failed { class, retry_after: None, health }
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

fn of_transport(kind: TransportKind) -> (Class, Health) {
    match kind {
        TransportKind::Dns | TransportKind::Connect => (Class::NotSent, Health::Ill),
        TransportKind::Timeout => (Class::Ambiguous, Health::Ill),
        TransportKind::Reset | TransportKind::TooLarge => (Class::Ambiguous, Health::Unknown),
        TransportKind::Tls | TransportKind::Request => (Class::Permanent, Health::Unknown),
    }
}

impl Service {
    fn failed(&self) -> Failed {
        let class = match (self.status.as_u16(), self.code.as_deref().unwrap_or_default()) {
            // The code that tells a state from what is permanent did not arrive.
            (409, _) if self.is_broken => Class::Ambiguous,
            (409, "IncorrectState" | "LockConflict" | "Conflict" | "ExternalServerIncorrectState") => {
                Class::State
            }
            (429, _) => Class::Throttled,
            (501, _) => Class::Permanent,
            (503, _) => Class::Overloaded,
            (500..=599, _) => Class::Ambiguous,
            _ => Class::Permanent,
        };
        let is_ill = self.status.is_server_error() && self.status != StatusCode::NOT_IMPLEMENTED;
        let health = if is_ill { Health::Ill } else { Health::Well };
        Failed { class, retry_after: self.retry_after, health }
    }

    /// Reads an error answer. OCI's body is an object with a code and a message
    /// (docs.oracle.com/iaas/Content/API/References/apierrors.htm); one without a code says nothing and is
    /// dropped. `None`: it broke off.
    pub(super) fn read(status: StatusCode, headers: &http::HeaderMap, body: Option<&[u8]>) -> Self {
        let is_broken = body.is_none();
        let body: Map<String, Value> = serde_json::from_slice(body.unwrap_or_default()).unwrap_or_default();
        let text = |name| body.get(name).and_then(Value::as_str).map(str::to_owned);
        let code = text("code").filter(|code| !code.is_empty());
        let message = code.as_ref().and_then(|_of_oci| text("message")).unwrap_or_default();
        Self { status, code, message, is_broken, retry_after: transport::backoff::retry_after(headers) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;
    use http::HeaderName;
    use http::HeaderValue;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn read(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Service {
        let headers = headers.iter().map(|(name, value)| {
            (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
        });
        Service::read(StatusCode::from_u16(status).unwrap(), &headers.collect(), Some(body))
    }

    fn answered(status: u16) -> Cause {
        Cause::Service(read(status, &[], b""))
    }

    #[test]
    fn an_outcome_is_never_more_certain_than_what_was_seen() {
        use Outcome::NotStarted;
        use Outcome::Started;
        use Outcome::Unknown;
        let transport = |kind| Cause::Transport(transport::Error { kind, source: None });
        let text = String::new;
        let late = |last: Option<Cause>| Cause::Deadline { last: last.map(Arc::new) };
        let cases = [
            (answered(101), Unknown),
            (answered(302), NotStarted),
            (answered(400), NotStarted),
            (answered(401), NotStarted),
            (answered(404), NotStarted),
            (answered(409), NotStarted),
            (answered(412), NotStarted),
            (answered(429), NotStarted),
            (answered(499), NotStarted),
            (answered(500), Unknown),
            (answered(501), NotStarted),
            (answered(502), Unknown),
            (answered(503), Unknown),
            (answered(504), Unknown),
            (answered(599), Unknown),
            (Cause::Decode(Unusable::Unreadable { reason: text() }), Unknown),
            (Cause::Decode(Unusable::Broken { kind: TransportKind::Timeout }), Unknown),
            (Cause::Decode(Unusable::Malformed { reason: text() }), Started),
            (Cause::Decode(Unusable::Empty { status: 204 }), Unknown),
            (Cause::Decode(Unusable::OtherSource { named: text() }), Unknown),
            (transport(TransportKind::Request), NotStarted),
            (transport(TransportKind::Dns), NotStarted),
            (transport(TransportKind::Connect), NotStarted),
            (transport(TransportKind::Tls), NotStarted),
            (transport(TransportKind::Reset), Unknown),
            (transport(TransportKind::Timeout), Unknown),
            (transport(TransportKind::TooLarge), Unknown),
            (Cause::Internal("a fault"), Unknown),
            (late(None), NotStarted),
            (late(Some(answered(429))), NotStarted),
            (late(Some(answered(500))), Unknown),
        ];
        for (cause, outcome) in cases {
            assert_eq!(cause.outcome(), outcome, "{cause:?}");
        }
    }

    #[test]
    fn a_failure_says_what_it_means_for_the_next_attempt_and_how_the_server_is() {
        use Class::*;
        use Health::Ill;
        use Health::Unknown as NoWord;
        use Health::Well;
        let oci = |status, code: &str| {
            Cause::Service(read(status, &[], format!(r#"{{"code":"{code}","message":""}}"#).as_bytes()))
        };
        let transport = |kind| Cause::Transport(transport::Error { kind, source: None });
        let broken = |status| {
            Cause::Service(Service::read(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), None))
        };
        let cases = [
            (answered(302), Permanent, Well),
            (answered(400), Permanent, Well),
            (answered(401), Permanent, Well),
            (answered(409), Permanent, Well),
            (oci(409, "IncorrectState"), State, Well),
            (oci(409, "LockConflict"), State, Well),
            (oci(409, "Conflict"), State, Well),
            (oci(409, "ExternalServerIncorrectState"), State, Well),
            (oci(409, "InvalidatedRetryToken"), Permanent, Well),
            (oci(409, "ResourceLocked"), Permanent, Well),
            (oci(400, "IncorrectState"), Permanent, Well),
            (answered(412), Permanent, Well),
            (answered(429), Throttled, Well),
            (answered(500), Ambiguous, Ill),
            (answered(501), Permanent, Well),
            (answered(502), Ambiguous, Ill),
            (answered(503), Overloaded, Ill),
            (answered(504), Ambiguous, Ill),
            (answered(599), Ambiguous, Ill),
            (Cause::Decode(Unusable::Unreadable { reason: String::new() }), Ambiguous, Well),
            (Cause::Decode(Unusable::Malformed { reason: String::new() }), Ambiguous, Well),
            (Cause::Decode(Unusable::Empty { status: 204 }), Permanent, Well),
            (Cause::Decode(Unusable::OtherSource { named: String::new() }), Permanent, Well),
            (transport(TransportKind::Dns), NotSent, Ill),
            (transport(TransportKind::Connect), NotSent, Ill),
            (transport(TransportKind::Tls), Permanent, NoWord),
            (transport(TransportKind::Request), Permanent, NoWord),
            (transport(TransportKind::Reset), Ambiguous, NoWord),
            (transport(TransportKind::Timeout), Ambiguous, Ill),
            (transport(TransportKind::TooLarge), Ambiguous, NoWord),
            (Cause::Internal("a fault"), Permanent, NoWord),
            (Cause::Decode(Unusable::Broken { kind: TransportKind::Timeout }), Ambiguous, Ill),
            (Cause::Decode(Unusable::Broken { kind: TransportKind::Reset }), Ambiguous, NoWord),
            (Cause::Decode(Unusable::Broken { kind: TransportKind::TooLarge }), Ambiguous, NoWord),
            (broken(409), Ambiguous, Well),
            (broken(400), Permanent, Well),
            (broken(429), Throttled, Well),
        ];
        for (cause, class, health) in cases {
            let failed = cause.failed();
            assert_eq!((failed.class, failed.health), (class, health), "{cause:?}");
        }
        let asked = Cause::Service(read(503, &[("retry-after", "7")], b"")).failed();
        assert_eq!(asked.retry_after, Some(Duration::from_secs(7)));
    }

    #[test]
    fn outcomes_are_ordered_by_how_much_may_have_been_made() {
        assert!(Outcome::NotStarted < Outcome::Unknown && Outcome::Unknown < Outcome::Started);
    }

    #[test]
    fn takes_the_code_and_the_message_of_ocis_json_and_nothing_of_other_bodies() {
        let cases: &[(&[u8], Option<&str>, &str)] = &[
            (br#"{"code":"Conflict","message":"why"}"#, Some("Conflict"), "why"),
            (br#"{"code":"Conflict","message":null,"new":[1]}"#, Some("Conflict"), ""),
            (br#"{"code":"Conflict"}"#, Some("Conflict"), ""),
            // A message of another form takes nothing from what the code says.
            (br#"{"code":"Conflict","message":["why"]}"#, Some("Conflict"), ""),
            (br#"{"code":"","message":"of a proxy"}"#, None, ""),
            (br#"{"message":"of a proxy"}"#, None, ""),
            (br#"{"code":409,"message":"of a proxy"}"#, None, ""),
            (br#"{"code":null,"message":"of a proxy"}"#, None, ""),
            (br#"["Conflict","of a proxy"]"#, None, ""),
            (br#"{"code":"Conflict","message":"cut"#, None, ""),
            (br#"{"code":"Conflict"} and more"#, None, ""),
            (b"<html>of a proxy</html>", None, ""),
            (b"\xff\xfe", None, ""),
            (b"", None, ""),
        ];
        for (body, code, message) in cases {
            let service = read(409, &[], body);
            assert_eq!(
                (service.status.as_u16(), service.code.as_deref(), service.message.as_str()),
                (409, *code, *message),
                "{}",
                String::from_utf8_lossy(body)
            );
        }
    }

    #[test]
    fn takes_what_retry_after_asks_for() {
        let seconds =
            |headers: &[(&str, &str)]| read(429, headers, b"").retry_after.map(|wait| wait.as_secs());
        assert_eq!(seconds(&[("retry-after", "7")]), Some(7));
        assert_eq!(seconds(&[("retry-after", "soon")]), None);
        assert_eq!(seconds(&[]), None);
    }

    #[test]
    fn an_error_is_described_in_one_line_down_to_its_reason() {
        let cause = Cause::Transport(transport::Error::new(TransportKind::Reset, "the peer left"));
        assert_eq!(
            cause.describe(),
            "OCI did not answer: the connection broke before the answer came: the peer left"
        );
        let late = Cause::Deadline { last: Some(Arc::new(answered(503))) };
        assert_eq!(late.describe(), "the caller's deadline passed: OCI answered with HTTP 503");
    }

    proptest! {
        #[test]
        fn no_bytes_of_an_error_make_the_reader_panic(
            status in 100_u16..1000, body in vec(any::<u8>(), 0..200), wait in vec(32_u8..=255, 0..40),
        ) {
            let wait = wait.into_iter().filter(|byte| *byte != 127).collect::<Vec<_>>();
            let mut headers = HeaderMap::new();
            headers.insert("retry-after", HeaderValue::from_bytes(&wait).unwrap());
            let service = Service::read(StatusCode::from_u16(status).unwrap(), &headers, Some(&body));
            let _ = Cause::Service(service).describe();
        }
    }
}
