//! The metadata keys of the contract, both ways. No other key of a caller's is read, and so none reaches OCI.

use crate::oci::Answer;
use crate::oci::request_id::RequestId;
use crate::oci::retry_token::RetryToken;
use http::HeaderMap;
use http::HeaderValue;
use std::time::Duration;
use tonic::metadata::AsciiMetadataValue;
use tonic::metadata::MetadataMap;

/// The name of a call in everybody's logs.
pub const OPC_REQUEST_ID: &str = "opc-request-id";
/// What makes a repeated create the same create.
pub const OPC_RETRY_TOKEN: &str = "opc-retry-token";
/// The work request that an operation started.
pub const OPC_WORK_REQUEST_ID: &str = "opc-work-request-id";
/// The resource's version.
pub const ETAG: &str = "etag";
/// What the caller's gRPC library may do (gRFC A6): wait so many milliseconds, or never try again.
pub const GRPC_RETRY_PUSHBACK_MS: &str = "grpc-retry-pushback-ms";
/// How often the caller's gRPC library has tried this call before (gRFC A6).
const GRPC_PREVIOUS_RPC_ATTEMPTS: &str = "grpc-previous-rpc-attempts";

/// What a key that means one thing came with.
#[derive(Debug, Clone, Copy)]
pub enum Only<'a> {
    /// It did not come.
    None,
    /// Its value.
    Value(&'a HeaderValue),
    /// It came more than once: which was meant is nobody's to guess.
    Several,
}

/// The value of a key that may come once.
#[must_use]
pub fn only<'a>(headers: &'a HeaderMap, key: &str) -> Only<'a> {
    let mut values = headers.get_all(key).iter();
    match (values.next(), values.next()) {
        (None, _) => Only::None,
        (Some(value), None) => Only::Value(value),
        (Some(_), Some(_)) => Only::Several,
    }
}

impl<'a> Only<'a> {
    /// As a text, if it is one.
    fn text(self) -> Option<&'a str> {
        match self {
            Self::Value(value) => value.to_str().ok(),
            Self::None | Self::Several => None,
        }
    }
}

/// The caller's request id if it is well-formed and one, else a new one.
#[must_use]
pub fn request_id(headers: &HeaderMap) -> RequestId {
    only(headers, OPC_REQUEST_ID).text().and_then(RequestId::parse).unwrap_or_else(RequestId::generate)
}

/// How long an answer has the caller's library wait before it tries again, if it may.
#[must_use]
pub fn pushback(answer: &HeaderMap) -> Option<Duration> {
    only(answer, GRPC_RETRY_PUSHBACK_MS).text()?.parse().ok().map(Duration::from_millis)
}

/// Whether the caller's library repeats the call by itself: nobody here knows what became of the earlier tries.
#[must_use]
pub fn is_repeated(headers: &HeaderMap) -> bool {
    headers.contains_key(GRPC_PREVIOUS_RPC_ATTEMPTS)
}

/// The caller's token from its metadata, to be told back where the message was never read.
#[must_use]
pub fn told_retry_token(headers: &HeaderMap) -> Option<HeaderValue> {
    match only(headers, OPC_RETRY_TOKEN) {
        Only::Value(value) => RetryToken::parse(value.to_str().ok()?).ok().map(|_well_formed| value.clone()),
        Only::None | Only::Several => None,
    }
}

/// What the caller's metadata says about the retry token.
#[derive(Debug, Clone, Copy)]
pub(super) enum ToldToken<'a> {
    /// Nothing.
    None,
    /// Nothing, of a call that a library repeats: the earlier tries went under tokens that nobody knows.
    Lost,
    /// A text, well-formed or not.
    Text(&'a str),
    /// No text, or more than one: which was meant is nobody's to guess.
    Unusable,
}

impl<'a> ToldToken<'a> {
    pub(super) fn of(metadata: &'a MetadataMap) -> Self {
        match only(metadata.as_ref(), OPC_RETRY_TOKEN) {
            Only::None if is_repeated(metadata.as_ref()) => Self::Lost,
            Only::None => Self::None,
            Only::Value(value) => value.to_str().map_or(Self::Unusable, Self::Text),
            Only::Several => Self::Unusable,
        }
    }
}

/// Tells the caller what OCI's headers said.
pub(super) fn of_answer<T>(metadata: &mut MetadataMap, answer: &Answer<T>) {
    insert(metadata, OPC_REQUEST_ID, &answer.opc_request_id);
    of_token(metadata, answer.retry_token.as_ref());
    for (key, value) in [(ETAG, &answer.etag), (OPC_WORK_REQUEST_ID, &answer.opc_work_request_id)] {
        if let Some(value) = value {
            insert(metadata, key, value);
        }
    }
}

/// Tells the caller the token that went, or would have gone, upstream.
pub(super) fn of_token(metadata: &mut MetadataMap, token: Option<&RetryToken>) {
    if let Some(token) = token {
        insert(metadata, OPC_RETRY_TOKEN, token.as_str());
    }
}

/// Values come from HTTP headers or from types that fit into one.
pub(super) fn insert(metadata: &mut MetadataMap, key: &'static str, value: &str) {
    if let Ok(value) = AsciiMetadataValue::try_from(value) {
        metadata.insert(key, value);
    }
}
