//! What stands around every call, in the order in which a call meets it, each with its reason.

use super::deadline;
use super::journal::Journal;
use crate::oci::Seat;
use crate::oci::request_id::RequestId;
use crate::rpc::metadata;
use crate::rpc::metadata::OPC_REQUEST_ID;
use crate::rpc::metadata::OPC_RETRY_TOKEN;
use crate::rpc::status;
use crate::rpc::status::Refusal;
use bytes::Bytes;
use futures_util::FutureExt;
use http::HeaderName;
use http::HeaderValue;
use http::Method;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use http_body_util::Full;
use std::convert::Infallible;
use std::future::Ready;
use std::future::ready;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use tonic::body::Body;
use tonic::server::NamedService;
use tower::Service;

const GRPC_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");

/// A call as it comes in.
pub(super) type Request = http::Request<Body>;
/// A call with the whole of its message, as the service gets it.
pub(super) type Whole = http::Request<Full<Bytes>>;
pub(super) type Response = http::Response<Body>;

/// A service with all that stands around its calls. Health and reflection have nothing of it.
///
/// One service and not a layer for each step: every layer would box its future and its bodies, which costs more than
/// most of what they do.
#[derive(Clone)]
pub(super) struct Around<S> {
    service: S,
    deadlines: deadline::Config,
    entrance: Entrance,
}

impl<S> Around<S>
where
    S: Service<Whole, Response = Response, Error = Infallible>,
{
    pub(super) fn new(service: S, deadlines: deadline::Config, entrance: Entrance) -> Self {
        Self { service, deadlines, entrance }
    }

    /// Outermost, so that it sees what anything below answers. Counts the call, names it for everything below, and
    /// logs its answer as the caller gets it.
    async fn observe(self, mut request: Request) -> Response {
        if let Some(status) = no_grpc(&request) {
            return unspoken(status);
        }
        // A drain waits for every call that came this far.
        let _counted = self.entrance.calls.token();
        let request_id = metadata::request_id(request.headers());
        let retry_token = metadata::told_retry_token(request.headers());
        let mut entry = self.entrance.journal.begin(&request, &request_id, retry_token.as_ref());
        let operation = operation(request.uri().path()).to_owned();
        let mut response = match self.entrance.seat() {
            Some(seat) => {
                entry.seated(&seat);
                request.extensions_mut().insert(entry.trace());
                self.survive(request, &operation, &request_id, seat).await
            }
            // Before the message is read and anything is signed.
            None => {
                self.entrance.journal.shed();
                refuse(Refusal::Overloaded, &operation, &request_id)
            }
        };
        // What tonic answers by itself gets the contract's words.
        if let Some(refusal) = status::refine(response.headers()) {
            let understood = response.headers_mut().remove(GRPC_ACCEPT_ENCODING);
            response = refuse(refusal, &operation, &request_id);
            // Goes with the refusal of a compressed message (github.com/grpc/grpc/blob/master/doc/compression.md).
            response.headers_mut().extend(understood.map(|value| (GRPC_ACCEPT_ENCODING, value)));
        }
        let told_id = HeaderValue::from_str(request_id.as_str()).ok();
        for (key, value) in [(OPC_REQUEST_ID, told_id), (OPC_RETRY_TOKEN, retry_token)] {
            if let Some(value) = value {
                response.headers_mut().entry(key).or_insert(value);
            }
        }
        entry.end(response.headers());
        response
    }

    /// A panic ends one call, with an answer; tonic would reset the stream. What it said is in the log already.
    async fn survive(
        self,
        request: Request,
        operation: &str,
        request_id: &RequestId,
        seat: Arc<Seat>,
    ) -> Response {
        let Self { service, deadlines, .. } = self;
        // Innermost, so that everything outside sees its answer: the caller's deadline.
        let answer = deadline::enforce(deadlines, request, operation, request_id, seat, service);
        match AssertUnwindSafe(answer).catch_unwind().await {
            Ok(response) => response,
            Err(_said) => refuse(Refusal::Panic, operation, request_id),
        }
    }
}

impl<S> Service<Request> for Around<S>
where
    S: Service<Whole, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        Box::pin(self.clone().observe(request).map(Ok))
    }
}

impl<S: NamedService> NamedService for Around<S> {
    const NAME: &'static str = S::NAME;
}

/// Where calls of services end that do not exist.
#[derive(Clone)]
pub(super) struct Nowhere;

impl Service<Whole> for Nowhere {
    type Response = Response;
    type Error = Infallible;
    type Future = Ready<Result<Response, Infallible>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _request: Whole) -> Self::Future {
        ready(Ok(status::of_nothing()))
    }
}

/// Where calls come in, and how many may be in flight.
#[derive(Clone)]
pub(super) struct Entrance {
    calls: TaskTracker,
    journal: Journal,
    places: Arc<Semaphore>,
    limit: usize,
}

impl Entrance {
    /// Counts in `calls`, which a drain waits for.
    pub(super) fn new(max_in_flight: usize, calls: TaskTracker, journal: Journal) -> Self {
        let limit = max_in_flight.min(Semaphore::MAX_PERMITS);
        Self { calls, journal, places: Arc::new(Semaphore::new(limit)), limit }
    }

    /// How many calls may be in flight.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// How many are.
    pub(super) fn in_flight(&self) -> usize {
        self.limit.saturating_sub(self.places.available_permits())
    }

    fn seat(&self) -> Option<Arc<Seat>> {
        Arc::clone(&self.places).try_acquire_owned().ok().map(|permit| Arc::new(Seat::new(permit)))
    }
}

/// What is not gRPC's is answered in HTTP's words (github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md): whoever
/// speaks another protocol, as browsers do with grpc-web, could not read the answer to what it had started.
fn no_grpc(request: &Request) -> Option<StatusCode> {
    let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let of_grpc = content_type.and_then(|content_type| content_type.strip_prefix("application/grpc"));
    if request.method() != Method::POST {
        Some(StatusCode::METHOD_NOT_ALLOWED)
    } else if !of_grpc.is_some_and(|rest| rest.is_empty() || rest.starts_with(['+', ';'])) {
        Some(StatusCode::UNSUPPORTED_MEDIA_TYPE)
    } else {
        None
    }
}

fn unspoken(status: StatusCode) -> Response {
    let mut response = Response::default();
    *response.status_mut() = status;
    response
}

/// The RPC's own name, the last part of the path.
fn operation(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// An answer without a call of OCI.
pub(super) fn refuse(refusal: Refusal, operation: &str, request_id: &RequestId) -> Response {
    refusal.status(operation, request_id).into_http()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_types, reason = "what a caller reads; the ban is for who makes them")]

    use super::*;
    use http::HeaderMap;
    use std::time::Duration;
    use tonic::Code;
    use tonic::Status;
    use tonic_types::StatusExt;
    use tower::ServiceExt;

    /// What a call of a handler that panics is answered with.
    async fn panicking(path: &str) -> (HeaderMap, Status) {
        let handler =
            tower::service_fn(|_request: Whole| async { panic!("a canary that nobody is to hear of") });
        let deadlines = {
            let time = Duration::from_secs(5);
            deadline::Config { default: time, max: time, message: time }
        };
        let request = http::Request::post(path)
            .header(CONTENT_TYPE, "application/grpc")
            .header(OPC_REQUEST_ID, "mine")
            .body(Body::empty())
            .unwrap();
        let entrance = Entrance::new(1, TaskTracker::new(), Journal::default());
        let Ok(response) = Around::new(handler, deadlines, entrance).oneshot(request).await;
        let status = Status::from_header_map(response.headers()).unwrap();
        (response.headers().clone(), status)
    }

    #[tokio::test]
    async fn a_panic_of_a_handler_is_answered_in_the_contracts_words() {
        let (headers, status) = panicking("/test.Service/CreateThing").await;
        assert_eq!(status.code(), Code::Internal, "{status:?}");
        let details = status.get_error_details();
        let info = details.error_info().unwrap();
        assert_eq!((info.reason.as_str(), info.domain.as_str()), ("INTERNAL", "oci-backup-gateway"));
        assert_eq!(
            (info.metadata["outcome"].as_str(), info.metadata["operation"].as_str()),
            ("UNKNOWN", "CreateThing")
        );
        assert_eq!(
            (&headers["opc-request-id"], &headers["grpc-retry-pushback-ms"]),
            (&"mine".parse().unwrap(), &"-1".parse().unwrap())
        );
        assert!(!format!("{headers:?} {status:?}").contains("canary"), "{headers:?} {status:?}");
    }

    #[tokio::test]
    async fn a_panic_of_a_read_leaves_nothing_unknown() {
        let (_headers, status) = panicking("/test.Service/GetThing").await;
        assert_eq!(status.code(), Code::Internal);
        assert!(!status.get_error_details().error_info().unwrap().metadata.contains_key("outcome"));
    }
}
