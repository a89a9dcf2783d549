//! The admin listener: for probes, scrapers and people, over plain HTTP.

use super::accept::Crowd;
use super::accept::Incoming;
use super::connection::Patience;
use super::readiness::Readiness;
use super::readiness::State;
use crate::telemetry::Recorder;
use axum::Router;
use axum::routing::get;
use http::HeaderName;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Probes ask one question and leave; whoever has not by then is no probe.
const PATIENCE: Patience = Patience::for_everything(Duration::from_secs(10));
/// More than any node's probes and scrapers need.
pub(super) const CONNECTIONS: usize = 64;

/// Serves until the task is ended.
pub(super) async fn serve(
    listener: TcpListener,
    readiness: Readiness,
    recorder: Recorder,
    cut: CancellationToken,
) {
    let router = Router::new()
        // Never touches OCI: a restart would not help it.
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(move || readyz(readiness.clone())))
        .route("/metrics", get(move || metrics(recorder.clone())));
    let incoming = Incoming::new(listener, Crowd::replaces(CONNECTIONS), PATIENCE, cut);
    if let Err(error) = axum::serve(incoming, router).await {
        tracing::error!(%error, "the admin listener ended");
    }
}

async fn readyz(readiness: Readiness) -> (StatusCode, String) {
    let state = readiness.state();
    let status = match state {
        State::Ready => StatusCode::OK,
        State::Loading { .. } | State::Asking | State::Lost { .. } | State::Refused | State::Draining => {
            StatusCode::SERVICE_UNAVAILABLE
        }
    };
    (status, format!("{state}\n"))
}

async fn metrics(recorder: Recorder) -> (StatusCode, [(HeaderName, &'static str); 1], String) {
    // prometheus.io/docs/instrumenting/exposition_formats
    let content_type = [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    match recorder.page() {
        Ok(page) => (StatusCode::OK, content_type, page),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, content_type, format!("{error}\n")),
    }
}
