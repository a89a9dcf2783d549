//! One file per command: what the process does, from its settings to its exit code.
//!
//! It never decides anything about a request.

mod check;
mod connect;
mod door;
mod healthcheck;
mod memory;
mod proto;
#[cfg(feature = "sandbox")]
mod sandbox;
mod serve;
mod sign_in;
mod signals;

use crate::config;
use crate::config::Cli;
use crate::config::Command;
use crate::telemetry;
use crate::telemetry::Exporting;
use crate::telemetry::Log;
use crate::telemetry::Recorder;
use crate::telemetry::StartError;
use crate::telemetry::Unexportable;
use std::process::ExitCode;
use std::time::Duration;
use tokio::runtime;

/// Why a command ended early. Its line goes to standard error.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A setting is wrong; nothing was started. Exit code 2.
    #[error("{0}")]
    Setting(String),
    /// Something failed at run time. Exit code 1.
    #[error("{0}")]
    Runtime(String),
}

impl Failure {
    /// The exit code of the process.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Setting(_) => ExitCode::from(2),
            Self::Runtime(_) => ExitCode::from(1),
        }
    }
}

impl From<config::Problem> for Failure {
    fn from(problem: config::Problem) -> Self {
        Self::Setting(problem.to_string())
    }
}

/// What is left of the process's life for tasks that were cut off, to say so in the log.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// Runs the command to its end, on a runtime that ends when the command does: the blocking threads of a silent
/// name server would hold up an ordinary one. One thread serves the network: it is quick, and hands what is not, the
/// signatures, to others (`oci/signers.rs`); threads that wake each other for every step of a call cost more.
pub fn run(cli: Cli) -> Result<ExitCode, Failure> {
    // One provider of cryptography for everything that speaks TLS; a second one would make rustls panic.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let is_private = memory::keep_private();
    // To the end: its last lines are written when it is dropped.
    let _log = start_logging(&cli.command)?;
    // Before there is a runtime: the client that pushes over HTTP blocks.
    let exporting = start_exporting(&cli.command)?;
    let recorder = exporting.as_ref().map(Exporting::recorder).unwrap_or_default();
    if let Err(error) = is_private {
        tracing::warn!(%error, "core dumps of this process may be written: they would hold keys and tokens");
    }
    let failed = |error| Failure::Runtime(format!("no threads can be started: {error}"));
    let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let ended = runtime.block_on(dispatch(cli, recorder));
    runtime.shutdown_timeout(LAST_WORDS);
    // The last spans, too.
    exporting.into_iter().for_each(Exporting::end);
    ended
}

async fn dispatch(cli: Cli, recorder: Recorder) -> Result<ExitCode, Failure> {
    let given = &cli.given;
    match cli.command {
        Command::Serve(settings) => serve::run(*settings, given, recorder).await,
        #[cfg(feature = "sandbox")]
        Command::Sandbox(settings) => sandbox::run(*settings, given).await,
        Command::Check(settings) => check::run(settings, given).await,
        Command::Healthcheck(settings) => healthcheck::run(settings).await,
        Command::Proto(settings) => proto::run(&settings),
    }
}

/// Metrics from now on, and whatever else the variables ask for.
fn start_exporting(command: &Command) -> Result<Option<Exporting>, Failure> {
    match command {
        Command::Serve(_) => {}
        #[cfg(feature = "sandbox")]
        Command::Sandbox(_) => return Ok(None),
        Command::Check(_) | Command::Healthcheck(_) | Command::Proto(_) => return Ok(None),
    }
    let exports = config::exports()?;
    exports.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    match Exporting::start(&exports) {
        Ok(exporting) => Ok(Some(exporting)),
        Err(error @ Unexportable::Setting(_)) => Err(Failure::Setting(error.to_string())),
        Err(error @ (Unexportable::Thread(_) | Unexportable::Metrics(_))) => {
            Err(Failure::Runtime(error.to_string()))
        }
    }
}

/// Logs from now on; what `RUST_LOG` leaves open, the command says.
fn start_logging(command: &Command) -> Result<Option<Log>, Failure> {
    let (log, filter) = match command {
        Command::Serve(settings) => (&settings.log, "info"),
        #[cfg(feature = "sandbox")]
        Command::Sandbox(settings) => (&settings.log, "warn"),
        Command::Check(settings) => (&settings.log, "off"),
        Command::Healthcheck(_) | Command::Proto(_) => return Ok(None),
    };
    let format = log.log_format.map(|format| match format {
        config::LogFormat::Json => telemetry::Format::Json,
        config::LogFormat::Text => telemetry::Format::Text,
    });
    let filter = log.filter.clone().unwrap_or_else(|| filter.to_owned());
    match telemetry::start(&telemetry::Config { format, filter }) {
        Ok(log) => Ok(Some(log)),
        Err(error @ StartError::Filter(_)) => Err(Failure::Setting(format!("RUST_LOG: {error}"))),
        Err(error @ StartError::Thread(_)) => Err(Failure::Runtime(error.to_string())),
    }
}

/// What all the layers in between only pass on.
fn deepest(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(below) = deepest.source() {
        deepest = below;
    }
    deepest.to_string()
}
