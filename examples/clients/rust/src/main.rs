//! The command line. `calls` is for the tests; a program of yours needs neither.

mod calls;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use backup_client::channel::{self, Tls};
use backup_client::client::{BackupClient, Options};
use backup_client::explain::explain;
use backup_client::pb::{CreateBootVolumeBackupRequest, CreateVolumeBackupRequest, LifecycleState};
use backup_client::service_config::{self, ServiceConfig};
use clap::builder::NonEmptyStringValueParser;
use clap::{Parser, Subcommand};
use tonic::Status;
use tonic::metadata::MetadataMap;

/// Backups of OCI's volumes, through oci-backup-gateway.
#[derive(Parser)]
#[command(name = "backup", arg_required_else_help = false)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// host:port or dns:///name:port
    #[arg(long, global = true, value_name = "TARGET", default_value = "127.0.0.1:50051")]
    gateway: String,
    /// TLS, with the system's authorities
    #[arg(long, global = true)]
    tls: bool,
    /// TLS, with these authorities (PEM)
    #[arg(long, global = true, value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// The certificate of this client (PEM), for mutual TLS
    #[arg(long, global = true, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Its key (PEM)
    #[arg(long, global = true, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// In place of the service config that is built in
    #[arg(long, global = true, value_name = "FILE")]
    service_config: Option<PathBuf>,
    /// The backup's display name
    #[arg(long, global = true)]
    name: Option<String>,
    /// Of this backup [default: a new UUID]
    #[arg(long, global = true, value_name = "TOKEN", value_parser = NonEmptyStringValueParser::new())]
    retry_token: Option<String>,
    /// The deadline
    #[arg(long, global = true, value_name = "SECONDS", default_value = "30", value_parser = seconds, allow_hyphen_values = true)]
    timeout: Duration,
}

#[derive(Subcommand)]
enum Command {
    /// Makes a backup of a volume
    Volume { volume_id: String },
    /// Makes a backup of a boot volume
    BootVolume { boot_volume_id: String },
    /// Calls from standard input, answers to standard output, as JSON lines
    Calls,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds| *seconds > 0.0 && *seconds <= 86_400.0);
    seconds.map(Duration::from_secs_f64).ok_or_else(|| "must be more than 0, and at most 86400".to_owned())
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) if error.use_stderr() => {
            let told = error.to_string();
            let lines = told.lines().take_while(|line| !line.is_empty()).map(str::trim);
            return wrong(lines.collect::<Vec<_>>().join(" ").trim_start_matches("error: "));
        }
        Err(help) => {
            print!("{help}");
            return ExitCode::SUCCESS;
        }
    };
    let client = match client(&arguments) {
        Ok(client) => client,
        Err(error) => {
            let causes = std::iter::successors(Some(&*error), |&error| error.source());
            return wrong(&causes.map(|error| error.to_string()).collect::<Vec<_>>().join(": "));
        }
    };
    match arguments.command {
        Command::Volume { ref volume_id } => volume(&client, volume_id, &arguments).await,
        Command::BootVolume { ref boot_volume_id } => boot_volume(&client, boot_volume_id, &arguments).await,
        Command::Calls => calls::run(client).await.map_or_else(|error| wrong(&error), |()| ExitCode::SUCCESS),
    }
}

fn wrong(what: &str) -> ExitCode {
    eprintln!("backup: {what}");
    ExitCode::from(2)
}

fn client(arguments: &Arguments) -> Result<BackupClient, Box<dyn Error>> {
    let config: ServiceConfig = match &arguments.service_config {
        None => serde_json::from_str(service_config::BUILT_IN)?,
        Some(file) => {
            let named = |error: &dyn Error| format!("{}: {error}", file.display());
            let text = std::fs::read_to_string(file).map_err(|error| named(&error))?;
            serde_json::from_str(&text).map_err(|error| named(&error))?
        }
    };
    let identity = arguments.tls_cert.as_deref().zip(arguments.tls_key.as_deref());
    let tls = if arguments.tls || arguments.tls_ca.is_some() || identity.is_some() {
        Some(Tls::read(arguments.tls_ca.as_deref(), identity)?)
    } else {
        None
    };
    Ok(BackupClient::new(channel::open(&arguments.gateway, tls)?, config))
}

async fn volume(client: &BackupClient, id: &str, arguments: &Arguments) -> ExitCode {
    let token = retry_token(arguments);
    let request = CreateVolumeBackupRequest {
        volume_id: id.to_owned(),
        display_name: arguments.name.clone(),
        retry_token: Some(token.clone()),
        ..Default::default()
    };
    match client.create_volume_backup(request, options(arguments)).await {
        Ok(response) => {
            let (metadata, response, _) = response.into_parts();
            let backup = response.volume_backup.unwrap_or_default();
            succeeded(&backup.id, backup.lifecycle_state(), &token, &metadata)
        }
        Err(status) => failed(&status, &token),
    }
}

async fn boot_volume(client: &BackupClient, id: &str, arguments: &Arguments) -> ExitCode {
    let token = retry_token(arguments);
    let request = CreateBootVolumeBackupRequest {
        boot_volume_id: id.to_owned(),
        display_name: arguments.name.clone(),
        retry_token: Some(token.clone()),
        ..Default::default()
    };
    match client.create_boot_volume_backup(request, options(arguments)).await {
        Ok(response) => {
            let (metadata, response, _) = response.into_parts();
            let backup = response.boot_volume_backup.unwrap_or_default();
            succeeded(&backup.id, backup.lifecycle_state(), &token, &metadata)
        }
        Err(status) => failed(&status, &token),
    }
}

/// The one given, else a new one: told before the call, so that it is known whatever becomes of that.
fn retry_token(arguments: &Arguments) -> String {
    arguments.retry_token.clone().unwrap_or_else(|| {
        let token = uuid::Uuid::new_v4().to_string();
        eprintln!("retry token {token}");
        token
    })
}

fn options(arguments: &Arguments) -> Options {
    Options { timeout: arguments.timeout, ..Options::default() }
}

fn succeeded(id: &str, state: LifecycleState, token: &str, metadata: &MetadataMap) -> ExitCode {
    let state = state.as_str_name().trim_start_matches("LIFECYCLE_STATE_");
    let request_id = metadata.get("opc-request-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
    println!("{id} {state}; retry token {token}; opc-request-id {request_id}");
    ExitCode::SUCCESS
}

fn failed(status: &Status, token: &str) -> ExitCode {
    eprintln!("{}", explain(status, token).words);
    ExitCode::FAILURE
}
