//! A request to OCI before it has a date, a signature or a connection: plain data.

use super::retry_token::Origin;
use super::retry_token::RetryToken;
use crate::transport::retry::Repetition;
use bytes::Bytes;
use http::Method;
use serde::Serialize;

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
    /// It changes nothing, and whoever asks will ask again.
    Ask,
    /// It changes something, once per token.
    RetryToken(RetryToken),
    /// It deletes what it names; the second time there is nothing left to delete.
    Delete,
    /// It changes something each time.
    None,
}

impl Idempotency {
    /// The token that guards the request, if one does.
    #[must_use]
    pub fn retry_token(&self) -> Option<&RetryToken> {
        match self {
            Self::RetryToken(token) => Some(token),
            Self::Read | Self::Ask | Self::Delete | Self::None => None,
        }
    }

    /// The same, if it is the caller's own.
    pub(super) fn callers_token(&self) -> Option<&RetryToken> {
        self.retry_token().filter(|token| token.origin() == Origin::Caller)
    }

    /// What the loop makes of it.
    pub(super) fn repetition(&self) -> Repetition {
        match self {
            Self::Read => Repetition::Harmless,
            Self::Ask => Repetition::Pointless,
            Self::RetryToken(_) => Repetition::Guarded,
            Self::Delete => Repetition::SameEnd,
            Self::None => Repetition::Another,
        }
    }
}

impl Request {
    /// Enough for any one resource.
    pub const ONE_RESOURCE: usize = 256 * 1024;

    /// A POST that makes one resource, and that a token keeps from making it twice.
    pub fn create(
        target: &str,
        body: &impl Serialize,
        retry_token: &RetryToken,
    ) -> Result<Self, serde_json::Error> {
        Ok(Self {
            method: Method::POST,
            target: target.to_owned(),
            body: serde_json::to_vec(body)?.into(),
            idempotency: Idempotency::RetryToken(retry_token.clone()),
            max_answer: Self::ONE_RESOURCE,
        })
    }

    /// A GET by somebody who will ask again.
    #[must_use]
    pub fn ask(target: String) -> Self {
        Self { idempotency: Idempotency::Ask, ..Self::read(target) }
    }

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
