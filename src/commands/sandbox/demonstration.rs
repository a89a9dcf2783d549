//! Both backups, as any caller would make them, followed until they are AVAILABLE.

use crate::commands::healthcheck::reachable;
use crate::oci;
use crate::oci::Answer;
use crate::oci::backup::LifecycleState;
use crate::oci::boot_volume_backup::GetBootVolumeBackup;
use crate::oci::volume_backup::GetVolumeBackup;
use crate::ocid::Ocid;
use crate::pb;
use crate::pb::backup_service_client::BackupServiceClient;
use crate::rpc::metadata::OPC_REQUEST_ID;
use std::net::SocketAddr;
use std::time::Duration;
use std::time::Instant;
use tonic::Code;
use tonic::Response;
use tonic::transport::Channel;

const VOLUME: &str = "ocid1.volume.oc1.iad.demonstration";
const BOOT_VOLUME: &str = "ocid1.bootvolume.oc1.iad.demonstration";

/// How often a backup is looked at, and for how long.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(120);

/// A backup that was made.
struct Made {
    kind: &'static str,
    id: String,
    request_id: String,
    created_in: Duration,
    available_in: Duration,
}

/// Makes both backups over gRPC and returns a table of them.
pub(super) async fn run(gateway: SocketAddr, oci: &oci::Client) -> Result<String, String> {
    let address = format!("http://{}", reachable(gateway));
    let mut caller = BackupServiceClient::connect(address)
        .await
        .map_err(|error| format!("the gateway cannot be reached: {error}"))?;
    let made = [boot_volume(&mut caller, oci).await?, volume(&mut caller, oci).await?];
    Ok(table(&made))
}

async fn boot_volume(caller: &mut BackupServiceClient<Channel>, oci: &oci::Client) -> Result<Made, String> {
    let began = Instant::now();
    let request = pb::CreateBootVolumeBackupRequest {
        boot_volume_id: BOOT_VOLUME.to_owned(),
        display_name: Some("first boot volume backup".to_owned()),
        ..pb::CreateBootVolumeBackupRequest::default()
    };
    let response = caller
        .create_boot_volume_backup(request)
        .await
        .map_err(|status| refused(status.code(), status.message()))?;
    let (created_in, request_id) = (began.elapsed(), request_id(&response));
    let id = response.into_inner().boot_volume_backup.map(|backup| backup.id).unwrap_or_default();
    let backup = GetBootVolumeBackup { id: ocid(&id)? };
    follow(began, async || {
        let answer = oci.get_boot_volume_backup(backup.clone(), oci::Call::default()).await;
        answer.map(|Answer { value, .. }| value.backup.lifecycle_state)
    })
    .await?;
    Ok(Made { kind: "boot volume", id, request_id, created_in, available_in: began.elapsed() })
}

async fn volume(caller: &mut BackupServiceClient<Channel>, oci: &oci::Client) -> Result<Made, String> {
    let began = Instant::now();
    let request = pb::CreateVolumeBackupRequest {
        volume_id: VOLUME.to_owned(),
        display_name: Some("first volume backup".to_owned()),
        ..pb::CreateVolumeBackupRequest::default()
    };
    let response = caller
        .create_volume_backup(request)
        .await
        .map_err(|status| refused(status.code(), status.message()))?;
    let (created_in, request_id) = (began.elapsed(), request_id(&response));
    let id = response.into_inner().volume_backup.map(|backup| backup.id).unwrap_or_default();
    let backup = GetVolumeBackup { id: ocid(&id)? };
    follow(began, async || {
        let answer = oci.get_volume_backup(backup.clone(), oci::Call::default()).await;
        answer.map(|Answer { value, .. }| value.backup.lifecycle_state)
    })
    .await?;
    Ok(Made { kind: "volume", id, request_id, created_in, available_in: began.elapsed() })
}

/// Looks at a backup until it is AVAILABLE.
async fn follow(
    began: Instant,
    look: impl AsyncFn() -> Result<Option<LifecycleState>, oci::Error>,
) -> Result<(), String> {
    loop {
        match look().await {
            Ok(Some(LifecycleState::Available)) => return Ok(()),
            Ok(Some(LifecycleState::Faulty)) => return Err("the backup became FAULTY".to_owned()),
            Ok(state) if began.elapsed() > PATIENCE => {
                return Err(format!("the backup was still {state:?} after {PATIENCE:?}"));
            }
            Ok(_) => tokio::time::sleep(LOOK_AGAIN).await,
            Err(error) => return Err(error.cause.describe()),
        }
    }
}

fn refused(code: Code, message: &str) -> String {
    format!("the gateway answered {code:?}: {message}")
}

fn request_id<T>(response: &Response<T>) -> String {
    let value = response.metadata().get(OPC_REQUEST_ID).and_then(|value| value.to_str().ok());
    value.unwrap_or_default().to_owned()
}

fn ocid(id: &str) -> Result<Ocid, String> {
    Ocid::parse(id).map_err(|error| format!("the id of the backup {error}"))
}

fn table(made: &[Made]) -> String {
    let mut lines =
        vec![format!("{:<13} {:<11} {:<15} {}", "backup of a", "state", "create took", "available after")];
    for Made { kind, id, request_id, created_in, available_in } in made {
        let created = format!("{:.1} ms", created_in.as_secs_f64() * 1e3);
        let available = format!("{:.1} s", available_in.as_secs_f64());
        lines.push(format!("{kind:<13} {:<11} {created:<15} {available}", "AVAILABLE"));
        lines.push(format!("  {:<15} {id}", "id"));
        lines.push(format!("  {:<15} {request_id}", "opc-request-id"));
    }
    lines.join("\n")
}
