//! The admin listener: for probes, scrapers and people, over plain HTTP.

use super::accept::Incoming;
use super::accept::Terms;
use super::connection::Patience;
use super::readiness::Readiness;
use super::readiness::State;
use super::tls::Tls;
use crate::oci;
use crate::telemetry;
use axum::Router;
use axum::routing::get;
use http::StatusCode;
use std::fmt::Display;
use std::time::Duration;
use std::time::UNIX_EPOCH;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Probes ask one question and leave; whoever has not by then, or comes with many, is no probe.
const TERMS: Terms = Terms { connections: 64, patience: Patience::for_everything(Duration::from_secs(10)) };

/// What is told.
#[derive(Clone)]
pub(super) struct Told {
    pub(super) readiness: Readiness,
    pub(super) client: oci::Client,
    pub(super) tls: Option<Tls>,
}

/// Serves until the task is ended.
pub(super) async fn serve(listener: TcpListener, told: Told, cut: CancellationToken) {
    let readiness = told.readiness.clone();
    let router = Router::new()
        // Never touches OCI: a restart would not help it.
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(move || readyz(readiness.clone())))
        .route("/metrics", get(move || metrics(told.clone())));
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

async fn metrics(told: Told) -> ([(http::HeaderName, &'static str); 1], String) {
    let Told { readiness, client, tls } = told;
    // prometheus.io/docs/instrumenting/exposition_formats
    let content_type = [(http::header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    let (version, revision) = (env!("CARGO_PKG_VERSION"), env!("GATEWAY_GIT_REVISION"));
    let build = format!("gateway_build_info{{version=\"{version}\",revision=\"{revision}\"}}");
    let refused = u8::from(matches!(readiness.state(), State::Refused));
    let credential = client.credential();
    let mut families = vec![
        family("gauge", "What is running.", &build, 1),
        family("counter", "Faults of the gateway.", "gateway_panics_total", telemetry::panics()),
        family(
            "counter",
            "Lines of the log that nobody read in time.",
            "gateway_log_lines_dropped_total",
            telemetry::dropped_lines(),
        ),
        family("gauge", "Whether OCI refuses the credential.", "gateway_credential_refused", refused),
        family(
            "counter",
            "Attempts to get a credential that gave none.",
            "gateway_credential_refresh_failures_total",
            credential.failures,
        ),
        family(
            "gauge",
            "What is added to the machine's clock to have OCI's.",
            "gateway_clock_offset_seconds",
            client.clock_offset().as_secs_f64(),
        ),
    ];
    // What lasts until it is revoked has no such time.
    families.extend(credential.expires.and_then(|expires| expires.duration_since(UNIX_EPOCH).ok()).map(
        |at| {
            let help = "When the credential at hand expires.";
            family("gauge", help, "gateway_credential_expiry_timestamp_seconds", at.as_secs())
        },
    ));
    families.extend(tls.map(|tls| of_tls(&tls)).into_iter().flatten());
    (content_type, families.concat())
}

fn of_tls(tls: &Tls) -> Vec<String> {
    let condition = tls.condition();
    let expires = condition.expires.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    vec![
        family(
            "gauge",
            "When the certificate that callers are shown expires.",
            "gateway_tls_certificate_expiry_timestamp_seconds",
            expires,
        ),
        family(
            "counter",
            "Attempts to read a new certificate that gave none that is good.",
            "gateway_tls_reload_failures_total",
            condition.reload_failures,
        ),
        family(
            "counter",
            "TLS handshakes that came to nothing.",
            "gateway_tls_handshake_failures_total",
            condition.handshake_failures,
        ),
    ]
}

/// One metric with one sample.
fn family(kind: &str, help: &str, sample: &str, value: impl Display) -> String {
    let name = sample.split('{').next().unwrap_or(sample);
    format!("# HELP {name} {help}\n# TYPE {name} {kind}\n{sample} {value}\n")
}
