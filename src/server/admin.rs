//! The admin listener: for probes, scrapers and people, over plain HTTP.

use super::accept::Incoming;
use super::accept::Terms;
use super::connection::Patience;
use super::readiness::Readiness;
use super::readiness::State;
use crate::credentials::Condition;
use crate::credentials::ProvideCredentials;
use crate::telemetry;
use axum::Router;
use axum::routing::get;
use http::StatusCode;
use std::sync::Arc;
use std::time::Duration;
use std::time::UNIX_EPOCH;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Probes ask one question and leave; whoever has not by then, or comes with many, is no probe.
const TERMS: Terms = Terms { connections: 64, patience: Patience::for_everything(Duration::from_secs(10)) };

/// Serves until the task is ended.
pub(super) async fn serve(
    listener: TcpListener,
    readiness: Readiness,
    credentials: Arc<dyn ProvideCredentials>,
    cut: CancellationToken,
) {
    let router = Router::new()
        // Never touches OCI: a restart would not help it.
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(move || readyz(readiness.clone())))
        .route("/metrics", get(move || metrics(credentials.condition())));
    let incoming = Incoming::new(listener, TERMS, cut);
    if let Err(error) = axum::serve(incoming, router).await {
        tracing::error!(%error, "the admin listener ended");
    }
}

async fn readyz(readiness: Readiness) -> (StatusCode, String) {
    let state = readiness.state();
    let status = match state {
        State::Ready => StatusCode::OK,
        State::Loading { .. } | State::Refused | State::Draining => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, format!("{state}\n"))
}

async fn metrics(credential: Condition) -> ([(http::HeaderName, &'static str); 1], String) {
    // prometheus.io/docs/instrumenting/exposition_formats
    let content_type = [(http::header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    let (version, revision) = (env!("CARGO_PKG_VERSION"), env!("GATEWAY_GIT_REVISION"));
    let mut text = format!(
        "# HELP gateway_build_info What is running.\n\
         # TYPE gateway_build_info gauge\n\
         gateway_build_info{{version=\"{version}\",revision=\"{revision}\"}} 1\n\
         # HELP gateway_log_lines_dropped_total Lines of the log that its reader had no room for.\n\
         # TYPE gateway_log_lines_dropped_total counter\n\
         gateway_log_lines_dropped_total {}\n\
         # HELP gateway_credential_refresh_failures_total Attempts to get a credential that gave none.\n\
         # TYPE gateway_credential_refresh_failures_total counter\n\
         gateway_credential_refresh_failures_total {}\n",
        telemetry::dropped_lines(),
        credential.failures
    );
    if let Some(at) = credential.expires.and_then(|expires| expires.duration_since(UNIX_EPOCH).ok()) {
        text.push_str(&format!(
            "# HELP gateway_credential_expiry_timestamp_seconds When the credential at hand expires.\n\
             # TYPE gateway_credential_expiry_timestamp_seconds gauge\n\
             gateway_credential_expiry_timestamp_seconds {}\n",
            at.as_secs()
        ));
    }
    (content_type, text)
}
