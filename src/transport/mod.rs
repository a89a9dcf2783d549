//! HTTP without opinions about OCI: one seam for sending, the kinds of failure, and the one retry loop.
//!
//! It never knows what a request is for: no OCI word, no signature and no gRPC status enters here.

pub mod backoff;
pub mod breaker;
pub mod budget;
mod error;
pub mod reqwest;
pub mod retry;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

pub use error::Error;
pub use error::Kind;

/// A boxed future, as trait objects need it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// An answer whose head arrived. Its body may have failed on the way: the status is known all the same,
/// and it says more about what happened than the failure does.
pub type Response = http::Response<Result<Bytes, Error>>;

/// What bounds one exchange.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// From the first byte sent to the last byte read.
    pub timeout: Duration,
    /// The longest body that is read.
    pub max_body: usize,
}

/// The seam: sends one request once, follows nothing, repeats nothing.
pub trait HttpService: Send + Sync + 'static {
    /// Sends `request` and reads its answer within `limits`.
    fn send(&self, request: http::Request<Bytes>, limits: Limits) -> BoxFuture<'_, Result<Response, Error>>;
}
