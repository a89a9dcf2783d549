//! What OCI thinks of our credential, seen from its answers.

use super::error::Cause;
use super::error::Service;
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
    /// answers 5xx, 3xx or 429 need not have looked at the signature, and who answers without one of OCI's codes
    /// need not be OCI.
    pub(super) fn note(&self, failure: Option<&Cause>) {
        let seen = match failure {
            None => Standing::Accepted,
            Some(Cause::Service(service)) if has_looked(service) => match service.status {
                StatusCode::UNAUTHORIZED => Standing::Refused,
                _ => Standing::Accepted,
            },
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

/// Whether this was OCI, and it looked who the caller was.
fn has_looked(service: &Service) -> bool {
    let is_throttled = service.status == StatusCode::TOO_MANY_REQUESTS;
    service.status.is_client_error() && !is_throttled && service.code.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;

    #[test]
    fn only_an_answer_of_ocis_own_about_something_else_says_that_it_knows_the_credential() {
        let known = r#"{"code": "NotAuthorizedOrNotFound", "message": "no"}"#;
        for (status, body, seen) in [
            (404, known, Standing::Accepted),
            (401, known, Standing::Refused),
            (401, "<html>", Standing::Unknown),
            (404, "<html>", Standing::Unknown),
            (403, "", Standing::Unknown),
            (429, r#"{"code": "TooManyRequests", "message": "later"}"#, Standing::Unknown),
            (503, known, Standing::Unknown),
        ] {
            let record = Record::new();
            let status = StatusCode::from_u16(status).unwrap();
            record.note(Some(&Cause::Service(Service::read(
                status,
                &HeaderMap::new(),
                Some(body.as_bytes()),
            ))));
            assert_eq!(*record.watch().borrow(), seen, "{status} {body}");
        }
    }
}
