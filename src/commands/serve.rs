//! `serve`: the table of contents of the serving process.

use super::Failure;
use super::connect::connect;
use super::start_logging;
use crate::config::Listen;
use crate::config::Serve;
use crate::server;
use crate::server::Reflection;
use crate::server::Server;
use crate::server::deadline;
use std::process::ExitCode;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;

/// Settings → logs → credential and client → server → signal → drain.
pub(super) async fn run(settings: Serve) -> Result<ExitCode, Failure> {
    let config = config(&settings.listen)?;
    let oci = connect(&settings.upstream)?;
    start_logging(&settings.log)?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        revision = env!("GATEWAY_GIT_REVISION"),
        endpoint = oci.endpoint,
        user = %oci.user,
        fingerprint = oci.fingerprint,
        "starting"
    );
    oci.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    let server = Server::start(config, oci.client, oci.credentials, oci.tenancy, oci.tasks)
        .await
        .map_err(|error| Failure::Runtime(error.to_string()))?;
    terminated().await?;
    server.drain().await;
    Ok(ExitCode::SUCCESS)
}

/// The server's part of the settings.
pub(super) fn config(listen: &Listen) -> Result<server::Config, Failure> {
    if listen.default_deadline > listen.max_deadline {
        return Err(Failure::Setting(format!(
            "--default-deadline: {:?} is longer than --max-deadline, {:?}",
            listen.default_deadline, listen.max_deadline
        )));
    }
    Ok(server::Config {
        listen: listen.listen,
        admin_listen: listen.admin_listen,
        deadlines: deadline::Config { default: listen.default_deadline, max: listen.max_deadline },
        max_connection_age: listen.max_connection_age,
        drain_timeout: listen.drain_timeout,
        reflection: if listen.no_reflection { Reflection::Off } else { Reflection::On },
    })
}

/// Waits for SIGTERM, which Kubernetes sends, or SIGINT, which a terminal sends.
pub(super) async fn terminated() -> Result<(), Failure> {
    let failed = |error| Failure::Runtime(format!("signals cannot be handled: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    tokio::select! {
        _ = terminate.recv() => tracing::info!(signal = "SIGTERM", "asked to end"),
        _ = interrupt.recv() => tracing::info!(signal = "SIGINT", "asked to end"),
    }
    Ok(())
}
