//! What stands around every call, outermost first, each with its reason.

use super::deadline;
use crate::oci::Seat;
use crate::oci::request_id::RequestId;
use crate::oci::retry_token::RetryToken;
use crate::rpc::metadata;
use crate::rpc::metadata::OPC_REQUEST_ID;
use crate::rpc::metadata::OPC_RETRY_TOKEN;
use crate::rpc::status;
use crate::rpc::status::Refusal;
use axum::body::Body;
use axum::extract::Request;
use axum::extract::State;
use axum::middleware::Next;
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use axum::response::Response;
use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::Method;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use std::any::Any;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use tonic::service::Routes;
use tonic::transport::server::TcpConnectInfo;
use tower_http::catch_panic::CatchPanicLayer;

const GRPC_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");

/// Wraps `routes`; health and reflection are added around it, and are none of these layers' business.
pub(super) fn around(routes: Routes, deadlines: deadline::Config, entrance: Entrance) -> Routes {
    let router = routes
        .into_axum_router()
        // Innermost, so that everything outside sees its answer: the caller's deadline.
        .layer(from_fn_with_state(deadlines, deadline::enforce))
        // A panic ends one call, with an answer; tonic would reset the stream.
        .layer(CatchPanicLayer::custom(panicked))
        // Outermost, so that it sees what any of them answers: one name, one line, the contract's words.
        .layer(from_fn_with_state(entrance, observe));
    Routes::from(router)
}

/// Where calls come in, and how many may be in flight.
#[derive(Clone)]
pub(super) struct Entrance {
    calls: TaskTracker,
    places: Arc<Semaphore>,
}

impl Entrance {
    /// Counts in `calls`, which a drain waits for.
    pub(super) fn new(max_in_flight: usize, calls: TaskTracker) -> Self {
        Self { calls, places: Arc::new(Semaphore::new(max_in_flight.min(Semaphore::MAX_PERMITS))) }
    }

    fn seat(&self) -> Option<Arc<Seat>> {
        Arc::clone(&self.places).try_acquire_owned().ok().map(|permit| Arc::new(Seat::new(permit)))
    }
}

/// Counts the call, names it for everything below, and logs its answer as the caller gets it. One layer and not
/// four: a layer costs boxes and copies.
async fn observe(State(entrance): State<Entrance>, request: Request, next: Next) -> Response {
    if let Some(status) = no_grpc(&request) {
        return status.into_response();
    }
    // A drain waits for every call that came this far.
    let _counted = entrance.calls.token();
    let request_id = metadata::request_id(request.headers());
    let retry_token = metadata::told_retry_token(request.headers());
    let mut line = Line::begin(&request, &request_id, retry_token.as_ref());
    let operation = operation(&request);
    let mut response = match entrance.seat() {
        Some(seat) => {
            line.seat = Some(Arc::clone(&seat));
            next.run(named(request, &request_id, seat)).await
        }
        // Before the message is read and anything is signed.
        None => refuse(Refusal::Overloaded, &operation, &request_id),
    };
    // What tonic and the layers below answer by themselves gets the contract's words.
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
    line.end(response.headers());
    response
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

fn named(mut request: Request, request_id: &RequestId, seat: Arc<Seat>) -> Request {
    request.extensions_mut().insert(request_id.clone());
    request.extensions_mut().insert(seat);
    request
}

/// What the panic said is in the log already; the answer comes from [`observe`], which knows the call.
fn panicked(_said: Box<dyn Any + Send>) -> Response {
    status::of_panic()
}

/// The RPC's own name, the last part of the path.
pub(super) fn operation(request: &Request) -> String {
    request.uri().path().rsplit('/').next().unwrap_or_default().to_owned()
}

/// The call's name, as [`observe`] gave it.
pub(super) fn request_id(request: &Request) -> RequestId {
    request.extensions().get().cloned().unwrap_or_else(RequestId::generate)
}

/// An answer without a call of OCI.
pub(super) fn refuse(refusal: Refusal, operation: &str, request_id: &RequestId) -> Response {
    refusal.status(operation, request_id).into_http::<Body>()
}

/// The line of one call. It is written when the call ends, also when the caller ends it by leaving.
struct Line {
    method: String,
    peer: Option<SocketAddr>,
    request_id: String,
    retry_token: Option<String>,
    /// Knows the message's token, once that was read.
    seat: Option<Arc<Seat>>,
    began: Instant,
    ended: Ended,
}

enum Ended {
    NotYet,
    Answered,
}

impl Line {
    fn begin(request: &Request, request_id: &RequestId, retry_token: Option<&HeaderValue>) -> Self {
        Self {
            method: request.uri().path().trim_start_matches('/').to_owned(),
            peer: request.extensions().get::<TcpConnectInfo>().and_then(TcpConnectInfo::remote_addr),
            request_id: request_id.to_string(),
            retry_token: retry_token.and_then(|token| token.to_str().ok()).map(str::to_owned),
            seat: None,
            began: Instant::now(),
            ended: Ended::NotYet,
        }
    }

    fn end(&mut self, headers: &HeaderMap) {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let summary = status::summary(headers);
        self.ended = Ended::Answered;
        self.write(summary.code, text(OPC_REQUEST_ID), text(OPC_RETRY_TOKEN), &summary.message);
    }

    fn write(&self, code: &str, request_id: Option<&str>, retry_token: Option<&str>, error: &str) {
        let own = self.request_id.as_str();
        let request_id = request_id.unwrap_or(own);
        tracing::info!(
            method = self.method,
            code,
            duration_ms = millis(self.began.elapsed()),
            opc_request_id = request_id,
            // OCI goes on from the id that it was sent. One who shares another's exchange is told of that one's.
            own_opc_request_id = Some(own).filter(|own| !request_id.starts_with(own)),
            opc_retry_token = retry_token.or(self.retry_token.as_deref()),
            peer = self.peer.map(tracing::field::display),
            error = Some(error).filter(|error| !error.is_empty()),
            "call"
        );
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        match self.ended {
            Ended::Answered => {}
            Ended::NotYet => {
                let retry_token = self.seat.as_deref().and_then(Seat::retry_token).map(RetryToken::as_str);
                self.write("CANCELLED", None, retry_token, "the caller left, or was cut off");
            }
        }
    }
}

fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_types, reason = "what a caller reads; the ban is for who makes them")]

    use super::*;
    use axum::routing::any;
    use tonic::Code;
    use tonic::Status;
    use tonic_types::StatusExt;
    use tower::ServiceExt;

    /// What a call of a handler that panics is answered with.
    async fn panicking(path: &str) -> (HeaderMap, Status) {
        async fn handler() -> Response {
            panic!("a canary that nobody is to hear of")
        }
        let routes = axum::Router::new().route("/test.Service/{method}", any(handler));
        let deadlines = {
            let time = Duration::from_secs(5);
            deadline::Config { default: time, max: time, message: time }
        };
        let request = http::Request::post(path)
            .header(CONTENT_TYPE, "application/grpc")
            .header(OPC_REQUEST_ID, "mine")
            .body(Body::empty())
            .unwrap();
        let entrance = Entrance::new(1, TaskTracker::new());
        let response = around(Routes::from(routes), deadlines, entrance).oneshot(request).await.unwrap();
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
