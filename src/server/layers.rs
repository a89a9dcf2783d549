//! What stands around every call, in the order in which a call meets it, each with its reason.

use super::deadline;
use super::journal::Journal;
use crate::oci::Seat;
use crate::oci::deadline::Deadline;
use crate::oci::request_id::RequestId;
use crate::rpc::metadata;
use crate::rpc::metadata::GRPC_RETRY_PUSHBACK_MS;
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
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;
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
        let is_repeated = metadata::is_repeated(request.headers());
        let patience = deadline::told(request.headers());
        let mut entry = self.entrance.journal.begin(&request, &request_id, retry_token.as_ref());
        let operation = operation(request.uri().path()).to_owned();
        let mut response = match self.entrance.seat() {
            // Before its message is waited for: whoever calls what does not exist is to hear that.
            _ if !entry.is_of_an_rpc() => refuse(Refusal::no_such_rpc(), &operation, &request_id),
            // Before the message is read and anything is signed.
            None => {
                self.entrance.journal.shed();
                refuse(Refusal::Overloaded, &operation, &request_id)
            }
            Some(seat) => {
                entry.seated(&seat);
                request.extensions_mut().insert(entry.trace());
                self.survive(request, &operation, &request_id, seat).await
            }
        };
        // What tonic answers by itself gets the contract's words.
        if let Some(refusal) = status::refine(response.headers()) {
            let understood = response.headers_mut().remove(GRPC_ACCEPT_ENCODING);
            response = refuse(refusal, &operation, &request_id);
            // Goes with the refusal of a compressed message (github.com/grpc/grpc/blob/master/doc/compression.md).
            response.headers_mut().extend(understood.map(|value| (GRPC_ACCEPT_ENCODING, value)));
        }
        if is_repeated {
            status::leave_open(response.headers_mut());
        }
        // A library would wait, and its caller would hear of a deadline and not of what happened.
        let left = patience.map(Deadline::left_for_attempts);
        if metadata::pushback(response.headers()) > left.or(Some(Duration::MAX)) {
            response.headers_mut().insert(GRPC_RETRY_PUSHBACK_MS, HeaderValue::from_static("-1"));
        }
        let told_id = HeaderValue::from_str(request_id.as_str()).ok();
        for (key, value) in [(OPC_REQUEST_ID, told_id), (OPC_RETRY_TOKEN, retry_token)] {
            if let Some(value) = value {
                response.headers_mut().entry(key).or_insert(value);
            }
        }
        entry.end(&response);
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
        let own = Arc::clone(&seat);
        // Innermost, so that everything outside sees its answer: the caller's deadline.
        let answer = deadline::enforce(deadlines, request, request_id, seat, service);
        match AssertUnwindSafe(answer).catch_unwind().await {
            Ok(Ok(response)) => response,
            Ok(Err(refusal)) => refuse_seated(refusal, operation, request_id, &own),
            Err(_said) => refuse_seated(Refusal::Panic, operation, request_id, &own),
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
        // The one that was asked whether it is ready.
        let ready = std::mem::replace(self, self.clone());
        Box::pin(ready.observe(request).map(Ok))
    }
}

impl<S: NamedService> NamedService for Around<S> {
    const NAME: &'static str = S::NAME;
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
fn refuse(refusal: Refusal, operation: &str, request_id: &RequestId) -> Response {
    refusal.status(operation, request_id, None).into_http()
}

/// The same, where OCI may have been called: with the token, if one was found or made.
fn refuse_seated(refusal: Refusal, operation: &str, request_id: &RequestId, seat: &Seat) -> Response {
    refusal.status(operation, request_id, seat.retry_token()).into_http()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_types, reason = "what a caller reads; the ban is for who makes them")]

    use super::*;
    use crate::oci;
    use crate::oci::retry_token::RetryToken;
    use http::HeaderMap;
    use std::time::Duration;
    use tonic::Code;
    use tonic::Status;
    use tonic_types::StatusExt;
    use tower::ServiceExt;

    /// What a call is answered with where this becomes of its handler.
    async fn answer<F>(
        path: &str,
        handler: impl Fn(Whole) -> F + Clone + Send + 'static,
    ) -> (HeaderMap, Status)
    where
        F: Future<Output = Result<Response, Infallible>> + Send + 'static,
    {
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
        let around = Around::new(tower::service_fn(handler), deadlines, entrance);
        let Ok(response) = around.oneshot(request).await;
        let status = Status::from_header_map(response.headers()).unwrap();
        (response.headers().clone(), status)
    }

    async fn panicking(path: &str) -> (HeaderMap, Status) {
        answer(path, |_request| async { panic!("a canary that nobody is to hear of") }).await
    }

    /// The token is made, and the backup perhaps, when something goes wrong.
    fn note_a_token(request: &Whole) -> RetryToken {
        let token = RetryToken::generate();
        request.extensions().get::<oci::Call>().unwrap().seat.as_ref().unwrap().note(&token);
        token
    }

    #[tokio::test]
    async fn a_panic_once_there_is_a_token_tells_it_as_the_callers_only_guard() {
        let (headers, status) =
            answer("/ocibackup.v1.BackupService/CreateVolumeBackup", |request| async move {
                note_a_token(&request);
                panic!("a canary")
            })
            .await;
        assert_eq!(status.code(), Code::Unknown, "{status:?}");
        assert_eq!(headers["opc-retry-token"].len(), RetryToken::generate().as_str().len());
        assert_eq!(headers["grpc-retry-pushback-ms"], "-1");
    }

    #[tokio::test(start_paused = true)]
    async fn a_handler_that_is_late_may_have_made_something() {
        let (headers, status) =
            answer("/ocibackup.v1.BackupService/CreateVolumeBackup", |request| async move {
                note_a_token(&request);
                std::future::pending().await
            })
            .await;
        assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
        let details = status.get_error_details();
        assert_eq!(details.error_info().unwrap().metadata["outcome"], "UNKNOWN");
        assert!(headers.contains_key("opc-retry-token"));
    }

    #[tokio::test]
    async fn a_panic_of_a_handler_is_answered_in_the_contracts_words() {
        let (headers, status) = panicking("/ocibackup.v1.BackupService/CreateVolumeBackup").await;
        assert_eq!(status.code(), Code::Internal, "{status:?}");
        let details = status.get_error_details();
        let info = details.error_info().unwrap();
        assert_eq!((info.reason.as_str(), info.domain.as_str()), ("INTERNAL", "oci-backup-gateway"));
        assert_eq!(
            (info.metadata["outcome"].as_str(), info.metadata["operation"].as_str()),
            ("UNKNOWN", "CreateVolumeBackup")
        );
        assert_eq!(
            (&headers["opc-request-id"], &headers["grpc-retry-pushback-ms"]),
            (&"mine".parse().unwrap(), &"-1".parse().unwrap())
        );
        assert!(!format!("{headers:?} {status:?}").contains("canary"), "{headers:?} {status:?}");
    }
}
