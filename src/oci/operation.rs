//! What every REST operation tells the one code path that carries it out.

use super::request::Request;
use crate::ocid::Ocid;
use serde::de::DeserializeOwned;

/// One REST operation with its input.
pub trait Operation: Send + Sync + 'static {
    /// Its name, as the RPC's and in errors and logs.
    const NAME: &'static str;
    /// What OCI answers.
    type Output: DeserializeOwned + Send + 'static;

    /// The request, made once per call: every attempt sends the same bytes.
    fn request(&self) -> Result<Request, serde_json::Error>;

    /// The resource that the call is about, for error messages and logs.
    fn subject(&self) -> &Ocid;

    /// The id of what was made, for logs.
    fn made(_output: &Self::Output) -> Option<&str> {
        None
    }

    /// Whether an answer that could be read answers this request.
    fn check(&self, _output: &Self::Output) -> Result<(), Unusable> {
        Ok(())
    }
}

/// Why a 2xx answer is of no use, by what it says about the resource.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// Cut short, or not JSON: it may not even be OCI that answered.
    #[error("the answer could not be read: {reason}")]
    Unreadable {
        /// Never the answer's own text.
        reason: String,
    },
    /// OCI's JSON, but the resource in it cannot be used: it was made, and its answer is lost.
    #[error("the answer is OCI's, but the resource in it cannot be used: {reason}")]
    Malformed {
        /// Which field, and why.
        reason: String,
    },
    /// An answer without a resource.
    #[error("the answer holds no resource (HTTP {status})")]
    Empty {
        /// The HTTP status, 204 or 205.
        status: u16,
    },
    /// A resource made from something else than was asked for.
    #[error("the answer names another source than the request, {named:?}")]
    OtherSource {
        /// What it names.
        named: String,
    },
}

/// Reads a 2xx body: first as JSON, then as the resource, since the two failures mean different things.
pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Unusable> {
    serde_json::from_slice(body).map_err(|error| match error.classify() {
        serde_json::error::Category::Data if is_object(body) => {
            Unusable::Malformed { reason: where_it_fails(&error) }
        }
        serde_json::error::Category::Data => Unusable::Unreadable { reason: "not a JSON object".to_owned() },
        serde_json::error::Category::Io
        | serde_json::error::Category::Syntax
        | serde_json::error::Category::Eof => Unusable::Unreadable { reason: where_it_fails(&error) },
    })
}

/// Whether the whole body is one JSON object: a data error stops the reader early, so what follows it has
/// not been looked at yet.
fn is_object(body: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(body).is_ok()
}

/// serde's message with the place, but without the text that it quotes from the answer.
fn where_it_fails(error: &serde_json::Error) -> String {
    match error.classify() {
        serde_json::error::Category::Data => error.to_string(),
        serde_json::error::Category::Io
        | serde_json::error::Category::Syntax
        | serde_json::error::Category::Eof => {
            format!("no valid JSON (line {}, column {})", error.line(), error.column())
        }
    }
}
