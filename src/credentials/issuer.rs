//! One exchange with a service that gives credentials, and what is wrong with its answer, a line each.

use super::Credentials;
use super::Error;
use super::JwtError;
use super::Owner;
use super::PemError;
use super::certificate::CertificateError;
use super::jwt::Claims;
use crate::clock::Clock;
use crate::signature::PrivateKey;
use crate::transport;
use crate::transport::HttpService;
use crate::transport::Kind;
use crate::transport::Limits;
use bytes::Bytes;
use http::HeaderMap;
use http::StatusCode;
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// Longer answers are none of theirs.
const MAX_BODY: usize = 64 * 1024;

/// What a service that gives credentials, or parts of one, answered instead, and where it is.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct IssuerError {
    place: String,
    problem: IssuerProblem,
}

/// What is wrong with the answer. Each line reads on from the place, and repeats nothing of the answer but OCI's code.
#[derive(Debug, thiserror::Error)]
pub enum IssuerProblem {
    /// No answer.
    #[error("gives no answer: {reason}; {remedy}")]
    Unreached {
        /// In the transport's words.
        reason: String,
        /// What to look at.
        remedy: &'static str,
    },
    /// An answer that broke off.
    #[error("gives an answer that breaks off: {reason}; it is asked again")]
    Broken {
        /// In the transport's words.
        reason: String,
    },
    /// An error status.
    #[error("answers HTTP {status}{}; {remedy}", code.as_ref().map(|code| format!(" {code}")).unwrap_or_default())]
    Status {
        /// The status.
        status: u16,
        /// OCI's code, if there is one.
        code: Option<String>,
        /// What to look at.
        remedy: &'static str,
    },
    /// A success without what was asked for.
    #[error("answers with something else than {expected}; is something between here and there?")]
    Unreadable {
        /// What was expected.
        expected: &'static str,
    },
    /// A token that cannot be used.
    #[error("gives what {0}; is this machine's clock right, and is that OCI?")]
    Token(JwtError),
    /// A token for a key that is not ours.
    #[error("gives a token for another key than it was asked for; is something between here and there?")]
    OtherKey,
    /// A certificate that cannot be used.
    #[error("gives what {0}")]
    Certificate(CertificateError),
    /// A key that cannot be used.
    #[error("gives a key that {0}")]
    Key(PemError),
    /// A key and a certificate that were read while they were replaced.
    #[error("gives a key that is not the certificate's: they are being replaced, and are read again")]
    Rotating,
    /// A fault of this program.
    #[error("cannot be asked: {0}")]
    Internal(String),
}

impl From<IssuerError> for Error {
    fn from(error: IssuerError) -> Self {
        let meaning = match &error.problem {
            IssuerProblem::Status { status: 400..=428 | 430..=499, .. } => Self::Refused,
            IssuerProblem::Status { status: 429 | 500.., .. }
            | IssuerProblem::Unreached { .. }
            | IssuerProblem::Broken { .. }
            | IssuerProblem::Rotating => Self::Unavailable,
            IssuerProblem::Status { .. }
            | IssuerProblem::Unreadable { .. }
            | IssuerProblem::Token(_)
            | IssuerProblem::OtherKey
            | IssuerProblem::Certificate(_)
            | IssuerProblem::Key(_)
            | IssuerProblem::Internal(_) => Self::Unexpected,
        };
        meaning(Arc::new(error))
    }
}

/// A service: how it is reached, and what to tell when it is not.
pub(super) struct Issuer {
    pub(super) http: Arc<dyn HttpService>,
    /// What one exchange may take.
    pub(super) timeout: Duration,
    /// What to look at when there is no answer.
    pub(super) unreached: &'static str,
    /// And at an error status.
    pub(super) refused: fn(u16) -> &'static str,
}

/// An answer, as far as it came.
pub(super) struct Answered {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    body: Result<Bytes, transport::Error>,
}

impl Issuer {
    /// Sends one request to what is called `place` in messages.
    pub(super) async fn ask(
        &self,
        place: &str,
        request: http::Request<Bytes>,
    ) -> Result<Answered, IssuerError> {
        let limits = Limits { timeout: self.timeout, max_body: MAX_BODY };
        let sent = self.http.send(request, limits).await;
        let (head, body) = sent.map_err(|error| self.unreached(place, &error))?.into_parts();
        Ok(Answered { status: head.status, headers: head.headers, body })
    }

    /// The body of a success.
    pub(super) fn body(&self, place: &str, answered: Answered) -> Result<Bytes, IssuerError> {
        if answered.status != StatusCode::OK {
            let status = answered.status.as_u16();
            let code = answered.body.ok().and_then(|body| code(&body));
            return Err(wrong(place, IssuerProblem::Status { status, code, remedy: (self.refused)(status) }));
        }
        answered.body.map_err(|error| wrong(place, IssuerProblem::Broken { reason: reason(&error) }))
    }

    fn unreached(&self, place: &str, error: &transport::Error) -> IssuerError {
        let problem = match error.kind {
            Kind::Request => IssuerProblem::Internal(reason(error)),
            Kind::Dns | Kind::Connect | Kind::Tls | Kind::Reset | Kind::Timeout | Kind::TooLarge => {
                IssuerProblem::Unreached { reason: reason(error), remedy: self.unreached }
            }
        };
        wrong(place, problem)
    }
}

/// A token that was issued for a key of ours.
pub(super) struct Issued {
    token: Zeroizing<String>,
    pub(super) claims: Claims,
}

impl Issued {
    /// Reads what was issued at `place` for `session`.
    pub(super) fn read(
        place: &str,
        token: Zeroizing<String>,
        session: &PrivateKey,
        clock: &Clock,
    ) -> Result<Self, IssuerError> {
        let claims = Claims::read(&token, clock.now());
        let claims = claims.map_err(|error| wrong(place, IssuerProblem::Token(error)))?;
        match claims.modulus() {
            Some(modulus) if !session.has_modulus(&modulus) => Err(wrong(place, IssuerProblem::OtherKey)),
            Some(_) | None => Ok(Self { token, claims }),
        }
    }

    /// The credentials that token and key are together.
    pub(super) fn with(self, session: PrivateKey, owner: Owner) -> Credentials {
        let key_id = format!("ST${}", self.token.as_str());
        Credentials::new(key_id, session, Some(self.claims.expires)).of(owner)
    }
}

/// `problem` at `place`.
pub(super) fn wrong(place: &str, problem: IssuerProblem) -> IssuerError {
    IssuerError { place: place.to_owned(), problem }
}

/// OCI's code, if it looks like one.
fn code(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Body {
        code: String,
    }
    let Body { code } = serde_json::from_slice(body).ok()?;
    let fits = (1..=64).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    fits.then_some(code)
}

/// The kind of failure, and what lies deepest below it.
fn reason(error: &transport::Error) -> String {
    let mut deepest: Option<&(dyn std::error::Error + 'static)> = None;
    let mut below = std::error::Error::source(error);
    while let Some(cause) = below {
        deepest = Some(cause);
        below = cause.source();
    }
    match deepest {
        Some(cause) => format!("{}: {cause}", error.kind),
        None => error.kind.to_string(),
    }
}
