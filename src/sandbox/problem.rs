//! OCI's errors: a status, a code and a message.

use http::StatusCode;

/// An error as OCI words it (OCI, API Errors). The constructors are the ones this sandbox answers by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) message: String,
    /// The methods that would be allowed, for a 405 (RFC 9110 15.5.6).
    pub(super) allow: Option<&'static str>,
}

impl Problem {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Problem {
        Problem { status, code, message: message.into(), allow: None }
    }

    pub(super) fn cannot_parse(message: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, "CannotParseRequest", message)
    }

    pub(super) fn invalid_parameter(message: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, "InvalidParameter", message)
    }

    pub(super) fn missing_parameter(message: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, "MissingParameter", message)
    }

    pub(super) fn not_authenticated(message: impl Into<String>) -> Problem {
        Problem::new(StatusCode::UNAUTHORIZED, "NotAuthenticated", message)
    }

    pub(super) fn not_authorized(message: &str) -> Problem {
        Problem::new(StatusCode::FORBIDDEN, "NotAuthorized", format!("Not authorized: {message}."))
    }

    /// One answer for "missing" and "not allowed", on purpose.
    pub(super) fn not_found() -> Problem {
        let message = "Authorization failed or requested resource not found.";
        Problem::new(StatusCode::NOT_FOUND, "NotAuthorizedOrNotFound", message)
    }

    pub(super) fn no_such_operation(message: impl Into<String>) -> Problem {
        Problem::new(StatusCode::NOT_FOUND, "NotFound", message)
    }

    pub(super) fn method_not_allowed(allow: &'static str) -> Problem {
        let message = format!("The methods here are {allow}.");
        Problem {
            allow: Some(allow),
            ..Problem::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message)
        }
    }

    pub(super) fn conflict(message: impl Into<String>) -> Problem {
        Problem::new(StatusCode::CONFLICT, "Conflict", message)
    }

    pub(super) fn incorrect_state(message: impl Into<String>) -> Problem {
        Problem::new(StatusCode::CONFLICT, "IncorrectState", message)
    }

    pub(super) fn invalidated_retry_token(message: impl Into<String>) -> Problem {
        Problem::new(StatusCode::CONFLICT, "InvalidatedRetryToken", message)
    }

    pub(super) fn no_etag_match() -> Problem {
        Problem::new(
            StatusCode::PRECONDITION_FAILED,
            "NoEtagMatch",
            "The etag does not match the resource's.",
        )
    }

    pub(super) fn payload_too_large(limit: usize) -> Problem {
        let message = format!("The body is larger than {limit} bytes.");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "PayloadTooLarge", message)
    }
}
