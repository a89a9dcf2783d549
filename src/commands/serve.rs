//! `serve`: the table of contents of the serving process.

use super::Failure;
use super::connect::connect;
use super::door;
use super::signals::Signals;
use crate::config::Given;
use crate::config::Listen;
use crate::config::Problem;
use crate::config::Serve;
use crate::oci;
use crate::server;
use crate::server::Reflection;
use crate::server::Server;
use crate::server::StartError;
use crate::server::deadline;
use crate::telemetry::Recorder;
use crate::transport::retry;
use std::process::ExitCode;
use std::time::Duration;

/// For callers who give no deadline, where the operator does not say either.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(30);

/// Settings → credential and client → server → signal → drain.
pub(super) async fn run(settings: Serve, given: &Given, recorder: Recorder) -> Result<ExitCode, Failure> {
    let mut config = config(&settings.listen, given)?;
    config.tls = door::open(&settings.listen, &settings.tls, given).await?;
    let mut signals = Signals::new()?;
    let oci = tokio::select! {
        oci = connect(&settings.upstream, given, retry::Config::default(), recorder) => oci?,
        // Nothing is served yet, and nothing is lost.
        () = signals.next() => return Ok(ExitCode::SUCCESS),
    };
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        revision = env!("GATEWAY_GIT_REVISION"),
        endpoint = oci.endpoint(),
        auth = oci.auth,
        subject = oci.subject(),
        fingerprint = oci.fingerprint(),
        "starting"
    );
    oci.notes.take().warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    // Its key is wiped when the last call that uses it has ended, not when the process has.
    drop(oci.first);
    let mut server = Server::start(config, oci.client, oci.credentials, oci.mutations)
        .await
        .map_err(|error| unstarted(error, given))?;
    tokio::select! {
        () = signals.next() => {}
        () = server.broken() => {
            // Creates on their way are not to be cut off for that.
            drain(server, &mut signals, Asked::NotYet).await?;
            return Err(Failure::Runtime("a listener has ended by itself".to_owned()));
        }
    }
    drain(server, &mut signals, Asked::Already).await
}

/// Why it does not serve; a listener by the name that its address was given by.
pub(super) fn unstarted(mut error: StartError, given: &Given) -> Failure {
    if let StartError::Listen { setting, .. } = &mut error {
        *setting = given.name(setting, listener_variable(setting));
    }
    Failure::Runtime(error.to_string())
}

fn listener_variable(flag: &str) -> &'static str {
    match flag {
        "--admin-listen" => "GATEWAY_ADMIN_LISTEN",
        "--health-listen" => "GATEWAY_HEALTH_LISTEN",
        _ => "GATEWAY_LISTEN",
    }
}

/// The server's part of the settings.
pub(super) fn config(listen: &Listen, given: &Given) -> Result<server::Config, Failure> {
    let max = listen.max_deadline;
    let default = listen.default_deadline.unwrap_or(DEFAULT_DEADLINE.min(max));
    if default > max {
        let longest = given.name("--max-deadline", "GATEWAY_MAX_DEADLINE");
        let problem = format!("{default:?} is longer than {longest}, {max:?}; at most that is expected");
        return Err(
            Problem::with(given.name("--default-deadline", "GATEWAY_DEFAULT_DEADLINE"), problem).into()
        );
    }
    if default <= oci::deadline::SHORTEST {
        let problem = format!("{default:?} leaves no time for an attempt; more than 300 ms are expected");
        let setting = match listen.default_deadline {
            Some(_) => given.name("--default-deadline", "GATEWAY_DEFAULT_DEADLINE"),
            None => given.name("--max-deadline", "GATEWAY_MAX_DEADLINE"),
        };
        return Err(Problem::with(setting, problem).into());
    }
    Ok(server::Config {
        listen: listen.listen,
        admin_listen: listen.admin_listen,
        health_listen: listen.health_listen,
        tls: None,
        deadlines: deadline::Config { default, max, message: deadline::MESSAGE_TIMEOUT },
        max_in_flight: listen.max_in_flight,
        max_connections: listen.max_connections.unwrap_or_else(server::half_of_the_descriptors),
        first_bytes_timeout: server::FIRST_BYTES_TIMEOUT,
        first_look: Some(server::FIRST_LOOK),
        max_connection_age: listen.max_connection_age,
        drain_timeout: listen.drain_timeout,
        reflection: if listen.no_reflection { Reflection::Off } else { Reflection::On },
    })
}

/// Whether a signal is why it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Already,
    NotYet,
}

/// Drains, until another signal says that nobody wants to wait for it. A hard end is no failure otherwise: the operator
/// set its time, and the log has said what was cut.
pub(super) async fn drain(server: Server, signals: &mut Signals, asked: Asked) -> Result<ExitCode, Failure> {
    let mut is_asked_again = false;
    let hurried = async {
        if asked == Asked::NotYet {
            signals.next().await;
        }
        signals.next().await;
        is_asked_again = true;
    };
    server.drain_unless(hurried).await;
    if is_asked_again {
        return Err(Failure::Runtime("asked to end a second time, before the end of the drain".to_owned()));
    }
    Ok(ExitCode::SUCCESS)
}
