//! A request to OCI before it has a date, a signature or a connection: plain data.

use super::retry_token::RetryToken;
use bytes::Bytes;
use http::Method;

/// One REST request, unsigned.
#[derive(Debug, Clone)]
pub struct Request {
    /// The HTTP method.
    pub method: Method,
    /// Path and query below the API's base path, exactly as they are sent and signed.
    pub target: String,
    /// The JSON body, for methods that have one.
    pub body: Bytes,
    /// What repeating it would do.
    pub idempotency: Idempotency,
    /// The longest answer that is read.
    pub max_answer: usize,
}

/// What repeating a request would do; it decides who may repeat it and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Idempotency {
    /// It changes nothing.
    Read,
    /// It changes something, once per token.
    RetryToken(RetryToken),
}

impl Idempotency {
    /// The token that guards the request, if one does.
    #[must_use]
    pub fn retry_token(&self) -> Option<&RetryToken> {
        match self {
            Self::Read => None,
            Self::RetryToken(token) => Some(token),
        }
    }
}

impl Request {
    /// Enough for any one resource.
    pub const ONE_RESOURCE: usize = 256 * 1024;

    /// A GET of one resource.
    #[must_use]
    pub fn read(target: String) -> Self {
        Self {
            method: Method::GET,
            target,
            body: Bytes::new(),
            idempotency: Idempotency::Read,
            max_answer: Self::ONE_RESOURCE,
        }
    }
}
