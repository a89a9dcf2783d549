//! What backups of volumes and of boot volumes have in common.

use super::read::DefinedTags;
use super::read::FreeformTags;
use super::read::Time;
use super::read::entries;
use super::read::id;
use super::read::time;
use super::read::whole_number;
use crate::ocid::Ocid;
use serde::Deserialize;
use serde::Serialize;
use serde::Serializer;

/// What a caller may say about the backup to be made. What is absent is not sent. The maps are ordered, so
/// that every gateway sends the same bytes for the same call.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "OCI's own names: CreateVolumeBackupDetails, CreateBootVolumeBackupDetails")]
pub struct CreateDetails {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub backup_type: Option<CreateType>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "optional_ocid")]
    pub kms_key_id: Option<Ocid>,
    #[serde(skip_serializing_if = "FreeformTags::is_empty")]
    pub freeform_tags: FreeformTags,
    #[serde(skip_serializing_if = "DefinedTags::is_empty")]
    pub defined_tags: DefinedTags,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention_period: Option<RetentionDetails>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_prevent_deletion_enabled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_retention_lock_enabled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_indefinite_retention_enabled: Option<bool>,
}

/// `type` of a create.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "OCI's own names")]
pub enum CreateType {
    Full,
    Incremental,
}

/// `retentionPeriod` of a create.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "OCI's own names: RetentionDuration")]
pub struct RetentionDetails {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention_time_unit: Option<RetentionDetailsUnit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention_time_amount: Option<i64>,
}

/// `retentionTimeUnit` of a create.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "OCI's own names")]
pub enum RetentionDetailsUnit {
    Days,
    Years,
}

/// The fields that OCI's `VolumeBackup` and `BootVolumeBackup` share. Only the id is certain: whatever
/// else is missing, the backup exists.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "OCI's own names")]
pub struct Backup {
    #[serde(deserialize_with = "id")]
    pub id: String,
    pub compartment_id: Option<String>,
    pub display_name: Option<String>,
    pub lifecycle_state: Option<LifecycleState>,
    #[serde(rename = "type")]
    pub backup_type: Option<BackupType>,
    pub source_type: Option<SourceType>,
    #[serde(default, deserialize_with = "time")]
    pub time_created: Option<Time>,
    #[serde(default, deserialize_with = "time")]
    pub time_request_received: Option<Time>,
    #[serde(default, deserialize_with = "time")]
    pub expiration_time: Option<Time>,
    #[serde(default, deserialize_with = "time")]
    pub time_retention_expires_at: Option<Time>,
    #[serde(rename = "sizeInGBs", default, deserialize_with = "whole_number")]
    pub size_in_gbs: Option<i64>,
    #[serde(rename = "uniqueSizeInGBs", default, deserialize_with = "whole_number")]
    pub unique_size_in_gbs: Option<i64>,
    pub kms_key_id: Option<String>,
    pub volume_group_backup_id: Option<String>,
    #[serde(default, deserialize_with = "entries")]
    pub freeform_tags: FreeformTags,
    #[serde(default, deserialize_with = "entries")]
    pub defined_tags: DefinedTags,
    #[serde(default, deserialize_with = "entries")]
    pub system_tags: DefinedTags,
    pub retention_period: Option<Retention>,
    pub is_prevent_deletion_enabled: Option<bool>,
    pub is_retention_lock_enabled: Option<bool>,
    pub is_indefinite_retention_enabled: Option<bool>,
}

/// `retentionPeriod` of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "OCI's own names")]
pub struct Retention {
    pub retention_time_unit: Option<RetentionUnit>,
    #[serde(default, deserialize_with = "whole_number")]
    pub retention_time_amount: Option<i64>,
}

/// `lifecycleState`; what this version does not know is `Unknown`, never a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "OCI's own names")]
pub enum LifecycleState {
    RequestReceived,
    Creating,
    Committed,
    Available,
    Terminating,
    Terminated,
    Faulty,
    #[serde(other)]
    Unknown,
}

/// `type` of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "OCI's own names")]
pub enum BackupType {
    Full,
    Incremental,
    #[serde(other)]
    Unknown,
}

/// `sourceType` of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "OCI's own names")]
pub enum SourceType {
    Manual,
    Scheduled,
    #[serde(other)]
    Unknown,
}

/// `retentionTimeUnit` of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "OCI's own names")]
pub enum RetentionUnit {
    Days,
    Years,
    #[serde(other)]
    Unknown,
}

pub(super) fn ocid<S: Serializer>(id: &Ocid, json: S) -> Result<S::Ok, S::Error> {
    json.serialize_str(id.as_str())
}

fn optional_ocid<S: Serializer>(id: &Option<Ocid>, json: S) -> Result<S::Ok, S::Error> {
    id.as_ref().map(Ocid::as_str).serialize(json)
}
