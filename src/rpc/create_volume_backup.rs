//! `CreateVolumeBackup` ↔ `POST /volumeBackups`.

use super::Rpc;
use super::field::Check;
use super::field::CreateFields;
use super::field::Violations;
use super::metadata::ToldToken;
use super::resource;
use crate::oci;
use crate::oci::Answer;
use crate::oci::volume_backup::CreateVolumeBackup;
use crate::oci::volume_backup::VolumeBackup;
use crate::pb;

impl Rpc for CreateVolumeBackup {
    const NAME: &'static str = "CreateVolumeBackup";
    type Request = pb::CreateVolumeBackupRequest;
    type Model = VolumeBackup;
    type Response = pb::CreateVolumeBackupResponse;

    fn parse(message: Self::Request, told: ToldToken<'_>) -> Result<Self, Violations> {
        let mut check = Check::default();
        let retry_token = check.retry_token(message.retry_token.as_deref(), told);
        let volume_id = check.ocid("volume_id", &message.volume_id, "volume");
        let details = CreateFields {
            display_name: message.display_name,
            r#type: message.r#type,
            kms_key_id: message.kms_key_id,
            freeform_tags: message.freeform_tags,
            defined_tags: message.defined_tags,
            retention_period: message.retention_period,
            is_prevent_deletion_enabled: message.is_prevent_deletion_enabled,
            is_retention_lock_enabled: message.is_retention_lock_enabled,
            is_indefinite_retention_enabled: message.is_indefinite_retention_enabled,
        };
        let details = details.check(&mut check);
        let input = || Ok(Self { volume_id: volume_id?, details: details?, retry_token: retry_token? });
        check.done(input())
    }

    async fn execute(
        self,
        client: &oci::Client,
        call: oci::Call,
    ) -> Result<Answer<VolumeBackup>, oci::Error> {
        client.create_volume_backup(self, call).await
    }

    fn respond(answer: Answer<VolumeBackup>) -> Self::Response {
        let resource = volume_backup(answer.value, answer.etag);
        pb::CreateVolumeBackupResponse { volume_backup: Some(resource) }
    }
}

/// The resource as every RPC that returns one sends it.
#[expect(deprecated, reason = "OCI still sends the sizes in MBs, and whoever reads them gets them")]
pub(super) fn volume_backup(model: VolumeBackup, etag: Option<String>) -> pb::VolumeBackup {
    let backup = model.backup;
    pb::VolumeBackup {
        id: backup.id,
        compartment_id: backup.compartment_id.unwrap_or_default(),
        volume_id: model.volume_id,
        display_name: backup.display_name.unwrap_or_default(),
        r#type: resource::backup_type(backup.backup_type).into(),
        lifecycle_state: resource::lifecycle_state(backup.lifecycle_state).into(),
        source_type: resource::source_type(backup.source_type).into(),
        time_created: backup.time_created.map(resource::timestamp),
        time_request_received: backup.time_request_received.map(resource::timestamp),
        expiration_time: backup.expiration_time.map(resource::timestamp),
        size_in_gbs: backup.size_in_gbs,
        unique_size_in_gbs: backup.unique_size_in_gbs,
        size_in_mbs: model.size_in_mbs,
        unique_size_in_mbs: model.unique_size_in_mbs,
        source_volume_backup_id: model.source_volume_backup_id,
        kms_key_id: backup.kms_key_id,
        volume_group_backup_id: backup.volume_group_backup_id,
        freeform_tags: backup.freeform_tags,
        defined_tags: resource::tags(backup.defined_tags),
        system_tags: resource::tags(backup.system_tags),
        retention_period: backup.retention_period.map(resource::retention),
        time_retention_expires_at: backup.time_retention_expires_at.map(resource::timestamp),
        is_prevent_deletion_enabled: backup.is_prevent_deletion_enabled,
        is_retention_lock_enabled: backup.is_retention_lock_enabled,
        is_indefinite_retention_enabled: backup.is_indefinite_retention_enabled,
        etag,
    }
}
