//! What stands around every call, outermost first, each with its reason.

use super::deadline;
use crate::oci;
use crate::oci::request_id::RequestId;
use crate::rpc::metadata;
use crate::rpc::metadata::OPC_REQUEST_ID;
use crate::rpc::metadata::OPC_RETRY_TOKEN;
use crate::rpc::status;
use crate::rpc::status::Refusal;
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::middleware::from_fn;
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use http::HeaderMap;
use http::HeaderValue;
use std::any::Any;
use std::net::SocketAddr;
use std::time::Duration;
use std::time::Instant;
use tonic::service::Routes;
use tonic::transport::server::TcpConnectInfo;
use tower_http::catch_panic::CatchPanicLayer;

/// Wraps `routes`; health and reflection are added around it, and are none of these layers' business.
pub(super) fn around(routes: Routes, deadlines: deadline::Config) -> Routes {
    let router = routes
        .into_axum_router()
        // Innermost, so that everything outside sees its answer: the caller's deadline.
        .layer(from_fn_with_state(deadlines, deadline::enforce))
        // A panic ends one call, with an answer; tonic would reset the stream.
        .layer(CatchPanicLayer::custom(panicked))
        // Outermost, so that it sees what any of them answers: one name, one line, the contract's words.
        .layer(from_fn(observe));
    Routes::from(router)
}

/// Names the call for everything below, and logs its answer as the caller gets it. One layer and not three: a
/// layer costs boxes and copies.
async fn observe(mut request: Request, next: Next) -> Response {
    let request_id = metadata::request_id(request.headers());
    let retry_token = metadata::told_retry_token(request.headers());
    let mut line = Line::begin(&request, &request_id);
    let operation = operation(&request);
    let call = oci::Call { request_id, ..oci::Call::default() };
    request.extensions_mut().insert(call.clone());
    let mut response = next.run(request).await;
    // What tonic and the layers below answer by themselves gets the contract's words.
    if let Some(refusal) = status::refine(response.headers()) {
        response = refuse(refusal, &operation, &call);
    }
    let request_id = HeaderValue::from_str(call.request_id.as_str()).ok();
    for (key, value) in [(OPC_REQUEST_ID, request_id), (OPC_RETRY_TOKEN, retry_token)] {
        if let Some(value) = value {
            response.headers_mut().entry(key).or_insert(value);
        }
    }
    line.end(response.headers());
    response
}

/// What the panic said is in the log already; the answer comes from [`observe`], which knows the call.
fn panicked(_said: Box<dyn Any + Send>) -> Response {
    status::of_panic()
}

/// The RPC's own name, the last part of the path.
pub(super) fn operation(request: &Request) -> String {
    request.uri().path().rsplit('/').next().unwrap_or_default().to_owned()
}

/// The call as [`observe`] named it.
pub(super) fn call(request: &Request) -> oci::Call {
    request.extensions().get::<oci::Call>().cloned().unwrap_or_default()
}

/// An answer without a call of OCI.
pub(super) fn refuse(refusal: Refusal, operation: &str, call: &oci::Call) -> Response {
    refusal.status(operation, &call.request_id).into_http::<Body>()
}

/// The line of one call. It is written when the call ends, also when the caller ends it by leaving.
struct Line {
    method: String,
    peer: Option<SocketAddr>,
    request_id: String,
    began: Instant,
    ended: Ended,
}

enum Ended {
    NotYet,
    Answered,
}

impl Line {
    fn begin(request: &Request, request_id: &RequestId) -> Self {
        Self {
            method: request.uri().path().trim_start_matches('/').to_owned(),
            peer: request.extensions().get::<TcpConnectInfo>().and_then(TcpConnectInfo::remote_addr),
            request_id: request_id.to_string(),
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
        tracing::info!(
            method = self.method,
            code,
            duration_ms = millis(self.began.elapsed()),
            opc_request_id = request_id.unwrap_or(&self.request_id),
            opc_retry_token = retry_token,
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
            Ended::NotYet => self.write("CANCELLED", None, None, "the caller left"),
        }
    }
}

fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
