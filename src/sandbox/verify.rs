//! Is this request signed by the one who may? Answered from the raw request alone.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use rsa::RsaPublicKey;
use rsa::pkcs1v15::{Signature, VerifyingKey};
use rsa::signature::Verifier as _;
use sha2::Sha256;

use super::authorization::Authorization;
use super::identity::Identity;
use super::issuer::certificate::CertificateRefusal;
use super::issuer::token::{Mint, TokenRefusal};
use super::request::RawRequest;

/// OCI, Signing Requests: "if the client's clock is skewed more than 5 minutes, a 401".
const MAX_SKEW: Duration = Duration::from_secs(300);

/// What was wrong; the first thing found.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("header {0} is missing")]
    HeaderMissing(String),
    #[error("header {0} is there more than once")]
    HeaderRepeated(String),
    #[error("the authorization header cannot be read: {0}")]
    Unreadable(&'static str),
    #[error("the authorization header has no {0}")]
    AttributeMissing(&'static str),
    #[error("the authorization header has {0} more than once")]
    AttributeRepeated(&'static str),
    #[error("version {0:?} is not 1")]
    Version(String),
    #[error("algorithm {0:?} is not rsa-sha256")]
    Algorithm(String),
    #[error("key id {0:?} is not known")]
    KeyId(String),
    #[error("the key id is a token, and there are no issuers")]
    NoTokens,
    #[error("the token in the key id {0}")]
    Token(#[from] TokenRefusal),
    #[error("the certificate {0}")]
    Certificate(#[from] CertificateRefusal),
    #[error("the key id's {part} is {said:?}, the certificate's {actual:?}")]
    Mismatch { part: &'static str, said: String, actual: String },
    #[error("{0} is not signed")]
    NotSigned(&'static str),
    #[error("headers= names {0:?} more than once")]
    SignedTwice(String),
    #[error("{0} is not an HTTP date")]
    NotADate(&'static str),
    #[error("{header} is {seconds} seconds off; 300 are allowed")]
    Skewed { header: &'static str, seconds: u64 },
    #[error("content-length is {said:?} but the body has {actual} bytes")]
    Length { said: String, actual: usize },
    #[error("x-content-sha256 is not the hash of the body")]
    BodyHash,
    #[error("the signature is not base64")]
    SignatureNotBase64,
    #[error("the signature does not match the signing string")]
    Signature,
}

/// Which headers a request must sign, besides those of its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coverage {
    /// Everywhere.
    WithHost,
    /// At the federation endpoint, where some SDKs sign the host and some do not.
    HostOptional,
}

/// Whose signatures the OCI face accepts.
pub(super) struct Verifier {
    /// API keys by their ids.
    keys: RwLock<HashMap<String, VerifyingKey<Sha256>>>,
    tokens: Option<Arc<Mint>>,
}

impl Verifier {
    pub(super) fn new(identity: &Identity, tokens: Option<Arc<Mint>>) -> Verifier {
        Verifier { tokens, ..Verifier::of_key(identity.public_key().clone(), identity.key_id()) }
    }

    pub(super) fn of_key(key: RsaPublicKey, key_id: String) -> Verifier {
        Verifier { keys: RwLock::new(HashMap::from([(key_id, VerifyingKey::new(key))])), tokens: None }
    }

    pub(super) fn accept(&self, identity: &Identity) {
        let key = VerifyingKey::new(identity.public_key().clone());
        self.keys.write().unwrap_or_else(PoisonError::into_inner).insert(identity.key_id(), key);
    }

    /// Whether it was known.
    pub(super) fn refuse(&self, key_id: &str) -> bool {
        self.keys.write().unwrap_or_else(PoisonError::into_inner).remove(key_id).is_some()
    }

    pub(super) fn verify(&self, request: &RawRequest, now: SystemTime) -> Result<(), Refusal> {
        verify(request, Coverage::WithHost, now, |key_id| self.key_of(key_id, now))
    }

    /// A user's key, or the session key that a token vouches for.
    fn key_of(&self, key_id: &str, now: SystemTime) -> Result<VerifyingKey<Sha256>, Refusal> {
        match (&self.tokens, key_id.strip_prefix("ST$")) {
            (Some(tokens), Some(token)) => Ok(VerifyingKey::new(tokens.key_of(token, now)?)),
            // What is refused is told to the caller and may be logged: no token is.
            (None, Some(_)) => Err(Refusal::NoTokens),
            (_, None) => {
                let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
                keys.get(key_id).cloned().ok_or_else(|| Refusal::KeyId(key_id.to_owned()))
            }
        }
    }
}

/// Checks what can be named before the signature itself, so that the refusal says what is wrong.
pub(super) fn verify(
    request: &RawRequest,
    coverage: Coverage,
    now: SystemTime,
    key_of: impl FnOnce(&str) -> Result<VerifyingKey<Sha256>, Refusal>,
) -> Result<(), Refusal> {
    let authorization = Authorization::parse(only_text(request, "authorization")?)?;
    if authorization.algorithm != "rsa-sha256" {
        return Err(Refusal::Algorithm(authorization.algorithm));
    }
    let key = key_of(&authorization.key_id)?;
    check_coverage(request, coverage, &authorization.headers)?;
    for header in ["date", "x-date"] {
        if authorization.headers.iter().any(|name| name == header) {
            check_date(header, only_text(request, header)?, now)?;
        }
    }
    if carries_body(&request.method) {
        check_body(request)?;
    }
    check_signature(request, &authorization, &key)
}

/// The signature alone, over the signing string of this request.
pub(super) fn check_signature(
    request: &RawRequest,
    authorization: &Authorization,
    key: &VerifyingKey<Sha256>,
) -> Result<(), Refusal> {
    let signature =
        Signature::try_from(authorization.signature.as_slice()).map_err(|_| Refusal::Signature)?;
    let text = signing_string(request, &authorization.headers)?;
    key.verify(&text, &signature).map_err(|_| Refusal::Signature)
}

fn carries_body(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}

/// OCI, Signing Requests: the headers each method must sign. `x-date` stands in for `date` where the
/// platform does not let a client set the latter.
fn check_coverage(request: &RawRequest, coverage: Coverage, signed: &[String]) -> Result<(), Refusal> {
    if let Some(twice) =
        signed.iter().enumerate().find(|(at, name)| signed.iter().take(*at).any(|n| n == *name))
    {
        return Err(Refusal::SignedTwice(twice.1.clone()));
    }
    let has = |name: &str| signed.iter().any(|signed| signed == name);
    if !has("date") && !has("x-date") {
        return Err(Refusal::NotSigned("date"));
    }
    let body_headers: &[&str] = if carries_body(&request.method) {
        &["content-length", "content-type", "x-content-sha256"]
    } else {
        &[]
    };
    let host: &[&str] = match coverage {
        Coverage::WithHost => &["host"],
        Coverage::HostOptional => &[],
    };
    for name in ["(request-target)"].iter().chain(host).chain(body_headers) {
        if !has(name) {
            return Err(Refusal::NotSigned(name));
        }
    }
    Ok(())
}

/// RFC 9110 5.6.7: senders write the 29-character fixed form only. A weekday that does not fit the day is
/// refused too; whether OCI looks at it is not known, and no right signer writes one.
fn check_date(header: &'static str, value: &str, now: SystemTime) -> Result<(), Refusal> {
    let date = httpdate::parse_http_date(value).ok().filter(|_| value.len() == 29);
    let date = date.ok_or(Refusal::NotADate(header))?;
    let skew = now.duration_since(date).unwrap_or_else(|ahead| ahead.duration());
    if skew > MAX_SKEW {
        return Err(Refusal::Skewed { header, seconds: skew.as_secs() });
    }
    Ok(())
}

fn check_body(request: &RawRequest) -> Result<(), Refusal> {
    let (said, actual) = (only_text(request, "content-length")?, request.body.len());
    if said != actual.to_string() {
        return Err(Refusal::Length { said: said.to_owned(), actual });
    }
    if only_text(request, "x-content-sha256")? != STANDARD.encode(request.body_sha256) {
        return Err(Refusal::BodyHash);
    }
    Ok(())
}

/// One line per name, in the caller's order, without a trailing newline (draft-cavage 2.3).
fn signing_string(request: &RawRequest, signed: &[String]) -> Result<Vec<u8>, Refusal> {
    let mut text = Vec::new();
    for (line, name) in signed.iter().enumerate() {
        if line > 0 {
            text.push(b'\n');
        }
        text.extend_from_slice(name.as_bytes());
        text.extend_from_slice(b": ");
        if name == "(request-target)" {
            text.extend_from_slice(request.method.as_str().to_ascii_lowercase().as_bytes());
            text.push(b' ');
            text.extend_from_slice(request.target.as_bytes());
        } else {
            text.extend_from_slice(only(request, name)?);
        }
    }
    Ok(text)
}

fn only<'r>(request: &'r RawRequest, name: &str) -> Result<&'r [u8], Refusal> {
    let mut values = request.headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(value.as_bytes()),
        (None, _) => Err(Refusal::HeaderMissing(name.to_owned())),
        (Some(_), Some(_)) => Err(Refusal::HeaderRepeated(name.to_owned())),
    }
}

/// Bytes outside UTF-8 fit none of the values that are compared as text.
fn only_text<'r>(request: &'r RawRequest, name: &str) -> Result<&'r str, Refusal> {
    only(request, name).map(|value| std::str::from_utf8(value).unwrap_or("\u{fffd}"))
}
