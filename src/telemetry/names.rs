//! Every name of a metric and of an attribute, in one place. Where the semantic conventions have a name
//! (opentelemetry.io/docs/specs/semconv, version 1.42), it is theirs; the gateway's own begin with `gateway.`,
//! but for the short labels of its own metrics.
//!
//! Prometheus sees dots as underscores, the unit as a suffix and `_total` behind counters:
//! `rpc.server.call.duration` in `s` is `rpc_server_call_duration_seconds`.

/// A metric's name, its unit in UCUM, and what it tells.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    pub(super) name: &'static str,
    pub(super) unit: &'static str,
    pub(super) help: &'static str,
}

const fn metric(name: &'static str, unit: &'static str, help: &'static str) -> Metric {
    Metric { name, unit, help }
}

// Of calls.
pub(super) const RPC_SERVER_CALL_DURATION: Metric =
    metric("rpc.server.call.duration", "s", "How long calls took, from their first byte to their answer.");
pub(super) const CALLS_SHED: Metric = metric(
    "gateway.calls.shed",
    "{call}",
    "Calls that were refused because as many were in flight as may be.",
);
pub(super) const CALLS: Metric =
    metric("gateway.calls", "{call}", "Calls of an RPC that have ended, however they did.");
pub(super) const CALLS_FAILED: Metric =
    metric("gateway.calls.failed", "{call}", "Calls that failed, by who failed them and why.");
/// Calls that have a place.
pub const CALLS_IN_FLIGHT: Metric =
    metric("gateway.calls.in_flight", "{call}", "Calls in flight, those included whose caller has left.");
/// Places for calls.
pub const CALLS_LIMIT: Metric = metric("gateway.calls.limit", "{call}", "How many calls may be in flight.");
/// Callers' connections.
pub const CONNECTIONS: Metric = metric("gateway.connections", "{connection}", "Connections of callers.");
/// How many connections of callers there may be.
pub const CONNECTIONS_LIMIT: Metric =
    metric("gateway.connections.limit", "{connection}", "How many connections of callers there may be.");
/// Connections for which there was no room.
pub const CONNECTIONS_REFUSED: Metric = metric(
    "gateway.connections.refused",
    "{connection}",
    "Connections that were closed at once because there were as many as may be.",
);
/// Mutations as tasks.
pub const MUTATIONS_IN_FLIGHT: Metric = metric(
    "gateway.mutations.in_flight",
    "{mutation}",
    "Creates on their way to OCI, which a drain waits for.",
);

// Of requests to OCI.
pub(super) const HTTP_CLIENT_REQUEST_DURATION: Metric = metric(
    "http.client.request.duration",
    "s",
    "How long requests to OCI took, one for each attempt, from their first byte to the last of the answer.",
);
pub(super) const UPSTREAM_ATTEMPTS: Metric = metric(
    "gateway.upstream.attempts",
    "{attempt}",
    "Attempts that calls took; calls that share a token share them.",
);
pub(super) const UPSTREAM_RETRIES: Metric =
    metric("gateway.upstream.retries", "{retry}", "Attempts beyond the first of a call, by what had failed.");
pub(super) const UPSTREAM_RETRIES_REFUSED: Metric = metric(
    "gateway.upstream.retries_refused",
    "{retry}",
    "Retries that were not made because the budget was spent.",
);
/// What retries are paid from.
pub const RETRY_BUDGET: Metric = metric(
    "gateway.upstream.retry_budget",
    "{token}",
    "What is left of the budget that retries are paid from.",
);
/// The breaker: of its states the one that holds is 1, the others 0.
pub const BREAKER_STATE: Metric =
    metric("gateway.upstream.breaker_state", "", "Whether attempts are made: 1 for the state that holds.");
pub(super) const BREAKER_REFUSALS: Metric = metric(
    "gateway.upstream.breaker_refusals",
    "{call}",
    "Calls that were refused because the breaker was open.",
);

// Of signatures.
pub(super) const SIGNING_DURATION: Metric =
    metric("gateway.signing.duration", "s", "How long it took to sign a request.");
pub(super) const SIGNING_WAIT_DURATION: Metric =
    metric("gateway.signing.wait.duration", "s", "How long a request waited for its turn to be signed.");

// Of what the gateway stands on.
/// The clock.
pub const CLOCK_OFFSET: Metric =
    metric("gateway.clock.offset", "s", "What is added to the machine's clock to have OCI's.");
/// The credential's end.
pub const CREDENTIAL_EXPIRY: Metric = metric(
    "gateway.credential.expiry.timestamp",
    "s",
    "When the credential at hand expires; absent for what lasts until it is revoked.",
);
/// The credential, as OCI sees it.
pub const CREDENTIAL_REFUSED: Metric =
    metric("gateway.credential.refused", "", "Whether OCI refuses the credential.");
/// The credential's source.
pub const CREDENTIAL_REFRESH_FAILURES: Metric = metric(
    "gateway.credential.refresh_failures",
    "{attempt}",
    "Attempts to get a credential that gave none.",
);
/// The end of the certificate that callers see.
pub const TLS_CERTIFICATE_EXPIRY: Metric =
    metric("gateway.tls.certificate.expiry.timestamp", "s", "When the certificate that callers see expires.");
/// New certificates that were no good.
pub const TLS_RELOAD_FAILURES: Metric = metric(
    "gateway.tls.reload_failures",
    "{attempt}",
    "Attempts to read a new certificate that gave none that is good.",
);
/// Callers who did not come in.
pub const TLS_HANDSHAKE_FAILURES: Metric =
    metric("gateway.tls.handshake_failures", "{handshake}", "TLS handshakes that came to nothing.");

// Of the process.
/// What is running.
pub const BUILD_INFO: Metric = metric("gateway.build_info", "", "What is running.");
/// Readiness.
pub const READY: Metric = metric("gateway.ready", "", "Whether calls are served, as /readyz says.");
/// The end.
pub const DRAINING: Metric = metric("gateway.draining", "", "Whether the process is on its way out.");
/// Faults of ours.
pub const PANICS: Metric = metric("gateway.panics", "{panic}", "Faults of the gateway.");
/// The log.
pub const LOG_LINES_DROPPED: Metric =
    metric("gateway.log.lines_dropped", "{line}", "Lines of the log that nobody read in time.");

// Attributes.
pub(super) const RPC_SYSTEM_NAME: &str = "rpc.system.name";
pub(super) const RPC_METHOD: &str = "rpc.method";
pub(super) const RPC_METHOD_ORIGINAL: &str = "rpc.method_original";
pub(super) const RPC_RESPONSE_STATUS_CODE: &str = "rpc.response.status_code";
pub(super) const ERROR_TYPE: &str = "error.type";
pub(super) const HTTP_REQUEST_METHOD: &str = "http.request.method";
pub(super) const HTTP_RESPONSE_STATUS_CODE: &str = "http.response.status_code";
pub(super) const SERVER_ADDRESS: &str = "server.address";
pub(super) const SERVER_PORT: &str = "server.port";
pub(super) const NETWORK_PEER_ADDRESS: &str = "network.peer.address";
pub(super) const NETWORK_PEER_PORT: &str = "network.peer.port";
pub(super) const HTTP_REQUEST_RESEND_COUNT: &str = "http.request.resend_count";
pub(super) const URL_FULL: &str = "url.full";
pub(super) const OPC_REQUEST_ID: &str = "gateway.opc_request_id";
pub(super) const SIGNING_SECONDS_OF_SPAN: &str = "gateway.signing.duration";
pub(super) const SIGNING_WAIT_SECONDS_OF_SPAN: &str = "gateway.signing.wait.duration";
pub(super) const OPERATION: &str = "gateway.operation";
pub(super) const DOMAIN: &str = "domain";
pub(super) const REASON: &str = "reason";
pub(super) const STATE: &str = "state";
pub(super) const VERSION: &str = "version";
pub(super) const REVISION: &str = "revision";

/// Another value than those that a closed set has.
pub(super) const OTHER: &str = "_OTHER";
pub(super) const GRPC: &str = "grpc";

/// The codes that are the server's fault, not the caller's; what availability is counted by
/// (opentelemetry.io/docs/specs/semconv/rpc/grpc).
pub(super) fn is_server_error(code: &str) -> bool {
    matches!(
        code,
        "UNKNOWN" | "DEADLINE_EXCEEDED" | "UNIMPLEMENTED" | "INTERNAL" | "UNAVAILABLE" | "DATA_LOSS"
    )
}

/// Of durations of calls and requests: the boundaries of the conventions.
pub(super) const CALL_SECONDS: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
/// Of signatures: one takes some 800 µs, and under load waits for tens of them.
pub(super) const SIGNING_SECONDS: &[f64] =
    &[0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0];
/// Of attempts: five are the most, but for those that met the wrong state.
pub(super) const ATTEMPTS: &[f64] = &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 10.0, 20.0];
